// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The location cache: arcs of the ring that their owners have named themselves, so that a key in
 * one of them is one hop away. Only a hint, as the owner confirms each answer. Pure.
 *
 * Of LOCATIONS_MAX arcs the one that was not used for longest makes room. An arc that is learnt
 * corrects what it contradicts: nodes inside it are gone, and an arc that overlaps is cut.
 *
 * Invariants: sorted by position; no position twice; no position inside another's arc.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/ring/ring.h"

enum { LOCATIONS_MAX = 256 };

struct location { /* node answers for (from, its position] */
    struct ring_node node;
    struct ring_key from;
    uint64_t used; /* count at the last use */
};

struct locations {
    uint64_t used_count;
    uint32_t count;
    struct location list[LOCATIONS_MAX]; /* by position */
};

void locations_init(struct locations *locations);
void locations_learn(struct locations *locations, const struct ring_node *node,
                     const struct ring_key *from);
/* The node is silent, or says that the key is not its own. */
void locations_forget(struct locations *locations, const struct ring_node *node);
/* A look-up through this place: it stays longer. */
void locations_touch(struct locations *locations, const struct ring_node *node);

/* In whose arc the key lies, or NULL. */
const struct location *locations_owner(const struct locations *locations,
                                       const struct ring_key *key);
/* Places strictly between `self` and the key, nearest to the key first. */
uint32_t locations_before(const struct locations *locations, const struct ring_key *self,
                          const struct ring_key *key, uint32_t count_max,
                          const struct location **locations_out);
