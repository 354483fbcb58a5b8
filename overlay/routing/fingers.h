// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Long-distance knowledge of the ring: a table of fingers in base 16. Pure.
 *
 * The circle, seen clockwise from self, is cut into slots: slot (level, digit) holds the distances
 * whose hexadecimal form has `level` leading zeros and then `digit` (1 to 15). With one node in
 * each slot a hop fixes one digit. Up to FINGER_SLOT_CANDIDATES nodes compete for a slot: the node
 * that answers for the slot's first point always stays, of the others those with the shortest
 * round trips. Slots that the successor list covers need no finger.
 *
 * A finger's own word on its arc is kept with it: a key in a known arc needs no second hop.
 *
 * Repair: one slot's first point is looked up per period. Slots whose finger was lost come first,
 * then all in turn; the period shrinks when such a look-up finds something new and grows when it
 * does not, so that about one in eight is news, within fixed bounds of traffic.
 *
 * Only nodes that have answered themselves are to be told as KNOWN; what others say of them may
 * be a lie. Invariants: sorted by distance, no node twice, self never in it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/ring/ring.h"

enum {
    FINGER_LEVELS_MAX = 8, /* 16^8 nodes and more */
    FINGER_SLOTS = FINGER_LEVELS_MAX * 15,
    FINGER_SLOT_CANDIDATES = 5,
    FINGERS_MAX = 256,
    FINGER_SLOT_NONE = -1,

    FINGERS_FILL_MS = 500,          /* between look-ups while slots are known to be wrong */
    FINGERS_PERIOD_MS_MIN = 28000,  /* between routine look-ups */
    FINGERS_PERIOD_MS_MAX = 120000, /* the same, where hardly anything changes */
};

struct finger {
    struct ring_node node;
    bool has_from;
    struct ring_key from; /* it answers for (from, its position], by its own word */
    uint32_t rtt_ms;      /* smoothed; 0: not measured */
};

struct fingers {
    struct ring_node self;
    struct id near_distance; /* so far reaches the successor list */
    uint32_t count;
    struct finger list[FINGERS_MAX]; /* by clockwise distance from self */
    uint32_t rtt_mean_ms;            /* of all measured; 0: none yet */
    bool stale[FINGER_SLOTS];        /* its last finger was lost, or it was never looked up */
    uint32_t cursor;                 /* slot of the last look-up */
    uint32_t period_ms;
    uint64_t looked_ms; /* when the last look-up began */
};

enum fingers_event_kind {
    FINGERS_KNOWN, /* node has answered; perhaps with its arc and a round trip */
    FINGERS_LOST,  /* node is silent, dead or gone */
    FINGERS_RTT,   /* a round trip to node was measured */
    FINGERS_FOUND, /* the end of a look-up that an effect asked for: node answers for `target` */
    FINGERS_TICK,  /* with the distance that the successor list reaches */
};

struct fingers_event {
    enum fingers_event_kind kind;
    uint64_t now_ms;       /* TICK */
    struct ring_node node; /* all but TICK */
    bool has_from;         /* KNOWN, FOUND */
    struct ring_key from;
    uint32_t rtt_ms;         /* KNOWN, RTT; 0: not measured */
    struct ring_key target;  /* FOUND */
    struct id near_distance; /* TICK; all ones: the successor list is the whole ring */
};

struct fingers_effects {
    bool look_up; /* who answers for `target`? Tell FOUND. */
    struct ring_key target;
};

void fingers_init(struct fingers *fingers, const struct ring_node *self);
void fingers_step(struct fingers *fingers, const struct fingers_event *event,
                  struct fingers_effects *effects_out);

/* When a TICK may next bring a look-up. */
uint64_t fingers_wake_ms(const struct fingers *fingers);

/* The finger in whose known arc the key lies, or NULL. */
const struct finger *fingers_owner(const struct fingers *fingers, const struct ring_key *key);
/* Fingers strictly between self and the key, nearest to the key first. */
uint32_t fingers_before(const struct fingers *fingers, const struct ring_key *key,
                        uint32_t count_max, const struct finger **fingers_out);
const struct finger *fingers_find(const struct fingers *fingers, const struct ring_node *node);
/* Does the finger answer for the first point of its slot? No node can choose to do so. */
bool finger_is_constrained(const struct fingers *fingers, const struct finger *finger);

/* The slot of a distance, or FINGER_SLOT_NONE when it is too near; and a slot's first point. */
int fingers_slot(const struct id *distance);
struct ring_key fingers_slot_start(const struct ring_key *self, uint32_t slot);
