// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_alarm.h"

#include "overlay/ring/ring.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/world.h"

enum {
    LOOK_EVERY_MS = 300,
    AROUND_MS = 8000,
    DEATH_KNOWN_MS = ABSENT_MS + 1500,            /* noticed, and told to everyone */
    SLOW_MS = (RING_PACE_MAX - 1) * STABILISE_MS, /* a large ring where nothing changed */
};

bool check_alarm_is_settled(const struct world *world, uint32_t node)
{
    const struct sim_node *looked_at = &world->nodes[node];

    return converge_takes_part(world, node) && looked_at->powered &&
           !fault_is_cut_off(world, node) && world->now_ms > looked_at->begun_ms + SETTLED_MS &&
           world->now_ms > world->client.members[node].joined_ms + SETTLED_MS &&
           world->now_ms > looked_at->stalled_until_ms + SETTLED_MS;
}

static void look(struct world *world, uint32_t node, uint32_t other)
{
    const struct overlay_member *member =
        overlay_member_by_id(core_overlay(world->nodes[node].core), &world->nodes[other].id);

    /* One that was admitted just now has not said anything of itself yet. */
    if (member != NULL && member->record.sequence != 0 && member->state == MEMBER_DOWN &&
        converge_must_see(world, node, other)) {
        world_fail(world, "a false alarm: %s takes %s for dead", world->nodes[node].name,
                   world->nodes[other].name);
    }
}

/* Nothing else began or ended around a death: its neighbours were there to notice it. */
static bool died_alone(const struct world *world, uint32_t node)
{
    uint64_t died_ms = world->nodes[node].died_ms;

    for (uint32_t other = 0; other < world->node_count; other++) {
        const struct sim_node *looked_at = &world->nodes[other];

        if (other != node && (looked_at->begun_ms + AROUND_MS > died_ms ||
                              looked_at->died_ms + AROUND_MS > died_ms)) {
            return false;
        }
    }
    return died_ms > AROUND_MS;
}

/* In a large community, and where one is a leaf: it is told over its relays, which may be the dead. */
static bool is_slow(const struct world *world, uint32_t node, uint32_t dead)
{
    return !overlay_knows_all(core_overlay(world->nodes[node].core)) ||
           world->nodes[node].is_leaf || world->nodes[dead].is_leaf;
}

static void look_for_dead(struct world *world, uint32_t dead)
{
    for (uint32_t node = 0; node < world->node_count && died_alone(world, dead); node++) {
        const struct overlay_member *member;

        if (!check_alarm_is_settled(world, node) ||
            (is_slow(world, node, dead) &&
             world->now_ms <= world->nodes[dead].died_ms + DEATH_KNOWN_MS + SLOW_MS)) {
            continue;
        }
        member =
            overlay_member_by_id(core_overlay(world->nodes[node].core), &world->nodes[dead].id);
        if (member != NULL && converge_must_see(world, node, dead) &&
            (member->state == MEMBER_UP || member->state == MEMBER_SUSPECT)) {
            world_fail(world, "%s has not heard of the death of %s for %d ms",
                       world->nodes[node].name, world->nodes[dead].name, DEATH_KNOWN_MS);
        }
    }
}

void check_alarm(struct world *world)
{
    if (world->now_ms % LOOK_EVERY_MS != 0 || check_ring_is_disturbed(world)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *looked_at = &world->nodes[node];

        if (looked_at->core == NULL && looked_at->died_ms != 0 &&
            world->now_ms > looked_at->died_ms + DEATH_KNOWN_MS) {
            look_for_dead(world, node);
        }
        for (uint32_t other = 0; other < world->node_count && check_alarm_is_settled(world, node);
             other++) {
            if (other != node && check_alarm_is_settled(world, other)) {
                look(world, node, other);
            }
        }
    }
}
