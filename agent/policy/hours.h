// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Hours of the week on the owner's wall clock: "Mon-Fri 08:00-18:00, Sat 10:00-24:00".
 *
 * Pure: which offset the local clock has, and when it changes, is data that the edge looks up
 * (the time zone's rules are files). An hour that a change of the clock repeats holds twice, one
 * that it skips does not hold that day: it is the clock on the wall that counts.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    HOURS_SPANS_MAX = 24,
    ZONE_CHANGES_MAX = 8,
    WEEK_MINUTES = 7 * 24 * 60,
};

/* From a minute of the week (0: Monday 00:00), for so long; it may pass Sunday's midnight. */
struct hours_span {
    uint32_t begin_minute;
    uint32_t length_minutes; /* 1 to WEEK_MINUTES */
};

struct hours { /* none: always */
    uint32_t count;
    struct hours_span spans[HOURS_SPANS_MAX];
};

/* The local clock: UTC + offset_s, until the first change, and so on; at least a week ahead. */
struct local_zone {
    int32_t offset_s;
    uint32_t change_count;
    struct {
        uint64_t at_unix_s; /* ascending */
        int32_t offset_s;
    } changes[ZONE_CHANGES_MAX];
};

/*
 * Spans parted by commas, each "DAYS", "HH:MM-HH:MM" (every day) or "DAYS HH:MM-HH:MM"; DAYS is
 * "Mon" or "Mon-Fri", also over the weekend. A span that ends before it begins ends the next day.
 * Returns 0, or -EINVAL (hours_out untouched).
 */
int hours_parse(const char *text, struct hours *hours_out);
bool hours_hold(const struct hours *hours, const struct local_zone *zone, uint64_t unix_s);
/* The next instant at which hours_hold may change; UINT64_MAX: never. */
uint64_t hours_next(const struct hours *hours, const struct local_zone *zone, uint64_t unix_s);
