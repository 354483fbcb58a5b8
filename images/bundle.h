// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A bundle in a folder, ready to be pushed: its manifest, its tree, its chunks.
 *
 * For the command `minga push`: a tarball is unpacked into a staging folder first (worker.h); a
 * folder given by the user is read in place, by the same rules. service.yaml at the root is the
 * manifest and no part of the tree. Files are read twice: when hashed, and again when their
 * chunks are sent; one that changed in between is an error, never a wrong chunk.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "base/ids.h"
#include "images/manifest.h"

struct bundle;

struct bundle_totals {
    uint32_t file_count; /* regular files */
    uint64_t bytes;      /* in all files */
};

/* Called with each chunk while the folder is hashed; may be NULL. */
typedef void bundle_progress(void *context, uint64_t hashed_bytes, uint64_t all_bytes);

struct bundle_source {
    int folder_fd;    /* borrowed; stays open until bundle_free */
    const char *name; /* for messages: "wiki.tar.zst" */
    bundle_progress *progress;
    void *progress_context;
};

/*
 * Parses the manifest, walks, cuts and hashes the folder, checks command[0] and fills in
 * manifest.archs where the manifest leaves them open.
 * Returns 0, or a negative code with err naming the entry and the rule (-EINVAL: refused).
 */
int bundle_open(const struct bundle_source *source, struct bundle **bundle_out, struct err *err);
void bundle_free(struct bundle *bundle);

const struct manifest *bundle_manifest(const struct bundle *bundle);
struct tree_id bundle_tree(const struct bundle *bundle);
struct bundle_totals bundle_totals(const struct bundle *bundle);

/* What was dropped (setuid bits and the like), one line each; index < bundle_note_count. */
uint32_t bundle_note_count(const struct bundle *bundle);
const char *bundle_note(const struct bundle *bundle, uint32_t index);

/* The distinct chunks: files' first, then the index's, the root block last. */
uint32_t bundle_chunk_count(const struct bundle *bundle);
struct chunk_id bundle_chunk_id(const struct bundle *bundle, uint32_t index);
uint32_t bundle_chunk_bytes(const struct bundle *bundle, uint32_t index);
/*
 * Reads a chunk into data_out (room for CHUNK_BYTES_MAX) and checks its hash.
 * Returns its length, or a negative code with err ("changed while it was pushed").
 */
int bundle_read_chunk(const struct bundle *bundle, uint32_t index, uint8_t *data_out,
                      struct err *err);
