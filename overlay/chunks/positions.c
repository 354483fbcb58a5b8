// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/positions.h"

#include <string.h>

#include "base/check.h"

enum { MASK_ALL = (1 << POSITIONS_MAX) - 1 };

uint16_t positions_mask(uint32_t told)
{
    uint32_t mask = told & (uint32_t)MASK_ALL;

    return (uint16_t)(mask == 0 ? 1 : mask);
}

/* The first place whose position is not before the key; count: there is none. */
static uint32_t place_of(const struct positions *positions, const struct id *key)
{
    uint32_t low = 0;
    uint32_t high = positions->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (id_compare(&positions->list[middle].key.id, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t positions_place(const struct positions *positions, const struct id *key)
{
    uint32_t place = place_of(positions, key);

    CHECK(positions->count > 0);
    return place == positions->count ? 0 : place;
}

static void drop_all_of(struct positions *positions, uint32_t member)
{
    uint32_t kept_count = 0;

    for (uint32_t i = 0; i < positions->count; i++) {
        if (positions->list[i].member != member) {
            positions->list[kept_count++] = positions->list[i];
        }
    }
    positions->count = kept_count;
}

static void add(struct positions *positions, uint32_t member, const struct ring_key *key)
{
    uint32_t place = place_of(positions, &key->id);

    CHECK(positions->count < MEMBERS_MAX * POSITIONS_MAX);
    memmove(&positions->list[place + 1], &positions->list[place],
            (positions->count - place) * sizeof(positions->list[0]));
    positions->list[place] = (struct position){*key, (uint16_t)member};
    positions->count++;
}

void positions_set(struct positions *positions, uint32_t member, const struct public_key *key,
                   uint16_t mask)
{
    CHECK(member < MEMBERS_MAX);
    if (positions->masks[member] == mask) {
        return; /* a member that takes another one's place was set to none before */
    }
    if (positions->masks[member] != 0) {
        drop_all_of(positions, member);
    }
    positions->masks[member] = mask;
    for (uint32_t i = 0; i < POSITIONS_MAX; i++) {
        if ((mask >> i & 1) != 0) {
            struct ring_key position = keys_position(key, i);

            add(positions, member, &position);
        }
    }
}

struct positions_walk positions_walk(const struct positions *positions, const struct id *key)
{
    return (struct positions_walk){.positions = positions,
                                   .place =
                                       positions->count == 0 ? 0 : positions_place(positions, key),
                                   .left = positions->count};
}

int positions_walk_next(struct positions_walk *walk)
{
    const struct positions *positions = walk->positions;

    while (walk->left > 0) {
        uint32_t member = positions->list[walk->place].member;
        uint64_t bit = UINT64_C(1) << (member % 64);

        walk->left--;
        walk->place = walk->place + 1 == positions->count ? 0 : walk->place + 1;
        if ((walk->seen[member / 64] & bit) == 0) {
            walk->seen[member / 64] |= bit;
            return (int)member;
        }
    }
    return -1;
}
