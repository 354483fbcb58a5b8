// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of state.h, which includes it: how nodes become members. */
#include "overlay/state.h"

/* --- joining.c */
void joining_on_join(struct overlay *overlay, const struct arrival *arrival);
void joining_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival);
void joining_on_timeout(struct overlay *overlay, const struct request *request);
void joining_on_relay_reply(struct overlay *overlay, const struct request *request,
                            const struct arrival *arrival);
void joining_synced(struct overlay *overlay, bool ok);
/* A link is up: is it a contact's? */
void joining_met(struct overlay *overlay, const struct node_id *node);
/* Takes over a community's signed record if it verifies. */
bool joining_take_community(struct overlay *overlay, struct bytes encoded);

/* --- begin.c */
/* Is nobody else a member? */
bool joining_is_alone(const struct overlay *overlay);
/* Takes this node's place on the ring, or gives it up. */
void joining_place(struct overlay *overlay, bool in_ring);
/* Starts to act as a member: ring, dials. */
void joining_begin(struct overlay *overlay);
