// SPDX-License-Identifier: GPL-3.0-or-later
/* Health by a command that runs inside the sandbox, beside the service. */
#include <signal.h>
#include <string.h>

#include "tests/system/sandbox_checks.h"

static void ask_by_command(struct sandbox_spec *spec, const char *script)
{
    static const char start[] = "/bin/busybox\0sh\0-c";
    size_t length_bytes = strlen(script) + 1;

    spec->health = (struct sandbox_health){
        .argument_count = 4, .interval_ms = 100, .timeout_ms = 2000, .failures_max = 2};
    memcpy(spec->health.arguments, start, sizeof(start));
    memcpy(spec->health.arguments + sizeof(start), script, length_bytes);
}

static bool turns(struct world *world, const struct sandbox_spec *spec, bool healthy)
{
    struct sandbox_event event;

    return world_await(world, &spec->key, SANDBOX_HEALTH, 5000, &event) &&
           (event.healthy != 0) == healthy;
}

void check_health(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "b=/bin/busybox; while :; do $b touch /tmp/well; "
                                                 "$b sleep 1; $b rm /tmp/well; $b sleep 1; done");
    struct sandbox_event event;

    ask_by_command(&spec, "[ $(/bin/busybox id -u) = 65534 ] && [ -e /tmp/well ] && "
                          "! /bin/busybox unshare -U /bin/busybox true 2>/dev/null");
    check(world, world_start(world, &spec), "a replica with a health command starts");
    check(world, turns(world, &spec, true), "the command says that it is well");
    check(world, turns(world, &spec, false), "that it is not any more");
    check(world, turns(world, &spec, true), "and that it is again");
    world_stop(world, &spec, &event);
    ask_by_command(&spec, "while :; do :; done");
    spec.key.slot++;
    check(world, world_start(world, &spec), "a replica with an endless health command starts");
    check(world, turns(world, &spec, false), "which counts as failing");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "and does not keep it from being stopped");
}
