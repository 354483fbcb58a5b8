// SPDX-License-Identifier: GPL-3.0-or-later
/* The smallest schedule that still fails: half of the faults are left out, a quarter, ... one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/sim/run.h"

enum { FOR_MS_MIN = 100 };

struct shrink {
    struct schedule smallest;
    struct schedule tried;
    struct run_result first; /* how the smallest one fails */
    time_t until_s;
    uint32_t cpu_s_max; /* of one run: a shorter schedule does not take longer */
    uint32_t run_count;
};

static time_t real_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool has_time(const struct shrink *shrink)
{
    return real_s() < shrink->until_s;
}

/* Does `tried` fail as well? Then it is the smallest. Both broke an invariant, or both died: the
 * texts may name other nodes. */
static bool keep_if_failing(struct shrink *shrink)
{
    struct run_result result;

    shrink->run_count++;
    run_apart(&shrink->tried, shrink->cpu_s_max, &result);
    if (!result.failed || result.finished != shrink->first.finished) {
        return false;
    }
    shrink->smallest = shrink->tried;
    shrink->first = result;
    return true;
}

static bool leave_out(struct shrink *shrink, uint32_t from, uint32_t count)
{
    struct schedule *tried = &shrink->tried;

    *tried = shrink->smallest;
    memmove(&tried->faults[from], &tried->faults[from + count],
            (tried->fault_count - from - count) * sizeof(tried->faults[0]));
    tried->fault_count -= count;
    return keep_if_failing(shrink);
}

/* From the end on, since what comes late disturbs less of what comes before. */
static bool leave_out_parts(struct shrink *shrink, uint32_t part)
{
    bool any = false;
    uint32_t end = shrink->smallest.fault_count;

    while (end > 0 && has_time(shrink)) {
        uint32_t count = end < part ? end : part;

        end -= count;
        any = leave_out(shrink, end, count) || any;
    }
    return any;
}

static bool leave_out_all_sizes(struct shrink *shrink)
{
    bool any = false;

    for (uint32_t part = (shrink->smallest.fault_count + 1) / 2; part > 0; part /= 2) {
        any = leave_out_parts(shrink, part) || any;
    }
    return any;
}

static bool shorten(struct shrink *shrink)
{
    bool any = false;

    for (uint32_t i = shrink->smallest.fault_count; i > 0 && has_time(shrink); i--) {
        if (shrink->smallest.faults[i - 1].for_ms >= 2UL * FOR_MS_MIN) {
            shrink->tried = shrink->smallest;
            shrink->tried.faults[i - 1].for_ms /= 2;
            any = keep_if_failing(shrink) || any;
        }
    }
    return any;
}

static void calm_down(struct shrink *shrink)
{
    uint64_t *const values[] = {&shrink->tried.loss_permille, &shrink->tried.skew_s,
                                &shrink->tried.mixed};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]) && has_time(shrink); i++) {
        shrink->tried = shrink->smallest;
        if (*values[i] != 0) {
            *values[i] = 0;
            (void)keep_if_failing(shrink);
        }
    }
}

int run_shrink(const struct schedule *schedule)
{
    static struct shrink shrink;
    time_t begun_s = real_s();
    bool any = true;

    shrink.smallest = *schedule;
    run_apart(schedule, RUN_CPU_S_MAX, &shrink.first);
    if (!shrink.first.failed) {
        printf("sim: 1 seed, 0 failed\n");
        return 0;
    }
    shrink.cpu_s_max = 5 + 3 * (uint32_t)(real_s() - begun_s);
    shrink.until_s = begun_s + SHRINK_REAL_S_MAX;
    calm_down(&shrink);
    while (any && has_time(&shrink)) {
        any = leave_out_all_sizes(&shrink);
        any = shorten(&shrink) || any;
    }
    printf("# %s at %" PRIu64 " ms; %u runs%s\n", shrink.first.text, shrink.first.at_ms,
           shrink.run_count, has_time(&shrink) ? "" : ", and more might help");
    schedule_print(&shrink.smallest, stdout);
    return 1;
}
