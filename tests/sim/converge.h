// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Is the community as it ought to be when nothing disturbs it? */
#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/ids.h"
#include "overlay/protocol.pb.h"

struct overlay;
struct world;
struct client_service;

/* True when all is well; otherwise world->checker.problem says what is not. */
bool converged(struct world *world);
/* Does it run and take part? */
bool converge_takes_part(const struct world *world, uint32_t node);
/* And can be dialled, so that it has a place on the ring? */
bool converge_stands(const struct world *world, uint32_t node);
/* Must the node know the other? In a large community those that follow it on the ring. */
bool converge_must_see(const struct world *world, uint32_t node, uint32_t other);
/* Records a problem; always false. */
bool converge_problem(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
/* Of a service's record of that kind, as this node has it; 0: it has none. */
uint64_t converge_sequence(const struct overlay *overlay, const struct client_service *service,
                           minga_RecordKind kind);
/* The node that ought to answer for a key; node_count when nobody takes part. */
uint32_t converge_ideal_node(const struct world *world, const struct ring_key *key);
/* How many more replicas could run, were there room for each on every node. */
uint32_t converge_missing(const struct world *world);
/* Replicas that run, wherever. */
uint32_t converge_running(const struct world *world, const struct client_service *service);
