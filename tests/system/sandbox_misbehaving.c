// SPDX-License-Identifier: GPL-3.0-or-later
/* Services that do not behave: each is held, can be ended, and leaves nothing. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/attributes.h"
#include "tests/system/sandbox_checks.h"

enum { PIDS_MAX = 256, REAP_MS_MAX = 5000 };

static size_t processes_of(const struct world *world, const struct sandbox_spec *spec)
{
    pid_t pids[PIDS_MAX];

    return world_pids(world, spec->key.slot, true, pids, ARRAY_COUNT(pids));
}

static void end_it(struct world *world, const struct sandbox_spec *spec)
{
    struct sandbox_event event = {0};
    uint64_t began_ms = time_ms();

    check_saying(world, world_stop(world, spec, &event) && event.end == SANDBOX_END_STOPPED,
                 "it is ended when asked", event.reason);
    printf("# after %" PRIu64 " ms\n", time_ms() - began_ms);
    check(world, processes_of(world, spec) == 0, "nothing is left of it");
}

/* SIGSTOP to all that it may signal; its init is somebody else's. */
static void check_self_stopped(struct world *world)
{
    struct sandbox_spec spec =
        world_spec(world, "sleep 1000 & echo ready; kill -STOP -1; kill -STOP $$");
    pid_t pids[PIDS_MAX];
    char state[64];

    check(world, world_start(world, &spec) && world_await_output(world, &spec, "ready", 5000),
          "a replica starts that stops itself");
    wait_a_little(world_patience_ms(world, 200));
    size_t count = world_pids(world, spec.key.slot, false, pids, ARRAY_COUNT(pids));

    check(world,
          count > 0 && *status_value(pids[0], "State", state, sizeof(state)) == 'T' &&
              processes_of(world, &spec) == count + 1,
          "it has, and its init has not");
    end_it(world, &spec);
}

/* Deaf to every signal that can be ignored, with children that are, too. */
static void check_deaf(struct world *world)
{
    struct sandbox_spec spec =
        world_spec(world, "trap '' TERM HUP INT QUIT USR1 USR2 PIPE ALRM; (while :; do sleep 1; "
                          "done) & echo ready; while :; do sleep 1; done");
    struct sandbox_event event = {0};

    spec.stop_grace_ms = 500;
    check(world, world_start(world, &spec) && world_await_output(world, &spec, "ready", 5000),
          "a replica starts that ignores signals");
    uint64_t began_ms = time_ms();
    bool stopped = world_stop(world, &spec, &event);

    check(world,
          stopped && event.end == SANDBOX_END_STOPPED && time_ms() - began_ms >= 500 &&
              time_ms() - began_ms < world_patience_ms(world, 3000),
          "it is killed when its grace is over");
    check(world, processes_of(world, &spec) == 0, "nothing is left of it");
}

/* Orphans come to init, which must reap them, or the limit of processes would be used up. */
static void check_orphans(struct world *world)
{
    struct sandbox_spec spec = world_spec(
        world, "i=0; while [ $i -lt 300 ]; do (/bin/busybox true &); i=$((i+1)); done; echo "
               "through; exec /bin/busybox sleep 1000");
    struct sandbox_event event = {0};

    check(world, world_start(world, &spec) && world_await_output(world, &spec, "through", 20000),
          "ten times as many orphans as there may be processes come and go");
    uint64_t until_ms = time_ms() + world_patience_ms(world, REAP_MS_MAX);

    while (time_ms() < until_ms && world_stats(world, &spec, &event) && event.used.pid_count > 2) {
        wait_a_little(20);
    }
    check(world, event.used.pid_count == 2, "each is reaped");
    end_it(world, &spec);
}

/* Children that their parent never reaps. */
static void check_zombies(struct world *world)
{
    struct sandbox_spec spec = world_spec(
        world, "i=0; while [ $i -lt 25 ]; do /bin/busybox sleep 1 & i=$((i+1)); done; exec "
               "/bin/busybox sleep 1000");
    struct sandbox_event event = {0};

    check(world, world_start(world, &spec), "a replica starts that does not reap its children");
    wait_a_little(2000); /* a shell reaps, what it became does not: all of them have ended now */
    check(world, world_stats(world, &spec, &event), "it says what it uses");
    check(world, event.used.pid_count > 25 && event.used.pid_count <= spec.limits.pid_count,
          "they count against its limit");
    end_it(world, &spec);
}

/* A daemon of a session of its own does not outlive the service's first process. */
static void check_daemon(struct world *world)
{
    struct sandbox_spec spec = world_spec(
        world, "(/bin/busybox setsid /bin/busybox sleep 1000 &); /bin/busybox sleep 0.3; exit 0");
    struct sandbox_event event = {0};

    check(world, world_start(world, &spec), "a replica starts that leaves a daemon behind");
    check_saying(world,
                 !world_await(world, &spec.key, SANDBOX_STATS, 5000, &event) &&
                     event.kind == SANDBOX_ENDED && event.end == SANDBOX_END_EXITED,
                 "its end is known", event.reason);
    check(world, processes_of(world, &spec) == 0, "and the daemon's too");
}

/* As fast as it can, into logs that are kept to a size, and nobody else is slowed down. */
static void check_printer(struct world *world)
{
    struct sandbox_spec spec =
        world_spec(world, "exec /bin/busybox yes abcdefghijklmnopqrstuvwxyz");
    struct sandbox_event event = {0};
    char path[2 * WORLD_PATH_BYTES];
    struct stat about;
    off_t total_bytes = 0;

    check(world, world_start(world, &spec), "a replica starts that prints without end");
    wait_a_little(2000);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/state/sandbox/logs/7700000000000000-%u-1.%d",
                 world->folder, spec.key.slot, i);
        total_bytes += stat(path, &about) == 0 ? about.st_size : 0;
    }
    check(world, total_bytes > 0 && (uint64_t)total_bytes <= spec.logs_bytes,
          "its logs are as large as they may be");
    check(world, world_stats(world, &spec, &event), "the helper answers meanwhile");
    end_it(world, &spec);
}

/* At once, again and again, as fast as somebody asks for it: the helper keeps up. */
static void check_hasty(struct world *world)
{
    struct sandbox_event event = {0};
    bool all = true;

    for (int i = 0; i < (world->slow ? 5 : 30); i++) {
        struct sandbox_spec spec = world_spec(world, "exit 7");

        world_ask_start(world, &spec);
        (void)world_await(world, &spec.key, SANDBOX_LISTED, 5000, &event);
        all = all && event.kind == SANDBOX_ENDED && event.end == SANDBOX_END_EXITED &&
              event.status == 7;
    }
    check(world, all, "replicas that end at once are each told to have");
}

void check_misbehaving(struct world *world)
{
    check_self_stopped(world);
    check_deaf(world);
    check_orphans(world);
    check_zombies(world);
    check_daemon(world);
    check_printer(world);
    check_hasty(world);
}
