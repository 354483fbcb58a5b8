// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of state.h, which includes it: how nodes become members, and who is none any more. */
#include "overlay/state.h"

/* --- bans.c: a greeting is answered with expulsions when digests differ; a void one's with why,
 * an expelled one's with its expulsion, so that it can see for itself */
void bans_tell(struct overlay *overlay, const struct asker *asker, const minga_Digest *theirs);
void bans_refuse_no_member(struct overlay *overlay, const struct asker *asker, int index);
void bans_refuse_expelled(struct overlay *overlay, const struct asker *asker,
                          const struct ban *ban);

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
/* Is nobody else a member, and would this node know if somebody were? */
bool joining_is_alone(const struct overlay *overlay);
/* Takes this node's place on the ring, or gives it up. */
void joining_place(struct overlay *overlay, bool in_ring);
/* Starts to act as a member: ring, dials. */
void joining_begin(struct overlay *overlay);
