// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "tests/sim/exhaustive/names.h"
#include "tests/sim/exhaustive/scene.h"
#include "tests/sim/exhaustive/seen.h"

enum {
    LEVELS_MAX = 1000,
    BACKGROUND_MAX = 2000, /* messages that follow from one another at once */
    CALM_MS = 8000,        /* after which all must be over */
    CALM_STEPS_MAX = 40000,
    FIRST_LINES = 60,     /* of a path that is printed */
    ENDS_FIRST = 16,      /* so many are run to their rest, ... */
    ENDS_TRIED = 1 << 16, /* ... and then one of so many */

    /* ways on, a bit each */
    WAY_START = NODES_COUNT_MAX * NODES_COUNT_MAX * CHANNELS, /* before: deliveries */
    WAY_CRASH = WAY_START + ABSENT_MAX,
    WAY_TIME = WAY_CRASH + NODES_COUNT_MAX,
    WAYS,
};
_Static_assert((int)WAYS <= (int)SEEN_WAYS_MAX, "all ways fit a sleep set");

struct budget {
    uint32_t arrivals;
    uint32_t crashes;
    uint32_t early;
};

struct frame {
    struct scene scene;
    uint32_t way;                      /* that is taken on from here */
    struct footprint footprints[WAYS]; /* of those that sleep */
};

static struct {
    const struct scenario *scenario;
    const struct search_options *options;
    struct search_result result;
    struct seen seen;
    struct frame frames[LEVELS_MAX + 1];
} search;

double search_spent_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t bit(uint32_t way)
{
    return (uint64_t)1 << way;
}

/* ------------------------------------------------------------------ ways */

static uint32_t crashes_below(const struct scene *scene)
{
    return scene->count - search.scenario->absent_count;
}

static uint64_t ways_on(const struct scene *scene, struct budget budget)
{
    uint64_t ways = scene->deliverable;

    if (budget.arrivals == 0) {
        return 0;
    }
    if ((ways == 0 || budget.early > 0) && scene_next_wake(scene) < scene->count) {
        ways |= bit(WAY_TIME);
    }
    for (uint32_t i = 0; i < search.scenario->absent_count; i++) {
        ways |= (scene->absent & 1 << (crashes_below(scene) + i)) != 0 ? bit(WAY_START + i) : 0;
    }
    for (uint32_t node = 0; budget.crashes > 0 && node < crashes_below(scene); node++) {
        ways |= (scene->running & 1 << node) != 0 ? bit(WAY_CRASH + node) : 0;
    }
    return ways;
}

static struct budget budget_after(const struct scene *scene, struct budget budget, uint32_t way)
{
    if (way < WAY_START) {
        budget.arrivals--;
    } else if (way == WAY_TIME) {
        budget.early -= scene->deliverable != 0 ? 1 : 0;
    } else if (way >= WAY_CRASH) {
        budget.crashes--;
    }
    return budget;
}

static void say(const struct scene *scene, uint32_t way)
{
    uint32_t next = scene_next_wake(scene);

    if (way < WAY_START) {
        struct line line = line_at(way);

        printf("  n%u hears n%u%s\n", line.to, line.from,
               line.channel == CHANNEL_REPLIES ? " (reply)" : "");
    } else if (way < WAY_CRASH) {
        printf("  n%u starts\n", crashes_below(scene) + way - WAY_START);
    } else if (way < WAY_TIME) {
        printf("  n%u crashes\n", way - WAY_CRASH);
    } else {
        printf("  n%u wakes at %" PRIu64 "\n", next, scene->wake_ms[next]);
    }
}

static void go(struct scene *scene, uint32_t way, struct footprint *footprint)
{
    search.result.step_count++;
    if (way < WAY_START) {
        scene_deliver(scene, line_at(way), footprint);
    } else if (way < WAY_CRASH) {
        scene_start(scene, crashes_below(scene) + way - WAY_START, footprint);
    } else if (way < WAY_TIME) {
        scene_crash(scene, way - WAY_CRASH, footprint);
    } else {
        scene_tick(scene, scene_next_wake(scene), footprint);
    }
}

/* A way on, and what is not of the ring arrives at once, and costs nothing. NULL, or what is wrong. */
static const char *go_on(struct scene *scene, uint32_t way, struct footprint *footprint, bool aloud)
{
    const char *problem = NULL;

    for (uint32_t i = 0; i < BACKGROUND_MAX && problem == NULL; i++) {
        if (aloud) {
            say(scene, way);
        }
        go(scene, way, footprint);
        problem = scene_problem(scene, false);
        if (scene->background == 0 || search.options->all_kinds) {
            return problem;
        }
        way = (uint32_t)__builtin_ctzll(scene->background);
    }
    return problem != NULL ? problem : "messages without end";
}

static void report(uint32_t level, const char *problem)
{
    struct scene scene = search.frames[0].scene;
    struct footprint footprint;

    search.result.has_failed = true;
    printf("%s: %s\n", search.scenario->name, problem);
    for (uint32_t i = 0; i < level && i < FIRST_LINES; i++) {
        (void)go_on(&scene, search.frames[i].way, &footprint, true);
    }
}

