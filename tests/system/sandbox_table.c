// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What every execution environment does alike, whatever it is made of: the suite of the table.
 * Run with minga-sandboxd, and with minga-environment and the toy of examples/.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "tests/system/sandbox_checks.h"

/* Waits for the end, whatever else is said. */
static bool ends(struct world *world, const struct sandbox_spec *spec, enum sandbox_end end,
                 int status)
{
    struct sandbox_event event = {0};

    return !world_await(world, &spec->key, SANDBOX_LISTED, 10000, &event) &&
           event.kind == SANDBOX_ENDED && event.end == end && event.status == status;
}

static void check_table_life(struct world *world)
{
    struct sandbox_spec spec = web_spec(world);
    struct sandbox_event event = {0};

    check(world, world_start(world, &spec), "START is answered with STARTED");
    check(world, serves(world, &spec, 5000), "its port is reached from outside");
    int any_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the port is in use */

    sandbox_client_start(&world->client, &spec, &any_fd);
    close(any_fd);
    check(world, world_await(world, &spec.key, SANDBOX_STARTED, 3000, &event),
          "START again is answered again, and starts nothing");
    check(world, world_stats(world, &spec, &event) && event.used.memory_bytes > 0,
          "STATS say what it uses");
    check(world, world_connect(world), "another connection is let in");
    sandbox_client_list(&world->client);
    check(world,
          world_await(world, &spec.key, SANDBOX_LISTED, 3000, &event) && event.port_count == 1 &&
              event.ports[0].host_port == spec.ports[0].host_port &&
              event.limits.memory_bytes == spec.limits.memory_bytes &&
              memcmp(&event.tree, &spec.tree, sizeof(event.tree)) == 0,
          "LIST tells it as it was started");
    sandbox_client_freeze(&world->client, &spec.key);
    wait_a_little(world_patience_ms(world, 100));
    check(world, !fetch_contains(spec.ports[0].host_port, "hello", 500), "frozen, it is silent");
    sandbox_client_thaw(&world->client, &spec.key);
    check(world, serves(world, &spec, 3000), "thawed, it goes on");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "STOP ends it");
    check(world, !fetch_contains(spec.ports[0].host_port, "hello", 300), "its port is free");
    check(world, world_start(world, &spec) && serves(world, &spec, 5000), "and may be used again");
    check(world, world_stop(world, &spec, &event), "by the same replica");
}

static void check_table_ends(struct world *world)
{
    static const char *const missing[] = {"/bin/nothing", NULL};
    struct sandbox_spec spec = world_spec(world, "echo goodbye; sleep 0.2; exit 3");
    struct sandbox_event event = {0};
    static char output[WORLD_TEXT_BYTES];

    check(world, world_start(world, &spec) && ends(world, &spec, SANDBOX_END_EXITED, 3),
          "an exit status is told");
    check(world, strstr(world_output(world, &spec, output), "goodbye\n") != NULL,
          "what it printed can be read afterwards");
    spec = world_spec(world, "printf 'odd \\200\\377\\033 bytes'; sleep 0.2; exit 0");
    check(world,
          world_start(world, &spec) && ends(world, &spec, SANDBOX_END_EXITED, 0) &&
              strcmp(world_output(world, &spec, output), "odd \200\377\033 bytes") == 0,
          "bytes that are no text are kept as they are");
    spec = world_spec(world, "sleep 0.2; kill -SEGV $$");
    check(world, world_start(world, &spec) && ends(world, &spec, SANDBOX_END_SIGNALLED, SIGSEGV),
          "a signal is told");
    spec = world_spec(world, "");
    world_set_command(&spec, missing);
    world_ask_start(world, &spec);
    check(world, ends(world, &spec, SANDBOX_END_REFUSED, 0), "what is not there is refused");
    spec = world_spec(world, "trap '' TERM; echo deaf; while :; do sleep 1; done");
    spec.stop_grace_ms = 500;
    check(world, world_start(world, &spec) && world_await_output(world, &spec, "deaf", 5000),
          "one that ignores SIGTERM starts");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "and is stopped");
    sandbox_client_renew(&world->client, &spec.key);
    check(world,
          world_await(world, &spec.key, SANDBOX_ENDED, 2000, &event) &&
              event.end == SANDBOX_END_LOST,
          "what is unknown is answered with its end");
}

