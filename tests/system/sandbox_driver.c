// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Runs real sandboxes and looks at them from the host's side. As root; see test_sandbox.sh, which
 * gives a folder to work in and cleans up behind us whatever happens.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "tests/system/sandbox_checks.h"

enum { KILLS_DEFAULT = 100 };

struct part {
    const char *name;
    void (*run)(struct world *world);
};

static const struct part parts[] = {
    {"serving", check_serving},     {"inside", check_inside},
    {"limits", check_limits},       {"ends", check_ends},
    {"refusals", check_refusals},   {"freezing", check_freezing},
    {"restarts", check_restarts},   {"door", check_door},
    {"repeating", check_repeating}, {"programs", check_programs},
    {"attacks", check_attacks},     {"health", check_health},
    {"kills", check_kills},         {"misbehaving", check_misbehaving},
    {"table", check_table},         {"cves", check_cves},
    {"networks", check_networks},   {"line", check_line},
    {"loops", check_loops},         {"frozen", check_frozen},
    {"crowded", check_crowded},
};

/* Behind minga-environment there are no groups, mounts and kernels to look at. */
static const struct part environment_parts[] = {{"table", check_table},
                                                {"environment", check_environment}};

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
    struct sandbox_event event;
    pid_t pids[8];

    check(world, world_end_helper(world, SIGTERM, 5000), "SIGTERM ends the helper");
    check(world, count_groups(world) == 0, "its parent group went with it");
    if (!check(world, world_start_helper(world, true) && world_start(world, &spec),
               "a helper that may leave when idle runs a replica")) {
        return;
    }
    /* From its start on it would be kept for so long; that may have taken a while. */
    check(world,
          sandbox_client_renew(&world->client, &spec.key) == 0 && world_stats(world, &spec, &event),
          "the agent renews it, a last time");
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

/* The value behind "--name=", or NULL. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);

    return word != NULL && strncmp(word, name, length) == 0 ? word + length : NULL;
}

static bool take_option(struct world *world, const char *word)
{
    const bool is_units = word != NULL && strcmp(word, "--units") == 0;
    const bool is_slow = word != NULL && strcmp(word, "--slow") == 0;
    const char *seed = value_of(word, "--seed=");
    const char *kills = value_of(word, "--kills=");
    const char *environment = value_of(word, "--environment=");

    world->units = world->units || is_units;
    world->slow = world->slow || is_slow;
    world->seed = seed == NULL ? world->seed : strtoull(seed, NULL, 10);
    world->kill_count = kills == NULL ? world->kill_count : (uint32_t)strtoul(kills, NULL, 10);
    world->environment = environment == NULL ? world->environment : environment;
    return is_units || is_slow || seed != NULL || kills != NULL || environment != NULL;
}

static void run_parts(struct world *world, const struct part *list, size_t count,
                      char *const *names)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t began_ms = time_ms();

        if (is_wanted(names, list[i].name)) {
            printf("# %s\n", list[i].name);
            list[i].run(world);
            printf("# %s took %lu ms\n", list[i].name, (unsigned long)(time_ms() - began_ms));
        }
    }
}

static void run_environment(struct world *world, char *const *names)
{
    char folder[WORLD_PATH_BYTES * 2];

    run_parts(world, environment_parts, ARRAY_COUNT(environment_parts), names);
    check(world, world_end_helper(world, SIGTERM, 10000), "SIGTERM ends minga-environment");
    check(world, waitpid(-1, NULL, WNOHANG) < 0, "no process is left");
    snprintf(folder, sizeof(folder), "%s/state", world->folder);
    check(world, count_files(folder) == 0, "no log is left");
}

static void run_sandbox(struct world *world, char *const *names)
{
    run_parts(world, parts, ARRAY_COUNT(parts), names);
    if (is_wanted(names, "lonely")) {
        check_lonely(world);
    } else {
        check(world, world_end_helper(world, SIGTERM, 10000), "SIGTERM ends the helper");
    }
    check_nothing_left(world);
    if (world->units) {
        units_remove(world);
    }
}

int main(int argument_count, char **arguments)
{
    static struct world world;

    if (argument_count < 3) {
        fputs("usage: system_sandbox_driver FOLDER BIN [--units] [--slow] [--seed=N] [--kills=N] "
              "[--environment=PROGRAM] [PART]...\n",
              stderr);
        return 2;
    }
    world_init(&world, arguments[1], arguments[2]);
    world.seed = (uint64_t)getpid();
    world.kill_count = KILLS_DEFAULT;
    for (arguments += 3; take_option(&world, *arguments); arguments++) {
    }
    /* Whatever an environment leaves behind becomes ours, and is seen. */
    prctl(PR_SET_CHILD_SUBREAPER, world.environment != NULL);
    if (!check(&world, world_start_helper(&world, false), "the helper starts and answers")) {
        return 1;
    }
    if (world.environment != NULL) {
        run_environment(&world, arguments);
    } else {
        run_sandbox(&world, arguments);
    }
    printf("1..%u\n", world.checks);
    return world.failures == 0 ? 0 : 1;
}
