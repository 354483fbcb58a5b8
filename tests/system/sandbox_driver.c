// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Runs real sandboxes and looks at them from the host's side. As root; see test_sandbox.sh, which
 * gives a folder to work in and cleans up behind us whatever happens.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "tests/system/sandbox_checks.h"

enum { KILLS_DEFAULT = 100 };

static const struct {
    const char *name;
    void (*run)(struct world *world);
} parts[] = {
    {"serving", check_serving},     {"inside", check_inside},
    {"limits", check_limits},       {"ends", check_ends},
    {"refusals", check_refusals},   {"freezing", check_freezing},
    {"restarts", check_restarts},   {"door", check_door},
    {"repeating", check_repeating}, {"programs", check_programs},
    {"attacks", check_attacks},     {"health", check_health},
    {"kills", check_kills},         {"misbehaving", check_misbehaving},
};

static void check_nothing_left(struct world *world)
{
    char folder[WORLD_PATH_BYTES * 2];
    pid_t pids[8];

    check(world, world_pids(world, 0, true, pids, ARRAY_COUNT(pids)) == 0, "no process is left");
    check(world, count_groups(world) == 0, "no control group is left");
    check(world, count_loops(world) == 0, "no loop device is left");
    check(world, count_mounts(world) == 0, "no mount is left");
    check(world, world->network_count > 0 && count_networks(world) == 0,
          "no network namespace is left");
    snprintf(folder, sizeof(folder), "%s/state", world->folder);
    check(world, count_files(folder) == 0, "no image and no log is left");
    snprintf(folder, sizeof(folder), "%s/uids", world->folder);
    check(world, count_files(folder) == 0, "no uid range is held any more");
    snprintf(folder, sizeof(folder), "%s/run/sandbox", world->folder);
    check(world, count_files(folder) == 0, "no record and no socket of an init is left");
}

/* Takes half a minute, as it must. */
static void check_lonely(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "exec sleep 1000");
    pid_t pids[8];

    check(world, world_end_helper(world, SIGTERM, 5000), "SIGTERM ends the helper");
    check(world, count_groups(world) == 0, "its parent group went with it");
    if (!check(world, world_start_helper(world, true) && world_start(world, &spec),
               "a helper that may leave when idle runs a replica")) {
        return;
    }
    sandbox_client_done(&world->client);
    wait_a_little(HELPER_ALONE_MS - 5000);
    check(world, world_pids(world, 0, true, pids, ARRAY_COUNT(pids)) > 0,
          "the replica lives while its agent may come back");
    wait_a_little(8000);
    check(world, world_pids(world, 0, true, pids, ARRAY_COUNT(pids)) == 0,
          "a helper without an agent ends everything");
    check(world, world_end_helper(world, 0, 5000), "then it leaves");
}

/* No names: every part. */
static bool is_wanted(char *const *names, const char *name)
{
    bool wanted = *names == NULL;

    for (; *names != NULL; names++) {
        wanted = wanted || strcmp(*names, name) == 0;
    }
    return wanted;
}

static bool take_option(struct world *world, const char *word)
{
    const bool is_units = word != NULL && strcmp(word, "--units") == 0;
    const bool is_slow = word != NULL && strcmp(word, "--slow") == 0;
    const bool is_seed = word != NULL && strncmp(word, "--seed=", 7) == 0;
    const bool is_kills = word != NULL && strncmp(word, "--kills=", 8) == 0;

    world->units = world->units || is_units;
    world->slow = world->slow || is_slow;
    if (is_seed) {
        world->seed = strtoull(word + 7, NULL, 10);
    }
    if (is_kills) {
        world->kill_count = (uint32_t)strtoul(word + 8, NULL, 10);
    }
    return is_units || is_slow || is_seed || is_kills;
}

int main(int argument_count, char **arguments)
{
    static struct world world;

    if (argument_count < 3) {
        fputs(
            "usage: system_sandbox_driver FOLDER BIN [--units] [--slow] [--seed=N] [--kills=N] [PART]...\n",
            stderr);
        return 2;
    }
    world_init(&world, arguments[1], arguments[2]);
    world.seed = (uint64_t)getpid();
    world.kill_count = KILLS_DEFAULT;
    for (arguments += 3; take_option(&world, *arguments); arguments++) {
    }
    if (!check(&world, world_start_helper(&world, false), "the helper starts and answers")) {
        return 1;
    }
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (is_wanted(arguments, parts[i].name)) {
            printf("# %s\n", parts[i].name);
            uint64_t began_ms = time_ms();

            parts[i].run(&world);
            printf("# %s took %lu ms\n", parts[i].name, (unsigned long)(time_ms() - began_ms));
        }
    }
    if (is_wanted(arguments, "lonely")) {
        check_lonely(&world);
    } else {
        check(&world, world_end_helper(&world, SIGTERM, 10000), "SIGTERM ends the helper");
    }
    check_nothing_left(&world);
    if (world.units) {
        units_remove(&world);
    }
    printf("1..%u\n", world.checks);
    return world.failures == 0 ? 0 : 1;
}
