// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What must survive the process: the overlay's blobs, (kind, key, number) -> bytes, in SQLite.
 *
 * One writer, synchronous and durable: what store_apply wrote is on the disk when it returns, in
 * SQLite's log. store_checkpoint moves it from there to the database, at the caller's leisure.
 * Calls on one store never overlap (the caller sees to it), but may come from any thread.
 */
#include "base/err.h"
#include "overlay/overlay.h"

struct store;

enum {
    STORE_BLOB_BYTES_MAX = 65536, /* a longer one in the file is damage */
    STORE_BATCH_MAX = 512,        /* changes in one transaction */
};

struct store_change { /* one OVERLAY_STORE effect; owns its bytes */
    enum overlay_blob_kind kind;
    struct id key;
    uint64_t number;
    uint8_t *data; /* NULL: delete */
    size_t length_bytes;
    uint64_t token;
};

struct store_batch {
    uint32_t count;
    struct store_change changes[STORE_BATCH_MAX];
};

/* Copies the blob into the batch. Returns 0, -ENOBUFS (full) or -ENOMEM. */
int store_batch_add(struct store_batch *batch, const struct overlay_blob *blob, uint64_t token);
/* Frees the copies; the batch is empty afterwards. */
void store_batch_clear(struct store_batch *batch);

struct store_mend { /* what store_open had to do to a damaged file */
    bool is_mended;
    bool is_log_damaged;    /* the last commits are lost, in a file that is whole besides */
    uint32_t kept_count;    /* rows */
    uint32_t damaged_count; /* rows that were there but not whole; others may be lost unseen */
};

/*
 * Opens the file `path`, or makes it. Every page and every row of it is checked. A damaged one is
 * replaced by one with all rows that are whole, and kept beside it as `path`.damaged: what others
 * know comes back from them. -EBADMSG and a hint when what nobody else knows is not whole.
 */
int store_open(const char *path, struct store **store_out, struct err *err);
void store_close(struct store *store);
/* What store_open had to do. */
const struct store_mend *store_mended(const struct store *store);

typedef void store_visit(void *context, const struct overlay_blob *blob);
/* Visits every blob, ordered by kind, key and number. */
int store_load(struct store *store, store_visit *visit, void *context, struct err *err);

/* All changes of the batch, in order, in one transaction: all durable (0), or none. */
int store_apply(struct store *store, const struct store_batch *batch, struct err *err);

enum store_log { STORE_LOG_SHORT, STORE_LOG_LONG, STORE_LOG_TOO_LONG };
/* SHORT: nothing to do; LONG: to be moved when nobody waits; TOO_LONG: now. */
enum store_log store_log_state(const struct store *store);
/* Moves what is in the log to the database. Slow. What fails stays in the log. */
int store_checkpoint(struct store *store, struct err *err);
