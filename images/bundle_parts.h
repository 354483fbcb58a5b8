// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside the bundle: what its files share. Not for other modules. */
#include "base/bytes.h"
#include "images/archive_rules.h"
#include "images/bundle.h"
#include "images/tree.h"

enum { BUNDLE_NOTES_MAX = 256, BUNDLE_SLOT_COUNT = 262144 };

struct bundle_item { /* a file, folder or link of the tree */
    char *path;
    char *target; /* of a link, else NULL */
    enum archive_kind kind;
    uint16_t mode;
    uint64_t size_bytes;
};

struct bundle_chunk { /* a distinct chunk of a file */
    struct chunk_id id;
    uint32_t item;  /* whose chunk it is (one of those that have it) */
    uint32_t place; /* its number in that file */
};

struct bundle {
    struct bundle_source source;
    struct manifest manifest;
    struct bundle_item *items; /* sorted by tree_path_compare once the walk is over */
    uint32_t item_count;
    uint32_t item_capacity;
    struct bundle_chunk *chunks;
    uint32_t chunk_count; /* of files */
    uint32_t chunk_capacity;
    uint32_t *slots; /* chunk by id: its number plus 1, 0 is free */
    struct buffer index;
    struct tree_root root;
    uint8_t root_block[TREE_ROOT_BYTES_MAX];
    uint32_t root_block_bytes;
    struct tree_id tree;
    struct bundle_totals totals;
    char *notes[BUNDLE_NOTES_MAX];
    uint32_t note_count;
};

/* Lists the folder by the archive rules into items, sorted. */
int bundle_walk(struct bundle *bundle, struct err *err);
/* Cuts and hashes every file, builds index and root block. */
int bundle_hash(struct bundle *bundle, struct err *err);
/* Checks command[0] and workdir against the tree, and fills in the archs. */
int bundle_check_command(struct bundle *bundle, struct err *err);

/* Opens a file of the tree for reading, following no link. */
int bundle_open_item(const struct bundle *bundle, const struct bundle_item *item, struct err *err);
/* Reads up to `length_bytes` at an offset, short only at the file's end. Length or -errno. */
int bundle_read_at(int fd, uint64_t offset_bytes, uint8_t *data_out, uint32_t length_bytes);
/* The item with this path, or NULL. */
const struct bundle_item *bundle_find_item(const struct bundle *bundle, const char *path);
/* Adds a line of what was dropped; beyond BUNDLE_NOTES_MAX it is left out. */
void bundle_add_note(struct bundle *bundle, const char *path, const char *what);
