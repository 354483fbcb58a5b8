// SPDX-License-Identifier: GPL-3.0-or-later
/* What a node tells its keeper of those before it, and the names of lists. */
#include "overlay/ring/ring.h"

uint32_t ring_list_version(const struct node_id *list, uint32_t count)
{
    uint32_t version = 2166136261U;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 8; k++) {
            version = (version ^ list[i].id.bytes[k]) * 16777619U;
        }
    }
    return version == 0 ? 1 : version;
}

uint32_t ring_before(const struct ring *ring, struct ring_node list_out[PREDECESSORS_MAX])
{
    uint32_t count = 0;

    if (ring->has_newcomer) {
        list_out[count++] = ring->newcomer;
    }
    for (uint32_t i = 0; i < ring->predecessor_count && count < PREDECESSORS_MAX; i++) {
        list_out[count++] = ring->predecessors[i];
    }
    return count;
}

uint32_t ring_before_version(const struct ring *ring)
{
    struct ring_node list[PREDECESSORS_MAX];
    struct node_id nodes[PREDECESSORS_MAX];
    uint32_t count = ring_before(ring, list);

    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = list[i].node;
    }
    return ring_list_version(nodes, count);
}
