// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct name {
    uint64_t hash;
    size_t offset_bytes;
    size_t length_bytes;
};

uint64_t names_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
    return hash ^ hash >> 32;
}

/* Four lanes, for one multiplication waits for the one before. */
uint64_t names_hash(const void *bytes, size_t length_bytes)
{
    const uint8_t *at = bytes;
    uint64_t lanes[4] = {1, 2, 3, 4};
    uint64_t words[4];
    uint64_t hash = length_bytes;

    for (; length_bytes >= sizeof(words); length_bytes -= sizeof(words), at += sizeof(words)) {
        memcpy(words, at, sizeof(words));
        for (int i = 0; i < 4; i++) {
            lanes[i] = names_mix(lanes[i], words[i]);
        }
    }
    memset(words, 0, sizeof(words));
    memcpy(words, at, length_bytes);
    for (int i = 0; i < 4; i++) {
        hash = names_mix(hash, names_mix(lanes[i], words[i]));
    }
    return names_mix(hash, hash >> 29);
}

static void grow(void **list, size_t bytes)
{
    void *larger = realloc(*list, bytes);

    CHECK(larger != NULL);
    *list = larger;
}

void names_done(struct names *names)
{
    free(names->list);
    free(names->slots);
    free(names->bytes);
    memset(names, 0, sizeof(*names));
}

static bool is_name(const struct names *names, uint32_t number, const void *bytes,
                    size_t length_bytes)
{
    const struct name *name = &names->list[number];

    return name->length_bytes == length_bytes &&
           (length_bytes == 0 ||
            memcmp(&names->bytes[name->offset_bytes], bytes, length_bytes) == 0);
}

static void spread(struct names *names)
{
    names->slot_count = names->slot_count == 0 ? 1024 : 2 * names->slot_count;
    grow((void **)&names->slots, names->slot_count * sizeof(*names->slots));
    memset(names->slots, 0, names->slot_count * sizeof(*names->slots));
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t slot = (uint32_t)names->list[i].hash & (names->slot_count - 1);

        while (names->slots[slot] != 0) {
            slot = (slot + 1) & (names->slot_count - 1);
        }
        names->slots[slot] = i + 1;
    }
}

static void make_room(struct names *names, size_t length_bytes)
{
    CHECK(names->count < UINT32_MAX / 4);
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 256 : 2 * names->capacity;
        grow((void **)&names->list, names->capacity * sizeof(*names->list));
    }
    if (length_bytes + 8 > names->capacity_bytes - names->used_bytes) {
        names->capacity_bytes = 2 * names->capacity_bytes + length_bytes + 4096;
        grow((void **)&names->bytes, names->capacity_bytes);
    }
    if (names->count >= names->slot_count / 2) {
        spread(names);
    }
}

uint32_t names_number(struct names *names, const void *bytes, size_t length_bytes)
{
    uint64_t hash = names_hash(bytes, length_bytes);
    uint32_t slot;

    make_room(names, length_bytes);
    for (slot = (uint32_t)hash & (names->slot_count - 1); names->slots[slot] != 0;
         slot = (slot + 1) & (names->slot_count - 1)) {
        uint32_t number = names->slots[slot] - 1;

        if (names->list[number].hash == hash && is_name(names, number, bytes, length_bytes)) {
            return number;
        }
    }
    names->list[names->count] = (struct name){hash, names->used_bytes, length_bytes};
    if (length_bytes > 0) {
        memcpy(&names->bytes[names->used_bytes], bytes, length_bytes);
    }
    names->used_bytes += (length_bytes + 7) / 8 * 8; /* so that they may be read as words */
    names->slots[slot] = ++names->count;
    return names->count - 1;
}

const void *names_bytes(const struct names *names, uint32_t number, size_t *length_bytes_out)
{
    CHECK(number < names->count);
    if (length_bytes_out != NULL) {
        *length_bytes_out = names->list[number].length_bytes;
    }
    return &names->bytes[names->list[number].offset_bytes];
}

/* The last ones first: whatever came before one has found its slot without it. */
void names_forget(struct names *names, uint32_t count)
{
    CHECK(count <= names->count);
    while (names->count > count) {
        const struct name *name = &names->list[--names->count];
        uint32_t slot = (uint32_t)name->hash & (names->slot_count - 1);

        while (names->slots[slot] != names->count + 1) {
            slot = (slot + 1) & (names->slot_count - 1);
        }
        names->slots[slot] = 0;
        names->used_bytes = name->offset_bytes;
    }
}
