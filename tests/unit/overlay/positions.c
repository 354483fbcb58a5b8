// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/positions.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"

static struct positions positions;

static struct public_key key_of(uint32_t number)
{
    struct id id = hash_of("minga test", (struct bytes){(const uint8_t *)&number, sizeof(number)});
    struct public_key key;

    memcpy(key.bytes, id.bytes, sizeof(key.bytes));
    return key;
}

static void set(uint32_t member, uint16_t mask)
{
    struct public_key key = key_of(member);

    positions_set(&positions, member, &key, mask);
}

static void expect_sorted(void)
{
    for (uint32_t i = 1; i < positions.count; i++) {
        cr_assert_lt(id_compare(&positions.list[i - 1].key.id, &positions.list[i].key.id), 0);
    }
}

Test(positions, a_mask_without_candidates_means_the_first_one)
{
    cr_assert_eq(positions_mask(0), 1);
    cr_assert_eq(positions_mask(UINT32_C(0xffff0000)), 1);
    cr_assert_eq(positions_mask(UINT32_C(0xffff0006)), 6);
    cr_assert_eq(positions_mask(UINT32_MAX), 0xffff);
}

Test(positions, they_stay_in_ring_order_whatever_changes)
{
    uint32_t expected_count = 0;

    for (uint32_t step = 0; step < 400; step++) {
        uint32_t member = step * 7 % MEMBERS_MAX;
        uint16_t mask = (uint16_t)(step * 40503U >> 3);

        expected_count -= (uint32_t)__builtin_popcount(positions.masks[member]);
        expected_count += (uint32_t)__builtin_popcount(mask);
        set(member, mask);
        cr_assert_eq(positions.count, expected_count);
        expect_sorted();
    }
    for (uint32_t i = 0; i < positions.count; i++) {
        struct public_key key = key_of(positions.list[i].member);
        bool is_candidate = false;

        for (uint32_t k = 0; k < POSITIONS_MAX; k++) {
            struct ring_key candidate = keys_position(&key, k);

            is_candidate =
                is_candidate || ((positions.masks[positions.list[i].member] >> k & 1) != 0 &&
                                 id_equal(&candidate.id, &positions.list[i].key.id));
        }
        cr_assert(is_candidate);
    }
}

Test(positions, a_walk_names_every_member_once_where_it_comes_first)
{
    struct positions_walk walk;
    struct id key = hash_of("minga test", bytes_of_text("some chunk"));
    bool seen[MEMBERS_MAX] = {false};
    uint32_t place;
    uint32_t count = 0;
    int member;

    for (uint32_t i = 0; i < 40; i++) {
        set(i, (uint16_t)(0x8001 | i << 3));
    }
    walk = positions_walk(&positions, &key);
    place = positions_place(&positions, &key);
    while ((member = positions_walk_next(&walk)) >= 0) {
        cr_assert(!seen[member]);
        while (seen[positions.list[place].member]) {
            place = (place + 1) % positions.count;
        }
        cr_assert_eq(positions.list[place].member, (uint32_t)member);
        seen[member] = true;
        count++;
    }
    cr_assert_eq(count, 40);
}

Test(positions, a_walk_of_nothing_ends_at_once)
{
    struct id key = {{0}};
    struct positions_walk walk = positions_walk(&positions, &key);

    cr_assert_eq(positions_walk_next(&walk), -1);
}

Test(positions, who_takes_another_ones_place_has_positions_of_its_own)
{
    struct public_key other = key_of(1000);
    struct ring_key expected = keys_position(&other, 0);

    set(3, 1);
    set(3, 0);
    positions_set(&positions, 3, &other, 1);
    cr_assert_eq(positions.count, 1);
    cr_assert(id_equal(&positions.list[0].key.id, &expected.id));
}
