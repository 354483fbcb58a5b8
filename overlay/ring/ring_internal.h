// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What the two halves of the ring call each other for: ring.c asks, ring_keeper.c is asked. */
#include "overlay/ring/ring.h"

/* Of a foreign number: what it may be at most, and 1 for none. */
static inline uint32_t ring_pace(uint32_t pace)
{
    return pace == 0 ? 1 : pace < RING_PACE_MAX ? pace : RING_PACE_MAX;
}

/* So long does a keeper wait after it was asked for a lease of that pace. */
static inline uint64_t ring_grant_ms(uint32_t pace)
{
    return (uint64_t)GRANT_MS * pace;
}

bool ring_same(const struct ring_node *a, const struct ring_node *b);
/* Strictly between, clockwise; between a node and itself lies everything else. */
bool ring_between(const struct ring_node *node, const struct ring_node *from,
                  const struct ring_node *to);
void ring_want(struct ring_effects *effects, enum ring_effect_kind kind,
               const struct ring_node *to);
/* Takes steps, not leaps: a liar could push the epoch to the end of its range. */
void ring_see_epoch(struct ring *ring, uint64_t epoch);
/* Is the arc the whole ring? */
bool ring_is_alone(const struct ring *ring);
void ring_become_alone(struct ring *ring, uint64_t now_ms);
/* The node that is asked for the lease, or NULL. */
const struct ring_node *ring_keeper(const struct ring *ring);
/* From now on this one is asked. */
void ring_trust(struct ring *ring, const struct ring_node *node);

/* Of the arc that a joining node has given up somebody may still have a part by its word, which the keeper
 * that hands it that arc again does not know. */
bool keeper_owes(const struct ring *ring, uint64_t now_ms);
void keeper_on_asked(struct ring *ring, const struct ring_event *event,
                     struct ring_effects *effects);
void keeper_on_handed(struct ring *ring, const struct ring_event *event);
void keeper_take_epoch(struct ring *ring, uint64_t epoch);
/* An answer hands the arc over that it names. */
void keeper_take_arc(struct ring *ring, const struct ring_event *event);
/* A lease comes after the last one ran out: the first predecessor is waited for anew. */
void keeper_doubt(struct ring *ring, const struct ring_event *event);
/* predecessors[0] is there and asks no more: the arc begins at the nearest that is up. */
void keeper_yield(struct ring *ring, const struct ring_event *event);
/* predecessors[0] is lost: notes it, once. */
void keeper_lose(struct ring *ring, const struct ring_event *event);
/* Takes over what is surely nobody's any more. `other`: the nearest member before us, or NULL. */
void keeper_extend(struct ring *ring, const struct ring_event *event);
/* When that may next be possible; 0: nothing is waited for. */
uint64_t keeper_extend_ms(const struct ring *ring);
