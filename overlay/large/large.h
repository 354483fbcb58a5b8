// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The parts of an overlay that a large community needs, where a node keeps only a part of the
 * membership, and lists that travel as changes: what they call each other for. For overlay/ only; comes with state.h.
 */
#include "overlay/state.h"

/* --- book.c: the table of members as an address book */
/* Takes up a member, in the place of another one when the table is full; `met`: whoever it is,
 * else only one that lies near. Its index, or -ENOSPC. */
int book_admit(struct overlay *overlay, const struct admission *admission, struct bytes encoded,
               bool met);
/* Is news of this node and its neighbours the member's concern? */
bool book_is_told(const struct overlay *overlay, int index);
/* Has it asked lately, as one that takes this node for its keeper, as far as it knows? */
bool book_has_asked(const struct overlay *overlay, int index);
/* Does this node answer for the position of the member, which is a leaf that is up? */
bool book_has_leaf(const struct overlay *overlay, int index);
bool book_is_neighbour(const struct overlay *overlay, const struct node_id *node);

/* Does the position lie among those around this node, which it must know? */
bool book_is_near(const struct overlay *overlay, const struct ring_key *position);

/* --- scale.c: small or large */
uint32_t scale_of_ring(const struct ring *ring);
uint32_t scale_size(const struct overlay *overlay);
/* The same as this node alone sees it at this moment. */
uint32_t scale_seen(const struct overlay *overlay);
/* So often one lost member is dialled, for ever, by each of so many nodes. */
uint64_t scale_redial_ms(uint32_t node_count);
void scale_up(struct overlay *overlay, uint32_t size);
/* More were admitted than the table holds. */
void scale_overflow(struct overlay *overlay);
void scale_hear(struct overlay *overlay, const minga_Digest *digest);
void scale_tick(struct overlay *overlay);

/* --- chain.c: who vouches for whom */
/* The admissions from this countersigner up to the community. Their count, or -1. */
int chain_from(const struct overlay *overlay, const struct public_key *countersigner,
               struct chain_link links_out[CHAIN_MAX]);
/* The admission of who countersigned this node's; empty when it is not known. */
struct bytes chain_countersigner(const struct overlay *overlay);
bool chain_is_long(const struct overlay *overlay);
/* Keeps the own chain, since its members may be forgotten. */
void chain_keep(struct overlay *overlay);
bool chain_vouches(const struct overlay *overlay, const struct admission *admission);
/* Is its own word enough? Where all know all, whom a member let in before it was expelled, or by an
 * invitation before that was revoked, is known to others, who tell of it: it may be made today, with
 * the date of then. In a large community nobody else may know it here. */
bool chain_may_greet(const struct overlay *overlay, const struct admission *admission);
/* Verifies an admission only to accept what its node countersigned. */
bool chain_take(struct overlay *overlay, struct bytes encoded);
/* Keeps on disk what the join has brought. */
void chain_store(struct overlay *overlay);
void chain_ask(struct overlay *overlay, const struct asker *asker);
void chain_on_ask(struct overlay *overlay, const struct arrival *arrival);
void chain_on_vouchers(struct overlay *overlay, const struct arrival *arrival);

/* --- contacts.c */
struct contact *contact_find(struct overlay *overlay, const struct node_id *node);
const struct contact *contact_look(const struct overlay *overlay, const struct node_id *node);
void contact_learn(struct overlay *overlay, const minga_Contact *named);
bool contact_fill(const struct overlay *overlay, const struct node_id *node, minga_Contact *out);
/* Should a greeting go to this one, which is no known member? */
bool contact_greets(struct overlay *overlay, const struct node_id *node);
void contact_lost(struct overlay *overlay, const struct node_id *node);
/* The present message names this node: asks its sender later who that is, if need be. */
void contacts_named(struct overlay *overlay, const struct node_id *node);
void contacts_ask(struct overlay *overlay, const struct node_id *from);
/* Does it stand as down, and has been greeted all the same since its link was last lost? */
bool contacts_is_tried(const struct overlay *overlay, const struct node_id *node);
void contacts_on_who(struct overlay *overlay, const struct arrival *arrival);
void contacts_on_reply(struct overlay *overlay, const struct request *request,
                       const struct arrival *arrival);
