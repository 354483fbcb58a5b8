// SPDX-License-Identifier: GPL-3.0-or-later
/* What a node tells its keeper of those before it, and the name of that. */
#include "overlay/ring.h"

/* FNV-1a: a mistake costs a list that is sent twice, or once too seldom until the next change. */
static uint32_t name_of(const struct ring_node *list, uint32_t count)
{
    uint32_t name = 2166136261U;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 8; k++) {
            name = (name ^ list[i].node.id.bytes[k]) * 16777619U;
        }
    }
    return name == 0 ? 1 : name;
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
    uint32_t count = ring_before(ring, list);

    return name_of(list, count);
}
