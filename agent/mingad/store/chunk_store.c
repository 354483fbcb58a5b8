// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/chunk_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"

enum {
    NAME_BYTES_MAX = ID_HEX_CHARS + 32,
    INODES_KEPT = 64, /* for the database, replicas and their trees */
};

int chunk_store_open(const char *folder, uint64_t keep_free_bytes, struct chunk_store *store_out,
                     struct err *err)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        return err_set(err, -errno, "%s: %m", folder);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", folder);
    }
    *store_out = (struct chunk_store){fd, keep_free_bytes};
    return 0;
}

void chunk_store_close(struct chunk_store *store)
{
    cleanup_close(&store->folder_fd);
    store->folder_fd = -1;
}

/* One folder entry: a chunk is visited, the rest of an interrupted write removed. */
static void visit_entry(const struct chunk_store *store, const char *name, chunk_visit *visit,
                        void *context)
{
    struct chunk_id chunk;
    struct stat status;

    if (name[0] == '.') {
        if (strncmp(name, ".new-", 5) == 0) {
            unlinkat(store->folder_fd, name, 0);
        }
        return;
    }
    if (id_from_hex(name, &chunk.id) < 0 ||
        fstatat(store->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode)) {
        return;
    }
    if (status.st_size <= 0 || status.st_size > CHUNK_BYTES_MAX) {
        unlinkat(store->folder_fd, name, 0);
        return;
    }
    visit(context, &chunk, (uint64_t)status.st_size);
}

int chunk_store_scan(const struct chunk_store *store, chunk_visit *visit, void *context,
                     struct err *err)
{
    CLEANUP(cleanup_closedir) DIR *folder = NULL;
    CLEANUP(cleanup_close)
    int fd = openat(store->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, -errno, "chunks: %m");
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        return err_set(err, -errno, "chunks: %m");
    }
    (void)take_fd(&fd); /* the stream's now */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);

        if (entry == NULL) {
            return errno == 0 ? 0 : err_set(err, -errno, "chunks: %m");
        }
        visit_entry(store, entry->d_name, visit, context);
    }
}

struct chunk_id chunk_store_id(struct bytes data)
{
    return (struct chunk_id){hash_of(HASH_CHUNK, data)};
}

/* A file system without inodes (btrfs) says that it has none at all. */
static bool is_short_of_inodes(const struct statvfs *file_system)
{
    return file_system->f_files > 0 && file_system->f_favail < INODES_KEPT;
}

struct chunk_room chunk_store_room(const struct chunk_store *store, size_t length_bytes)
{
    struct chunk_room room = {0, ""};
    struct statvfs file_system;

    if (fstatvfs(store->folder_fd, &file_system) < 0) {
        room.refuses = "the file system cannot be looked at";
        return room;
    }
    uint64_t free_bytes = (uint64_t)file_system.f_bavail * file_system.f_frsize;

    room.free_bytes = free_bytes > store->keep_free_bytes ? free_bytes - store->keep_free_bytes : 0;
    if (is_short_of_inodes(&file_system)) {
        room.refuses = "its file system has no inodes left";
    } else if (free_bytes < length_bytes) {
        room.refuses = "its file system is full";
    } else if (room.free_bytes < length_bytes) {
        room.refuses = "its file system is as full as contribute.keep_free allows";
    }
    return room;
}