/* ------------------------------------------------------------------ to its rest */

/* From here on nothing goes wrong any more. */
static const char *run_to_rest(struct scene *scene)
{
    struct footprint footprint;
    uint64_t until_ms = scene->now_ms + CALM_MS;
    const char *problem = NULL;

    for (uint32_t node = 0; node < scene->count; node++) {
        if ((scene->absent & 1 << node) != 0) {
            scene_start(scene, node, &footprint);
        }
    }
    for (uint32_t step = 0; step < CALM_STEPS_MAX && problem == NULL; step++) {
        uint32_t next = scene_next_wake(scene);

        if (scene->deliverable != 0) {
            go(scene, (uint32_t)__builtin_ctzll(scene->deliverable), &footprint);
        } else if (next == scene->count || scene->wake_ms[next] > until_ms) {
            return scene_problem(scene, true);
        } else {
            go(scene, WAY_TIME, &footprint);
        }
        problem = scene_problem(scene, false);
    }
    return problem != NULL ? problem : "it does not come to rest";
}

static void check_end(uint32_t level)
{
    struct scene scene = search.frames[level].scene;
    const char *problem;

    search.result.end_count++;
    scene_mark();
    problem = run_to_rest(&scene);
    scene_forget();
    if (problem != NULL) {
        report(level, problem);
    }
}

/* ------------------------------------------------------------------ the search */

static void explore(uint32_t level, struct budget budget, uint64_t sleep);

/* What sleeps at the next level: what is independent of the way there. */
static uint64_t still_asleep(uint32_t level, uint64_t sleep, const struct footprint *footprint)
{
    const struct frame *frame = &search.frames[level];
    struct frame *next = &search.frames[level + 1];
    uint64_t still = 0;

    for (uint64_t left = sleep; left != 0; left &= left - 1) {
        uint32_t way = (uint32_t)__builtin_ctzll(left);

        if (footprints_independent(&frame->footprints[way], footprint)) {
            next->footprints[way] = frame->footprints[way];
            still |= bit(way);
        }
    }
    return still;
}

static void take(uint32_t level, struct budget budget, uint32_t way, uint64_t sleep)
{
    struct frame *frame = &search.frames[level];
    struct frame *next = &search.frames[level + 1];
    struct footprint footprint = {0};
    const char *problem;

    frame->way = way;
    next->scene = frame->scene;
    problem = level + 1 == LEVELS_MAX ? "messages without end"
                                      : go_on(&next->scene, way, &footprint, false);
    frame->footprints[way] = footprint;
    if (problem != NULL) {
        report(level + 1, problem);
        return;
    }
    explore(level + 1, budget_after(&frame->scene, budget, way),
            search.options->is_unreduced ? 0 : still_asleep(level, sleep, &footprint));
}

static bool is_over(void)
{
    struct search_result *result = &search.result;

    if (search.seen.count % 1024 == 0) {
        result->is_out_of_time = search_spent_s() > search.options->until_s;
    }
    return result->has_failed || result->is_out_of_time;
}

static void explore(uint32_t level, struct budget budget, uint64_t sleep)
{
    const struct scene *scene = &search.frames[level].scene;
    uint64_t hash = names_mix(scene_hash(scene), budget.crashes << 8 | budget.early);
    uint64_t ways;

    if (is_over()) {
        return;
    }
    ways = seen_visit(&search.seen, hash, budget.arrivals, &sleep);
    if (ways == 0) {
        return;
    }
    if (budget.arrivals == 0 && (search.result.end_count < ENDS_FIRST || hash % ENDS_TRIED == 0)) {
        check_end(level);
    }
    ways &= ways_on(scene, budget) & ~sleep;
    for (; ways != 0 && !search.result.has_failed; ways &= ways - 1) {
        uint32_t way = (uint32_t)__builtin_ctzll(ways);

        take(level, budget, way, sleep);
        sleep |= bit(way);
    }
}

void search_begin(const struct scenario *scenario, uint64_t memory_bytes)
{
    memset(&search, 0, sizeof(search));
    search.scenario = scenario;
    scene_make(&search.frames[0].scene, scenario->node_count, scenario->absent_count,
               scenario->looks_up);
    seen_init(&search.seen, memory_bytes);
}

void search_end(void)
{
    seen_done(&search.seen);
    scene_done();
}

void search_run(const struct search_options *options, uint32_t arrivals_max,
                struct search_result *result_out)
{
    struct budget budget = {arrivals_max, search.scenario->crash_count,
                            search.scenario->early_count};

    CHECK(arrivals_max <= SEEN_LEFT_MAX);
    search.options = options;
    memset(&search.result, 0, sizeof(search.result));
    nodes_set_memory(!options->is_unreduced);
    seen_empty(&search.seen);
    explore(0, budget, 0);
    search.result.state_count = search.seen.count;
    search.result.digest = seen_digest(&search.seen);
    *result_out = search.result;
}
