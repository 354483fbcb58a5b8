// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of state.h, which includes it: chunks kept, compared, repaired and collected. */
#include "overlay/state.h"

/* --- habits.c: who is usually away, and for how long */
/* Seconds of a clock that goes on over restarts. */
uint64_t habits_now_s(const struct overlay *overlay);
void habits_tick(struct overlay *overlay);
uint64_t habits_wake(const struct overlay *overlay);
/* Another member takes this one's place in the table. */
void habits_forget(struct overlay *overlay, int index);
int habits_load(struct overlay *overlay, const struct overlay_blob *blob);

/* --- home.c: where chunks live */
/* The homes of a key, in ring order (homes.h). */
uint32_t chunk_homes(const struct overlay *overlay, const struct ring_key *key,
                     struct chunk_home homes_out[HOMES_MAX]);
/* Does it store, and is not gone for longer than its habit? */
bool chunk_may_be_home(const struct overlay *overlay, int index);
/* Those that store and are up, in ring order from the chunk on; not of a large community. */
uint32_t chunk_first_up(const struct overlay *overlay, const struct chunk_id *chunk,
                        uint32_t count_max, struct node_id *nodes_out);
/* The arcs of the ring, (from, to], between two positions that follow each other: all keys of one
 * have the same homes. There is one at least. */
struct chunk_arc {
    struct ring_key from;
    struct ring_key to;
};
uint32_t chunk_arc_count(const struct overlay *overlay);
struct chunk_arc chunk_arc(const struct overlay *overlay, uint32_t place);
bool chunk_is_home(const struct overlay *overlay, const struct chunk_id *chunk,
                   const struct node_id *node);

/* --- rebalance.c: this node's positions */
uint64_t rebalance_capacity_kib(const struct overlay *overlay);
void rebalance_begin(struct overlay *overlay);
/* This node gives more or less than before. */
void rebalance_resized(struct overlay *overlay);
void rebalance_tick(struct overlay *overlay);
uint64_t rebalance_wake(const struct overlay *overlay);
/* A member's record is new; it had these positions before. */
void rebalance_described(struct overlay *overlay, int index, uint16_t before);

/* --- compare.c: ranges of chunks by their fingerprints */
void compare_start(struct overlay *overlay, int index);
/* The engine of both: asks for fingerprints of the last ranges that are to be looked at; takes the
 * answer, which leaves smaller ranges to be looked at, and those that are to be listed. */
struct request *compare_ask(struct overlay *overlay, struct compare *compare,
                            enum request_kind kind);
void compare_take(struct overlay *overlay, struct compare *compare,
                  const minga_ChunkRangesReply *answer);
void compare_on_ranges(struct overlay *overlay, const struct arrival *arrival);
void compare_on_list(struct overlay *overlay, const struct arrival *arrival);
void compare_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival);
void compare_on_timeout(struct overlay *overlay, const struct request *request);

/* --- repair.c: when, with whom, and what lives elsewhere */
void repair_begin(struct overlay *overlay);
void repair_ring_changed(struct overlay *overlay);
/* Other chunks have their homes here, or some have no more. */
void repair_positions_changed(struct overlay *overlay);
/* Somebody pushes chunks that have their home here. */
void repair_pushed(struct overlay *overlay);
void repair_forget(struct overlay *overlay, int index);
/* Compares with this member soon. */
void repair_want(struct overlay *overlay, int index, uint64_t when_ms);
void repair_compared(struct overlay *overlay, const struct node_id *peer, bool is_equal);
/* Stands for the homes of a chunk that are up. */
uint32_t repair_home_mark(const struct overlay *overlay, const struct chunk_id *chunk);
/* When something may be sent, as it looks now. Not to be kept: what nobody wanted is given back, and
 * the line becomes faster. */
uint64_t repair_upload_ms(const struct overlay *overlay);
/* A chunk's file is good. What there is no room for, whatever was promised, goes again, and is not in
 * the table afterwards. */
void repair_stored(struct overlay *overlay, const struct chunk_id *chunk, uint32_t bytes);
/* What was thought to be here is not: fetched again if it lives here. */
void repair_lost(struct overlay *overlay, const struct chunk_id *chunk);
/* The same of one that is bad: its file stays until a copy takes its place, or it is good again. */
void repair_read(struct overlay *overlay, const struct overlay_event *event);
void repair_tick(struct overlay *overlay);
uint64_t repair_wake(const struct overlay *overlay);

