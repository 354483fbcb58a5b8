// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring.h"

#include <string.h>

#include "base/check.h"

void ring_init(struct ring *ring, const struct ring_node *self, uint64_t epoch)
{
    memset(ring, 0, sizeof(*ring));
    ring->self = *self;
    ring->epoch = epoch;
}

static bool same(const struct ring_node *a, const struct ring_node *b)
{
    return id_equal(&a->node.id, &b->node.id);
}

static void want(struct ring_effects *effects, enum ring_effect_kind kind,
                 const struct ring_node *to)
{
    if (effects->count < RING_EFFECTS_MAX) {
        effects->list[effects->count++] = (struct ring_effect){kind, to->node};
    }
}

/* Is `key` strictly between two nodes, clockwise? Between a node and itself lies everything. */
static bool strictly_between(const struct ring_node *node, const struct ring_node *from,
                             const struct ring_node *to)
{
    return !id_equal(&node->position.id, &to->position.id) &&
           id_in_arc(&node->position.id, &from->position.id, &to->position.id);
}

static void take_predecessor(struct ring *ring, const struct ring_node *node)
{
    ring->has_before = ring->has_predecessor;
    ring->before = ring->predecessor;
    ring->has_predecessor = true;
    ring->predecessor = *node;
}

static void remove_successor(struct ring *ring, const struct ring_node *node)
{
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        if (same(&ring->successors[i], node)) {
            ring->successor_count--;
            memmove(&ring->successors[i], &ring->successors[i + 1],
                    (ring->successor_count - i) * sizeof(ring->successors[0]));
            return;
        }
    }
}

/* Keeps the nearest ones. Returns whether it is the first successor now. */
static bool insert_successor(struct ring *ring, const struct ring_node *node)
{
    struct id distance = id_distance(&ring->self.position.id, &node->position.id);
    uint32_t place = 0;

    if (same(node, &ring->self)) {
        return false;
    }
    for (; place < ring->successor_count; place++) {
        struct id other =
            id_distance(&ring->self.position.id, &ring->successors[place].position.id);

        if (same(&ring->successors[place], node)) {
            return false;
        }
        if (id_compare(&distance, &other) < 0) {
            break;
        }
    }
    if (place == SUCCESSORS_MAX) {
        return false;
    }
    if (ring->successor_count == SUCCESSORS_MAX) {
        ring->successor_count--;
    }
    memmove(&ring->successors[place + 1], &ring->successors[place],
            (ring->successor_count - place) * sizeof(ring->successors[0]));
    ring->successors[place] = *node;
    ring->successor_count++;
    return place == 0;
}

static void see_epoch(struct ring *ring, uint64_t epoch)
{
    /* A liar could push it to the end of its range and so stop it: take steps, not leaps. */
    if (epoch > ring->epoch && epoch - ring->epoch < UINT32_MAX) {
        ring->epoch = epoch;
    }
}

static void become_alone(struct ring *ring)
{
    ring->phase = RING_IN;
    take_predecessor(ring, &ring->self);
}

static void on_begin(struct ring *ring, const struct ring_event *event)
{
    ring->phase = RING_JOINING;
    ring->settle_ms = event->now_ms + ABSENT_MS;
    ring->next_ms = event->now_ms;
    if (event->alone) {
        become_alone(ring);
    }
}

static void on_tick(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    if (ring->phase == RING_OUT || event->now_ms < ring->next_ms) {
        return;
    }
    if (ring->phase == RING_JOINING) {
        ring->next_ms = event->now_ms + RING_JOIN_MS;
        if (ring->successor_count > 0) {
            want(effects, RING_SEND_RECTIFY, &ring->successors[0]);
        } else if (event->now_ms >= ring->settle_ms) {
            become_alone(ring);
        }
        return;
    }
    ring->next_ms = event->now_ms + STABILISE_MS;
    if (ring->successor_count > 0) {
        want(effects, RING_SEND_STABILISE, &ring->successors[0]);
    }
}

static void on_known(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects)
{
    if (insert_successor(ring, &event->node) && ring->phase != RING_OUT) {
        want(effects, ring->phase == RING_JOINING ? RING_SEND_RECTIFY : RING_SEND_STABILISE,
             &event->node);
    }
}

static void on_lost(struct ring *ring, const struct ring_event *event, struct ring_effects *effects)
{
    bool was_first = ring->successor_count > 0 && same(&ring->successors[0], &event->node);

    remove_successor(ring, &event->node);
    if (ring->has_before && same(&ring->before, &event->node)) {
        ring->has_before = false;
    }
    if (ring->has_predecessor && same(&ring->predecessor, &event->node)) {
        ring->has_predecessor = false;
        if (event->has_other) {
            take_predecessor(ring, &event->other);
        } else if (ring->phase == RING_IN) {
            take_predecessor(ring, &ring->self);
        }
        ring->has_before = false;
    }
    if (was_first && ring->successor_count > 0 && ring->phase == RING_IN) {
        want(effects, RING_SEND_RECTIFY, &ring->successors[0]);
    }
}

