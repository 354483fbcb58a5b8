// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A tree from its chunks, on a node. The index may come from a hostile owner: tree_next refuses
 * what the rules refuse, and place.h cannot leave the folder. Every chunk is hashed again here,
 * so that a file in the chunk store that went bad is found before it is run.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "images/tree.h"
#include "images/unpack/jobs.h"
#include "images/unpack/place.h"
#include "images/unpack/say.h"

enum {
    TREE_MODE = 0755,
    SYNC_EACH_MAX = 64, /* entries; beyond, one syncfs is cheaper than an fsync per file */
};

struct build {
    int chunks_fd;
    int staging_fd;
    uint8_t *chunk; /* CHUNK_BYTES_MAX + 1: a larger file shows */
};

/* Reads a chunk file and checks its hash. Returns its length. */
static size_t load_chunk(const struct build *build, const struct chunk_id *id)
{
    char name[ID_HEX_CHARS + 1];
    size_t length_bytes = 0;

    id_to_hex(&id->id, name);
    CLEANUP(cleanup_close) int fd = place_open(build->chunks_fd, name);
    if (fd < 0) {
        say_failed(name, "open the chunk: %m");
    }
    while (length_bytes <= CHUNK_BYTES_MAX) {
        ssize_t count_bytes =
            read(fd, build->chunk + length_bytes, CHUNK_BYTES_MAX + 1 - length_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            say_failed(name, "read the chunk: %m");
        }
        if (count_bytes == 0) {
            break;
        }
        length_bytes += (size_t)count_bytes;
    }
    if (length_bytes > CHUNK_BYTES_MAX) {
        say_failed(name, "chunk has wrong bytes");
    }
    struct chunk_id found = chunk_id_of((struct bytes){build->chunk, length_bytes});
    if (!id_equal(&found.id, &id->id)) {
        say_failed(name, "chunk has wrong bytes");
    }
    return length_bytes;
}

static void load_index(const struct build *build, const struct tree_root *root,
                       struct buffer *index)
{
    for (uint32_t i = 0; i < root->index_chunk_count; i++) {
        size_t length_bytes = load_chunk(build, &root->index_chunks[i]);

        if (length_bytes != tree_chunk_bytes(root->index_bytes, i)) {
            say_refused(NULL, "tree index: its chunks are not as long as its root block says");
        }
        if (buffer_append(index, build->chunk, length_bytes) < 0) {
            say_failed(NULL, "out of memory");
        }
    }
}

static void sync_or_fail(int fd, const char *path)
{
    if (fsync(fd) < 0) {
        say_failed(path, "%m");
    }
}

static void build_file(const struct build *build, const struct tree_entry *entry, bool is_synced)
{
    CLEANUP(cleanup_close) int fd = place_file(build->staging_fd, entry->path, entry->mode);

    for (uint32_t i = 0; i < entry->chunk_count; i++) {
        struct chunk_id id = tree_entry_chunk(entry, i);
        size_t length_bytes = load_chunk(build, &id);
        int r;

        if (length_bytes != tree_chunk_bytes(entry->size_bytes, i)) {
            say_refused(entry->path, "chunk is not as long as the index says");
        }
        r = file_write_all(fd, (struct bytes){build->chunk, length_bytes});
        if (r < 0) {
            errno = -r;
            say_failed(entry->path, "%m");
        }
    }
    if (is_synced) {
        sync_or_fail(fd, entry->path);
    }
}

static void build_entries(const struct build *build, const struct tree_root *root,
                          struct bytes index)
{
    static struct tree_reader reader;
    static struct tree_entry entry;
    bool is_synced = root->entry_count <= SYNC_EACH_MAX;
    int r;

    tree_reader_init(&reader, root, index);
    while ((r = tree_next(&reader, &entry)) > 0) {
        if (entry.kind == TREE_FOLDER) {
            place_folder(build->staging_fd, entry.path, entry.mode);
        } else if (entry.kind == TREE_LINK) {
            place_link(build->staging_fd, entry.path, entry.target);
        } else {
            build_file(build, &entry, is_synced);
        }
    }
    if (r < 0) {
        say_refused(NULL, "tree index, entry %u: %s", reader.entry_count + 1, reader.fault);
    }
    if (!is_synced && syncfs(build->staging_fd) < 0) {
        say_failed(NULL, "sync: %m");
    }
}

void job_build(const struct tree_id *tree, int chunks_fd, int staging_fd)
{
    struct build build = {chunks_fd, staging_fd, malloc(CHUNK_BYTES_MAX + 1)};
    struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct chunk_id root_chunk = tree_root_chunk(tree);
    struct tree_root root;

    if (build.chunk == NULL) {
        say_failed(NULL, "out of memory");
    }
    size_t root_bytes = load_chunk(&build, &root_chunk);
    if (tree_root_decode((struct bytes){build.chunk, root_bytes}, &root) < 0) {
        say_refused(NULL, "tree index: not a root block");
    }
    load_index(&build, &root, &index);
    build_entries(&build, &root, buffer_bytes(&index));
    if (fchmod(staging_fd, TREE_MODE) < 0) {
        say_failed(NULL, "%m");
    }
    sync_or_fail(staging_fd, NULL);
    buffer_done(&index);
    free(build.chunk);
}
