// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Performs the effects of a node's core in virtual time: the simulator's edge. */
#include <stdint.h>

struct world;

/* Performs world->effects, just filled by the node's core, and empties the list. */
void perform(struct world *world, uint32_t node);
/* What the node's wall clock shows. */
uint64_t perform_wall_s(const struct world *world, uint32_t node);
