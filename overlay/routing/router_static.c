// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Routing by a list of all nodes that never changes: the smallest thing that the suite accepts, a
 * yardstick for the others, and the truth of simulations whose members are given.
 */
#include "base/check.h"
#include "overlay/routing/router.h"

/* The place of the first node at or behind the key. */
static uint32_t place_of(const struct router *router, const struct id *key)
{
    uint32_t low = 0;
    uint32_t high = router->node_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (id_compare(&router->nodes[middle].position.id, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct ring_node *at_place(const struct router *router, uint32_t place)
{
    return &router->nodes[place % router->node_count];
}

/* The place of the node itself: its position is in the list, but ids are not sorted. */
static int find(const struct router *router, const struct node_id *node)
{
    for (uint32_t i = 0; i < router->node_count; i++) {
        if (id_equal(&router->nodes[i].node.id, &node->id)) {
            return (int)i;
        }
    }
    return -1;
}

static uint32_t replica_set(const struct router *router, const struct ring_key *key,
                            uint32_t count_max, struct node_id *nodes_out)
{
    uint32_t first = place_of(router, &key->id);
    uint32_t count = 0;

    for (; count < count_max && count < router->node_count; count++) {
        nodes_out[count] = at_place(router, first + count)->node;
    }
    return count;
}

static uint32_t local_lookup(const struct router *router, const struct ring_key *key, bool safe,
                             uint32_t count_max, struct node_id *nodes_out)
{
    uint32_t count = replica_set(router, key, count_max, nodes_out);

    (void)safe; /* nothing was learnt from anybody */
    if (count > 0 && id_equal(&nodes_out[0].id, &router->ring->self.node.id)) {
        return 1;
    }
    return count;
}

static bool next_hop(const struct router *router, const struct ring_key *key,
                     struct node_id *node_out)
{
    return replica_set(router, key, 1, node_out) > 0 &&
           !id_equal(&node_out->id, &router->ring->self.node.id);
}

static uint32_t neighbour_set(const struct router *router, uint32_t count_max,
                              struct node_id *nodes_out)
{
    uint32_t node_count = router->node_count;
    bool has_self = find(router, &router->ring->self.node) >= 0;
    uint32_t self = place_of(router, &router->ring->self.position.id);
    uint32_t count = 0;

    for (uint32_t step = 1; step <= node_count / 2 && count < count_max; step++) {
        const struct ring_node *ahead = at_place(router, self + step - (has_self ? 0 : 1));
        const struct ring_node *behind = at_place(router, self + node_count - step);

        nodes_out[count++] = ahead->node;
        if (behind != ahead && count < count_max) {
            nodes_out[count++] = behind->node;
        }
    }
    return count;
}

static bool range(const struct router *router, const struct node_id *node, uint32_t rank,
                  struct ring_key *from_out, struct ring_key *to_out)
{
    int place = find(router, node);
    uint32_t before = rank + 1 < router->node_count ? rank + 1 : 0;

    if (place < 0) {
        return false;
    }
    CHECK((uint32_t)place < router->node_count);
    *to_out = router->nodes[place].position;
    *from_out = at_place(router, (uint32_t)place + router->node_count - before)->position;
    return true;
}

const struct router_functions router_static = {local_lookup, next_hop, replica_set, neighbour_set,
                                               range};
