// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of state.h, which includes it: which of two members dials the other. */
#include "overlay/state.h"

/* --- callers.c: members who have dialled us */
void caller_send_on(struct overlay *overlay, uint64_t link, const minga_Message *message,
                    const struct chunk_id *chunk);
/* False: another way must be taken. */
bool caller_send(struct overlay *overlay, const struct node_id *to, const minga_Message *message,
                 const struct chunk_id *chunk);
/* The member has spoken on this inbound link, on which it has greeted. */
void peer_called(struct overlay *overlay, int index, uint64_t link);
/* It has not answered: the next message goes over a link of our own. */
void peer_unheard(struct overlay *overlay, const struct node_id *node);
/* That link has ended: what was said on it, and not answered yet, goes over one of our own. */
void peer_caller_lost(struct overlay *overlay, uint64_t link);
/* Is there a link to it, ours or its own, as far as is known? */
bool peer_is_linked(const struct member *member);

/* --- dispatch.c */
/* The link that the node had dialled has ended, and what went back on it may be lost: it is said again. */
void dispatch_caller_lost(struct overlay *overlay, const struct node_id *node);

/* --- dials.c: greetings after the start */
void dials_begin(struct overlay *overlay);
void dials_tick(struct overlay *overlay);
uint64_t dials_wake(const struct overlay *overlay);
