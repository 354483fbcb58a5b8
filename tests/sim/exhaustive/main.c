// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-exhaustive: a few nodes, a join, a crash, and every order in which the messages between
 * them can arrive. Depth first, with the states that were seen before left out; from each end the
 * community must still come to rest. See docs/simulator.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/units.h"
#include "tests/sim/exhaustive/image.h"
#include "tests/sim/exhaustive/pages.h"
#include "tests/sim/exhaustive/scene.h"

enum {
    DEPTH_FIRST = 3,
    DEPTH_MAX = 40,
    LEVELS_MAX = 400, /* with the steps that leave no choice */
    SEEN_SLOTS = 1 << 22,
    CALM_MS = 8000, /* after which all must be over */
    CALM_STEPS_MAX = 40000,
    FIRST_LINES = 60, /* of a path that is printed */
    ENDS_TRIED = 256, /* one of so many is run to its rest */
};

struct scenario {
    const char *name;
    uint32_t node_count;
    uint32_t absent_count; /* of them, that may start at any moment */
    uint32_t crash_count;
    uint32_t early_count; /* a timer runs out though messages are under way */
    bool looks_up;
};

static const struct scenario scenarios[] = {
    {"a node joins two", 3, 1, 0, 0, true},
    {"a node joins three", 4, 1, 0, 0, true},
    {"a node joins two, one of which crashes", 3, 1, 1, 0, false},
    {"one of four crashes", 4, 0, 1, 1, true},
    {"a node joins, another crashes", 4, 1, 1, 0, false},
    {"two nodes join three", 5, 2, 0, 0, false},
};

struct seen {
    uint64_t hash;
    uint32_t left; /* steps that were left when it was seen: a visit with fewer is no news */
};

static struct {
    const struct scenario *scenario;
    struct scene scenes[LEVELS_MAX + 1];
    struct image *kept[LEVELS_MAX + 1]; /* the node that the step of this level changes */
    struct image *all[SCENE_NODES_MAX]; /* before an end is run to its rest */
    char path[LEVELS_MAX][64];
    uint64_t state_count;
    uint64_t step_count;
    uint64_t end_count;
    double until_s;
    bool out_of_time;
    bool all_kinds; /* of messages in every order, not only those of the ring */
    const char *problem;
} search;

static struct seen *seen;

static double spent_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns whether this is news, and notes it. */
static bool is_news(uint64_t hash, uint32_t left)
{
    uint64_t slot = hash % SEEN_SLOTS;

    for (uint32_t i = 0; i < 16; i++, slot = (slot + 1) % SEEN_SLOTS) {
        if (seen[slot].hash == hash && seen[slot].left >= left) {
            return false;
        }
        if (seen[slot].hash == 0 || seen[slot].hash == hash) {
            search.state_count += seen[slot].hash == 0 ? 1 : 0;
            seen[slot] = (struct seen){hash, left};
            return true;
        }
    }
    return true; /* crowded: looked at again */
}

static void report(uint32_t depth, const char *problem)
{
    search.problem = problem;
    printf("%s: %s\n", search.scenario->name, problem);
    for (uint32_t i = 0; i < depth && i < FIRST_LINES; i++) {
        printf("  %s\n", search.path[i]);
    }
}

/* ------------------------------------------------------------------ to its rest */

static bool deliver_any(struct scene *scene)
{
    for (uint32_t from = 0; from < scene->count; from++) {
        for (uint32_t to = 0; to < scene->count; to++) {
            for (int channel = 0; channel < CHANNELS; channel++) {
                if (scene->lines[from][to][channel].count > 0) {
                    scene_deliver(scene, from, to, (enum scene_channel)channel);
                    return true;
                }
            }
        }
    }
    return false;
}

/* From here on nothing goes wrong any more. */
static const char *run_to_rest(struct scene *scene)
{
    uint64_t until_ms;
    const char *problem = NULL;

    for (uint32_t node = 0; node < scene->count; node++) {
        if (!scene->running[node] && node >= scene->count - search.scenario->absent_count) {
            scene_start(scene, node);
        }
    }
    until_ms = scene->now_ms + CALM_MS;
    for (uint32_t step = 0; step < CALM_STEPS_MAX && problem == NULL; step++) {
        if (!deliver_any(scene)) {
            uint32_t next = scene_next_wake(scene);

            if (next == scene->count || scene->wake_ms[next] > until_ms) {
                return scene_problem(scene, true);
            }
            scene_tick(scene, next);
        }
        problem = scene_problem(scene, false);
    }
    return problem != NULL ? problem : "it does not come to rest";
}

