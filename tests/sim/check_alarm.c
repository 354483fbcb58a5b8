// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_alarm.h"

#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/world.h"

enum { LOOK_EVERY_MS = 300 };

static bool is_settled(const struct world *world, uint32_t node)
{
    const struct sim_node *looked_at = &world->nodes[node];

    return converge_takes_part(world, node) && looked_at->powered &&
           world->now_ms > looked_at->begun_ms + SETTLED_MS &&
           world->now_ms > world->client.members[node].joined_ms + SETTLED_MS &&
           world->now_ms > looked_at->stalled_until_ms + SETTLED_MS;
}

static void look(struct world *world, uint32_t node, uint32_t other)
{
    const struct overlay_member *member =
        overlay_member_by_id(core_overlay(world->nodes[node].core), &world->nodes[other].id);

    if (member != NULL && member->state == MEMBER_DOWN && converge_must_see(world, node, other)) {
        world_fail(world, "a false alarm: %s takes %s for dead", world->nodes[node].name,
                   world->nodes[other].name);
    }
}

void check_alarm(struct world *world)
{
    if (world->now_ms % LOOK_EVERY_MS != 0 || check_ring_is_disturbed(world)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        for (uint32_t other = 0; other < world->node_count && is_settled(world, node); other++) {
            if (other != node && is_settled(world, other)) {
                look(world, node, other);
            }
        }
    }
}
