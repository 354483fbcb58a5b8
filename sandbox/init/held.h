// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Streams of forwarded connections that wait for the line: one queue for each direction, so that
 * all of a replica's connections have their turns alike.
 */
#include "sandbox/init/forward.h"

/* Of what comes from that end. */
struct line_gate *held_gate(const struct forward *forward, enum forward_end from);
/* How much of a stream may be read now; 0: it waits for its turn, see forward_release. */
uint64_t held_room_bytes(struct forward *forward, struct connection *connection,
                         enum forward_end from);
void held_init(struct forward *forward);
/* At the end of the queue, if it does not wait already. */
void held_add(struct forward *forward, struct connection *connection, enum forward_end from);
void held_remove(struct forward *forward, struct connection *connection, enum forward_end from);
bool held_any(const struct forward *forward, enum forward_end from);
/* Takes the one that has waited longest; NULL: none waits. */
struct connection *held_take(struct forward *forward, enum forward_end from);