/* --- shed.c: what no longer fits */
/* More may lie here than is given now. */
void shed_begin(struct overlay *overlay);
/* What is here may go at any moment: nobody should count on it. */
bool shed_disowns(const struct overlay *overlay);
/* A chunk_put_shed has ended. */
void shed_offered(struct overlay *overlay, const struct chunk_put *put);
void shed_tick(struct overlay *overlay);
uint64_t shed_wake(const struct overlay *overlay);

/* --- chunk_get.c */
/* It sent something else. */
void chunk_blame(struct overlay *overlay, const struct node_id *node);
struct chunks_promised chunk_get_promised(const struct overlay *overlay);

/* --- serve.c: what others ask for */
void serve_on_message(struct overlay *overlay, const struct arrival *arrival);

/* --- chunk_receive.c: what others offer */
/* To what others offer, and to what is fetched: all of it may come. */
struct chunks_promised storage_promised(const struct overlay *overlay);
/* Within the share, which records and what files cost count towards, and in the table? */
bool storage_has_room(const struct overlay *overlay, uint64_t bytes,
                      struct chunks_promised promised);
/* The same, if need be in place of chunks that others hold and this node need not (chunk_get.c). */
bool storage_make_room(struct overlay *overlay, uint64_t bytes, struct chunks_promised promised);
/* What the disk has said to a chunk, whosever it was. */
void storage_written(struct overlay *overlay, enum overlay_chunk_outcome outcome);
minga_ChunkAnswer chunk_receive_judge(struct overlay *overlay, const struct arrival *arrival,
                                      const minga_ChunkOffer *offered);
void chunk_receive_on_data(struct overlay *overlay, const struct arrival *arrival);
bool chunk_receive_on_stored(struct overlay *overlay, const struct overlay_event *event);
/* Its references are durable, too. False: not its write. */
bool chunk_receive_on_noted(struct overlay *overlay, uint64_t token, bool failed);

/* --- collect_notes.c: for whom chunks are kept */
void collect_store_reference(struct overlay *overlay, uint16_t place);
void collect_store_note(struct overlay *overlay, const struct chunk *chunk, uint64_t token);
void collect_delete_note(struct overlay *overlay, const struct chunk_id *chunk);
/* It was bad, which was noted. */
void collect_note_good(struct overlay *overlay, const struct chunk *chunk);
/* Takes one of its references from a chunk. */
void collect_detach(struct overlay *overlay, struct chunk *chunk, uint32_t which);
/* Notes for whom a chunk that is here is kept; durable with `token` (0: nobody waits). False: there
 * is no room, or nothing to write. `is_new`: pushed or fetched, so what was dead lives again. */
bool collect_note(struct overlay *overlay, const struct chunk_id *chunk,
                  const struct chunk_references *references, bool is_new, uint64_t token);
/* Would it only be dropped again? */
bool collect_refuses(const struct overlay *overlay, const struct chunk_references *references);
struct chunk_references collect_references(const struct overlay *overlay,
                                           const struct chunk *chunk);
struct chunk_references collect_one(const struct overlay_reference *reference);
/* Removes it from the table, and what was noted of it. */
void collect_forget(struct overlay *overlay, const struct chunk_id *chunk);
int collect_load_reference(struct overlay *overlay, const struct overlay_blob *blob);
int collect_load_chunk(struct overlay *overlay, const struct overlay_blob *blob);
/* What was noted of chunks that are not there is forgotten. */
void collect_begin(struct overlay *overlay);

/* --- collect.c: which are garbage */
void collect_on_record(struct overlay *overlay, const struct record *record, bool is_certain);
/* A record stands, here or with those whom it was given to: whose chunks does it name? */
void collect_on_seen(struct overlay *overlay, struct bytes encoded);
void collect_tick(struct overlay *overlay);
uint64_t collect_wake(const struct overlay *overlay);
/* Reads the newest version of a record for collect.c. False: not now. */
bool record_get_own(struct overlay *overlay, const struct record_key *key);

/* --- chunk_put.c */
/* Gives a copy to one that should have it. False: not now. */
bool chunk_put_push(struct overlay *overlay, const struct chunk_id *chunk,
                    const struct chunk_home *home);
/* Offers a chunk to others, so that it can go from here; ends in shed_offered. False: not now. */
bool chunk_put_shed(struct overlay *overlay, const struct chunk_id *chunk);
/* Offers a chunk that lives elsewhere to its homes; `mark` is noted when all have it. */
bool chunk_put_hand_over(struct overlay *overlay, const struct chunk_id *chunk,
                         const struct chunk_home *homes, uint32_t count, uint32_t mark);
