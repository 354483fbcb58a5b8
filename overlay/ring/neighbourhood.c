// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/neighbourhood.h"

#include <string.h>

#include "base/check.h"

enum {
    WHOLE_UNSEEN =
        LIMIT(7, 4), /* successors before the predecessor that need no look at their gaps */
    WHOLE_JUMP = 8,
};

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

/*
 * The circle is closed when the predecessor is met on the way forward. In a large ring it may also
 * stand at the end of a successor list that has just lost some: then a long way lies before it,
 * many times that of all others together, and nothing is known of it. Few nodes with few gaps
 * between them show no such thing, but nor does a large ring lose so many at once.
 */
static bool is_closed_by(const struct ring *ring, uint32_t place)
{
    struct id way;
    struct id jump;

    if (ring->successor_count == SUCCESSORS_MAX) {
        return false;
    }
    if (place < WHOLE_UNSEEN) {
        return true;
    }
    way = id_distance(&ring->predecessors[0].position.id, &ring->successors[place - 1].position.id);
    jump =
        id_distance(&ring->successors[place - 1].position.id, &ring->predecessors[0].position.id);
    return id_top(&jump) / WHOLE_JUMP <= id_top(&way);
}

/* Who does not stand on the ring knows no predecessor: a list that is not full may then pass for
 * the circle. */
static bool is_whole(const struct ring *ring)
{
    int place;

    if (ring->phase != RING_IN) {
        return ring->successor_count < SUCCESSORS_MAX;
    }
    if (ring->predecessor_count == 0) {
        return false;
    }
    place = successor_place(ring, &ring->predecessors[0]);
    return same(&ring->predecessors[0], &ring->self) ||
           (place >= 0 && is_closed_by(ring, (uint32_t)place));
}

/* Of the predecessors those in order; what is not is hearsay of another ring. */
static uint32_t predecessors_to_take(const struct ring *ring)
{
    uint32_t count = 0;

    while (count < ring->predecessor_count &&
           (count == 0 || id_in_arc(&ring->predecessors[count].position.id, &ring->self.position.id,
                                    &ring->predecessors[count - 1].position.id))) {
        count++;
    }
    return count;
}

/* Who comes at or behind the first predecessor has been met before. A list that has just lost some
 * may end with one of them, and most of the circle before it. */
static uint32_t successors_to_take(const struct ring *ring, bool whole)
{
    uint32_t met_count = predecessors_to_take(ring);
    uint32_t count = 0;

    if (whole || met_count == 0) {
        int last = met_count > 0 ? successor_place(ring, &ring->predecessors[0]) : -1;

        return last < 0 ? ring->successor_count : (uint32_t)last + 1;
    }
    while (count < ring->successor_count &&
           !same(&ring->successors[count], &ring->predecessors[met_count - 1]) &&
           !id_in_arc(&ring->successors[count].position.id,
                      &ring->predecessors[met_count - 1].position.id, &ring->self.position.id)) {
        count++;
    }
    return count;
}

static void add(struct neighbourhood *neighbourhood, const struct ring_node *node)
{
    CHECK(neighbourhood->count < NEIGHBOURHOOD_MAX);
    neighbourhood->nodes[neighbourhood->count++] = *node;
}

/* Farthest first. */
static void add_predecessors(struct neighbourhood *neighbourhood, const struct ring *ring)
{
    uint32_t count = predecessors_to_take(ring);

    while (count > 0) {
        add(neighbourhood, &ring->predecessors[--count]);
    }
}

void neighbourhood_of(const struct ring *ring, struct neighbourhood *neighbourhood_out)
{
    struct neighbourhood *neighbourhood = neighbourhood_out;
    uint32_t successor_count;

    neighbourhood->count = 0;
    neighbourhood->has_self = ring->phase == RING_IN;
    neighbourhood->whole = is_whole(ring);
    if (!neighbourhood->whole && neighbourhood->has_self) {
        add_predecessors(neighbourhood, ring);
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
    gap = id_top(&span) / (count - 1);
    return gap > 0 ? UINT64_MAX / gap : UINT64_MAX;
}

uint64_t neighbourhood_gap(uint64_t community_size)
{
    return community_size > 0 ? UINT64_MAX / community_size : UINT64_MAX;
}
