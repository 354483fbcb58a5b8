// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/router.h"

#include <string.h>

#include "base/check.h"

/* The member at a place of the ring order, counted on around the ring. */
static int at_place(const struct membership *membership, uint32_t place)
{
    return membership->by_position[place % membership->count];
}

/* Self stands on the ring only once it has been given its arc. */
static bool stands(const struct router *router, int index)
{
    if (index == router->self) {
        return router->ring->phase == RING_IN;
    }
    return membership_in_ring(&router->membership->list[index]);
}

static uint32_t full_replica_set(const struct router *router, const struct ring_key *key,
                                 uint32_t count_max, struct node_id *nodes_out)
{
    const struct membership *membership = router->membership;
    uint32_t count = 0;
    uint32_t first;

    if (membership->count == 0) {
        return 0;
    }
    first = membership_place(membership, &key->id);
    for (uint32_t i = 0; i < membership->count && count < count_max; i++) {
        int index = at_place(membership, first + i);

        if (stands(router, index)) {
            nodes_out[count++] = membership->list[index].view.node;
        }
    }
    return count;
}

/* The membership may point here for a key whose arc a predecessor has already taken. */
static void replace_self(const struct ring *ring, struct node_id *nodes, uint32_t *count)
{
    if (*count == 0 || !id_equal(&nodes[0].id, &ring->self.node.id)) {
        return;
    }
    if (ring->predecessor_count > 0) {
        nodes[0] = ring->predecessors[0].node;
        return;
    }
    (*count)--;
    memmove(nodes, nodes + 1, *count * sizeof(*nodes));
}

/* Everyone is known by a verified admission: every lookup is a safe one. */
static uint32_t full_local_lookup(const struct router *router, const struct ring_key *key,
                                  bool safe, uint32_t count_max, struct node_id *nodes_out)
{
    uint32_t count = full_replica_set(router, key, count_max, nodes_out);

    (void)safe;
    /* Whether our lease lasts at present or not: nobody else answers for our arc. */
    if (!ring_has(router->ring, key)) {
        replace_self(router->ring, nodes_out, &count);
    } else if (count_max > 0) {
        nodes_out[0] = router->ring->self.node;
        count = 1;
    }
    return count;
}

static bool full_next_hop(const struct router *router, const struct ring_key *key,
                          struct node_id *node_out)
{
    return full_local_lookup(router, key, false, 1, node_out) > 0 &&
           !id_equal(&node_out->id, &router->ring->self.node.id);
}

static uint32_t full_neighbour_set(const struct router *router, uint32_t count_max,
                                   struct node_id *nodes_out)
{
    const struct membership *membership = router->membership;
    uint32_t count = 0;
    uint32_t self_place;

    if (router->self == MEMBER_NONE) {
        return 0;
    }
    self_place = membership_place(membership, &router->ring->self.position.id);
    /* Nearest first, on both sides in turn; a small ring meets itself. */
    for (uint32_t step = 1; step <= membership->count / 2 && count < count_max; step++) {
        uint32_t places[2] = {self_place + step, self_place + membership->count - step};

        for (uint32_t side = 0; side < 2 && count < count_max; side++) {
            int index = at_place(membership, places[side]);
            bool twice = side == 1 && index == at_place(membership, places[0]);

            if (index != router->self && !twice && stands(router, index)) {
                nodes_out[count++] = membership->list[index].view.node;
            }
        }
    }
    return count;
}

static bool full_range(const struct router *router, const struct node_id *node, uint32_t rank,
                       struct ring_key *from_out, struct ring_key *to_out)
{
    const struct membership *membership = router->membership;
    int index = membership_find(membership, node);
    uint32_t passed_count = 0;
    uint32_t place;

    if (index == MEMBER_NONE || !stands(router, index)) {
        return false;
    }
    *to_out = membership->list[index].position;
    *from_out = *to_out;
    place = membership_place(membership, &to_out->id);
    for (uint32_t step = 1; step < membership->count; step++) {
        int before = at_place(membership, place + membership->count - step);

        if (stands(router, before) && passed_count++ == rank) {
            *from_out = membership->list[before].position;
            break;
        }
    }
    return true;
}

const struct router_functions router_full = {full_local_lookup, full_next_hop, full_replica_set,
                                             full_neighbour_set, full_range};

static bool among(const struct node_id *nodes, uint32_t count, const struct node_id *node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&nodes[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* Those of `nodes` that are not among the `others` are changes. */
static uint32_t changes_of(const struct router_neighbours *nodes,
                           const struct router_neighbours *others, bool joined,
                           struct router_change *changes_out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < nodes->count; i++) {
        if (!among(others->nodes, others->count, &nodes->nodes[i])) {
            changes_out[count++] = (struct router_change){nodes->nodes[i], joined};
        }
    }
    return count;
}

uint32_t router_update(const struct router_functions *functions, const struct router *router,
                       struct router_neighbours *neighbours,
                       struct router_change changes_out[2 * ROUTER_NEIGHBOURS_MAX])
{
    struct router_neighbours now;
    uint32_t count;

    CHECK(neighbours->count <= ROUTER_NEIGHBOURS_MAX);
    now.count = functions->neighbour_set(router, ROUTER_NEIGHBOURS_MAX, now.nodes);
    count = changes_of(neighbours, &now, false, changes_out);
    count += changes_of(&now, neighbours, true, changes_out + count);
    *neighbours = now;
    return count;
}
