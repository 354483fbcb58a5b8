// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of state.h, which includes it: owners' records, written, kept, read and compared. */
#include "overlay/state.h"

/* --- holders.c: who keeps the records of a key */
/* The key's image in the neighbourhood `turn`; 0: itself. */
struct ring_key holders_image(const struct ring_key *key, uint32_t turn);
/* Those of one neighbourhood, who answers for the image first; 0: none, or not known here. */
uint32_t holders_of(const struct overlay *overlay, const struct ring_key *key, uint32_t turn,
                    struct node_id nodes_out[RECORD_COPIES]);
bool holders_has(const struct overlay *overlay, const struct ring_key *key, uint32_t turn,
                 const struct node_id *node);
/* Of any neighbourhood that is known here. */
bool holders_has_any(const struct overlay *overlay, const struct ring_key *key,
                     const struct node_id *node);

/* --- images.c: the other neighbourhoods (large communities only) */
/* Begins, or goes on with, the comparison with them. */
void images_tick(struct overlay *overlay);
uint64_t images_wake(const struct overlay *overlay);
void images_found(struct overlay *overlay, const struct search_result *result);
/* A comparison with one of them has ended; `is_equal`: it had nothing that was lacking here. */
void images_compared(struct overlay *overlay, bool is_equal);
/* Has, since the arc is what it is, one of them been compared with for all of it? Else what was
 * lost here may still be there. */
bool images_are_compared(const struct overlay *overlay);
/* Asks the nodes that answer for the images of a key, found by look-ups first, at once. Returns how
 * many. What comes back belongs to `token`. */
uint32_t images_ask(struct overlay *overlay, enum request_kind kind, const struct ring_key *key,
                    minga_Message *message, uint64_t token);
/* One of them is responsible for an image of this record: the others there are sent it, too. */
void images_pass_on(struct overlay *overlay, const struct record *record);

/* --- record_put.c */
void record_put_on_message(struct overlay *overlay, const struct arrival *arrival);
void record_put_on_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival);
void record_put_on_timeout(struct overlay *overlay, const struct request *request);
/* A holder does not answer at once. */
void record_put_on_silence(struct overlay *overlay, const struct request *request);
/* This node's own disk has it, or refuses it. */
void record_put_on_kept(struct overlay *overlay, uint64_t number, bool failed);
bool record_put_here(struct overlay *overlay, const struct request *request);
void record_put_tick(struct overlay *overlay);
uint64_t record_put_wake(const struct overlay *overlay);

/* --- record_owners.c */
bool record_owner_stands(const struct overlay *overlay, const struct public_key *owner);
/* Its nodes, or what is known of them, are others than before. */
void record_owners_weigh(struct overlay *overlay, const struct public_key *owner);
void record_owners_weigh_all(struct overlay *overlay);

/* --- record_copy.c */
/* What others have durably: it stands at once. Returns false without room to wait for the disk. */
bool record_keep(struct overlay *overlay, const struct record *record);
/* Enough disks have it, this one or others: it stands here, or whoever reads next would be told of the
 * one before. */
void record_stand(struct overlay *overlay, const struct record *record);
/* It stands; is it on the disk, too? Written once more, the put is told. False without room. */
bool record_store_again(struct overlay *overlay, const struct record *record, uint64_t put_number);
/* NEWER: it will stand when it is durable; then the waiter is told. SAME, too, when it is being
 * written. */
enum record_merge record_store(struct overlay *overlay, const struct record *record,
                               const struct store_waiter *waiter);
void record_copy_on_message(struct overlay *overlay, const struct arrival *arrival);
void record_copy_on_stored(struct overlay *overlay, uint64_t token, bool failed);

/* --- record_lost.c */
/* `comes` has come where `stands` stands: if it is another write with the same sequence, the
 * owner's nodes are told of the one that is lost. */
void record_lost_look(struct overlay *overlay, const struct record *stands,
                      const struct record *comes);
void record_lost_on_message(struct overlay *overlay, const struct arrival *arrival);

/* --- record_get.c */
void record_get_on_message(struct overlay *overlay, const struct arrival *arrival);
void record_get_on_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival);
void record_get_on_timeout(struct overlay *overlay, const struct request *request);
/* The one that was asked does not answer at once. */
void record_get_on_silence(struct overlay *overlay, const struct request *request);
void record_get_tick(struct overlay *overlay);
uint64_t record_get_wake(const struct overlay *overlay);
void record_get_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                           uint32_t count);

/* --- settled.c: who has nothing that the responsible node lacks */
void settled_begin(struct overlay *overlay);
bool settled_has(const struct overlay *overlay, const struct node_id *node);
/* Its records are to be compared soon. */
void settled_want(struct overlay *overlay, const struct node_id *node);
void settled_add(struct overlay *overlay, const struct node_id *node);
/* It was away. */
void settled_drop(struct overlay *overlay, const struct node_id *node);
/* Is this node responsible for the key, and has no other holder anything newer? If it only lacks
 * the comparison, that is begun. */
bool settled_is_whole(struct overlay *overlay, const struct ring_key *key);

/* --- sync.c: anti-entropy */
void sync_forget(struct overlay *overlay, int index);
void sync_want(struct overlay *overlay, int index);
/* A record that this node lacked came from this member, and is durable. */
void sync_brought(struct overlay *overlay, int index);
void sync_start(struct overlay *overlay, const struct node_id *peer);
void sync_tick(struct overlay *overlay);
/* Something may not have reached all its holders: rounds follow fast for a while. */
void sync_hasten(struct overlay *overlay);
uint64_t sync_wake(const struct overlay *overlay);
void sync_on_summary(struct overlay *overlay, const struct arrival *arrival);
void sync_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival);
void sync_on_timeout(struct overlay *overlay, const struct request *request);

/* --- sync_records.c: the section of records, range by range */
void sync_records_begin(struct overlay *overlay);
/* What was asked for last has been answered. */
void sync_records_go_on(struct overlay *overlay);
void sync_records_on_ranges(struct overlay *overlay, const minga_ChunkRangesReply *answer);
/* Compares the records of (from, to], and of its images, with one who answers for an image of it.
 * images_compared() when that is over. */
void sync_start_image(struct overlay *overlay, const struct node_id *peer,
                      const struct compare_arc *arc);
/* --- of sync.c, for it */
void sync_send_page(struct overlay *overlay);
void sync_end_records(struct overlay *overlay);
struct section sync_section(const struct overlay *overlay);

/* --- sections.c: what anti-entropy compares */
/* The first own entry of a section behind `after` (NULL: the first of all). */
bool section_next(const struct overlay *overlay, const struct section *section,
                  const struct record_key *after, minga_Entry *entry_out);
/* The own record that an entry names. */
bool section_find_record(const struct overlay *overlay, const minga_Entry *named,
                         minga_Entry *entry_out);
/* Is an own entry, which the peer of a section lacks, its business? And one of the peer's ours? */
bool section_for_peer(const struct overlay *overlay, const struct section *section,
                      const minga_Entry *entry);
bool section_wants(const struct overlay *overlay, minga_SyncSection section,
                   const minga_Entry *entry);
/* Fills an Item or RecordCopy message with what an entry stands for. */
bool section_message(const struct overlay *overlay, minga_SyncSection section,
                     const minga_Entry *entry, minga_Message *message_out);