static void check_table_health(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "sleep 1000");
    struct sandbox_event event = {0};

    spec.health = (struct sandbox_health){
        .container_port = 8081, .interval_ms = 100, .timeout_ms = 1000, .failures_max = 2};
    check(world,
          world_start(world, &spec) &&
              world_await(world, &spec.key, SANDBOX_HEALTH, 5000, &event) && event.healthy == 0,
          "a port that nobody listens on is failing health");
    world_stop(world, &spec, &event);
    spec = web_spec(world);
    spec.health = (struct sandbox_health){
        .container_port = 8080, .interval_ms = 100, .timeout_ms = 1000, .failures_max = 5};
    check(world,
          world_start(world, &spec) &&
              world_await(world, &spec.key, SANDBOX_HEALTH, 5000, &event) && event.healthy == 1,
          "one that somebody does is health");
    world_stop(world, &spec, &event);
    spec = web_spec(world); /* nothing is asked for: well once its port is open */
    check(world,
          world_start(world, &spec) &&
              world_await(world, &spec.key, SANDBOX_HEALTH, 5000, &event) && event.healthy == 1,
          "so is an open port when no probe is asked for");
    world_stop(world, &spec, &event);
}

static void check_table_probe_command(struct world *world)
{
    static const char well[] = "/bin/busybox\0true";
    static const char unwell[] = "/bin/busybox\0false";
    struct sandbox_spec spec = world_spec(world, "sleep 1000");
    struct sandbox_event event = {0};

    spec.health = (struct sandbox_health){
        .argument_count = 2, .interval_ms = 100, .timeout_ms = 1000, .failures_max = 2};
    memcpy(spec.health.arguments, well, sizeof(well));
    check(world,
          world_start(world, &spec) &&
              world_await(world, &spec.key, SANDBOX_HEALTH, 5000, &event) && event.healthy == 1,
          "a command that succeeds inside is health");
    world_stop(world, &spec, &event);
    spec.key.incarnation++;
    memcpy(spec.health.arguments, unwell, sizeof(unwell));
    check(world,
          world_start(world, &spec) &&
              world_await(world, &spec.key, SANDBOX_HEALTH, 5000, &event) && event.healthy == 0,
          "one that fails is failing health");
    world_stop(world, &spec, &event);
}

void check_table(struct world *world)
{
    check_table_life(world);
    check_table_ends(world);
    check_table_health(world);
    check_table_probe_command(world);
}

/* --- only of environments: their program misbehaves --- */

enum { CONNECTS_MAX = 4 };

/* Waits for the helper's answer to LIST: nothing lives any more. It greets when its program is there
 * again, after a pause that grows from time to time. */
static bool is_empty_again(struct world *world, const struct sandbox_spec *spec)
{
    struct sandbox_event event = {0};
    bool is_connected = false;

    for (int i = 0; i < CONNECTS_MAX && !is_connected; i++) {
        is_connected = world_connect(world);
    }
    if (!is_connected) {
        return false;
    }
    sandbox_client_renew(&world->client, &spec->key);
    return world_await(world, &spec->key, SANDBOX_ENDED, 3000, &event);
}

/* What a manifest signed without YAML's parser may have; its program cannot be told such bytes. */
static void check_no_text(struct world *world)
{
    struct sandbox_spec bystander = world_spec(world, "sleep 1000");
    struct sandbox_spec spec = world_spec(world, "sleep 1000");
    struct sandbox_event event = {0};

    check(world, world_start(world, &bystander), "a replica runs");
    spec.workdir[1] = '\xff';
    world_ask_start(world, &spec);
    check(world,
          world_await(world, &spec.key, SANDBOX_ENDED, 3000, &event) &&
              event.end == SANDBOX_END_REFUSED,
          "another whose workdir is no text is refused");
    printf("# %s\n", event.reason);
    check(world, world_stop(world, &bystander, &event) && event.end == SANDBOX_END_STOPPED,
          "which does the first no harm");
}

/* environment_mad.py does these things when a replica's command asks for it. */
void check_environment(struct world *world)
{
    static const char *const tricks[] = {"die", "endless", "garbage", "forge", "deaf"};

    check_no_text(world);
    for (size_t i = 0; i < ARRAY_COUNT(tricks); i++) {
        const char *const words[] = {"/toy", tricks[i], NULL};
        struct sandbox_spec bystander = world_spec(world, "sleep 1000");
        struct sandbox_spec spec = world_spec(world, "");
        struct sandbox_event event = {0};

        if (!check(world, world_start(world, &bystander), "a replica runs")) {
            continue;
        }
        world_set_command(&spec, words);
        world_ask_start(world, &spec);
        if (strcmp(tricks[i], "deaf") == 0) { /* that is found out by this */
            sandbox_client_stop(&world->client, &spec.key);
        }
        check_saying(world,
                     !world_await(world, &bystander.key, SANDBOX_LISTED, 20000, &event) &&
                         event.kind == SANDBOX_ENDED && event.end == SANDBOX_END_LOST,
                     "its program goes mad, which ends the replica", tricks[i]);
        printf("# %s\n", event.reason);
        check(world, is_empty_again(world, &bystander), "the program is started again");
    }
}
