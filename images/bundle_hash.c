// SPDX-License-Identifier: GPL-3.0-or-later
/* Cutting and hashing a bundle's files, and the index that comes of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "images/bundle_parts.h"

enum { CHUNKS_PER_FILE_MAX = 8192 };

static_assert(BUNDLE_BYTES_MAX / CHUNK_BYTES_MAX == CHUNKS_PER_FILE_MAX, "one file may fill it");
static_assert(BUNDLE_SLOT_COUNT >= 2 * TREE_REFERENCES_MAX, "a hash table is at most half full");

struct hasher {
    struct bundle *bundle;
    struct err *err;
    uint8_t *data; /* CHUNK_BYTES_MAX */
    uint8_t *ids;  /* of one file */
    uint64_t hashed_bytes;
    uint64_t all_bytes;
};

static int add_chunk(struct bundle *bundle, struct bundle_chunk chunk, struct err *err)
{
    uint32_t slot = 0;

    /* The id is a hash already: its first bytes will do. */
    memcpy(&slot, chunk.id.id.bytes, sizeof(slot));
    slot %= BUNDLE_SLOT_COUNT;
    while (bundle->slots[slot] != 0) {
        if (id_equal(&bundle->chunks[bundle->slots[slot] - 1].id.id, &chunk.id.id)) {
            return 0;
        }
        slot = (slot + 1) % BUNDLE_SLOT_COUNT;
    }
    if (bundle->chunk_count == bundle->chunk_capacity) {
        uint32_t capacity = bundle->chunk_capacity == 0 ? 256 : 2 * bundle->chunk_capacity;
        struct bundle_chunk *chunks = reallocarray(bundle->chunks, capacity, sizeof(*chunks));

        if (chunks == NULL) {
            return err_set(err, -ENOMEM, "out of memory");
        }
        bundle->chunks = chunks;
        bundle->chunk_capacity = capacity;
    }
    bundle->chunks[bundle->chunk_count++] = chunk;
    bundle->slots[slot] = bundle->chunk_count;
    return 0;
}

static int hash_chunk(struct hasher *hasher, uint32_t item_number, int fd, uint32_t place)
{
    const struct bundle_item *item = &hasher->bundle->items[item_number];
    uint32_t length_bytes = tree_chunk_bytes(item->size_bytes, place);
    int r = bundle_read_at(fd, (uint64_t)place * CHUNK_BYTES_MAX, hasher->data, length_bytes);
    struct bundle_chunk chunk = {.item = item_number, .place = place};

    if (r < 0) {
        errno = -r;
        return err_set(hasher->err, r, "%s: %m", item->path);
    }
    if ((uint32_t)r != length_bytes) {
        return err_set(hasher->err, -EAGAIN, "%s: changed while it was pushed", item->path);
    }
    chunk.id = chunk_id_of((struct bytes){hasher->data, length_bytes});
    memcpy(hasher->ids + (size_t)place * ID_BYTES, chunk.id.id.bytes, ID_BYTES);
    hasher->hashed_bytes += length_bytes;
    if (hasher->bundle->source.progress != NULL) {
        hasher->bundle->source.progress(hasher->bundle->source.progress_context,
                                        hasher->hashed_bytes, hasher->all_bytes);
    }
    return add_chunk(hasher->bundle, chunk, hasher->err);
}

static int hash_file(struct hasher *hasher, uint32_t item_number)
{
    const struct bundle_item *item = &hasher->bundle->items[item_number];
    CLEANUP(cleanup_close) int fd = bundle_open_item(hasher->bundle, item, hasher->err);

    if (fd < 0) {
        return hasher->err->code;
    }
    if (fgetxattr(fd, "security.capability", NULL, 0) > 0) {
        bundle_add_note(hasher->bundle, item->path, "capabilities");
    }
    for (uint32_t i = 0; i < tree_chunk_count(item->size_bytes); i++) {
        if (hash_chunk(hasher, item_number, fd, i) < 0) {
            return hasher->err->code;
        }
    }
    hasher->bundle->totals.file_count++;
    hasher->bundle->totals.bytes += item->size_bytes;
    return 0;
}

static int add_entry(struct hasher *hasher, const struct bundle_item *item)
{
    struct bundle *bundle = hasher->bundle;
    struct tree_entry entry = {.kind = item->kind == ARCHIVE_KIND_FILE     ? TREE_FILE
                                       : item->kind == ARCHIVE_KIND_FOLDER ? TREE_FOLDER
                                                                           : TREE_LINK,
                               .mode = item->mode,
                               .size_bytes = item->size_bytes,
                               .chunk_ids = hasher->ids};
    int r;

    CHECK(text_copy(entry.path, sizeof(entry.path), item->path) == 0);
    if (item->target != NULL) {
        CHECK(text_copy(entry.target, sizeof(entry.target), item->target) == 0);
    }
    entry.chunk_count = tree_chunk_count(item->size_bytes);
    r = tree_append(&bundle->index, &entry);
    if (r < 0) {
        return err_set(hasher->err, r, "%s: tree index is full", item->path);
    }
    bundle->root.entry_count++;
    bundle->root.reference_count += entry.chunk_count;
    bundle->root.total_bytes += entry.size_bytes;
    return 0;
}

static int hash_items(struct hasher *hasher)
{
    struct bundle *bundle = hasher->bundle;

    for (uint32_t i = 0; i < bundle->item_count; i++) {
        if (bundle->items[i].kind == ARCHIVE_KIND_FILE && hash_file(hasher, i) < 0) {
            return hasher->err->code;
        }
        if (add_entry(hasher, &bundle->items[i]) < 0) {
            return hasher->err->code;
        }
    }
    return 0;
}

static int finish_root(struct bundle *bundle, struct err *err)
{
    struct tree_root *root = &bundle->root;

    root->index_bytes = (uint32_t)bundle->index.length_bytes;
    root->index_chunk_count = tree_chunk_count(root->index_bytes);
    for (uint32_t i = 0; i < root->index_chunk_count; i++) {
        root->index_chunks[i] =
            chunk_id_of((struct bytes){bundle->index.data + (size_t)i * CHUNK_BYTES_MAX,
                                       tree_chunk_bytes(root->index_bytes, i)});
    }
    if (bundle->chunk_count + root->index_chunk_count + 1 > TREE_CHUNKS_MAX) {
        return err_set(err, -EINVAL, "%u different files and pieces of 1M; at most %d",
                       bundle->chunk_count, TREE_CHUNKS_MAX);
    }
    bundle->root_block_bytes = tree_root_encode(root, bundle->root_block);
    bundle->tree = tree_id_of((struct bytes){bundle->root_block, bundle->root_block_bytes});
    return 0;
}

int bundle_hash(struct bundle *bundle, struct err *err)
{
    CLEANUP(cleanup_free) uint8_t *data = malloc(CHUNK_BYTES_MAX);
    CLEANUP(cleanup_free) uint8_t *ids = malloc((size_t)CHUNKS_PER_FILE_MAX * ID_BYTES);
    struct hasher hasher = {bundle, err, data, ids, 0, 0};
    int r;

    bundle->slots = calloc(BUNDLE_SLOT_COUNT, sizeof(*bundle->slots));
    bundle->index.bytes_max = TREE_INDEX_BYTES_MAX;
    if (data == NULL || ids == NULL || bundle->slots == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < bundle->item_count; i++) {
        hasher.all_bytes +=
            bundle->items[i].kind == ARCHIVE_KIND_FILE ? bundle->items[i].size_bytes : 0;
    }
    r = hash_items(&hasher);
    return r < 0 ? r : finish_root(bundle, err);
}