static void on_stabilised(struct ring *ring, const struct ring_event *event,
                          struct ring_effects *effects)
{
    see_epoch(ring, event->epoch);
    for (uint32_t i = 0; i < event->successor_count && i < SUCCESSORS_MAX; i++) {
        (void)insert_successor(ring, &event->successors[i]);
    }
    if (ring->phase == RING_OUT || ring->successor_count == 0) {
        return;
    }
    if (event->has_other && strictly_between(&event->other, &ring->self, &event->node) &&
        insert_successor(ring, &event->other)) {
        want(effects, RING_SEND_STABILISE, &event->other);
        return;
    }
    if (same(&ring->successors[0], &event->node) &&
        (!event->has_other || !same(&event->other, &ring->self))) {
        want(effects, RING_SEND_RECTIFY, &event->node);
    }
}

/* Zave's rectify: the nearer one stands; a dead predecessor was taken away by LOST. */
static void on_asked_to_rectify(struct ring *ring, const struct ring_event *event,
                                struct ring_effects *effects)
{
    see_epoch(ring, event->epoch);
    (void)insert_successor(ring, &event->node);
    if (ring->phase == RING_OUT) {
        return;
    }
    if (ring->has_predecessor && same(&ring->predecessor, &event->node)) {
        effects->accepted = true;
        effects->has_before = ring->has_before && !same(&ring->before, &event->node);
        effects->before = ring->before;
        return;
    }
    effects->has_before = ring->has_predecessor;
    effects->before = ring->predecessor;
    if (!ring->has_predecessor || strictly_between(&event->node, &ring->predecessor, &ring->self)) {
        take_predecessor(ring, &event->node);
        effects->accepted = true;
    }
}

static void on_rectified(struct ring *ring, const struct ring_event *event,
                         struct ring_effects *effects)
{
    see_epoch(ring, event->epoch);
    if (ring->phase == RING_OUT) {
        return;
    }
    if (!event->accepted) {
        /* Someone lies between us and our successor. */
        if (event->has_other && insert_successor(ring, &event->other)) {
            want(effects, RING_SEND_STABILISE, &event->other);
        }
        return;
    }
    if (event->has_other && !same(&event->other, &ring->self) &&
        (!ring->has_predecessor ||
         strictly_between(&event->other, &ring->predecessor, &ring->self))) {
        take_predecessor(ring, &event->other);
    }
    ring->phase = RING_IN;
}

static void report_arc(struct ring *ring, struct ring_effects *effects)
{
    if (ring->phase != RING_IN || !ring->has_predecessor) {
        return;
    }
    if (ring->has_arc && id_equal(&ring->arc_from.id, &ring->predecessor.position.id)) {
        return;
    }
    ring->has_arc = true;
    ring->arc_from = ring->predecessor.position;
    ring->epoch++;
    want(effects, RING_ARC, &ring->self);
}

void ring_step(struct ring *ring, const struct ring_event *event, struct ring_effects *effects_out)
{
    uint64_t epoch_before = ring->epoch;

    effects_out->count = 0;
    effects_out->accepted = false;
    effects_out->has_before = false;
    switch (event->kind) {
    case RING_BEGIN:
        on_begin(ring, event);
        break;
    case RING_LEAVE:
        ring->phase = RING_OUT;
        ring->has_predecessor = false;
        ring->has_arc = false;
        break;
    case RING_TICK:
        on_tick(ring, event, effects_out);
        break;
    case RING_KNOWN:
        on_known(ring, event, effects_out);
        break;
    case RING_LOST:
        on_lost(ring, event, effects_out);
        break;
    case RING_STABILISED:
        on_stabilised(ring, event, effects_out);
        break;
    case RING_ASKED_TO_RECTIFY:
        on_asked_to_rectify(ring, event, effects_out);
        break;
    case RING_RECTIFIED:
        on_rectified(ring, event, effects_out);
        break;
    }
    report_arc(ring, effects_out);
    CHECK(ring->epoch >= epoch_before);
    CHECK(ring->successor_count <= SUCCESSORS_MAX);
}

bool ring_responsible(const struct ring *ring, const struct ring_key *key)
{
    return ring->phase == RING_IN && ring->has_predecessor &&
           id_in_arc(&key->id, &ring->predecessor.position.id, &ring->self.position.id);
}
