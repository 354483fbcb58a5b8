// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/neighbourhood.h"

#include <string.h>

#include "base/check.h"

static_assert(NEIGHBOURHOOD_MAX >= 1 + 2 * SUCCESSORS_MAX, "self and both sides have room");

static bool same(const struct ring_node *a, const struct ring_node *b)
{
    return id_equal(&a->position.id, &b->position.id);
}

static int successor_place(const struct ring *ring, const struct ring_node *node)
{
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (same(&ring->successors[i], node)) {
            return (int)i;
        }
    }
    return -1;
}

/* The circle is closed when the predecessor is met on the way forward. Who does not stand on the
 * ring knows no predecessor: a list that is not full may then pass for the circle. */
static bool is_whole(const struct ring *ring)
{
    if (ring->phase != RING_IN) {
        return ring->successor_count < SUCCESSORS_MAX;
    }
    return ring->has_predecessor && (same(&ring->predecessor, &ring->self) ||
                                     successor_place(ring, &ring->predecessor) >= 0);
}

static uint32_t successors_to_take(const struct ring *ring, bool whole)
{
    int last = ring->has_predecessor ? successor_place(ring, &ring->predecessor) : -1;

    return whole && last >= 0 ? (uint32_t)last + 1 : ring->successor_count;
}

static void add(struct neighbourhood *neighbourhood, const struct ring_node *node)
{
    CHECK(neighbourhood->count < NEIGHBOURHOOD_MAX);
    neighbourhood->nodes[neighbourhood->count++] = *node;
}

void neighbourhood_of(const struct ring *ring, struct neighbourhood *neighbourhood_out)
{
    struct neighbourhood *neighbourhood = neighbourhood_out;
    uint32_t successor_count;

    neighbourhood->count = 0;
    neighbourhood->has_self = ring->phase == RING_IN;
    neighbourhood->whole = is_whole(ring);
    if (!neighbourhood->whole && ring->has_predecessor && neighbourhood->has_self) {
        add(neighbourhood, &ring->predecessor);
    }
    neighbourhood->self = neighbourhood->count;
    if (neighbourhood->has_self) {
        add(neighbourhood, &ring->self);
    }
    successor_count = successors_to_take(ring, neighbourhood->whole);
    for (uint32_t i = 0; i < successor_count; i++) {
        add(neighbourhood, &ring->successors[i]);
    }
}

int neighbourhood_owner(const struct neighbourhood *neighbourhood, const struct ring_key *key)
{
    uint32_t count = neighbourhood->count;

    for (uint32_t i = neighbourhood->whole ? 0 : 1; i < count; i++) {
        const struct ring_node *before = &neighbourhood->nodes[(i + count - 1) % count];

        if (id_in_arc(&key->id, &before->position.id, &neighbourhood->nodes[i].position.id)) {
            return (int)i;
        }
    }
    return -1;
}

int neighbourhood_find(const struct neighbourhood *neighbourhood, const struct node_id *node)
{
    for (uint32_t i = 0; i < neighbourhood->count; i++) {
        if (id_equal(&neighbourhood->nodes[i].node.id, &node->id)) {
            return (int)i;
        }
    }
    return -1;
}

struct id neighbourhood_reach(const struct neighbourhood *neighbourhood,
                              const struct ring_key *self)
{
    struct id reach;

    memset(&reach, 0xff, sizeof(reach));
    if (!neighbourhood->whole && neighbourhood->count > 0) {
        reach = id_distance(&self->id, &neighbourhood->nodes[neighbourhood->count - 1].position.id);
    }
    return reach;
}

static uint64_t top_of(const struct id *id)
{
    uint64_t top = 0;

    for (int i = 0; i < 8; i++) {
        top = top << 8 | id->bytes[i];
    }
    return top;
}

uint64_t neighbourhood_community_size(const struct neighbourhood *neighbourhood)
{
    uint32_t count = neighbourhood->count;
    struct id span;
    uint64_t gap;

    if (neighbourhood->whole || count < 2) {
        return count > 0 ? count : 1;
    }
    span = id_distance(&neighbourhood->nodes[0].position.id,
                       &neighbourhood->nodes[count - 1].position.id);
    gap = top_of(&span) / (count - 1);
    return gap > 0 ? UINT64_MAX / gap : UINT64_MAX;
}

uint64_t neighbourhood_gap(uint64_t community_size)
{
    return community_size > 0 ? UINT64_MAX / community_size : UINT64_MAX;
}
