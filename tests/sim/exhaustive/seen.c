// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/exhaustive/names.h"

enum { SLOTS_FIRST = 1 << 16, PROBES_MAX = 64 };

struct seen_slot {
    uint64_t hash;  /* 0: free */
    uint64_t about; /* the steps left, above the ways that sleep */
};

static uint32_t left_of(const struct seen_slot *slot)
{
    return (uint32_t)(slot->about >> SEEN_WAYS_MAX);
}

static uint64_t sleep_of(const struct seen_slot *slot)
{
    return slot->about & (((uint64_t)1 << SEEN_WAYS_MAX) - 1);
}

static uint64_t about(uint32_t left, uint64_t sleep)
{
    return (uint64_t)left << SEEN_WAYS_MAX | sleep;
}

void seen_init(struct seen *seen, size_t bytes_max)
{
    seen->count = 0;
    seen->slot_count = SLOTS_FIRST;
    seen->slot_count_max = SLOTS_FIRST;
    while (seen->slot_count_max * 2 * sizeof(*seen->slots) <= bytes_max) {
        seen->slot_count_max *= 2;
    }
    seen->slots = calloc(seen->slot_count, sizeof(*seen->slots));
    CHECK(seen->slots != NULL);
}

void seen_done(struct seen *seen)
{
    free(seen->slots);
    seen->slots = NULL;
}

void seen_empty(struct seen *seen)
{
    size_t bytes_max = seen->slot_count_max * sizeof(*seen->slots);

    seen_done(seen);
    seen_init(seen, bytes_max);
}

/* NULL: it is not there, and there is no room. */
static struct seen_slot *find(const struct seen *seen, uint64_t hash)
{
    uint64_t slot = hash & (seen->slot_count - 1);

    for (uint32_t i = 0; i < PROBES_MAX; i++, slot = (slot + 1) & (seen->slot_count - 1)) {
        if (seen->slots[slot].hash == hash || seen->slots[slot].hash == 0) {
            return &seen->slots[slot];
        }
    }
    return NULL;
}

static void grow(struct seen *seen)
{
    struct seen larger = *seen;

    larger.slot_count *= 2;
    larger.slots = calloc(larger.slot_count, sizeof(*larger.slots));
    CHECK(larger.slots != NULL);
    for (uint64_t i = 0; i < seen->slot_count; i++) {
        struct seen_slot *slot = NULL;

        if (seen->slots[i].hash != 0) {
            slot = find(&larger, seen->slots[i].hash);
        }
        if (slot != NULL) {
            *slot = seen->slots[i];
        }
    }
    seen_done(seen);
    *seen = larger;
}

uint64_t seen_visit(struct seen *seen, uint64_t hash, uint32_t left, uint64_t *sleep)
{
    struct seen_slot *slot;
    uint64_t again;

    hash = hash == 0 ? 1 : hash;
    if (seen->count > seen->slot_count / 2 && seen->slot_count < seen->slot_count_max) {
        grow(seen);
    }
    slot = find(seen, hash);
    if (slot == NULL) {
        return UINT64_MAX;
    }
    if (slot->hash == 0 || left_of(slot) < left) {
        seen->count += slot->hash == 0 ? 1 : 0;
        *slot = (struct seen_slot){hash, about(left, *sleep)};
        return UINT64_MAX;
    }
    /* What slept then, and does not now, has not been taken. */
    again = sleep_of(slot) & ~*sleep;
    *sleep &= sleep_of(slot);
    if (left_of(slot) == left) {
        slot->about = about(left, *sleep);
    }
    return again;
}

uint64_t seen_digest(const struct seen *seen)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < seen->slot_count; i++) {
        sum += seen->slots[i].hash == 0 ? 0 : names_mix(1, seen->slots[i].hash);
    }
    return sum;
}
