// SPDX-License-Identifier: GPL-3.0-or-later
/* Hours of the week, against libc's own idea of local time, over changes of the clock. */
#include "agent/policy/hours.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

static const uint64_t monday_unix_s = 1767571200; /* 2026-01-05 00:00 UTC */
static const struct local_zone utc;

static struct hours parsed(const char *text)
{
    struct hours hours = {0};

    cr_assert_eq(hours_parse(text, &hours), 0, "refused: %s", text);
    return hours;
}

static bool at(const char *text, uint64_t day, uint64_t hour, uint64_t minute)
{
    struct hours hours = parsed(text);

    return hours_hold(&hours, &utc, monday_unix_s + day * DAY_S + hour * 3600 + minute * 60);
}

Test(hours, a_span_holds_from_its_first_second_to_its_last)
{
    cr_assert(!at("Mon-Fri 08:00-18:00", 0, 7, 59));
    cr_assert(at("Mon-Fri 08:00-18:00", 0, 8, 0));
    cr_assert(at("Mon-Fri 08:00-18:00", 4, 17, 59));
    cr_assert(!at("Mon-Fri 08:00-18:00", 4, 18, 0));
    cr_assert(!at("Mon-Fri 08:00-18:00", 5, 12, 0));
}

Test(hours, a_span_over_midnight_belongs_to_the_day_where_it_begins)
{
    cr_assert(at("Fri 22:00-06:00", 4, 23, 0));
    cr_assert(at("Fri 22:00-06:00", 5, 5, 59));
    cr_assert(!at("Fri 22:00-06:00", 5, 6, 0));
    cr_assert(!at("Fri 22:00-06:00", 4, 5, 0));
    cr_assert(at("Sun 22:00-06:00", 0, 5, 0), "from Sunday into Monday");
}

Test(hours, days_without_hours_are_whole_and_hours_without_days_are_every_day)
{
    cr_assert(at("Sat-Mon", 0, 23, 59));
    cr_assert(!at("Sat-Mon", 1, 0, 0));
    cr_assert(at("Sat-Mon", 5, 0, 0));
    cr_assert(at("00:00-24:00", 3, 12, 0));
    cr_assert(at("12:00-13:00, Sun", 2, 12, 30));
    cr_assert(at("12:00-13:00, Sun", 6, 3, 0));
}

Test(hours, what_is_not_hours_is_refused)
{
    static const char *const wrong[] = {
        "",
        "Mon-",
        "Mo",
        "08:00",
        "08:00-08:00",
        "8:00-9:00",
        "24:00-08:00",
        "08:60-09:00",
        "25:00-26:00",
        "Mon 08:00-18:00,",
        "08:00-18:00 x",
        "Mon,,Tue",
        "mon",
        "Mon--Fri",
        "08:00 - 18:00",
    };
    struct hours hours = {.count = 77};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(hours_parse(wrong[i], &hours), -EINVAL, "accepted: \"%s\"", wrong[i]);
    }
    cr_assert_eq(hours.count, 77, "untouched");
}

Test(hours, more_spans_than_fit_are_refused)
{
    char text[512] = "00:01-00:02";
    struct hours hours;

    cr_assert_eq(hours_parse(text, &hours), 0);
    for (int i = 1; i < 3; i++) {
        strcat(text, ", 00:01-00:02");
    }
    cr_assert_eq(hours_parse(text, &hours), 0, "21 spans");
    strcat(text, ", Mon-Wed 01:00-02:00");
    cr_assert_eq(hours_parse(text, &hours), 0, "24 spans");
    strcat(text, ", Mon");
    cr_assert_eq(hours_parse(text, &hours), -EINVAL, "25 spans");
}

/* ------------------------------------------------------------------ changes of the clock */

static int32_t libc_offset(uint64_t unix_s)
{
    time_t when = (time_t)unix_s;
    struct tm local;

    localtime_r(&when, &local);
    return (int32_t)local.tm_gmtoff;
}

