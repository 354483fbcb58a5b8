// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum {
    REPEATED_SEEDS = 3,   /* the first ones of many run twice, through text: same hash? */
    FULL_SEEDS_MIN = 150, /* in so many each table was full once, where limits are tiny */
};

struct result { /* what a child leaves in shared memory */
    bool finished;
    bool failed;
    uint64_t at_ms;
    uint64_t virtual_ms;
    uint64_t steps;
    uint64_t messages;
    uint64_t converged_after_ms;
    uint32_t full_bits;
    char text[256];
    char hash[ID_HEX_CHARS + 1];
};

struct job {
    pid_t pid; /* 0: free */
    uint64_t seed;
    bool is_repeat;
    char first_hash[ID_HEX_CHARS + 1];
    struct result *result;
};

static double real_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_world(const struct schedule *schedule, bool trace, struct result *result)
{
    struct world *world = world_new(schedule, trace);

    world_run(world);
    if (trace && world->failure.failed) {
        checker_dump(world);
    }
    result->failed = world->failure.failed;
    result->at_ms = world->failure.at_ms;
    memcpy(result->text, world->failure.text, sizeof(result->text));
    result->virtual_ms = world->now_ms;
    result->steps = world->step_count;
    result->messages = world->network.sent_count;
    if (world->checker.converged_ms != 0) {
        result->converged_after_ms = world->checker.good_since_ms - schedule->calm_ms;
    }
    result->full_bits = world->checker.full_bits;
    world_hash(world, result->hash);
    world_free(world);
    result->finished = true;
}

int run_one(const struct schedule *schedule, bool trace)
{
    struct result result = {0};
    double begun_s = real_s();
    double took_s;

    run_world(schedule, trace, &result);
    took_s = real_s() - begun_s;
    printf("seed %" PRIu64 ": %u nodes, %u faults, %" PRIu64 " steps, %" PRIu64 " messages, "
           "converged %" PRIu64 " ms after the last fault\n",
           schedule->seed, schedule->nodes, schedule->fault_count, result.steps, result.messages,
           result.converged_after_ms);
    printf("hash %s\n", result.hash);
    printf("speed: %.1f virtual s in %.2f s: %.0f times\n", (double)result.virtual_ms / 1000,
           took_s, (double)result.virtual_ms / 1000 / took_s);
    if (result.failed) {
        printf("FAILED at %" PRIu64 " ms: %s\n", result.at_ms, result.text);
        return 1;
    }
    printf("sim: 1 seed, 0 failed\n");
    return 0;
}

/* ------------------------------------------------------------------ children */

static struct result *shared_result(void)
{
    struct result *result =
        mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(result != MAP_FAILED);
    return result;
}

/* Of processor time: on a busy machine the clock says nothing of a run that never waits. */
static pid_t begin_child(const struct schedule *schedule, uint32_t cpu_s_max, struct result *result)
{
    pid_t pid;

    memset(result, 0, sizeof(*result));
    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct itimerval limit = {.it_value.tv_sec = cpu_s_max};

        CHECK(setitimer(ITIMER_PROF, &limit, NULL) == 0);
        run_world(schedule, false, result);
        fflush(NULL);
        _exit(result->failed ? 1 : 0);
    }
    return pid;
}

