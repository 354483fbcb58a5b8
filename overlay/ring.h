// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * This node's place on the ring: predecessor, successor list, the arc it answers for. Pure.
 *
 * Chord as corrected by Zave ("Reasoning about identifier spaces: how to make Chord correct",
 * 2017): join, stabilise, rectify. A newcomer answers for nothing until its successor has taken
 * it as predecessor and so handed the arc over; a node whose predecessor died takes the arc over
 * itself. Because everyone knows everyone, the membership gives hints (KNOWN, LOST) that make
 * this quick; the protocol alone would come to the same ring, later.
 *
 * Invariants: successors are sorted by clockwise distance, without repetition, without self; the
 * epoch never falls; an arc is only reported while the node is IN with a predecessor.
 * A node alone is its own predecessor: the arc (x, x] is the whole ring.
 */
#include <stdbool.h>

#include "base/ids.h"
#include "base/limits.h"

enum {
    RING_JOIN_MS = 200, /* a joining node asks its successor so often */
    RING_EFFECTS_MAX = 8,
};

enum ring_phase { RING_OUT, RING_JOINING, RING_IN };

struct ring_node {
    struct node_id node;
    struct ring_key position;
};

enum ring_event_kind {
    RING_BEGIN, /* joins; `alone` when nobody else is known */
    RING_LEAVE, /* answers for nothing any more */
    RING_TICK,
    RING_KNOWN,            /* node is up */
    RING_LOST,             /* node is dead or left; `other` is the nearest member before us */
    RING_STABILISED,       /* node's answer: its predecessor and successors */
    RING_ASKED_TO_RECTIFY, /* node says that it is our predecessor */
    RING_RECTIFIED,        /* node's answer to that */
};

struct ring_event {
    enum ring_event_kind kind;
    uint64_t now_ms;
    struct ring_node node;
    bool alone;               /* BEGIN */
    bool has_other;           /* LOST, STABILISED, RECTIFIED */
    struct ring_node other;   /* LOST: the member before us; else the answer's predecessor */
    bool accepted;            /* RECTIFIED */
    uint64_t epoch;           /* of the other side */
    uint32_t successor_count; /* STABILISED */
    struct ring_node successors[SUCCESSORS_MAX];
};

enum ring_effect_kind { RING_SEND_STABILISE, RING_SEND_RECTIFY, RING_ARC };

struct ring_effect {
    enum ring_effect_kind kind;
    struct node_id to;
};

struct ring_effects {
    uint32_t count;
    struct ring_effect list[RING_EFFECTS_MAX];
    bool accepted;   /* ASKED_TO_RECTIFY: the answer */
    bool has_before; /* the predecessor that the asking node follows on */
    struct ring_node before;
};

struct ring {
    struct ring_node self;
    enum ring_phase phase;
    bool has_predecessor;
    struct ring_node predecessor;
    bool has_before; /* the one before the present predecessor, for repeated questions */
    struct ring_node before;
    uint32_t successor_count;
    struct ring_node successors[SUCCESSORS_MAX];
    uint64_t epoch;
    bool has_arc; /* an arc was reported */
    struct ring_key arc_from;
    uint64_t settle_ms; /* joining: alone when nobody was found until then */
    uint64_t next_ms;   /* of the periodic work */
};

void ring_init(struct ring *ring, const struct ring_node *self, uint64_t epoch);
void ring_step(struct ring *ring, const struct ring_event *event, struct ring_effects *effects_out);
bool ring_responsible(const struct ring *ring, const struct ring_key *key);
