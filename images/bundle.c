// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "images/bundle_parts.h"

static int read_manifest(struct bundle *bundle, struct err *err)
{
    CLEANUP(cleanup_free) uint8_t *yaml = malloc(MANIFEST_FILE_BYTES_MAX + 1);
    CLEANUP(cleanup_close)
    int fd = openat(bundle->source.folder_fd, "service.yaml",
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    int r;

    if (yaml == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (fd < 0 && errno == ENOENT) {
        err_set(err, -EINVAL, "service.yaml: not at the root of the bundle");
        return err_hint(err, "see service.yaml(5); needed are name and command");
    }
    if (fd < 0 || fstat(fd, &status) < 0) {
        return err_set(err, errno == ELOOP ? -EINVAL : -errno, "service.yaml: %m");
    }
    if (!S_ISREG(status.st_mode)) {
        return err_set(err, -EINVAL, "service.yaml: no regular file");
    }
    r = bundle_read_at(fd, 0, yaml, MANIFEST_FILE_BYTES_MAX + 1);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "service.yaml: %m");
    }
    return manifest_parse((struct bytes){yaml, (size_t)r}, "service.yaml", &bundle->manifest, err);
}

int bundle_open(const struct bundle_source *source, struct bundle **bundle_out, struct err *err)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    int r;

    if (bundle == NULL) {
        return err_set(err, -ENOMEM, "%s: out of memory", source->name);
    }
    bundle->source = *source;
    r = read_manifest(bundle, err);
    if (r == 0) {
        r = bundle_walk(bundle, err);
    }
    if (r == 0) {
        r = bundle_check_command(bundle, err);
    }
    if (r == 0) {
        r = bundle_hash(bundle, err);
    }
    if (r < 0) {
        bundle_free(bundle);
        return err_wrap(err, "%s", source->name);
    }
    *bundle_out = bundle;
    return 0;
}

void bundle_free(struct bundle *bundle)
{
    if (bundle == NULL) {
        return;
    }
    for (uint32_t i = 0; i < bundle->item_count; i++) {
        free(bundle->items[i].path);
        free(bundle->items[i].target);
    }
    for (uint32_t i = 0; i < bundle->note_count; i++) {
        free(bundle->notes[i]);
    }
    free(bundle->items);
    free(bundle->chunks);
    free(bundle->slots);
    buffer_done(&bundle->index);
    free(bundle);
}

const struct manifest *bundle_manifest(const struct bundle *bundle)
{
    return &bundle->manifest;
}

struct tree_id bundle_tree(const struct bundle *bundle)
{
    return bundle->tree;
}

struct bundle_totals bundle_totals(const struct bundle *bundle)
{
    return bundle->totals;
}

uint32_t bundle_note_count(const struct bundle *bundle)
{
    return bundle->note_count;
}

const char *bundle_note(const struct bundle *bundle, uint32_t index)
{
    CHECK(index < bundle->note_count);
    return bundle->notes[index];
}

uint32_t bundle_chunk_count(const struct bundle *bundle)
{
    return bundle->chunk_count + bundle->root.index_chunk_count + 1;
}

/* Chunks in memory, behind those of files: a part of the index, or the root block. */
static struct bytes chunk_in_memory(const struct bundle *bundle, uint32_t index)
{
    uint32_t part = index - bundle->chunk_count;

    CHECK(index >= bundle->chunk_count && index < bundle_chunk_count(bundle));
    if (part == bundle->root.index_chunk_count) {
        return (struct bytes){bundle->root_block, bundle->root_block_bytes};
    }
    return (struct bytes){bundle->index.data + (size_t)part * CHUNK_BYTES_MAX,
                          tree_chunk_bytes(bundle->root.index_bytes, part)};
}

struct chunk_id bundle_chunk_id(const struct bundle *bundle, uint32_t index)
{
    if (index < bundle->chunk_count) {
        return bundle->chunks[index].id;
    }
    return chunk_id_of(chunk_in_memory(bundle, index));
}

uint32_t bundle_chunk_bytes(const struct bundle *bundle, uint32_t index)
{
    if (index < bundle->chunk_count) {
        const struct bundle_chunk *chunk = &bundle->chunks[index];

        return tree_chunk_bytes(bundle->items[chunk->item].size_bytes, chunk->place);
    }
    return (uint32_t)chunk_in_memory(bundle, index).length_bytes;
}

static int read_file_chunk(const struct bundle *bundle, uint32_t index, uint8_t *data_out,
                           struct err *err)
{
    const struct bundle_chunk *chunk = &bundle->chunks[index];
    const struct bundle_item *item = &bundle->items[chunk->item];
    CLEANUP(cleanup_close) int fd = bundle_open_item(bundle, item, err);
    int r;

    if (fd < 0) {
        return err->code;
    }
    r = bundle_read_at(fd, (uint64_t)chunk->place * CHUNK_BYTES_MAX, data_out,
                       bundle_chunk_bytes(bundle, index));
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", item->path);
    }
    struct chunk_id found = chunk_id_of((struct bytes){data_out, (size_t)r});
    if (!id_equal(&found.id, &chunk->id.id)) {
        return err_set(err, -EAGAIN, "%s: changed while it was pushed", item->path);
    }
    return r;
}

int bundle_read_chunk(const struct bundle *bundle, uint32_t index, uint8_t *data_out,
                      struct err *err)
{
    struct bytes bytes;

    if (index < bundle->chunk_count) {
        int r = read_file_chunk(bundle, index, data_out, err);

        return r < 0 ? err_wrap(err, "%s", bundle->source.name) : r;
    }
    bytes = chunk_in_memory(bundle, index);
    memcpy(data_out, bytes.data, bytes.length_bytes);
    return (int)bytes.length_bytes;
}