void contacts_received(struct overlay *overlay, const struct arrival *arrival);
void contacts_tick(struct overlay *overlay);

/* --- search.c: who holds a key */
bool search_is_known(const struct overlay *overlay, const struct ring_key *key);
/* The holders of a key that lies near this node; 0 for others. */
uint32_t search_holders(const struct overlay *overlay, const struct ring_key *key,
                        uint32_t count_max, struct node_id *nodes_out);
/* Of a key that lies farther behind: its holders, if this node is one of them; else 0. */
uint32_t search_own(const struct overlay *overlay, const struct ring_key *key, uint32_t count_max,
                    struct node_id *nodes_out);
bool search_start(struct overlay *overlay, const struct ring_key *key, enum search_for purpose,
                  uint64_t number);
/* A look-up by seeks has ended. */
void search_done(struct overlay *overlay, const struct search_result *result);
/* Is the owner of the key to be looked for before a request sets out to it? */
bool search_is_wanted(const struct overlay *overlay, const struct ring_key *key);
/* Does so; the request waits. False: too many are under way. */
bool search_first(struct overlay *overlay, struct request *request);

/* --- news.c: the keeper's successors */
struct ring_node place_of_member(const struct member *member);
/* Of any member we know where it stands. */
bool place_find(struct overlay *overlay, const pb_byte_t bytes[ID_BYTES], bool only_up,
                struct ring_node *node_out);
void news_fill(const struct overlay *overlay, uint32_t known, minga_StabiliseReply *reply);
/* `base`: the version that the question named. */
void news_take(struct overlay *overlay, const minga_StabiliseReply *reply, uint32_t base,
               struct ring_event *event);
/* After the ring has taken the answer. */
void news_doubt(struct overlay *overlay, const struct ring_event *event);

/* --- asks.c */
/* The agent's own look-up has ended. */
void asks_found(struct overlay *overlay, const struct search_result *result);

/* --- seeks.c: look-ups that withstand liars */
/* False: too many wait already. The end comes in a later step, as search_done(). */
bool seeks_start(struct overlay *overlay, const struct ring_key *key, const struct wanted *wanted);
void seeks_tick(struct overlay *overlay);
uint64_t seeks_wake(const struct overlay *overlay);
void seeks_on_next(struct overlay *overlay, const struct arrival *arrival);
void seeks_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival);
void seeks_on_timeout(struct overlay *overlay, const struct request *request);

/* --- far.c: fingers and known arcs */
void far_init(struct overlay *overlay);
void far_tick(struct overlay *overlay);
/* A member is up and has spoken itself; it is gone; it answered after so long. */
void far_known(struct overlay *overlay, int index);
void far_lost(struct overlay *overlay, int index);
/* It has answered a look-up, and says where its arc begins (or NULL). */
void far_heard(struct overlay *overlay, int index, const struct ring_key *from);
/* It has not answered one: no proof of a death. */
void far_silent(struct overlay *overlay, const struct ring_node *node);
void far_answered(struct overlay *overlay, int index, uint64_t rtt_ms);
/* `holders[0]` answers for the key of a finished lookup; `from`: the begin of its arc, or NULL. */
void far_found(struct overlay *overlay, const struct ring_key *key, const struct node_id *owner,
               const struct ring_key *from);

/* --- located.c: where keys lie that are asked for again and again */
void located_found(struct overlay *overlay, const struct ring_key *key,
                   const struct node_id *holders, uint32_t count);
/* Is it to be looked up with care, and not by asking the one that answered before? */
bool located_is_doubtful(const struct overlay *overlay, const struct ring_key *key);
bool located_is_fresh(const struct overlay *overlay, const struct ring_key *key);
uint32_t located_holders(const struct overlay *overlay, const struct ring_key *key,
                         uint32_t count_max, struct node_id *nodes_out);
