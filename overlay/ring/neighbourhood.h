// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The stretch of the ring that a node sees without gaps: predecessors, itself, successors, in
 * ring order. Within it who answers for a key is known, as far as anything here can be. Pure.
 */
#include "overlay/ring/ring.h"

enum { NEIGHBOURHOOD_MAX = PREDECESSORS_MAX + 1 + SUCCESSORS_MAX };

struct neighbourhood {
    bool whole; /* it is the whole ring: after the last one comes the first */
    bool has_self;
    uint32_t self;  /* place of self; without self the place of the first successor */
    uint32_t count; /* may be 0 */
    struct ring_node nodes[NEIGHBOURHOOD_MAX];
};

/* Self belongs to it only while it stands on the ring (RING_IN). */
void neighbourhood_of(const struct ring *ring, struct neighbourhood *neighbourhood_out);

/* The place of who answers for the key; -1 when that lies outside. */
int neighbourhood_owner(const struct neighbourhood *neighbourhood, const struct ring_key *key);
int neighbourhood_find(const struct neighbourhood *neighbourhood, const struct node_id *node);
/* How far the successor list reaches from self: all ones when it is the whole ring. */
struct id neighbourhood_reach(const struct neighbourhood *neighbourhood,
                              const struct ring_key *self);

/* How many nodes the community likely has, after the density here. Never 0. */
uint64_t neighbourhood_community_size(const struct neighbourhood *neighbourhood);
/* Top 64 bits of the mean distance between neighbours on a ring of so many. Never 0. */
uint64_t neighbourhood_gap(uint64_t community_size);
