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
bool chunk_is_home(const struct overlay *overlay, const struct chunk_id *chunk,
                   const struct node_id *node);

/* --- compare.c: ranges of chunks by their fingerprints */
void compare_start(struct overlay *overlay, int index);
void compare_on_ranges(struct overlay *overlay, const struct arrival *arrival);
void compare_on_list(struct overlay *overlay, const struct arrival *arrival);
void compare_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival);
void compare_on_timeout(struct overlay *overlay, const struct request *request);

/* --- repair.c: when, with whom, and what lives elsewhere */
void repair_begin(struct overlay *overlay);
void repair_ring_changed(struct overlay *overlay);
void repair_forget(struct overlay *overlay, int index);
/* Compares with this member soon. */
void repair_want(struct overlay *overlay, int index, uint64_t when_ms);
void repair_compared(struct overlay *overlay, const struct node_id *peer, bool is_equal);
/* Stands for the homes of a chunk that are up. */
uint32_t repair_home_mark(const struct overlay *overlay, const struct chunk_id *chunk);
/* What was thought to be here is not, or is rotten: fetched again if it lives here. */
void repair_lost(struct overlay *overlay, const struct chunk_id *chunk);
void repair_tick(struct overlay *overlay);
uint64_t repair_wake(const struct overlay *overlay);

/* --- chunk_put.c */
/* Gives a copy to one that should have it. False: not now. */
bool chunk_put_push(struct overlay *overlay, const struct chunk_id *chunk,
                    const struct chunk_home *home);
/* Offers a chunk that lives elsewhere to its homes; `mark` is noted when all have it. */
bool chunk_put_hand_over(struct overlay *overlay, const struct chunk_id *chunk,
                         const struct chunk_home *homes, uint32_t count, uint32_t mark);
