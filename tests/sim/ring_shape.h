// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Zave's inductive invariant ("Reasoning about identifier spaces", 2017) on the ring as a whole:
 * every node has a successor that lives, there is at least one ring and at most one, it is in
 * order, and every other node leads to it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

enum { RING_SHAPE_NODES_MAX = 128 };

struct ring_shape {
    uint32_t count;
    bool in[RING_SHAPE_NODES_MAX];       /* has joined, and lives */
    uint32_t best[RING_SHAPE_NODES_MAX]; /* first successor that is in; count: there is none */
    struct id positions[RING_SHAPE_NODES_MAX];
};

/* NULL, or what is wrong; `node_out`: of whom. */
const char *ring_shape_problem(const struct ring_shape *shape, uint32_t *node_out);
