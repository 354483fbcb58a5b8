// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/policy/line.h"

#include <criterion/criterion.h>

#include "agent/policy/rules.h"

enum { LIMIT = 960000 };

static uint64_t sum_of(const struct owner_line *line, enum owner_way way)
{
    uint64_t sum = 0;

    for (int user = 0; user < OWNER_USERS; user++) {
        sum += line->given_bytes_per_s[way][user];
    }
    return sum;
}

Test(line, a_rule_only_takes_away)
{
    cr_assert_eq(owner_line_limit(1000, OWNER_NO_LIMIT), 1000);
    cr_assert_eq(owner_line_limit(1000, 0), 1000, "not known yet");
    cr_assert_eq(owner_line_limit(1000, 10), 10);
    cr_assert_eq(owner_line_limit(1000, 2000), 1000);
    cr_assert_eq(owner_line_limit(0, 2000), 2000);
    cr_assert_eq(owner_line_limit(0, OWNER_NO_LIMIT), 0);
}

Test(line, without_a_limit_nobody_is_given_one)
{
    struct owner_line line = {0};
    const uint64_t limits[OWNER_WAYS] = {0, 0};
    struct share uses[OWNER_WAYS][OWNER_USERS] = {0};

    uses[OWNER_UP][OWNER_CHUNKS] = (struct share){1 << 30, true, 0};
    cr_assert_not(owner_line_divide(&line, limits, uses));
    cr_assert_eq(sum_of(&line, OWNER_UP), 0);
}

Test(line, what_nobody_needs_is_the_replicas_and_whoever_is_held_back_has_an_equal_part)
{
    struct owner_line line = {0};
    const uint64_t limits[OWNER_WAYS] = {LIMIT, 0};
    struct share uses[OWNER_WAYS][OWNER_USERS] = {0};
    const uint64_t *given = line.given_bytes_per_s[OWNER_UP];

    cr_assert(owner_line_divide(&line, limits, uses));
    cr_assert_geq(given[OWNER_REPLICAS], LIMIT * 97 / 100);
    cr_assert_not(owner_line_divide(&line, limits, uses), "nothing new");
    uses[OWNER_UP][OWNER_REPLICAS] = (struct share){LIMIT, true, 0};
    uses[OWNER_UP][OWNER_CHUNKS] = (struct share){10000, true, 0};
    cr_assert(owner_line_divide(&line, limits, uses));
    cr_assert_eq(given[OWNER_REPLICAS], given[OWNER_CHUNKS]);
    cr_assert_geq(given[OWNER_REPLICAS], LIMIT * 48 / 100);
    cr_assert_eq(line.given_bytes_per_s[OWNER_DOWN][OWNER_CHUNKS], 0);
}

Test(line, small_changes_are_not_told_and_another_limit_always_is)
{
    struct owner_line line = {0};
    uint64_t limits[OWNER_WAYS] = {LIMIT, LIMIT};
    struct share uses[OWNER_WAYS][OWNER_USERS] = {0};

    cr_assert(owner_line_divide(&line, limits, uses));
    uses[OWNER_UP][OWNER_CHUNKS].used_bytes_per_s = LIMIT / 40;
    cr_assert_not(owner_line_divide(&line, limits, uses));
    limits[OWNER_DOWN]--;
    cr_assert(owner_line_divide(&line, limits, uses));
}

Test(line, all_together_never_have_more_than_the_limit)
{
    struct owner_line line = {0};
    uint64_t random = 3;

    for (unsigned round = 0; round < 50000; round++) {
        uint64_t limits[OWNER_WAYS];
        struct share uses[OWNER_WAYS][OWNER_USERS];

        for (int way = 0; way < OWNER_WAYS; way++) {
            for (int user = 0; user < OWNER_USERS; user++) {
                random = random * 6364136223846793005U + 1442695040888963407U;
                uses[way][user] =
                    (struct share){(random >> 30) % (2 * LIMIT), (random >> 60) < 5, 0};
            }
            limits[way] = (random >> 50) % 3 == 0 ? 0 : (random >> 33) % LIMIT + 100;
        }
        (void)owner_line_divide(&line, limits, uses);
        for (int way = 0; way < OWNER_WAYS; way++) {
            cr_assert_leq(sum_of(&line, (enum owner_way)way), limits[way]);
            cr_assert(limits[way] > 0 || sum_of(&line, (enum owner_way)way) == 0);
        }
    }
}
