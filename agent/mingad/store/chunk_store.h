// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Chunks as files: CHUNKS/HASH, 64 hexadecimal digits, in one flat folder (minga-unpack finds
 * them there, and file systems of this century do not mind).
 *
 * Every file is verified when written and when read. One that cannot be read, or holds something
 * else, stays until a good copy takes its place: the trouble may be a passing one, and this the only
 * copy. All calls are synchronous, may block on the disk, and may come from several threads at once.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/ids.h"

struct chunk_store {
    int folder_fd; /* owned */
    /* Of the file system: below, chunks are refused. The pool's threads read it. */
    _Atomic uint64_t keep_free_bytes;
};

/* Opens the folder, making it if missing; removes what an interrupted write left. */
int chunk_store_open(const char *folder, uint64_t keep_free_bytes, struct chunk_store *store_out,
                     struct err *err);
void chunk_store_close(struct chunk_store *store);

typedef void chunk_visit(void *context, const struct chunk_id *chunk, uint64_t length_bytes);
/* Visits every chunk there is; contents are verified when read, not here. */
int chunk_store_scan(const struct chunk_store *store, chunk_visit *visit, void *context,
                     struct err *err);

struct chunk_room {      /* on the file system */
    uint64_t free_bytes; /* above what is kept free */
    const char *refuses; /* why chunks are refused; "" while they are not */
};
/* For a chunk of that length, or any. */
struct chunk_room chunk_store_room(const struct chunk_store *store, size_t length_bytes);
/* Does the disk take a file at all? Leaves nothing behind. Returns 0 or -errno. */
int chunk_store_try(const struct chunk_store *store);

struct chunk_id chunk_store_id(struct bytes data);

enum { CHUNK_WAS_THERE = 1 };

/*
 * Verifies and writes durably; one that is there already and can be read stays as it is. Returns 0,
 * CHUNK_WAS_THERE (nothing was written), -EBADMSG (wrong hash or length), -ENOSPC (full, or below keep_free_bytes) or another -errno.
 */
int chunk_store_put(const struct chunk_store *store, const struct chunk_id *chunk,
                    struct bytes data);
/*
 * Reads and verifies. *data_out is malloc'ed, the caller's. Returns 0, -ENOENT, -EBADMSG (rotten: it
 * holds something else), -EIO (the disk does not give it, whatever it says), or -ENOMEM and its like,
 * which say nothing of the chunk.
 */
int chunk_store_get(const struct chunk_store *store, const struct chunk_id *chunk,
                    uint8_t **data_out, size_t *length_bytes_out);
/* The same for nobody's use, from the disk itself and not from what memory has of it. */
int chunk_store_look(const struct chunk_store *store, const struct chunk_id *chunk,
                     uint64_t *length_bytes_out);
/* Is that a result of these two which says that there is no such chunk to be had? */
bool chunk_store_lacks(int result);
/* Is there such a file? Its content is not looked at. */
bool chunk_store_has(const struct chunk_store *store, const struct chunk_id *chunk);
/* Deletes; 0 also when there was none. */
int chunk_store_drop(const struct chunk_store *store, const struct chunk_id *chunk);