static void check_end(uint32_t depth)
{
    struct scene scene = search.scenes[depth];
    const char *problem;

    search.end_count++;
    scene.is_unhashed = true;
    for (uint32_t node = 0; node < scene.count; node++) {
        scene_keep(node, search.all[node]);
    }
    problem = run_to_rest(&scene);
    for (uint32_t node = 0; node < scene.count; node++) {
        scene_restore(node, search.all[node]);
    }
    pages_undo();
    if (problem != NULL) {
        report(depth, problem);
    }
}

/* ------------------------------------------------------------------ the search */

struct budget {
    uint32_t steps; /* that leave a choice */
    uint32_t crashes;
    uint32_t early;
};

static void explore(uint32_t level, struct budget budget);

/* The scene of the next level, to be changed by one step of `node`. */
static struct scene *branch(uint32_t level, uint32_t node)
{
    scene_keep(node, search.kept[level]);
    search.scenes[level + 1] = search.scenes[level];
    search.step_count++;
    return &search.scenes[level + 1];
}

static void unbranch(uint32_t level, uint32_t node)
{
    scene_restore(node, search.kept[level]);
}

struct way { /* of messages */
    uint32_t from;
    uint32_t to;
    enum scene_channel channel;
};

static uint32_t way_count(const struct scene *scene)
{
    return scene->count * scene->count * CHANNELS;
}

static struct way way_at(const struct scene *scene, uint32_t index)
{
    return (struct way){index / CHANNELS / scene->count, index / CHANNELS % scene->count,
                        (enum scene_channel)(index % CHANNELS)};
}

static bool can_deliver(const struct scene *scene, struct way way)
{
    return scene->lines[way.from][way.to][way.channel].count > 0 && scene->running[way.to];
}

static void explore_delivery(uint32_t level, struct budget left, struct way way)
{
    snprintf(search.path[level], sizeof(search.path[level]), "n%u hears n%u%s", way.to, way.from,
             way.channel == CHANNEL_REPLIES ? " (reply)" : "");
    scene_deliver(branch(level, way.to), way.from, way.to, way.channel);
    explore(level + 1, left);
    unbranch(level, way.to);
}

/* What is not of the ring arrives at once, and costs no step. False: there is none. */
static bool explore_background(uint32_t level, struct budget budget)
{
    const struct scene *scene = &search.scenes[level];

    for (uint32_t i = 0; i < way_count(scene) && !search.all_kinds; i++) {
        struct way way = way_at(scene, i);

        if (can_deliver(scene, way) && scene_is_background(scene, way.from, way.to, way.channel)) {
            explore_delivery(level, budget, way);
            return true;
        }
    }
    return false;
}

static void explore_deliveries(uint32_t level, struct budget left, bool *under_way_out)
{
    const struct scene *scene = &search.scenes[level];

    for (uint32_t i = 0; i < way_count(scene); i++) {
        struct way way = way_at(scene, i);

        if (can_deliver(scene, way)) {
            *under_way_out = true;
            explore_delivery(level, left, way);
        }
    }
}

static void explore_faults(uint32_t level, struct budget left)
{
    const struct scene *scene = &search.scenes[level];
    uint32_t absent_from = scene->count - search.scenario->absent_count;

    for (uint32_t node = 0; node < scene->count; node++) {
        if (!scene->running[node] && node >= absent_from) {
            snprintf(search.path[level], sizeof(search.path[level]), "n%u starts", node);
            scene_start(branch(level, node), node);
            explore(level + 1, left);
            unbranch(level, node);
        }
    }
    for (uint32_t node = 0; left.crashes > 0 && node < absent_from; node++) {
        if (scene->running[node]) {
            struct budget after = left;

            after.crashes--;
            snprintf(search.path[level], sizeof(search.path[level]), "n%u crashes", node);
            scene_crash(branch(level, node), node);
            explore(level + 1, after);
            unbranch(level, node);
        }
    }
}

static void explore_time(uint32_t level, struct budget left, bool is_early)
{
    uint32_t node = scene_next_wake(&search.scenes[level]);

    if (node == search.scenes[level].count || (is_early && left.early == 0)) {
        return;
    }
    left.early -= is_early ? 1 : 0;
    snprintf(search.path[level], sizeof(search.path[level]), "n%u wakes at %" PRIu64, node,
             search.scenes[level].wake_ms[node]);
    scene_tick(branch(level, node), node);
    explore(level + 1, left);
    unbranch(level, node);
}

