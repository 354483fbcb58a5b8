// SPDX-License-Identifier: GPL-3.0-or-later
/* The list of successors, and which of them is the keeper. */
#include <string.h>

#include "overlay/ring_internal.h"

const struct ring_node *ring_keeper(const struct ring *ring)
{
    return ring->keeper < ring->successor_count ? &ring->successors[ring->keeper] : NULL;
}

uint32_t ring_place_of(const struct ring *ring, const struct ring_node *node)
{
    uint32_t place = 0;

    while (place < ring->successor_count && !ring_same(&ring->successors[place], node)) {
        place++;
    }
    return place;
}

void ring_trust(struct ring *ring, const struct ring_node *node)
{
    uint32_t place = ring_place_of(ring, node);

    if (place < ring->successor_count) {
        ring->keeper = place;
    }
}

static void remove_at(struct ring *ring, uint32_t place)
{
    ring->successor_count--;
    memmove(&ring->successors[place], &ring->successors[place + 1],
            (ring->successor_count - place) * sizeof(ring->successors[0]));
    if (ring->keeper > place) {
        ring->keeper--;
    } else if (ring->keeper == place) {
        ring->keeper = 0; /* nearer ones may have come onto the ring meanwhile */
    }
}

void ring_remove_successor(struct ring *ring, const struct ring_node *node)
{
    uint32_t place = ring_place_of(ring, node);

    if (place < ring->successor_count) {
        remove_at(ring, place);
    }
}

bool ring_insert_successor(struct ring *ring, const struct ring_node *node)
{
    /* Those before a keeper that is the last are not on the ring: it is not the one to go. */
    uint32_t last = SUCCESSORS_MAX - (ring->keeper == SUCCESSORS_MAX - 1 ? 2 : 1);
    uint32_t place = 0;

    if (ring_same(node, &ring->self) || ring_place_of(ring, node) < ring->successor_count) {
        return false;
    }
    while (place < ring->successor_count &&
           !ring_between(node, &ring->self, &ring->successors[place])) {
        place++;
    }
    if (ring->successor_count == SUCCESSORS_MAX) {
        if (place > last) {
            return false;
        }
        remove_at(ring, last);
    }
    memmove(&ring->successors[place + 1], &ring->successors[place],
            (ring->successor_count - place) * sizeof(ring->successors[0]));
    ring->successors[place] = *node;
    ring->successor_count++;
    /* It may not be on the ring yet: the keeper stays the one it was. */
    if (ring->keeper >= place && ring->successor_count > 1) {
        ring->keeper++;
    }
    ring->all_idle = false;
    return place == 0;
}

void ring_follow(struct ring *ring, const struct ring_node *node)
{
    if (ring_place_of(ring, node) == ring->successor_count) {
        (void)ring_insert_successor(ring, node);
    }
    if (ring_place_of(ring, node) == ring->successor_count && !ring_same(node, &ring->self)) {
        ring->successors[SUCCESSORS_MAX - 1] = *node;
        ring->all_idle = false;
    }
    ring_trust(ring, node);
}
