// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The ring as a whole, over what all nodes and all messages under way say. Zave's inductive
 * invariant ("Reasoning about identifier spaces", 2017), and the ideal ring after the faults.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct world;

/* Could a living node look dead lately, or two that know of each other be kept apart? */
bool check_ring_is_disturbed(struct world *world);
/*
 * At least one ring, at most one, ordered, appendages connected: of the nodes that are in the ring,
 * by the first successor of each that is alive and in it too. Zave's model has no false deaths: it
 * is judged where for SETTLED_MS no message was held up and no node stalled; crashes and joins may
 * go on. Fails the run.
 */
void check_ring_invariant(struct world *world);
/* A list in flight: in clockwise order from its sender, nobody twice, without the sender. */
void check_ring_message(struct world *world, uint32_t node, struct bytes message);
/* Successor lists and predecessors exactly as the definition wants them. Else says what is not. */
bool check_ring_ideal(struct world *world);