static void explore(uint32_t level, struct budget budget)
{
    const struct scene *scene = &search.scenes[level];
    uint64_t hash = scene_hash(scene) ^ (budget.crashes << 8 | budget.early);
    const char *problem;
    bool is_under_way = false;
    struct budget left = budget;

    if (search.problem != NULL || search.out_of_time || pages_grew() ||
        !is_news(hash, budget.steps + 1)) {
        return;
    }
    search.out_of_time = search.state_count % 256 == 0 && spent_s() > search.until_s;
    problem = level == LEVELS_MAX ? "messages without end" : scene_problem(scene, false);
    if (problem != NULL) {
        report(level, problem);
        return;
    }
    if (explore_background(level, budget)) {
        return;
    }
    if (budget.steps == 0) {
        if (hash % ENDS_TRIED == 0) {
            check_end(level);
        }
        return;
    }
    left.steps--;
    explore_deliveries(level, left, &is_under_way);
    explore_faults(level, left);
    explore_time(level, left, is_under_way);
}

/* All paths of so many steps. False: there was no time for all. */
static bool run_depth(const struct scenario *scenario, uint32_t depth)
{
    struct budget budget = {depth, scenario->crash_count, scenario->early_count};

    do {
        scene_rewind(&search.scenes[0]);
        memset(seen, 0, SEEN_SLOTS * sizeof(*seen));
        search.state_count = 0;
        explore(0, budget);
    } while (pages_grew() && search.problem == NULL && !search.out_of_time);
    return !search.out_of_time;
}

/* Deeper and deeper, until the time is used up. */
static void run_scenario(const struct scenario *scenario, double seconds)
{
    double begun_s = spent_s();
    uint64_t all_count = 0;
    uint32_t depth = DEPTH_FIRST;

    search.scenario = scenario;
    search.step_count = 0;
    search.end_count = 0;
    search.out_of_time = false;
    search.until_s = begun_s + seconds;
    scene_make(&search.scenes[0], scenario->node_count, scenario->absent_count);
    if (scenario->looks_up) {
        struct ring_key key = scene_position(scenario->node_count - 1);

        scene_lookup(&search.scenes[0], 0, &key);
    }
    scene_watch(&search.scenes[0]);
    while (depth < DEPTH_MAX && search.problem == NULL && run_depth(scenario, depth)) {
        all_count = search.state_count;
        depth++;
    }
    printf("%s: all of %u steps (%" PRIu64 " states), some of %u; %" PRIu64 " steps, %" PRIu64
           " ends run to rest, %.1f s\n",
           scenario->name, depth - 1, all_count, depth, search.step_count, search.end_count,
           spent_s() - begun_s);
    scene_done(&search.scenes[0]);
}

int main(int argc, char **argv)
{
    uint64_t seconds = 6; /* of processor time */
    int first = argc > 1 && strcmp(argv[1], "--all-kinds") == 0 ? 2 : 1;

    search.all_kinds = first == 2;
    if (argc > first + 1 || (argc == first + 1 && units_parse_number(argv[first], &seconds) != 0)) {
        fputs("usage: minga-exhaustive [--all-kinds] [SECONDS-PER-SCENARIO]\n", stderr);
        return 2;
    }
    seen = calloc(SEEN_SLOTS, sizeof(*seen));
    CHECK(seen != NULL);
    for (uint32_t i = 0; i <= LEVELS_MAX; i++) {
        search.kept[i] = image_new();
        CHECK(search.kept[i] != NULL);
    }
    for (uint32_t i = 0; i < SCENE_NODES_MAX; i++) {
        search.all[i] = image_new();
        CHECK(search.all[i] != NULL);
    }
    for (size_t i = 0; i < ARRAY_COUNT(scenarios) && search.problem == NULL; i++) {
        run_scenario(&scenarios[i], (double)seconds);
    }
    for (uint32_t i = 0; i <= LEVELS_MAX; i++) {
        free(search.kept[i]);
    }
    for (uint32_t i = 0; i < SCENE_NODES_MAX; i++) {
        free(search.all[i]);
    }
    free(seen);
    printf("exhaustive: %s\n", search.problem == NULL ? "nothing found" : "FAILED");
    return search.problem == NULL ? 0 : 1;
}
