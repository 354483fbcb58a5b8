// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which chunks this node stores. Pure table: open addressing by the id's first bits (ids are
 * hashes), so that a range of the ring is a range of slots; bounded in number and in bytes.
 *
 * A bad one takes its place in the share, and is garbage like others, but is not had: no search,
 * range or fingerprint shows it.
 */
#include <stdbool.h>

#include "base/ids.h"
#include "base/limits.h"

enum {
    CHUNK_SLOTS = 2 * CHUNKS_MAX,
    CHUNK_BLOCK_BYTES = 4096,
    CHUNK_EXTRA_BYTES = 512,
    CHUNK_REFERENCES_MAX = 4, /* of one chunk; with more it is kept for good */
    STAND_INS_MAX = CHUNK_COPIES - 1,
};

struct chunk {
    bool used;
    bool is_common : 1; /* more need it than can be noted */
    bool is_bad : 1;    /* its file is here, but was not to be read, or held something else */
    uint8_t reference_count;
    uint8_t others_count;                      /* had it, of those that offered_mark is of */
    uint16_t references[CHUNK_REFERENCES_MAX]; /* places in references.h */
    /* 1 + places of members that have it where homes have no room; 0: unknown */
    uint16_t stand_ins[STAND_INS_MAX];
    uint32_t bytes;
    uint32_t used_s;       /* last fetched or served, in the overlay's own seconds */
    uint32_t home_mark;    /* not 0: of the homes that all had it when it was handed over, or pushed
                              from here, ... */
    uint32_t offered_mark; /* ... or that were asked, and some had no room */
    struct chunk_id id;
};

struct chunks {
    uint32_t count;
    uint64_t bytes;
    uint64_t cost_bytes; /* with what files and their notes take besides */
    uint64_t bytes_max;  /* of cost_bytes */
    uint32_t bad_count;  /* of `count`, and of `bytes` */
    uint64_t bad_bytes;
    uint64_t used_bits[CHUNK_SLOTS / 64]; /* of `list`: a walk does not touch what is empty */
    struct chunk list[CHUNK_SLOTS];
};

/* NULL when it is not here, or bad. */
const struct chunk *chunks_find(const struct chunks *chunks, const struct chunk_id *id);
/* Also a bad one; to change anything but its id, its size and whether it is bad. */
struct chunk *chunks_entry(struct chunks *chunks, const struct chunk_id *id);
/* Here, and bad: a copy needs no room besides. */
bool chunks_is_bad(const struct chunks *chunks, const struct chunk_id *id);
void chunks_set_bad(struct chunks *chunks, struct chunk *chunk, bool is_bad);
/* What a chunk takes of the share: whole blocks, its inode, its name, its row in the database. */
uint64_t chunk_cost_bytes(uint64_t bytes);
/* Room that was promised to others that are on their way. */
struct chunks_promised {
    uint32_t count;
    uint64_t cost_bytes;
};
/* Is there room for one more of this size besides? */
bool chunks_have_room(const struct chunks *chunks, uint64_t bytes, struct chunks_promised promised);
/* Returns 0 (also when known, and good from now on), or -ENOSPC when the table itself is full. */
int chunks_add(struct chunks *chunks, const struct chunk_id *id, uint32_t bytes);
void chunks_remove(struct chunks *chunks, const struct chunk_id *id);
/* Walks slots, of bad ones, too: *cursor starts at 0; NULL at the end. Stable while nothing is
 * removed. */
const struct chunk *chunks_next(const struct chunks *chunks, uint32_t *cursor);

/* All chunks in the arc (from, to] of the ring, nearly in ring order; (x, x] is all of it. Stable
 * while nothing is added or removed. */
struct chunks_walk {
    struct id from;
    struct id to;
    uint32_t slot;
    uint32_t left; /* slots that lie in the arc */
    uint32_t seen;
};
struct chunks_walk chunks_walk(const struct chunks *chunks, const struct id *from,
                               const struct id *to);
const struct chunk *chunks_walk_next(const struct chunks *chunks, struct chunks_walk *walk);

/* A fingerprint of the chunks in (from, to]: equal for equal sets, and for others, whoever chose
 * them, only by chance. */
struct chunks_sum {
    uint32_t count;
    uint64_t sum;
};
/* What one id adds to the sum. */
uint64_t chunks_mix(const struct id *id, uint64_t nonce);
struct chunks_sum chunks_sum(const struct chunks *chunks, const struct id *from,
                             const struct id *to, uint64_t nonce);
