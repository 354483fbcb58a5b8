// SPDX-License-Identifier: GPL-3.0-or-later
/* How far long work is, in one line. */
#include "agent/cli/screen/bar.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

static char line[BAR_LINE_BYTES_MAX];

/* `mib_per_s` for so long, noted as often as chunks come. */
static struct bar after(uint64_t mib_per_s, uint64_t ms)
{
    struct bar bar;

    bar_begin(&bar, "pushing", 1000);
    for (uint64_t i = 20; i <= ms; i += 20) {
        bar_note(&bar, mib_per_s * MIB * i / 1000, 1000 + i);
    }
    return bar;
}

static const char *line_of(const struct bar *bar, uint64_t total_bytes, uint32_t width_columns)
{
    bar_line(bar, total_bytes, width_columns, line);
    return line;
}

Test(bar, says_share_amount_rate_and_time_left)
{
    struct bar bar = after(10, 5000);

    cr_expect_str_eq(
        line_of(&bar, 200 * MIB, 80),
        "pushing [#######......................]  25%    50M/200M    10M/s     0:15 left");
}

Test(bar, says_at_the_end_what_it_came_to)
{
    struct bar bar = after(10, 5000);

    bar_total(&bar, 50 * MIB, 6000, line);
    cr_expect_str_eq(line, "50M in 5.0 s, 10M/s");
    bar_total(&bar, 0, 1000, line);
    cr_expect_str_eq(line, "0 in 0.0 s, 0/s");
}

Test(bar, never_reaches_the_last_column_of_any_window)
{
    struct bar bar = after(10, 5000);

    for (uint32_t width = 1; width <= 300; width++) {
        cr_expect_lt(strlen(line_of(&bar, 200 * MIB, width)), width, "%u: %s", width, line);
        cr_expect_lt(strlen(line_of(&bar, 0, width)), width, "%u: %s", width, line);
    }
}

Test(bar, a_narrow_window_has_share_and_time_left)
{
    struct bar bar = after(10, 5000);

    cr_expect_str_eq(line_of(&bar, 200 * MIB, 30), "pushing  25%     0:15 left");
    cr_expect_str_eq(line_of(&bar, 200 * MIB, 14), "pushing  25%");
    cr_expect_str_eq(line_of(&bar, 200 * MIB, 5), "push");
}

Test(bar, without_a_total_there_are_amount_and_rate)
{
    struct bar bar = after(10, 5000);

    cr_expect_str_eq(line_of(&bar, 0, 80), "pushing    50M    10M/s");
}

Test(bar, the_rate_is_that_of_the_last_seconds)
{
    struct bar bar = after(10, 5000);

    cr_expect_leq(bar_rate(&bar), 11 * MIB);
    cr_expect_geq(bar_rate(&bar), 9 * MIB);
    for (uint64_t i = 20; i <= 20000; i += 20) {
        bar_note(&bar, 50 * MIB + MIB * i / 1000, 6000 + i);
    }
    cr_expect_geq(bar_rate(&bar), MIB * 9 / 10);
    cr_expect_leq(bar_rate(&bar), MIB * 11 / 10);
}

Test(bar, nothing_is_guessed_at_the_beginning_nor_when_nothing_moves)
{
    struct bar bar = after(10, 200);

    cr_expect_eq(bar_rate(&bar), 0);
    cr_expect_not_null(strstr(line_of(&bar, 200 * MIB, 80), "--:-- left"));
    bar = after(10, 5000);
    for (uint64_t i = 20; i <= 20000; i += 20) {
        bar_note(&bar, 50 * MIB, 6000 + i);
    }
    cr_expect_eq(bar_rate(&bar), 0);
}

Test(bar, hours_are_shown_as_hours)
{
    struct bar bar = after(1, 5000);

    cr_expect_not_null(strstr(line_of(&bar, 7205 * MIB, 80), " 2:00:00 left"), "%s", line);
    cr_expect_not_null(strstr(line_of(&bar, UINT64_MAX, 80), "--:-- left"), "%s", line);
}

Test(bar, more_than_all_is_all)
{
    struct bar bar = after(10, 5000);

    cr_expect_not_null(strstr(line_of(&bar, 20 * MIB, 80), "100%"), "%s", line);
    cr_expect_null(strchr(line, '.'));
}

Test(bar, ten_lines_a_second_are_enough)
{
    struct bar bar;
    int shown_count = 0;

    bar_begin(&bar, "hashing", 1);
    for (uint64_t ms = 1; ms <= 2000; ms++) {
        shown_count += bar_note(&bar, ms, ms) ? 1 : 0;
    }
    cr_expect_eq(shown_count, 20);
}
