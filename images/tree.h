// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The tree of a bundle: its files, as an index that names chunks, named by one hash.
 *
 *     tree_id = hash of the root block (a chunk)
 *       root block: counts, total bytes, ids of the index's chunks
 *         index: entries sorted by path, each file with the ids of its chunks
 *
 * Hence a node needs only the tree_id and a source of chunks. A file is one chunk up to
 * CHUNK_BYTES_MAX, a larger one is cut every CHUNK_BYTES_MAX; an empty one has none.
 *
 * Paths are relative, without "." or "..", such as "usr/bin/wiki". They are sorted component by
 * component ("a" < "a/b" < "a-b"): a folder comes right before what is in it.
 *
 * Pure. An index may come from a hostile owner: reading refuses whatever archive_rules.h would
 * refuse, and order, duplicates, missing parents, sums and counts that do not agree.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"

enum {
    TREE_INDEX_CHUNKS_MAX = 32,
    TREE_INDEX_BYTES_MAX = TREE_INDEX_CHUNKS_MAX * CHUNK_BYTES_MAX,
    TREE_ROOT_BYTES_MAX = 64 + TREE_INDEX_CHUNKS_MAX * ID_BYTES,
    TREE_CHUNKS_MAX = CHUNKS_MAX / 2, /* distinct ones, with root block and index */
    TREE_REFERENCES_MAX = 131072,     /* chunk ids in the index, repeated ones counted again */
};

enum tree_kind { TREE_FILE = 1, TREE_FOLDER = 2, TREE_LINK = 3 };

struct tree_entry {
    enum tree_kind kind;
    uint16_t mode;               /* 0777 at most; a link's is 0777 */
    uint64_t size_bytes;         /* of a file */
    char path[PATH_BYTES_MAX];   /* "usr/bin/wiki" */
    char target[PATH_BYTES_MAX]; /* of a link */
    uint32_t chunk_count;        /* of a file: tree_chunk_count(size_bytes) */
    const uint8_t *chunk_ids;    /* borrowed: chunk_count times ID_BYTES */
};

struct tree_root {
    uint32_t entry_count;
    uint32_t reference_count; /* chunk ids in the index */
    uint64_t total_bytes;     /* of all files */
    uint32_t index_bytes;
    uint32_t index_chunk_count;
    struct chunk_id index_chunks[TREE_INDEX_CHUNKS_MAX];
};

/* How many chunks a file of this size is cut into. */
uint32_t tree_chunk_count(uint64_t size_bytes);
/* How long the index-th of them is. */
uint32_t tree_chunk_bytes(uint64_t size_bytes, uint32_t index);
struct chunk_id tree_entry_chunk(const struct tree_entry *entry, uint32_t index);
/* <0, 0, >0: the order of entries in an index. */
int tree_path_compare(const char *a, const char *b);

/* The id of a chunk with these bytes. A tree's id is that of its root block. */
struct chunk_id chunk_id_of(struct bytes data);
struct tree_id tree_id_of(struct bytes root_block);
/* The root block of a tree is stored and fetched as this chunk. */
struct chunk_id tree_root_chunk(const struct tree_id *tree);

/* Returns the length; root_out has room for TREE_ROOT_BYTES_MAX. */
uint32_t tree_root_encode(const struct tree_root *root, uint8_t *block_out);
/* Returns 0 or -EBADMSG. */
int tree_root_decode(struct bytes block, struct tree_root *root_out);

/* Appends an entry to an index. Returns 0, -EBADMSG (against the rules), -EFBIG or -ENOMEM. */
int tree_append(struct buffer *index, const struct tree_entry *entry);

/*
 * Reads an index from first to last entry; constant memory besides the index itself, which the
 * caller put together from the root's index chunks.
 */
struct tree_reader {
    struct bytes left;
    struct tree_root root; /* what the sums have to be at the end */
    uint32_t entry_count;
    uint32_t reference_count;
    uint64_t total_bytes;
    char previous[PATH_BYTES_MAX];
    bool previous_is_folder;
    const char *fault; /* after -EBADMSG: the rule that was broken */
};

void tree_reader_init(struct tree_reader *reader, const struct tree_root *root, struct bytes index);
/* Returns 1 with an entry, 0 at the end when everything agrees with the root, or -EBADMSG. */
int tree_next(struct tree_reader *reader, struct tree_entry *entry_out);

/*
 * Lists the distinct chunks of all files in ids_out, sorted; capacity_count at least
 * root->reference_count. Reads, hence checks, the whole index.
 * Returns how many, or -EBADMSG (also when there are more than TREE_CHUNKS_MAX).
 */
int tree_wanted(const struct tree_root *root, struct bytes index, struct chunk_id *ids_out,
                uint32_t capacity_count);