static struct local_zone zone_around(uint64_t unix_s)
{
    struct local_zone zone = {.offset_s = libc_offset(unix_s)};
    int32_t offset_s = zone.offset_s;

    for (uint64_t at = unix_s; at < unix_s + (uint64_t)9 * DAY_S; at += 60) {
        if (libc_offset(at + 60) != offset_s && zone.change_count < ZONE_CHANGES_MAX) {
            uint64_t change = at;

            while (libc_offset(change) == offset_s) {
                change++;
            }
            offset_s = libc_offset(change);
            zone.changes[zone.change_count].at_unix_s = change;
            zone.changes[zone.change_count++].offset_s = offset_s;
        }
    }
    return zone;
}

/* "Mon-Fri 08:00-18:00, Sat 22:30-02:30", said in another way. */
static bool oracle(uint64_t unix_s)
{
    time_t when = (time_t)unix_s;
    struct tm local;

    localtime_r(&when, &local);
    int minute = local.tm_hour * 60 + local.tm_min;

    if (local.tm_wday >= 1 && local.tm_wday <= 5 && minute >= 480 && minute < 1080) {
        return true;
    }
    return (local.tm_wday == 6 && minute >= 1350) || (local.tm_wday == 0 && minute < 150);
}

static void follow_the_year(const char *time_zone)
{
    const struct hours hours = parsed("Mon-Fri 08:00-18:00, Sat 22:30-02:30");
    struct local_zone zone;
    uint64_t end_s = monday_unix_s + (uint64_t)366 * DAY_S;
    uint64_t looked_s = 0;
    uint64_t next_s = 0;
    bool held = false;

    setenv("TZ", time_zone, 1);
    tzset();
    for (uint64_t now_s = monday_unix_s; now_s < end_s; now_s += 30) {
        if (now_s - looked_s >= 7 * DAY_S) {
            looked_s = now_s;
            zone = zone_around(now_s);
            next_s = 0;
        }
        bool holds = hours_hold(&hours, &zone, now_s);

        cr_assert_eq(holds, oracle(now_s), "%s at %llu", time_zone, (unsigned long long)now_s);
        if (next_s != 0 && now_s < next_s) {
            cr_assert_eq(holds, held, "%s: changed before it was said", time_zone);
        } else {
            next_s = hours_next(&hours, &zone, now_s);
            cr_assert_gt(next_s, now_s);
        }
        held = holds;
    }
}

Test(hours, a_year_in_seven_time_zones_is_as_libc_says)
{
    static const char *const zones[] = {
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,M3.2.0,M11.1.0",
        "LHST-10:30LHDT-11,M10.1.0,M4.1.0", /* half an hour */
        "NST3:30NDT,M3.2.0,M11.1.0",
        "CLT4CLST,M9.1.6/24,M4.1.6/24", /* at Saturday's midnight */
        "LINT-14",
    };

    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        follow_the_year(zones[i]);
    }
}

Test(hours, an_hour_that_the_clock_skips_does_not_hold_and_a_repeated_one_holds_twice)
{
    const struct hours hours = parsed("Sun 02:00-03:00");
    const struct local_zone spring = {3600, 1, {{1774746000, 7200}}}; /* 2026-03-29 01:00 UTC */
    const struct local_zone autumn = {7200, 1, {{1792890000, 3600}}}; /* 2026-10-25 01:00 UTC */
    uint32_t spring_s = 0;
    uint32_t autumn_s = 0;

    for (uint64_t s = 0; s < 4 * 3600; s++) {
        spring_s += hours_hold(&hours, &spring, 1774746000 - 7200 + s) ? 1 : 0;
        autumn_s += hours_hold(&hours, &autumn, 1792890000 - 7200 + s) ? 1 : 0;
    }
    cr_assert_eq(spring_s, 0);
    cr_assert_eq(autumn_s, 7200);
}
