// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/tar.h"
#include "sandbox/tree_copy.h"

enum { BLOCK_BYTES = 65536 };

/* The folders from the outermost one to where the walk is. */
struct walk {
    struct tree_copy *copy;
    int out_fd;
    struct err *err;
    uint32_t depth;
    DIR *folders[TAR_DEPTH_MAX];
    size_t lengths[TAR_DEPTH_MAX]; /* of the path of each */
    struct tar_entry entry;        /* its path is where the walk is */
};

static void leave_out(struct walk *walk, const char *why)
{
    const char *slash = strchr(walk->entry.path, '/');

    walk->copy->left_out_count++;
    if (walk->copy->say != NULL) {
        walk->copy->say(walk->copy->context, slash != NULL ? slash + 1 : ".", why);
    }
}

static int write_out(struct walk *walk, const void *data, size_t length_bytes)
{
    int r = file_write_all(walk->out_fd, (struct bytes){data, length_bytes});

    if (r < 0) {
        errno = -r;
        return err_set(walk->err, r, "send: %m");
    }
    return 0;
}

static int send_head(struct walk *walk, enum tar_kind kind, const struct stat *status)
{
    uint8_t head[TAR_HEAD_BYTES_MAX];
    size_t head_bytes;

    walk->entry.kind = kind;
    walk->entry.mode = (uint16_t)(status->st_mode & 0777);
    walk->entry.size_bytes = kind == TAR_FILE ? (uint64_t)status->st_size : 0;
    walk->entry.modified_s = status->st_mtime > 0 ? (uint64_t)status->st_mtime : 0;
    head_bytes = tar_head(&walk->entry, head);
    if (++walk->copy->entry_count > TREE_COPY_ENTRIES_MAX) {
        return err_set(walk->err, -E2BIG, "more than %d entries", TREE_COPY_ENTRIES_MAX);
    }
    return write_out(walk, head, head_bytes);
}

/* As many bytes as were promised: a file that shrank ends in zeros, one that grew is cut. */
static int send_bytes(struct walk *walk, int fd, uint64_t size_bytes)
{
    static const uint8_t zeros[BLOCK_BYTES];
    uint8_t block[BLOCK_BYTES];
    uint64_t left_bytes = size_bytes;
    bool shrank = false;
    int r = 0;

    while (r == 0 && left_bytes > 0) {
        size_t wanted_bytes = left_bytes < BLOCK_BYTES ? (size_t)left_bytes : BLOCK_BYTES;
        ssize_t count_bytes = shrank ? 0 : read(fd, block, wanted_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes <= 0 && !shrank) {
            shrank = true;
            leave_out(walk, "changed while it was copied");
        }
        if (count_bytes <= 0) {
            count_bytes = (ssize_t)wanted_bytes;
        }
        r = write_out(walk, shrank ? zeros : block, (size_t)count_bytes);
        left_bytes -= (uint64_t)count_bytes;
    }
    walk->copy->bytes += size_bytes;
    return r < 0 ? r : write_out(walk, zeros, tar_padding(size_bytes));
}

static int send_file(struct walk *walk, int at_fd, const char *name, int flags)
{
    CLEANUP(cleanup_close)
    int fd = openat(at_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        leave_out(walk, err_text(errno));
        return 0;
    }
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > TAR_FILE_BYTES_MAX) {
        leave_out(walk, S_ISREG(status.st_mode) ? "too large" : "changed while it was copied");
        return 0;
    }
    if ((uint64_t)status.st_size > walk->copy->bytes_max - walk->copy->bytes) {
        return err_set(walk->err, -EFBIG, "more than %llu bytes",
                       (unsigned long long)walk->copy->bytes_max);
    }
    int r = send_head(walk, TAR_FILE, &status);

    return r < 0 ? r : send_bytes(walk, fd, (uint64_t)status.st_size);
}

static int send_link(struct walk *walk, int at_fd, const char *name, const struct stat *status)
{
    ssize_t length = readlinkat(at_fd, name, walk->entry.target, sizeof(walk->entry.target));

    if (length <= 0 || length >= (ssize_t)sizeof(walk->entry.target)) {
        leave_out(walk, "a link that cannot be read");
        return 0;
    }
    walk->entry.target[length] = '\0';
    return send_head(walk, TAR_LINK, status);
}

static int enter_folder(struct walk *walk, int at_fd, const char *name, int flags)
{
    CLEANUP(cleanup_close)
    int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    struct stat status;
    DIR *folder;

    if (walk->depth == TAR_DEPTH_MAX) {
        leave_out(walk, "too deep");
        return 0;
    }
    if (fd < 0 || fstat(fd, &status) < 0) {
        leave_out(walk, err_text(errno));
        return 0;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        return err_set(walk->err, -errno, "%s: %m", name);
    }
    take_fd(&fd);
    walk->folders[walk->depth] = folder;
    walk->lengths[walk->depth++] = strlen(walk->entry.path);
    return send_head(walk, TAR_FOLDER, &status);
}

static int send_child(struct walk *walk, int at_fd, const char *name)
{
    size_t length = walk->lengths[walk->depth - 1];
    struct stat status;

    walk->entry.path[length] = '\0';
    if (length + 1 + strlen(name) >= sizeof(walk->entry.path)) {
        leave_out(walk, "a name in it is too long");
        return 0;
    }
    snprintf(walk->entry.path + length, sizeof(walk->entry.path) - length, "/%s", name);
    if (fstatat(at_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        leave_out(walk, err_text(errno));
        return 0;
    }
    if (S_ISREG(status.st_mode)) {
        return send_file(walk, at_fd, name, O_NOFOLLOW);
    }
    if (S_ISDIR(status.st_mode)) {
        return enter_folder(walk, at_fd, name, O_NOFOLLOW);
    }
    if (S_ISLNK(status.st_mode)) {
        return send_link(walk, at_fd, name, &status);
    }
    leave_out(walk, "neither file, folder nor link");
    return 0;
}

static int send_children(struct walk *walk)
{
    int r = 0;

    while (r == 0 && walk->depth > 0) {
        DIR *folder = walk->folders[walk->depth - 1];
        const struct dirent *entry =
            readdir(folder); /* NOLINT(concurrency-mt-unsafe): one thread */

        if (entry == NULL) {
            closedir(folder);
            walk->depth--;
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            r = send_child(walk, dirfd(folder), entry->d_name);
        }
    }
    while (walk->depth > 0) {
        closedir(walk->folders[--walk->depth]);
    }
    return r;
}

int tree_send(struct tree_copy *copy, const char *path, int out_fd, struct err *err)
{
    static const uint8_t end[2 * TAR_BLOCK_BYTES];
    struct walk walk = {.copy = copy, .out_fd = out_fd, .err = err};
    struct stat status;
    int r;

    (void)text_copy(walk.entry.path, sizeof(walk.entry.path), TREE_COPY_ROOT);
    if (stat(path, &status) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    if (S_ISDIR(status.st_mode)) {
        r = enter_folder(&walk, AT_FDCWD, path, 0);
    } else if (S_ISREG(status.st_mode)) {
        r = send_file(&walk, AT_FDCWD, path, 0);
    } else {
        return err_set(err, -EINVAL, "%s: neither a file nor a folder", path);
    }
    if (r == 0 && copy->entry_count == 0) {
        return err_set(err, -EACCES, "%s: cannot be read", path);
    }
    r = r < 0 ? r : send_children(&walk);
    return r < 0 ? r : write_out(&walk, end, sizeof(end));
}