static int write_synced(int fd, struct bytes data)
{
    int r = file_write_all(fd, data);

    if (r < 0) {
        return r;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* Complete or not at all. Threads may write the same chunk at once, hence a name for each. */
static int write_file(const struct chunk_store *store, const char *name, struct bytes data)
{
    char temporary[NAME_BYTES_MAX];
    int r = snprintf(temporary, sizeof(temporary), ".new-%d", (int)gettid());

    if (r < 0) {
        return -EINVAL;
    }
    CLEANUP(cleanup_close)
    int fd = openat(store->folder_fd, temporary,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    r = write_synced(fd, data);
    if (r == 0 && renameat(store->folder_fd, temporary, store->folder_fd, name) < 0) {
        r = -errno;
    }
    if (r < 0) {
        unlinkat(store->folder_fd, temporary, 0);
        return r;
    }
    return fsync(store->folder_fd) < 0 ? -errno : 0;
}

int chunk_store_try(const struct chunk_store *store)
{
    static const uint8_t data[4096];
    static const char name[] = ".new-try";
    CLEANUP(cleanup_close)
    int fd =
        openat(store->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return -errno;
    }
    int r = write_synced(fd, (struct bytes){data, sizeof(data)});

    return unlinkat(store->folder_fd, name, 0) < 0 && r == 0 ? -errno : r;
}

static int read_file(int fd, uint8_t *data, size_t length_bytes)
{
    size_t done_bytes = 0;

    while (done_bytes < length_bytes) {
        ssize_t count_bytes =
            pread(fd, data + done_bytes, length_bytes - done_bytes, (off_t)done_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes <= 0) {
            return count_bytes < 0 ? -errno : -EBADMSG;
        }
        done_bytes += (size_t)count_bytes;
    }
    return 0;
}

static int get_verified(int fd, const struct chunk_id *chunk, uint8_t **data_out,
                        size_t *length_bytes_out)
{
    CLEANUP(cleanup_free) uint8_t *data = NULL;
    struct stat status;

    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode) || status.st_size <= 0 || status.st_size > CHUNK_BYTES_MAX) {
        return -EBADMSG;
    }
    size_t length_bytes = (size_t)status.st_size;

    data = malloc(length_bytes);
    if (data == NULL) {
        return -ENOMEM;
    }
    int r = read_file(fd, data, length_bytes);

    if (r < 0) {
        return r;
    }
    struct chunk_id actual = chunk_store_id((struct bytes){data, length_bytes});

    if (!id_equal(&actual.id, &chunk->id)) {
        return -EBADMSG;
    }
    *data_out = take_ptr(data);
    *length_bytes_out = length_bytes;
    return 0;
}

/* All that a disk may say instead of what was read, and what others say of themselves. */
static int told(int result)
{
    switch (result) {
    case 0:
    case -ENOENT:
    case -EBADMSG:
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
        return result;
    default:
        return -EIO;
    }
}

static int open_chunk(const struct chunk_store *store, const struct chunk_id *chunk)
{
    char name[ID_HEX_CHARS + 1];
    int fd;

    id_to_hex(&chunk->id, name);
    fd = openat(store->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int chunk_store_get(const struct chunk_store *store, const struct chunk_id *chunk,
                    uint8_t **data_out, size_t *length_bytes_out)
{
    CLEANUP(cleanup_close) int fd = open_chunk(store, chunk);

    return told(fd < 0 ? fd : get_verified(fd, chunk, data_out, length_bytes_out));
}

int chunk_store_look(const struct chunk_store *store, const struct chunk_id *chunk,
                     uint64_t *length_bytes_out)
{
    CLEANUP(cleanup_free) uint8_t *data = NULL;
    CLEANUP(cleanup_close) int fd = open_chunk(store, chunk);
    size_t length_bytes = 0;

    if (fd < 0) {
        return told(fd);
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* else memory may be asked, not the disk */
    int r = get_verified(fd, chunk, &data, &length_bytes);

    if (r == 0) {
        *length_bytes_out = length_bytes;
    }
    return told(r);
}

bool chunk_store_lacks(int result)
{
    return result == -ENOENT || result == -EBADMSG || result == -EIO;
}

int chunk_store_put(const struct chunk_store *store, const struct chunk_id *chunk,
                    struct bytes data)
{
    char name[ID_HEX_CHARS + 1];
    uint64_t length_bytes;

    if (data.length_bytes == 0 || data.length_bytes > CHUNK_BYTES_MAX) {
        return -EBADMSG;
    }
    struct chunk_id actual = chunk_store_id(data);

    if (!id_equal(&actual.id, &chunk->id)) {
        return -EBADMSG;
    }
    id_to_hex(&chunk->id, name);
    if (chunk_store_look(store, chunk, &length_bytes) == 0) {
        /* Complete, as it was renamed into place; but is the name on the disk yet? */
        return fsync(store->folder_fd) < 0 ? -errno : CHUNK_WAS_THERE;
    }
    if (chunk_store_room(store, data.length_bytes).refuses[0] != '\0') {
        return -ENOSPC;
    }
    return write_file(store, name, data);
}

bool chunk_store_has(const struct chunk_store *store, const struct chunk_id *chunk)
{
    char name[ID_HEX_CHARS + 1];
    struct stat status;

    id_to_hex(&chunk->id, name);
    return fstatat(store->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode);
}

int chunk_store_drop(const struct chunk_store *store, const struct chunk_id *chunk)
{
    char name[ID_HEX_CHARS + 1];

    id_to_hex(&chunk->id, name);
    return unlinkat(store->folder_fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}
