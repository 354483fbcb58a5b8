// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Owners of year.c: what they write into their rules, drawn at random, and what their words mean,
 * worked out again from the words alone (the oracle), by the C library's clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "tests/unit/agent/community.h"

enum { PLAN_SPANS_MAX = 3, DAY_S = 24 * 3600, OUTLOOK_S = 45 * DAY_S };

/* "Mon-Fri 08:00-18:00": its days from 0 for Monday, its times in minutes. */
struct plan_span {
    uint32_t first_day;
    uint32_t last_day;
    bool has_times;
    uint32_t begin_minute;
    uint32_t end_minute; /* before its begin: of the next day */
};

struct plan { /* none: always */
    uint32_t count;
    struct plan_span spans[PLAN_SPANS_MAX];
};

/* ------------------------------------------------------------------ clocks */

/* Laws in POSIX's words, so that no file is needed: changes at night, at midnight, by half an hour,
 * in the south, and none. */
static const char *const owner_laws[] = {
    "UTC0",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "<-04>4<-03>,M9.1.6/24,M4.1.6/24",
    "EET-2EEST,M4.5.5/0,M10.5.4/24",
    "<+0545>-5:45",
    "<+14>-14",
    "<-11>11",
};

static inline int32_t owner_offset(uint64_t unix_s)
{
    time_t when = (time_t)unix_s;
    struct tm local;

    cr_assert_not_null(localtime_r(&when, &local));
    return (int32_t)local.tm_gmtoff;
}

static inline void owner_zone(const char *law, uint64_t unix_s, struct local_zone *zone_out)
{
    memset(zone_out, 0, sizeof(*zone_out));
    setenv("TZ", law, 1);
    tzset();
    zone_out->offset_s = owner_offset(unix_s);
    for (uint64_t at = unix_s; at < unix_s + OUTLOOK_S; at += 3600) {
        for (uint64_t second = 1; owner_offset(at) != owner_offset(at + 3600); second++) {
            if (owner_offset(at) != owner_offset(at + second)) {
                uint32_t index = zone_out->change_count++;

                zone_out->changes[index].at_unix_s = at + second;
                zone_out->changes[index].offset_s = owner_offset(at + second);
                break;
            }
        }
    }
}

/* ------------------------------------------------------------------ hours */

static inline void owner_draw_plan(struct random *random, struct plan *plan)
{
    plan->count = random_below(random, 2) == 0 ? 0 : 1 + (uint32_t)random_below(random, 3);
    for (uint32_t i = 0; i < plan->count; i++) {
        struct plan_span *span = &plan->spans[i];

        span->first_day = (uint32_t)random_below(random, 7);
        span->last_day = (uint32_t)random_below(random, 7);
        span->has_times = random_below(random, 4) != 0;
        span->begin_minute = (uint32_t)random_below(random, 24 * 60);
        span->end_minute = (uint32_t)random_below(random, 24 * 60 + 1);
        span->end_minute += span->end_minute == span->begin_minute ? 1 : 0;
    }
}

static inline void owner_print_plan(const struct plan *plan, char text_out[256])
{
    static const char days[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    int length = 0;

    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_span *span = &plan->spans[i];

        length += sprintf(text_out + length, "%s%s-%s", i > 0 ? ", " : "", days[span->first_day],
                          days[span->last_day]);
        if (span->has_times) {
            length +=
                sprintf(text_out + length, " %02u:%02u-%02u:%02u", span->begin_minute / 60,
                        span->begin_minute % 60, span->end_minute / 60, span->end_minute % 60);
        }
    }
}

static inline bool owner_in_days(const struct plan_span *span, uint32_t day)
{
    return (day + 7 - span->first_day) % 7 <= (span->last_day + 7 - span->first_day) % 7;
}

static inline bool owner_in_span(const struct plan_span *span, uint32_t day, uint32_t minute)
{
    bool today = owner_in_days(span, day);

    if (!span->has_times) {
        return today;
    }
    if (span->begin_minute < span->end_minute) {
        return today && minute >= span->begin_minute && minute < span->end_minute;
    }
    return (today && minute >= span->begin_minute) ||
           (owner_in_days(span, (day + 6) % 7) && minute < span->end_minute);
}

static inline bool owner_in_plan(const struct plan *plan, const struct local_zone *zone,
                                 uint64_t unix_s)
{
    int32_t offset_s = zone->offset_s;
    time_t wall;
    struct tm parts;

    for (uint32_t i = 0; i < zone->change_count; i++) {
        offset_s = unix_s >= zone->changes[i].at_unix_s ? zone->changes[i].offset_s : offset_s;
    }
    wall = (time_t)unix_s + offset_s;
    gmtime_r(&wall, &parts);
    for (uint32_t i = 0; i < plan->count; i++) {
        if (owner_in_span(&plan->spans[i], (uint32_t)(parts.tm_wday + 6) % 7,
                          (uint32_t)(parts.tm_hour * 60 + parts.tm_min))) {
            return true;
        }
    }
    return plan->count == 0;
}

/* ------------------------------------------------------------------ what is sensed */

static const char *const owner_networks[] = {"home", "cafe", "train"};

