// SPDX-License-Identifier: GPL-3.0-or-later
/* A frozen minga-init accepts no connections: those of helpers that come and go meanwhile queue up. */
#include <signal.h>

#include "tests/system/sandbox_checks.h"

enum { HELPERS = 8 };

void check_frozen(struct world *world)
{
    struct sandbox_spec spec =
        world_spec(world, "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.1; done");
    struct sandbox_event event = {0};
    bool restarted = true;

    spec.stop_grace_ms = 60000; /* to be heard, not killed in the end */
    check(world, world_start(world, &spec), "a replica runs");
    sandbox_client_freeze(&world->client, &spec.key);
    world_stats(world, &spec, &event);
    for (int i = 0; i < HELPERS; i++) {
        restarted =
            world_end_helper(world, SIGUSR2, 3000) && world_start_helper(world, false) && restarted;
    }
    check(world, restarted, "while it is frozen helper follows helper");
    sandbox_client_list(&world->client);
    check(world, world_await(world, &spec.key, SANDBOX_LISTED, 3000, &event),
          "the last one has it still");
    sandbox_client_thaw(&world->client, &spec.key);
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "and thawed it hears the last one");
}
