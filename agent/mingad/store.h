// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What must survive the process: the overlay's blobs, (kind, key, number) -> bytes, in SQLite.
 *
 * One writer, synchronous and durable: what store_apply wrote is on the disk when it returns.
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

/*
 * Opens the file `path`, or makes it. A damaged file fails with -EBADMSG and a hint; nothing is
 * ever repaired silently, since a node that forgot records would acknowledge them wrongly.
 */
int store_open(const char *path, struct store **store_out, struct err *err);
void store_close(struct store *store);

typedef void store_visit(void *context, const struct overlay_blob *blob);
/* Visits every blob, ordered by kind, key and number. */
int store_load(struct store *store, store_visit *visit, void *context, struct err *err);

/* All changes of the batch, in order, in one transaction: all durable (0), or none. */
int store_apply(struct store *store, const struct store_batch *batch, struct err *err);
