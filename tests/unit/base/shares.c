// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/shares.h"

#include <criterion/criterion.h>

enum { TOTAL = 1600000 };

static uint64_t sum_of(const struct share *shares, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += shares[i].given_bytes_per_s;
    }
    return sum;
}

Test(shares, whoever_is_alone_gets_all)
{
    struct share share = {0};

    shares_divide(TOTAL, &share, 1);
    cr_assert_eq(share.given_bytes_per_s, TOTAL);
    share.wants_more = true;
    shares_divide(TOTAL, &share, 1);
    cr_assert_eq(share.given_bytes_per_s, TOTAL);
    shares_divide(TOTAL, &share, 0);
}

Test(shares, those_who_are_held_back_get_equal_parts)
{
    struct share shares[] = {{900000, true, 0}, {1, true, 0}, {0, true, 0}, {70000, true, 0}};

    shares_divide(TOTAL, shares, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(shares[i].given_bytes_per_s, TOTAL / 4);
    }
}

Test(shares, what_one_does_not_need_the_others_have)
{
    struct share shares[] = {{80000, false, 0}, {800000, true, 0}, {0, false, 0}};
    const uint64_t kept = TOTAL / SHARES_KEPT_DIVISOR / 3;

    shares_divide(TOTAL, shares, 3);
    cr_assert_eq(shares[0].given_bytes_per_s, 100000);
    cr_assert_eq(shares[2].given_bytes_per_s, kept);
    cr_assert_eq(shares[1].given_bytes_per_s, TOTAL - 100000 - kept);
}

Test(shares, when_nobody_is_held_back_all_have_room_to_grow)
{
    struct share shares[] = {{80000, false, 0}, {0, false, 0}};

    shares_divide(TOTAL, shares, 2);
    cr_assert_gt(shares[0].given_bytes_per_s, 700000);
    cr_assert_gt(shares[1].given_bytes_per_s, 700000);
    cr_assert_leq(sum_of(shares, 2), TOTAL);
}

Test(shares, a_total_of_next_to_nothing_gives_everybody_a_byte)
{
    struct share shares[] = {{0, true, 0}, {0, false, 0}, {UINT64_MAX, false, 0}};

    shares_divide(1, shares, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_geq(shares[i].given_bytes_per_s, 1);
    }
}

Test(shares, the_sum_never_exceeds_the_whole_and_nobody_hungry_is_behind_another_one)
{
    uint64_t random = 7;

    for (unsigned round = 0; round < 20000; round++) {
        struct share shares[64] = {0};
        uint32_t count = (uint32_t)(random >> 33) % 64 + 1;
        uint64_t total = (random >> 20) % 100000000 + count * SHARES_KEPT_DIVISOR;
        uint64_t least_hungry = UINT64_MAX;
        uint64_t most = 0;

        for (uint32_t i = 0; i < count; i++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            shares[i].used_bytes_per_s = (random >> 30) % (total * 2);
            shares[i].wants_more = (random >> 62) == 0;
        }
        shares_divide(total, shares, count);
        cr_assert_leq(sum_of(shares, count), total);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t given = shares[i].given_bytes_per_s;

            cr_assert_geq(given, total / SHARES_KEPT_DIVISOR / count);
            most = given > most ? given : most;
            if (shares[i].wants_more && given < least_hungry) {
                least_hungry = given;
            }
        }
        cr_assert(least_hungry == UINT64_MAX || least_hungry == most);
    }
}
