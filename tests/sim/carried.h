// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What is pushed at a node: stored there, or, while its disk is full, carried past it in memory. */
#include <stdbool.h>

#include "agent/core/core.h"

struct world;

/* The service's present chunk is handed to that node: fills in the request to spread it. */
void carried_begin(struct world *world, uint32_t node, uint32_t service,
                   struct core_request *request);
/* Has this node the chunk in memory only? */
bool carried_has(const struct world *world, uint32_t node, const struct chunk_id *chunk);
/* Is what was acknowledged by that node on so many disks? If not, the run fails, or somebody lies. False
 * also where it lies on one disk alone and need not: its owner is told so, and pushes again. */
bool carried_check(struct world *world, uint32_t node, uint32_t service,
                   const struct core_answer *answer);
