// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/habit.h"

#include <criterion/criterion.h>
#include <string.h>

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S, START_S = 1000000, COUNT_AT = 1 + 3 * 8 + 2 * 4 };

/* Away from 22 h to 8 h, every night. */
static uint64_t sleep_nights(struct habit *habit, uint64_t now_s, int count)
{
    for (int i = 0; i < count; i++) {
        (void)habit_here(habit, now_s);
        (void)habit_away(habit, now_s + 14 * HOUR_S);
        now_s += DAY_S;
        (void)habit_here(habit, now_s);
    }
    return now_s;
}

Test(habit, who_is_new_is_waited_for_over_a_weekend)
{
    struct habit habit = {0};

    cr_assert_not(habit_here(&habit, START_S));
    cr_assert_not(habit_is_gone(&habit, START_S + 100 * DAY_S));
    cr_assert(habit_away(&habit, START_S + HOUR_S));
    cr_assert_not(habit_away(&habit, START_S + 2 * HOUR_S), "it is no news");
    cr_assert_not(habit_is_gone(&habit, START_S + HOUR_S + HABIT_NEW_PATIENCE_S));
    cr_assert(habit_is_gone(&habit, START_S + HOUR_S + HABIT_NEW_PATIENCE_S + 1));
}

Test(habit, a_server_that_was_always_there_is_missed_soon)
{
    struct habit habit = {0};
    uint64_t now_s = START_S + 30 * DAY_S;

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, now_s);
    cr_assert_eq(habit_patience_s(&habit, now_s), HABIT_PATIENCE_S_MIN);
    cr_assert_not(habit_is_gone(&habit, now_s + HABIT_PATIENCE_S_MIN));
    cr_assert(habit_is_gone(&habit, now_s + HABIT_PATIENCE_S_MIN + 1));
    cr_assert(habit_here(&habit, now_s + DAY_S), "a day's absence is remembered");
    cr_assert_not(habit_is_gone(&habit, now_s + DAY_S));
}

Test(habit, a_restart_is_not_remembered)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, START_S + DAY_S);
    cr_assert_not(habit_here(&habit, START_S + DAY_S + HABIT_SHORT_S - 1));
    (void)habit_away(&habit, START_S + 2 * DAY_S);
    cr_assert(habit_here(&habit, START_S + 2 * DAY_S + HABIT_SHORT_S));
    cr_assert_eq(habit.count, 1);
}

Test(habit, a_laptop_that_sleeps_is_waited_for_over_a_weekend_and_is_not_steady)
{
    struct habit habit = {0};
    uint64_t now_s;

    cr_assert(habit_is_steady(&habit, START_S), "nothing is known");
    now_s = sleep_nights(&habit, START_S, 20);
    cr_assert_not(habit_is_steady(&habit, now_s));
    (void)habit_away(&habit, now_s);
    cr_assert_not(habit_is_gone(&habit, now_s + HABIT_NEW_PATIENCE_S));
    cr_assert(habit_is_gone(&habit, now_s + HABIT_NEW_PATIENCE_S + 1));
}

Test(habit, after_the_first_night_it_is_known_what_a_laptop_is)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, START_S + 14 * HOUR_S);
    cr_assert(habit_is_steady(&habit, START_S + 15 * HOUR_S), "an hour is nothing");
    cr_assert_not(habit_is_steady(&habit, START_S + 16 * HOUR_S));
    (void)habit_here(&habit, START_S + 24 * HOUR_S);
    cr_assert_not(habit_is_steady(&habit, START_S + 24 * HOUR_S));
    cr_assert_not(habit_is_steady(&habit, START_S + 2 * DAY_S));
    cr_assert(habit_is_steady(&habit, START_S + 6 * DAY_S), "it was there all the time since");
}

Test(habit, a_server_that_is_down_for_half_a_day_is_still_steady)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, START_S + 20 * DAY_S);
    cr_assert(habit_is_steady(&habit, START_S + 20 * DAY_S + 12 * HOUR_S));
    (void)habit_here(&habit, START_S + 20 * DAY_S + 12 * HOUR_S);
    cr_assert(habit_is_steady(&habit, START_S + 21 * DAY_S));
}

Test(habit, what_was_not_seen_does_not_count)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_here(&habit, START_S + DAY_S);
    (void)habit_away(&habit, START_S + DAY_S);
    habit_skip(&habit, START_S + 3 * DAY_S);
    cr_assert(habit_is_steady(&habit, START_S + 3 * DAY_S));
}

Test(habit, weekends_are_a_habit_and_one_holiday_is_none)
{
    struct habit habit = {0};
    uint64_t now_s = START_S;

    for (int week = 0; week < 3; week++) {
        now_s = sleep_nights(&habit, now_s, 4);
        (void)habit_away(&habit, now_s + 14 * HOUR_S);
        now_s += 3 * DAY_S;
        (void)habit_here(&habit, now_s);
    }
    cr_assert_geq(habit_patience_s(&habit, now_s), 58 * HOUR_S);
    (void)habit_away(&habit, now_s);
    now_s += 13 * DAY_S;
    cr_assert(habit_is_gone(&habit, now_s));
    (void)habit_here(&habit, now_s);
    cr_assert_leq(habit_patience_s(&habit, now_s), 4 * DAY_S);
}

Test(habit, it_is_waited_for_two_weeks_at_most)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, START_S + 10);
    (void)habit_here(&habit, START_S + 100 * (uint64_t)DAY_S);
    cr_assert_eq(habit_patience_s(&habit, START_S + 100 * (uint64_t)DAY_S), HABIT_PATIENCE_S_MAX);
}

Test(habit, a_clock_that_was_set_back_ends_nobodys_patience)
{
    struct habit habit = {0};

    (void)habit_here(&habit, START_S);
    (void)habit_away(&habit, START_S + 30 * DAY_S);
    cr_assert_not(habit_is_gone(&habit, START_S));
    cr_assert_not(habit_here(&habit, START_S));
    cr_assert_eq(habit.count, 0);
}

Test(habit, it_is_the_same_after_a_restart)
{
    struct habit habit = {0};
    struct habit back;
    uint8_t bytes[HABIT_BYTES];

    (void)sleep_nights(&habit, START_S, 21);
    habit_encode(&habit, bytes);
    cr_assert_eq(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
    cr_assert_eq(memcmp(&habit, &back, sizeof(habit)), 0);
}

Test(habit, damaged_bytes_are_refused)
{
    struct habit habit = {0};
    struct habit back;
    uint8_t bytes[HABIT_BYTES + 1] = {0};

    habit_encode(&habit, bytes);
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES - 1}, &back), 0);
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES + 1}, &back), 0);
    bytes[COUNT_AT] = HABIT_ABSENCES_MAX + 1;
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
    bytes[COUNT_AT] = HABIT_ABSENCES_MAX;
    cr_assert_eq(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
    bytes[COUNT_AT + 1] = HABIT_ABSENCES_MAX;
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
    bytes[COUNT_AT + 1] = 0;
    bytes[25] = 0xff; /* a share of more than there is */
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
    bytes[25] = 0;
    bytes[0]++;
    cr_assert_lt(habit_decode((struct bytes){bytes, HABIT_BYTES}, &back), 0);
}
