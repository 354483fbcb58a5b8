// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_limits.h"

#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum {
    LATE_MS_MAX = 3000, /* so long after a stall it may be behind */
    LOOK_EVERY_MS = 500,
};

void check_limits(struct world *world)
{
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
