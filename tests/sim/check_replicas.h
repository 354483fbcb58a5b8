// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Replicas and their bundles, as nobody inside can see them. */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"

struct world;

/* A manager ends the younger one of two that fill a slot, not the older. */
void check_replicas_stopping(struct world *world, uint32_t node, const struct replica_key *key);
/* A node that has been without a cable for long runs nothing. Every 100 ms. */
void check_replicas_alone(struct world *world);
/* Each chunk of what runs has its copies, after the faults. Else says which has not. */
bool check_replicas_chunks(struct world *world);
/* An executor is asked to start what a second disk knows of, if there is another manager. */
void check_replicas_asked(struct world *world, uint32_t node, struct bytes message);
