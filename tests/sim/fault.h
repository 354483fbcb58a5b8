// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Makes the faults of the schedule happen, and ends them. */
#include <stdint.h>

struct service_id;
struct sim_node;
struct world;

/* Puts all faults of the schedule into the queue. */
void fault_schedule(struct world *world);
/* The node that a number of the schedule means now; node_count when it means none. */
uint32_t fault_node(const struct world *world, uint32_t number);
/* Frees what faults have left with a node. */
void fault_forget(struct sim_node *node);
/* The node that answers for a service's record loses power and disk now, and is back later. Not within one
 * of its own steps. */
void fault_wipe_writer(struct world *world, const struct service_id *service, uint64_t for_ms);