/* A run that did not finish died of a CHECK, a sanitizer or its limit of time (SIGPROF): say so. */
static void judge_child(struct result *result, int status)
{
    if (!result->finished) {
        result->failed = true;
        snprintf(result->text, sizeof(result->text), "the process died: %s %d",
                 WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != (result->failed ? 1 : 0)) {
        result->failed = true;
        snprintf(result->text, sizeof(result->text), "the process ended badly (%d)", status);
    }
}

/* ------------------------------------------------------------------ many */

struct totals {
    uint64_t run_count;
    uint64_t failed_count;
    uint64_t virtual_ms;
    uint64_t converged_ms_max;
    uint64_t slowest_seed;
    uint64_t full_counts[INSPECT_TABLES]; /* seeds in which a table was full */
};

static void generate(uint64_t seed, const struct run_options *options, struct schedule *schedule)
{
    schedule_generate(seed, (uint32_t)options->nodes, options->minutes, schedule);
    schedule->full_members = options->full_members;
    if (options->overlay_only) {
        schedule_overlay_only(schedule);
    }
}

static void print_failure(const struct job *job, const struct run_options *options)
{
    static struct schedule schedule;

    generate(job->seed, options, &schedule);
    printf("seed %" PRIu64 " FAILED at %" PRIu64 " ms: %s\n", job->seed, job->result->at_ms,
           job->result->text);
    printf("replay: minga-sim --seed %" PRIu64, job->seed);
    if (options->nodes != 0) {
        printf(" --nodes %" PRIu64, options->nodes);
    }
    if (options->full_members != 0) {
        printf(" --full-members %" PRIu64, options->full_members);
    }
    if (options->minutes != 0) {
        printf(" --minutes %" PRIu64, options->minutes);
    }
    if (options->overlay_only) {
        printf(" --overlay");
    }
    printf(" --trace; the schedule:\n");
    schedule_print(&schedule, stdout);
    printf("\n");
}

/* The schedule as it is after being printed and read again. */
static void through_text(struct schedule *schedule)
{
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length_bytes = 0;
    struct err err = {0};
    FILE *file = open_memstream(&text, &length_bytes);

    CHECK(file != NULL);
    schedule_print(schedule, file);
    fclose(file);
    file = fmemopen(text, length_bytes, "r");
    CHECK(file != NULL);
    CHECK(schedule_parse(file, "printed", schedule, &err) == 0);
    fclose(file);
}

static void begin_job(struct job *job, uint64_t seed, const struct run_options *options)
{
    static struct schedule schedule;

    generate(seed, options, &schedule);
    if (job->is_repeat) {
        through_text(&schedule);
    }
    job->seed = seed;
    job->pid = begin_child(&schedule, RUN_CPU_S_MAX, job->result);
}

static void count_job(struct job *job, const struct run_options *options, struct totals *totals)
{
    const struct result *result = job->result;

    totals->virtual_ms += result->virtual_ms;
    for (uint32_t i = 0; i < INSPECT_TABLES; i++) {
        totals->full_counts[i] += result->full_bits >> i & 1;
    }
    if (result->converged_after_ms > totals->converged_ms_max) {
        totals->converged_ms_max = result->converged_after_ms;
        totals->slowest_seed = job->seed;
    }
    if (job->is_repeat && strcmp(job->first_hash, result->hash) != 0) {
        printf("seed %" PRIu64 " FAILED: two runs, two traces\n", job->seed);
        totals->failed_count++;
    } else if (!job->is_repeat) {
        totals->run_count++;
        if (result->failed) {
            print_failure(job, options);
            totals->failed_count++;
        }
    }
}

static struct job *wait_for_job(struct job *jobs, uint64_t job_count)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, 0);

    for (uint64_t i = 0; pid > 0 && i < job_count; i++) {
        if (jobs[i].pid == pid) {
            jobs[i].pid = 0;
            judge_child(jobs[i].result, status);
            return &jobs[i];
        }
    }
    return NULL;
}

static void finish_job(struct job *job, uint64_t seed_first, const struct run_options *options,
                       struct totals *totals)
{
    bool repeats = !job->is_repeat && job->seed < seed_first + REPEATED_SEEDS;

    count_job(job, options, totals);
    job->is_repeat = repeats;
    if (repeats) {
        memcpy(job->first_hash, job->result->hash, sizeof(job->first_hash));
        begin_job(job, job->seed, options);
    }
}

/* Tiny limits are there to be reached. */
static void report_full(struct totals *totals)
{
#ifdef MINGA_TINY_LIMITS
    for (uint32_t i = 0; i < INSPECT_TABLES; i++) {
        printf("full in %" PRIu64 " seeds: %s\n", totals->full_counts[i], inspect_table_names[i]);
        if (totals->full_counts[i] == 0 && totals->run_count >= FULL_SEEDS_MIN) {
            printf("FAILED: the table of %s was never full\n", inspect_table_names[i]);
            totals->failed_count++;
        }
    }
#else
    (void)totals;
#endif
}

int run_many(uint64_t seed_first, const struct run_options *options)
{
    static struct job jobs[RUN_JOBS_MAX];
    uint64_t seed_last = options->seed_last;
    struct totals totals = {0};
    uint64_t next_seed = seed_first;
    uint64_t busy_count = 0;
    double begun_s = real_s();

    for (uint64_t i = 0; i < options->jobs; i++) {
        jobs[i].result = shared_result();
    }
    do {
        struct job *job;

        for (uint64_t i = 0; i < options->jobs && next_seed <= seed_last; i++) {
            if (jobs[i].pid == 0) {
                jobs[i].is_repeat = false;
                begin_job(&jobs[i], next_seed++, options);
                busy_count++;
            }
        }
        job = wait_for_job(jobs, options->jobs);
        CHECK(job != NULL);
        finish_job(job, seed_first, options, &totals);
        busy_count -= job->pid == 0 ? 1 : 0;
        if (options->until_failed && totals.failed_count > 0) {
            seed_last = next_seed - 1;
        }
    } while (busy_count > 0 || next_seed <= seed_last);
    printf("speed: %.0f virtual s in %.1f s, %.1f seeds/s; slowest to converge: seed %" PRIu64
           " in %" PRIu64 " ms\n",
           (double)totals.virtual_ms / 1000, real_s() - begun_s,
           (double)totals.run_count / (real_s() - begun_s), totals.slowest_seed,
           totals.converged_ms_max);
    report_full(&totals);
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " failed\n", totals.run_count, totals.failed_count);
    return totals.failed_count == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------ one, apart */

void run_apart(const struct schedule *schedule, uint32_t cpu_s_max, struct run_result *result_out)
{
    struct result *result = shared_result();
    int status = 0;
    pid_t pid = begin_child(schedule, cpu_s_max, result);

    CHECK(waitpid(pid, &status, 0) == pid);
    judge_child(result, status);
    *result_out = (struct run_result){
        .failed = result->failed, .finished = result->finished, .at_ms = result->at_ms};
    memcpy(result_out->text, result->text, sizeof(result_out->text));
    CHECK(munmap(result, sizeof(*result)) == 0);
}
