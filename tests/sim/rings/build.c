// SPDX-License-Identifier: GPL-3.0-or-later
/* Tables as the protocol leaves them after a long quiet time, filled by the truth. */
#include <string.h>

#include "overlay/ring/neighbourhood.h"
#include "tests/sim/rings/rings.h"

static const struct host *at(const struct world *world, uint32_t place)
{
    return &world->hosts[world->order[place % world->order_count]];
}

void build_ring(struct world *world, struct host *host)
{
    uint32_t place = world_find(world, &host->node.position.id);
    struct ring *ring = &host->ring;

    ring_init(ring, &host->node, 1);
    ring->phase = RING_IN;
    ring->kept_epoch = UINT64_MAX;
    ring_set_pace_max(ring, world->options.pace);
    ring->predecessor_count = PREDECESSORS_MAX;
    for (uint32_t i = 0; i < PREDECESSORS_MAX; i++) {
        ring->predecessors[i] = at(world, place + world->order_count - 1 - i)->node;
    }
    ring->successor_count = SUCCESSORS_MAX;
    for (uint32_t i = 0; i < SUCCESSORS_MAX; i++) {
        ring->successors[i] = at(world, place + 1 + i)->node;
    }
    ring->lease_ms = UINT64_MAX;
}

void build_lease(struct world *world, struct host *host)
{
    struct ring *ring = &host->ring;
    struct host *before = world_host(world, &ring->predecessors[0]);
    struct host *keeper = world_host(world, &ring->successors[0]);

    ring->pace = world->options.pace;
    ring->first_pace = world->options.pace;
    ring->before = ring->predecessors[0].node;
    ring->after = ring->successors[0].node;
    ring->changed_ms = world->now_ms;
    ring->lease_ms = world->now_ms + (uint64_t)LEASE_MS * ring->pace;
    ring->granted_ms = world->now_ms + (uint64_t)GRANT_MS * ring->pace;
    ring->is_told = true;
    ring->told_version = ring_before_version(&before->ring);
    ring->acked_by = keeper->node.node;
    ring->acked_version = ring_before_version(ring);
    ring->has_arc = true;
    ring->arc_from = ring->predecessors[0].position;
}

static void know(struct world *world, struct host *host, uint32_t place)
{
    const struct host *other = at(world, place);
    struct fingers_event event = {.kind = FINGERS_KNOWN, .node = other->node, .has_from = true};
    struct fingers_effects effects;

    event.from = at(world, place + world->order_count - 1)->node.position;
    event.rtt_ms = 2 * world_delay_ms(world, host, other, false);
    fingers_step(&host->fingers, &event, &effects);
}

/* The owner of each slot's start, and others of the slot as chance brings them. */
static void fill_slot(struct world *world, struct host *host, uint32_t slot)
{
    struct ring_key start = fingers_slot_start(&host->node.position, slot);
    struct ring_key next = slot % 15 < 14
                               ? fingers_slot_start(&host->node.position, slot + 1)
                               : (slot >= 15 ? fingers_slot_start(&host->node.position, slot - 29)
                                             : host->node.position);
    uint32_t first = world_find(world, &start.id);
    uint32_t last = world_find(world, &next.id);
    uint32_t held_count = (last + world->order_count - first) % world->order_count;

    know(world, host, first);
    for (uint32_t i = 0; i < world->options.candidates && held_count > 1; i++) {
        know(world, host, first + 1 + (uint32_t)random_below(&world->random_net, held_count - 1));
    }
}

/* Asks the table itself which slots it wants, as its repair would. */
void build_fingers(struct world *world, struct host *host)
{
    struct neighbourhood near;
    struct fingers_event event = {.kind = FINGERS_TICK, .now_ms = FINGERS_FILL_MS};
    struct fingers_effects effects = {.look_up = true};

    fingers_init(&host->fingers, &host->node);
    neighbourhood_of(&host->ring, &near);
    event.near_distance = neighbourhood_reach(&near, &host->node.position);
    for (uint32_t i = 0; i <= FINGER_SLOTS; i++) {
        struct id distance;

        fingers_step(&host->fingers, &event, &effects);
        event.now_ms += FINGERS_FILL_MS;
        distance = id_distance(&host->node.position.id, &effects.target.id);
        if (!effects.look_up || fingers_slot(&distance) == FINGER_SLOT_NONE) {
            break;
        }
        fill_slot(world, host, (uint32_t)fingers_slot(&distance));
    }
    host->fingers.looked_ms = 0;
    host->is_built = true;
}
