// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_limits.h"

#include <inttypes.h>

#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum {
    LATE_MS_MAX = 3000, /* so long after a stall it may be behind */
    LOOK_EVERY_MS = 500,
    PAIR_MESSAGES_MAX = 60, /* between two nodes in that time, on average */
    STORM_MESSAGES_MIN = 4000,
};

/* Messages that make messages: found before they fill the machine. */
static void check_storm(struct world *world)
{
    uint64_t sent_count = world->network.sent_count - world->checker.sent_when_looked;
    uint64_t count_max =
        (uint64_t)world->node_count * world->node_count * PAIR_MESSAGES_MAX + STORM_MESSAGES_MIN;

    uint64_t most_count;
    uint32_t most =
        traffic_most(&world->network.traffic, &world->checker.traffic_when_looked, &most_count);

    world->checker.sent_when_looked = world->network.sent_count;
    world->checker.traffic_when_looked = world->network.traffic;
    if (sent_count > count_max) {
        world_fail(world, "a storm: %" PRIu64 " messages in %d ms, %" PRIu64 " of kind %u",
                   sent_count, LOOK_EVERY_MS, most_count, most);
    }
}

void check_limits(struct world *world)
{
    if (world->now_ms % LOOK_EVERY_MS == 0) {
        check_storm(world);
    }
    for (uint32_t node = 0; world->now_ms % LOOK_EVERY_MS == 0 && node < world->node_count;
         node++) {
        const struct sim_node *looked_at = &world->nodes[node];
        bool is_late = world->now_ms < looked_at->stalled_until_ms + LATE_MS_MAX;
        const char *problem;

        if (looked_at->core == NULL) {
            continue;
        }
        problem =
            inspect_tables(core_overlay(looked_at->core), is_late ? 0 : world_node_ms(world, node));
        if (problem != NULL) {
            world_fail(world, "%s has %s", looked_at->name, problem);
        }
    }
}
