// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/policy/hours.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

enum { DAY_MINUTES = 24 * 60, WEEK_S = WEEK_MINUTES * 60, DAYS_MAX = 7 };

/* ------------------------------------------------------------------ reading */

static void skip_blanks(const char **text)
{
    while (**text == ' ') {
        (*text)++;
    }
}

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

/* "08:00" up to "24:00". */
static int read_clock(const char **text, uint32_t *minute_out)
{
    const char *at = *text;
    uint32_t hour;
    uint32_t minute;

    if (!is_digit(at[0]) || !is_digit(at[1]) || at[2] != ':' || !is_digit(at[3]) ||
        !is_digit(at[4])) {
        return -EINVAL;
    }
    hour = (uint32_t)(at[0] - '0') * 10 + (uint32_t)(at[1] - '0');
    minute = (uint32_t)(at[3] - '0') * 10 + (uint32_t)(at[4] - '0');
    if (minute > 59 || hour * 60 + minute > DAY_MINUTES) {
        return -EINVAL;
    }
    *minute_out = hour * 60 + minute;
    *text = at + 5;
    return 0;
}

static int read_day(const char **text, uint32_t *day_out)
{
    static const char names[DAYS_MAX][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

    for (uint32_t i = 0; i < DAYS_MAX; i++) {
        if (strncmp(*text, names[i], 3) == 0) {
            *day_out = i;
            *text += 3;
            return 0;
        }
    }
    return -EINVAL;
}

struct reader {
    const char *at;
    struct hours hours;
};

static int add_span(struct hours *hours, uint32_t begin_minute, uint32_t length_minutes)
{
    if (hours->count == HOURS_SPANS_MAX) {
        return -EINVAL;
    }
    hours->spans[hours->count++] = (struct hours_span){begin_minute, length_minutes};
    return 0;
}

/* Whole days, or every day the same hours, are one span; other spans are one a day. */
static int add_days(struct hours *hours, uint32_t day, uint32_t day_count, uint32_t begin_minute,
                    uint32_t end_minute)
{
    uint32_t length_minutes = end_minute > begin_minute ? end_minute - begin_minute
                                                        : end_minute + DAY_MINUTES - begin_minute;

    CHECK(day_count >= 1 && day_count <= DAYS_MAX);
    if (length_minutes == DAY_MINUTES) {
        return add_span(hours, day * DAY_MINUTES + begin_minute, day_count * DAY_MINUTES);
    }
    for (uint32_t i = 0; i < day_count; i++) {
        uint32_t begin = (day + i) % DAYS_MAX * DAY_MINUTES + begin_minute;

        if (add_span(hours, begin, length_minutes) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static int read_span(struct reader *reader)
{
    uint32_t first = 0;
    uint32_t last = 6;
    uint32_t begin_minute = 0;
    uint32_t end_minute = DAY_MINUTES;

    skip_blanks(&reader->at);
    if (read_day(&reader->at, &first) == 0) {
        last = first;
        if (*reader->at == '-') {
            reader->at++;
            if (read_day(&reader->at, &last) < 0) {
                return -EINVAL;
            }
        }
        skip_blanks(&reader->at);
        if (*reader->at == ',' || *reader->at == '\0') {
            return add_days(&reader->hours, first, (last + DAYS_MAX - first) % DAYS_MAX + 1, 0,
                            DAY_MINUTES);
        }
    }
    if (read_clock(&reader->at, &begin_minute) < 0 || *reader->at++ != '-' ||
        read_clock(&reader->at, &end_minute) < 0 || begin_minute == end_minute ||
        begin_minute == DAY_MINUTES) {
        return -EINVAL;
    }
    skip_blanks(&reader->at);
    return add_days(&reader->hours, first, (last + DAYS_MAX - first) % DAYS_MAX + 1, begin_minute,
                    end_minute);
}

int hours_parse(const char *text, struct hours *hours_out)
{
    struct reader reader = {.at = text};

    for (;;) {
        if (read_span(&reader) < 0) {
            return -EINVAL;
        }
        if (*reader.at == '\0') {
            *hours_out = reader.hours;
            return 0;
        }
        if (*reader.at++ != ',') {
            return -EINVAL;
        }
    }
}

/* ------------------------------------------------------------------ the clock on the wall */

static int32_t offset_at(const struct local_zone *zone, uint64_t unix_s)
{
    int32_t offset_s = zone->offset_s;

    CHECK(zone->change_count <= ZONE_CHANGES_MAX);
    for (uint32_t i = 0; i < zone->change_count && zone->changes[i].at_unix_s <= unix_s; i++) {
        offset_s = zone->changes[i].offset_s;
    }
    return offset_s;
}

/* Seconds since Monday 00:00; 1970 began on a Thursday. */
static uint32_t week_second(const struct local_zone *zone, uint64_t unix_s)
{
    /* Whole weeks are taken off first, so that no clock, however wrong, overflows. */
    int64_t local_s =
        (int64_t)(unix_s % WEEK_S) + offset_at(zone, unix_s) + (int64_t)3 * DAY_MINUTES * 60;

    return (uint32_t)(((local_s % WEEK_S) + WEEK_S) % WEEK_S);
}

static uint32_t seconds_until(uint32_t now_s, uint32_t minute)
{
    return (minute % WEEK_MINUTES * 60 + WEEK_S - now_s) % WEEK_S;
}

bool hours_hold(const struct hours *hours, const struct local_zone *zone, uint64_t unix_s)
{
    uint32_t now_s = week_second(zone, unix_s);

    for (uint32_t i = 0; i < hours->count; i++) {
        const struct hours_span *span = &hours->spans[i];
        uint32_t since_s = (now_s + WEEK_S - span->begin_minute * 60) % WEEK_S;

        if (since_s < span->length_minutes * 60) {
            return true;
        }
    }
    return hours->count == 0;
}

static void sooner(uint64_t *next, uint64_t unix_s, uint32_t left_s)
{
    uint64_t at = unix_s + (left_s == 0 ? WEEK_S : left_s);

    *next = at < *next ? at : *next;
}

uint64_t hours_next(const struct hours *hours, const struct local_zone *zone, uint64_t unix_s)
{
    uint32_t now_s = week_second(zone, unix_s);
    uint64_t next = UINT64_MAX;

    if (hours->count == 0) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < hours->count; i++) {
        const struct hours_span *span = &hours->spans[i];

        sooner(&next, unix_s, seconds_until(now_s, span->begin_minute));
        sooner(&next, unix_s, seconds_until(now_s, span->begin_minute + span->length_minutes));
    }
    for (uint32_t i = 0; i < zone->change_count; i++) {
        if (zone->changes[i].at_unix_s > unix_s && zone->changes[i].at_unix_s < next) {
            next = zone->changes[i].at_unix_s;
        }
    }
    return next;
}
