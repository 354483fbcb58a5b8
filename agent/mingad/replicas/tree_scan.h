// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Which chunks of a tree are not in the local store? Blocking: for a worker thread. */
#include "agent/core/core.h"
#include "agent/mingad/store/chunk_store.h"
#include "base/err.h"

struct tree_scan {
    bool is_thorough;
    uint32_t missing_count;                    /* 0: all are there */
    struct chunk_id missing[SCAN_MISSING_MAX]; /* the first ones */
    int why[SCAN_MISSING_MAX];                 /* chunk_store_get's result */
    uint32_t here_count;  /* of the files' chunks, those that are here of the ones looked at ... */
    uint32_t chunk_count; /* ... of so many; 0: the index is not complete */
};

/*
 * Without the root block only that is missing; without a part of the index only such parts.
 * Returns 0; -EBADMSG when root block or index are invalid (the owner's fault: fetching again
 * would not help), or another -errno.
 */
int tree_scan(const struct chunk_store *store, const struct tree_id *tree,
              struct tree_scan *scan_out, struct err *err);
/* The same, but every chunk is read: rotten ones, and those that the disk does not give, are missing. */
int tree_verify(const struct chunk_store *store, const struct tree_id *tree,
                struct tree_scan *scan_out, struct err *err);
