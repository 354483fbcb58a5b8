// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who of those let in at the doors for members has to go when there is no place for one more.
 *
 * A flow of datagrams that is silent costs its client little, for the next datagram begins another; a
 * connection would be lost. So a flow gives way that has been silent for VISITS_YIELD_MS: of the
 * member that has most flows, the one silent longest. Who comes drives out nobody who has less than
 * itself, neither flows nor places.
 *
 * Of lists of pipes (relays/relay_pipe.h); no memory of its own.
 */
#include "agent/mingad/relays/relay_pipe.h"

enum { VISITS_YIELD_MS = 1000 };

/* How many are let in, of the member or (NULL) of all. */
uint32_t visits_count(const struct pipe *pipes, const struct node_id *member);
/* Has that member a flow that would give way to another visit of its own? */
bool visits_may_yield(const struct pipe *pipes, const struct node_id *member, uint64_t now_ms);
/*
 * `newest` is in the list, counted already. `of_its_own`: its member has too many; else all have.
 * NULL: nobody gives way, and it is itself to go.
 */
struct pipe *visits_to_yield(struct pipe *pipes, const struct pipe *newest, bool of_its_own,
                             uint64_t now_ms);
