// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Runs of whole schedules: one, many side by side in child processes, and a shrinking one. */
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/schedule.h"

enum { RUN_JOBS_MAX = 64, RUN_CPU_S_MAX = 300, SHRINK_REAL_S_MAX = 180 };

struct run_options {
    uint64_t seed;
    uint64_t seed_last; /* of run_many */
    uint64_t nodes;     /* 0: the seed decides */
    uint64_t minutes;   /* of faults; 0: the seed decides */
    uint64_t jobs;
    uint64_t full_members; /* 0: as shipped */
    bool overlay_only;     /* no services */
    bool until_failed;     /* run_many: no further seed after the first failure */
    bool trace;
};

/* These return the exit status of the program: 0, or 1 when a run failed. */
int run_one(const struct schedule *schedule, bool trace);
int run_many(uint64_t seed_first, const struct run_options *options);
/* Leaves out and shortens faults as long as the run still fails in the same way, for SHRINK_REAL_S_MAX
 * at most; prints what remains. */
int run_shrink(const struct schedule *schedule);

struct run_result {
    bool failed;
    bool finished; /* did not die */
    uint64_t at_ms;
    char text[256];
};
/* One run in a process of its own, which is ended after so long. */
void run_apart(const struct schedule *schedule, uint32_t cpu_s_max, struct run_result *result_out);
