// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_ring.h"

#include <string.h>

#include "overlay/message.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect.h"
#include "tests/sim/ring_shape.h"
#include "tests/sim/world.h"

enum { LOSS_PERMILLE_QUIET = 20 }; /* up to here nobody is taken for dead by mistake */

static bool is_in(const struct world *world, uint32_t node)
{
    const struct sim_node *asked = &world->nodes[node];

    return asked->core != NULL && client_is_member(world, node) &&
           inspect_in_ring(core_overlay(asked->core));
}

/* The first successor that is alive and in the ring; node_count: none, or only itself. */
static uint32_t best_successor(const struct world *world, uint32_t node)
{
    struct overlay_ring_view view;

    overlay_ring(core_overlay(world->nodes[node].core), &view);
    for (uint32_t i = 0; i < view.successor_count; i++) {
        uint32_t next = world_find(world, &view.successors[i]);

        if (next < world->node_count && is_in(world, next)) {
            return next;
        }
    }
    return world->node_count;
}

/* All sixteen have ended lately: no list is proof against that (Zave assumes that never all of one fail
 * before it is mended). The ring has to close again all the same. */
static bool has_lost_all(const struct world *world, uint32_t node)
{
    struct overlay_ring_view view;

    overlay_ring(core_overlay(world->nodes[node].core), &view);
    for (uint32_t i = 0; i < view.successor_count; i++) {
        uint32_t next = world_find(world, &view.successors[i]);

        if (next < world->node_count &&
            (world->nodes[next].ended_ms == 0 ||
             world->now_ms - world->nodes[next].ended_ms > SETTLED_MS)) {
            return false;
        }
    }
    return view.successor_count == SUCCESSORS_MAX;
}

bool check_ring_is_disturbed(struct world *world)
{
    uint64_t loss_permille = world->network.loss_permille;

    if (world->checker.split_count > 0 ||
        loss_permille > world->schedule.loss_permille + LOSS_PERMILLE_QUIET) {
        world->checker.disturbed_ms = world->now_ms;
    }
    return world->now_ms < world->checker.disturbed_ms + SETTLED_MS ||
           world->now_ms < world->checker.split_ms + SETTLED_MS;
}

void check_ring_invariant(struct world *world)
{
    struct ring_shape shape = {.count = world->node_count};
    const char *problem;
    uint32_t node;

    if (check_ring_is_disturbed(world)) {
        return;
    }
    for (node = 0; node < world->node_count; node++) {
        shape.in[node] = is_in(world, node);
        shape.positions[node] = world->nodes[node].position.id;
        if (shape.in[node]) {
            shape.best[node] = best_successor(world, node);
            if (shape.best[node] == world->node_count && has_lost_all(world, node)) {
                return;
            }
        }
    }
    problem = ring_shape_problem(&shape, &node);
    if (problem != NULL) {
        world_fail(world, "the ring: %s %s", world->nodes[node].name, problem);
    }
}

void check_ring_message(struct world *world, uint32_t node, struct bytes message)
{
    static minga_Message decoded;
    const struct id *self = &world->nodes[node].position.id;
    struct id last = *self;

    if (world->nodes[node].garble_permille != 0 || message_decode(message, &decoded) != 0 ||
        decoded.which_kind != minga_Message_stabilise_reply_tag) {
        return;
    }
    if (decoded.kind.stabilise_reply.verdict == minga_LeaseAnswer_LEASE_GRANTED &&
        !inspect_grants(core_overlay(world->nodes[node].core))) {
        world_fail(world, "%s grants a lease, and has none", world->nodes[node].name);
        return;
    }
    for (pb_size_t i = 0; i < decoded.kind.stabilise_reply.successors_count; i++) {
        struct node_id named = {message_id(decoded.kind.stabilise_reply.successors[i])};
        uint32_t next = world_find(world, &named);
        struct id before = id_distance(self, &last);
        struct id distance;

        if (next >= world->node_count) {
            world_fail(world, "%s names a successor that there is not", world->nodes[node].name);
            return;
        }
        distance = id_distance(self, &world->nodes[next].position.id);
        if (next == node || id_compare(&distance, &before) <= 0) {
            world_fail(world, "%s sends a list that is not in order, at %u",
                       world->nodes[node].name, (unsigned)i);
            return;
        }
        last = world->nodes[next].position.id;
    }
}

/* ------------------------------------------------------------------ the ideal */

/* Those who take part, in the order of their positions. Returns how many. */
static uint32_t in_order(const struct world *world, uint32_t *nodes_out)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        uint32_t place = count;

        if (!converge_stands(world, node)) {
            continue;
        }
        while (place > 0 && id_compare(&world->nodes[node].position.id,
                                       &world->nodes[nodes_out[place - 1]].position.id) < 0) {
            nodes_out[place] = nodes_out[place - 1];
            place--;
        }
        nodes_out[place] = node;
        count++;
    }
    return count;
}

static bool names(const struct world *world, const struct node_id *id, uint32_t node)
{
    return id_equal(&id->id, &world->nodes[node].id.id);
}

static bool place_is_ideal(struct world *world, const uint32_t *nodes, uint32_t count,
                           uint32_t place)
{
    const struct sim_node *node = &world->nodes[nodes[place]];
    uint32_t wanted_count = count - 1 < SUCCESSORS_MAX ? count - 1 : SUCCESSORS_MAX;
    struct overlay_ring_view view;

    overlay_ring(core_overlay(node->core), &view);
    if (view.successor_count != wanted_count) {
        return converge_problem(world, "%s has %u successors, wanted %u", node->name,
                                view.successor_count, wanted_count);
    }
    for (uint32_t i = 0; i < wanted_count; i++) {
        uint32_t next = nodes[(place + 1 + i) % count];

        if (!names(world, &view.successors[i], next)) {
            return converge_problem(world, "successor %u of %s is not %s", i, node->name,
                                    world->nodes[next].name);
        }
    }
    if (count > 1 && (view.predecessor_count == 0 ||
                      !names(world, &view.predecessors[0], nodes[(place + count - 1) % count]))) {
        return converge_problem(world, "the predecessor of %s is not %s", node->name,
                                world->nodes[nodes[(place + count - 1) % count]].name);
    }
    return true;
}

bool check_ring_ideal(struct world *world)
{
    uint32_t nodes[SIM_NODES_MAX];
    uint32_t count = in_order(world, nodes);

    for (uint32_t place = 0; place < count; place++) {
        if (!place_is_ideal(world, nodes, count, place)) {
            return false;
        }
    }
    return true;
}
