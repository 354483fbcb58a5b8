// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/tree_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "images/tree.h"

static void note_missing(struct tree_scan *scan, const struct chunk_id *chunk, int why)
{
    if (scan->missing_count < SCAN_MISSING_MAX) {
        scan->why[scan->missing_count] = why;
        scan->missing[scan->missing_count++] = *chunk;
    }
}

/* Returns 1 with the root, 0 when it is not there, or a negative code. */
static int load_root(const struct chunk_store *store, const struct tree_id *tree,
                     struct tree_scan *scan, struct tree_root *root_out, struct err *err)
{
    CLEANUP(cleanup_free) uint8_t *data = NULL;
    struct chunk_id chunk = tree_root_chunk(tree);
    size_t length_bytes = 0;
    int r = chunk_store_get(store, &chunk, &data, &length_bytes);

    if (chunk_store_lacks(r)) {
        note_missing(scan, &chunk, r);
        return 0;
    }
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "root block: %m");
    }
    if (tree_root_decode((struct bytes){data, length_bytes}, root_out) < 0) {
        return err_set(err, -EBADMSG, "root block: invalid");
    }
    return 1;
}

/* Appends one chunk of the index, or notes that it is missing. */
static int load_part(const struct chunk_store *store, const struct chunk_id *chunk,
                     struct buffer *index, struct tree_scan *scan, struct err *err)
{
    CLEANUP(cleanup_free) uint8_t *data = NULL;
    size_t length_bytes = 0;
    int r = chunk_store_get(store, chunk, &data, &length_bytes);

    if (chunk_store_lacks(r)) {
        note_missing(scan, chunk, r);
        return 0;
    }
    if (r == 0) {
        r = buffer_append(index, data, length_bytes);
    }
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "index: %m");
    }
    return 0;
}

/* Reading verifies. */
static int look(const struct chunk_store *store, const struct chunk_id *chunk, bool is_thorough)
{
    uint64_t length_bytes;

    if (!is_thorough) {
        return chunk_store_has(store, chunk) ? 0 : -ENOENT;
    }
    return chunk_store_look(store, chunk, &length_bytes);
}

static int scan_files(const struct chunk_store *store, const struct tree_root *root,
                      struct bytes index, struct tree_scan *scan, struct err *err)
{
    CLEANUP(cleanup_free) struct chunk_id *wanted = NULL;

    wanted = calloc(root->reference_count > 0 ? root->reference_count : 1, sizeof(*wanted));
    if (wanted == NULL) {
        return err_set(err, -ENOMEM, "index: out of memory");
    }
    int count = tree_wanted(root, index, wanted, root->reference_count);

    if (count < 0) {
        return err_set(err, -EBADMSG, "index: invalid");
    }
    for (int i = 0; i < count && scan->missing_count < SCAN_MISSING_MAX; i++) {
        int why = look(store, &wanted[i], scan->is_thorough);

        if (chunk_store_lacks(why)) {
            note_missing(scan, &wanted[i], why);
        } else {
            scan->here_count++;
        }
    }
    scan->chunk_count = (uint32_t)count;
    return 0;
}

static int scan_tree(const struct chunk_store *store, const struct tree_id *tree,
                     struct tree_scan *scan_out, struct err *err)
{
    CLEANUP(buffer_done) struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct tree_scan scan = {.is_thorough = scan_out->is_thorough};
    struct tree_root root = {0};
    int r = load_root(store, tree, &scan, &root, err);

    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; r == 1 && i < root.index_chunk_count; i++) {
        int part = load_part(store, &root.index_chunks[i], &index, &scan, err);

        if (part < 0) {
            return part;
        }
    }
    if (r == 1 && scan.missing_count == 0) {
        r = scan_files(store, &root, buffer_bytes(&index), &scan, err);
        if (r < 0) {
            return r;
        }
    }
    *scan_out = scan;
    return 0;
}

int tree_scan(const struct chunk_store *store, const struct tree_id *tree,
              struct tree_scan *scan_out, struct err *err)
{
    scan_out->is_thorough = false;
    return scan_tree(store, tree, scan_out, err);
}

int tree_verify(const struct chunk_store *store, const struct tree_id *tree,
                struct tree_scan *scan_out, struct err *err)
{
    scan_out->is_thorough = true;
    return scan_tree(store, tree, scan_out, err);
}
