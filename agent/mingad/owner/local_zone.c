// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/local_zone.h"

#include <string.h>
#include <time.h>

enum { STEP_S = 3600, AHEAD_S = 15 * 24 * 3600 };

static int32_t offset_at(uint64_t unix_s)
{
    time_t when = (time_t)unix_s;
    struct tm local = {0};

    return localtime_r(&when, &local) == NULL ? 0 : (int32_t)local.tm_gmtoff;
}

/* The first second of (before, after] with another offset than `before` has. */
static uint64_t change_between(uint64_t before, uint64_t after)
{
    int32_t offset_s = offset_at(before);

    while (after - before > 1) {
        uint64_t middle = before + (after - before) / 2;

        if (offset_at(middle) == offset_s) {
            before = middle;
        } else {
            after = middle;
        }
    }
    return after;
}

void local_zone_look(uint64_t unix_s, struct local_zone *zone_out)
{
    memset(zone_out, 0, sizeof(*zone_out));
    tzset(); /* the machine may have moved */
    zone_out->offset_s = offset_at(unix_s);
    for (uint64_t at = unix_s; at < unix_s + AHEAD_S; at += STEP_S) {
        if (offset_at(at) != offset_at(at + STEP_S) && zone_out->change_count < ZONE_CHANGES_MAX) {
            uint64_t change = change_between(at, at + STEP_S);

            zone_out->changes[zone_out->change_count].at_unix_s = change;
            zone_out->changes[zone_out->change_count++].offset_s = offset_at(change);
        }
    }
}