static inline void owner_draw_senses(struct random *random, uint64_t now_ms,
                                     struct owner_senses *senses)
{
    switch (random_below(random, 9)) {
    case 0:
    case 1:
        senses->input_ms = now_ms;
        break;
    case 2:
        senses->program_count = 1 - senses->program_count;
        strcpy(senses->programs[0], "game");
        break;
    case 3:
    case 4:
        senses->on_battery = random_below(random, 4) == 0 ? OWNER_YES : OWNER_NO;
        senses->battery_percent =
            random_below(random, 5) == 0 ? UINT32_MAX : (uint32_t)random_below(random, 101);
        break;
    case 5:
        senses->metered = (enum owner_truth)random_below(random, 3);
        break;
    case 6:
        senses->network_count = 0;
        for (uint32_t i = 0; i < ARRAY_COUNT(owner_networks); i++) {
            if (random_below(random, 3) == 0) {
                strcpy(senses->networks[senses->network_count++], owner_networks[i]);
            }
        }
        break;
    case 7:
        senses->celsius =
            random_below(random, 5) == 0 ? 0 : 40 + (uint32_t)random_below(random, 50);
        break;
    default:
        senses->others_permille = (uint32_t)random_below(random, 1001);
        break;
    }
}

/* ------------------------------------------------------------------ rules */

static inline void owner_draw_word(struct random *random, struct owner_words *words)
{
    words->count = 1;
    strcpy(words->list[0], owner_networks[random_below(random, ARRAY_COUNT(owner_networks))]);
}

static inline void owner_draw_condition(struct random *random, struct owner_when *when)
{
    switch (random_below(random, 10)) {
    case 0:
        when->in_use_ms = 5000 + random_below(random, 60000);
        break;
    case 1:
        when->idle_ms = 5000 + random_below(random, 60000);
        break;
    case 2:
        when->busy_permille = 300 + (uint32_t)random_below(random, 600);
        break;
    case 3:
        when->on_battery = random_below(random, 4) == 0 ? OWNER_NO : OWNER_YES;
        break;
    case 4:
        when->battery_below_percent = 10 + (uint32_t)random_below(random, 80);
        break;
    case 5:
        when->metered = OWNER_YES;
        break;
    case 6:
        owner_draw_word(random, &when->networks);
        break;
    case 7:
        owner_draw_word(random, &when->not_networks);
        break;
    case 8:
        when->hotter_than_celsius = 60 + (uint32_t)random_below(random, 25);
        break;
    default:
        when->programs.count = 1;
        strcpy(when->programs.list[0], "game");
        break;
    }
}

static inline uint64_t owner_draw_limit(struct random *random, uint64_t least, uint64_t below)
{
    return random_below(random, 3) == 0 ? least + random_below(random, below) : OWNER_NO_LIMIT;
}

static inline void owner_draw_rule(struct random *random, struct owner_rule *rule,
                                   struct plan *plan)
{
    char text[256];

    owner_draw_plan(random, plan);
    if (plan->count > 0) {
        owner_print_plan(plan, text);
        cr_assert_eq(hours_parse(text, &rule->when.hours), 0, "%s", text);
    }
    for (uint64_t i = 1 + random_below(random, 2); i > 0; i--) {
        owner_draw_condition(random, &rule->when);
    }
    rule->then = (struct owner_then){
        .mode = (enum owner_mode)random_below(random, 4),
        .within_ms = 5000 + random_below(random, 60000),
        .cpu_permille = owner_draw_limit(random, 50, 1000),
        .memory_bytes = owner_draw_limit(random, (uint64_t)32 << 20, (uint64_t)256 << 20),
        .upload_bytes_per_s = owner_draw_limit(random, 1000, 100000),
        .download_bytes_per_s = owner_draw_limit(random, 1000, 100000)};
}

/* ------------------------------------------------------------------ what the words mean */

static inline bool owner_used_within(const struct owner_senses *senses, uint64_t now_ms,
                                     uint64_t within_ms)
{
    return senses->input_ms != 0 && now_ms < senses->input_ms + within_ms;
}

static inline bool owner_is_on(const struct owner_senses *senses, const struct owner_words *words)
{
    for (uint32_t i = 0; i < senses->network_count; i++) {
        if (words->count > 0 && strcmp(senses->networks[i], words->list[0]) == 0) {
            return true;
        }
    }
    return false;
}

/* Slack: as many degrees and parts of a hundred (times ten for the load) nearer to what is asked. */
static inline bool owner_conditions_hold(const struct owner_when *when,
                                         const struct owner_senses *senses, uint64_t now_ms,
                                         bool is_slack)
{
    uint32_t slack = is_slack ? 5 : 0;
    uint32_t busy_permille = is_slack ? when->busy_permille / 4 * 3 : when->busy_permille;

    return (when->in_use_ms == 0 || owner_used_within(senses, now_ms, when->in_use_ms)) &&
           (when->idle_ms == 0 || !owner_used_within(senses, now_ms, when->idle_ms)) &&
           (when->busy_permille == 0 || senses->others_permille > busy_permille) &&
           (when->on_battery == OWNER_UNKNOWN || senses->on_battery == when->on_battery) &&
           (when->battery_below_percent == 0 ||
            senses->battery_percent < when->battery_below_percent + slack) &&
           (when->metered == OWNER_UNKNOWN || senses->metered == OWNER_YES) &&
           (when->networks.count == 0 || owner_is_on(senses, &when->networks)) &&
           !owner_is_on(senses, &when->not_networks) &&
           (when->hotter_than_celsius == 0 ||
            senses->celsius > when->hotter_than_celsius - slack) &&
           (when->programs.count == 0 || senses->program_count > 0);
}
