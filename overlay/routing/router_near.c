// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Routing in a large community over everything that this node knows: the neighbours exactly, then
 * fingers and known arcs (router_fingers), and, since those may name nodes whose address is not
 * known, the member in the address book that precedes the key most closely. Each hop comes nearer
 * to the key clockwise, so that no message goes round for ever.
 */
#include "base/check.h"
#include "overlay/routing/router.h"

static int at_place(const struct membership *membership, uint32_t place)
{
    return membership->by_position[place % membership->count];
}

static bool stands(const struct router *router, int index)
{
    if (index == router->self) {
        return router->ring->phase == RING_IN;
    }
    return membership_in_ring(&router->membership->list[index]);
}

static bool can_be_sent_to(const struct router *router, int index)
{
    return index != router->self && stands(router, index) &&
           router->membership->list[index].record_bytes > 0;
}

/* The key lies between this node and the end of its successor list. */
static bool is_ahead(const struct ring *ring, const struct ring_key *key)
{
    return ring->successor_count > 0 &&
           id_in_arc(&key->id, &ring->self.position.id,
                     &ring->successors[ring->successor_count - 1].position.id);
}

/* Successors stand in order; the first at or after the key answers for it. */
static bool owner_ahead(const struct ring *ring, const struct ring_key *key,
                        struct node_id *node_out)
{
    const struct ring_key *from = &ring->self.position;

    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (id_in_arc(&key->id, &from->id, &ring->successors[i].position.id)) {
            *node_out = ring->successors[i].node;
            return true;
        }
        from = &ring->successors[i].position;
    }
    return false;
}

static bool closest_before(const struct router *router, const struct ring_key *key,
                           struct node_id *node_out)
{
    const struct membership *membership = router->membership;
    const struct id *self = &router->ring->self.position.id;
    uint32_t place = membership_place(membership, &key->id);

    for (uint32_t step = 1; step <= membership->count; step++) {
        int index = at_place(membership, place + membership->count - step);
        const struct member *member = &membership->list[index];

        if (index == router->self) {
            return false;
        }
        if (can_be_sent_to(router, index) && id_in_arc(&member->position.id, self, &key->id)) {
            *node_out = member->view.node;
            return true;
        }
    }
    return false;
}

/* What fingers and known arcs propose, if it can be dialled. */
static bool by_fingers(const struct router *router, const struct ring_key *key,
                       struct node_id *node_out)
{
    struct router_closest closest;

    if (router->fingers == NULL) {
        return false;
    }
    router_fingers_closest(router, key, ROUTER_FAST, ROUTER_CLOSEST_MAX, &closest);
    for (uint32_t i = 0; i < closest.count; i++) {
        int index = membership_find(router->membership, &closest.nodes[i].node);

        if (index != MEMBER_NONE && can_be_sent_to(router, index)) {
            *node_out = closest.nodes[i].node;
            return true;
        }
    }
    return false;
}

static bool near_next_hop(const struct router *router, const struct ring_key *key,
                          struct node_id *node_out)
{
    const struct ring *ring = router->ring;

    if (ring_responsible(ring, key, router->now_ms) || router->membership->count == 0) {
        return false;
    }
    if (is_ahead(ring, key) && owner_ahead(ring, key, node_out)) {
        return true;
    }
    if (by_fingers(router, key, node_out) || closest_before(router, key, node_out)) {
        return true;
    }
    if (ring->successor_count > 0) {
        *node_out = ring->successors[0].node;
        return true;
    }
    return false;
}

/* Self first when it answers for the key, then the best next hop, then whoever else is known. */
static uint32_t near_local_lookup(const struct router *router, const struct ring_key *key,
                                  bool safe, uint32_t count_max, struct node_id *nodes_out)
{
    uint32_t count = router_fingers.local_lookup(router, key, safe, count_max, nodes_out);

    if (count == 0 && count_max > 0 && near_next_hop(router, key, &nodes_out[0])) {
        count = 1;
    }
    return count;
}

/* Beyond the neighbours that it must know, a node knows most of those behind it: they greet it. */
static uint32_t near_replica_set(const struct router *router, const struct ring_key *key,
                                 uint32_t count_max, struct node_id *nodes_out)
{
    return router_full.replica_set(router, key, count_max, nodes_out);
}

static uint32_t near_neighbour_set(const struct router *router, uint32_t count_max,
                                   struct node_id *nodes_out)
{
    return router_full.neighbour_set(router, count_max, nodes_out);
}

static bool near_range(const struct router *router, const struct node_id *node, uint32_t rank,
                       struct ring_key *from_out, struct ring_key *to_out)
{
    return router_full.range(router, node, rank, from_out, to_out);
}

const struct router_functions router_near = {near_local_lookup, near_next_hop, near_replica_set,
                                             near_neighbour_set, near_range};
