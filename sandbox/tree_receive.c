// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/tar.h"
#include "sandbox/tree_copy.h"

enum { BLOCK_BYTES = 65536 };
#define PART_NAME ".minga-cp-" /* and the number of the process */

struct unpacking {
    struct tree_copy *copy;
    int in_fd;
    int folder_fd;    /* borrowed: of the target */
    const char *name; /* of the target in it, or "" */
    int root_fd;      /* of the target, when it is a folder; else -1 */
    bool begun;       /* the outermost entry has been placed */
    struct err *err;
    struct tar_reader reader;
    struct tar_entry entry;
    const char *path; /* of the entry below the target, "" for the target */
};

static void leave_out(struct unpacking *unpacking, const char *why)
{
    unpacking->copy->left_out_count++;
    if (unpacking->copy->say != NULL) {
        unpacking->copy->say(unpacking->copy->context,
                             unpacking->path[0] != '\0' ? unpacking->path : ".", why);
    }
}

/* All of it, or -ENODATA when the stream is over before. */
static int read_all(struct unpacking *unpacking, uint8_t *data, size_t length_bytes)
{
    size_t done_bytes = 0;

    while (done_bytes < length_bytes) {
        ssize_t count_bytes = read(unpacking->in_fd, data + done_bytes, length_bytes - done_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            return err_set(unpacking->err, -errno, "receive: %m");
        }
        if (count_bytes == 0) {
            return err_set(unpacking->err, -ENODATA, "the files ended too early");
        }
        done_bytes += (size_t)count_bytes;
    }
    return 0;
}

/* out_fd -1: they are thrown away. */
static int take_bytes(struct unpacking *unpacking, int out_fd)
{
    uint64_t left_bytes = unpacking->entry.size_bytes;
    uint8_t block[BLOCK_BYTES];
    int r = 0;

    while (r == 0 && left_bytes > 0) {
        size_t count_bytes = left_bytes < BLOCK_BYTES ? (size_t)left_bytes : BLOCK_BYTES;

        r = read_all(unpacking, block, count_bytes);
        if (r == 0 && out_fd >= 0) {
            r = file_write_all(out_fd, (struct bytes){block, count_bytes});
            if (r < 0) {
                errno = -r;
                return err_set(unpacking->err, r, "%s: %m", unpacking->path);
            }
        }
        left_bytes -= count_bytes;
    }
    return r < 0 ? r : read_all(unpacking, block, tar_padding(unpacking->entry.size_bytes));
}

/*
 * No link on the way is followed, nothing above `root_fd` is reached. Folder by folder: inside a
 * sandbox there is no openat2 (helper/seccomp.c). Returns a descriptor, or -1 and errno.
 */
static int open_parent(struct unpacking *unpacking, const char **leaf_out)
{
    const char *at = unpacking->path;
    CLEANUP(cleanup_close) int fd = fcntl(unpacking->root_fd, F_DUPFD_CLOEXEC, 3);

    for (const char *slash = strchr(at, '/'); fd >= 0 && slash != NULL; slash = strchr(at, '/')) {
        char name[PATH_BYTES_MAX];

        snprintf(name, sizeof(name), "%.*s", (int)(slash - at), at);
        CHECK(strcmp(name, "..") != 0); /* tar_path_is_good() */
        const int next_fd = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_close(&fd);
        fd = next_fd;
        at = slash + 1;
    }
    *leaf_out = at;
    return take_fd(&fd);
}

static bool is_folder(int at_fd, const char *name)
{
    struct stat status;

    return fstatat(at_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

/* What is there gives way to a link, except a folder. */
static bool make_way(struct unpacking *unpacking, int at_fd, const char *name)
{
    if (is_folder(at_fd, name)) {
        leave_out(unpacking, "a folder is in the way");
        return false;
    }
    if (unlinkat(at_fd, name, 0) < 0 && errno != ENOENT) {
        leave_out(unpacking, err_text(errno));
        return false;
    }
    return true;
}

/* Until a file is complete it has another name: who looks at the path finds the old one, or the new one. */
static int put_file(struct unpacking *unpacking, int at_fd, const char *name)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = (time_t)unpacking->entry.modified_s}};
    char part[sizeof(PART_NAME) + 16];
    CLEANUP(cleanup_close) int fd = -1;
    int r;

    snprintf(part, sizeof(part), PART_NAME "%d", (int)getpid());
    if (is_folder(at_fd, name)) {
        leave_out(unpacking, "a folder is in the way");
        return take_bytes(unpacking, -1);
    }
    (void)unlinkat(at_fd, part, 0); /* of a process that was killed, and had the same number */
    fd = openat(at_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                unpacking->entry.mode);
    if (fd < 0) {
        leave_out(unpacking, err_text(errno));
        return take_bytes(unpacking, -1);
    }
    r = take_bytes(unpacking, fd);
    if (r == 0) {
        (void)futimens(fd, times);
        if (renameat(at_fd, part, at_fd, name) == 0) {
            return 0;
        }
        leave_out(unpacking, err_text(errno));
    }
    (void)unlinkat(at_fd, part, 0);
    return r;
}

static int place_file(struct unpacking *unpacking, int at_fd, const char *name)
{
    if (unpacking->entry.size_bytes > unpacking->copy->bytes_max - unpacking->copy->bytes) {
        return err_set(unpacking->err, -EFBIG, "more than %llu bytes",
                       (unsigned long long)unpacking->copy->bytes_max);
    }
    unpacking->copy->bytes += unpacking->entry.size_bytes;
    return put_file(unpacking, at_fd, name);
}

static void place_link(struct unpacking *unpacking, int at_fd, const char *name)
{
    if (!tar_link_stays(unpacking->entry.path, unpacking->entry.target)) {
        leave_out(unpacking, "a link that leads out");
    } else if (make_way(unpacking, at_fd, name) &&
               symlinkat(unpacking->entry.target, at_fd, name) < 0) {
        leave_out(unpacking, err_text(errno));
    }
}

static void place_folder(struct unpacking *unpacking, int at_fd, const char *name)
{
    if (mkdirat(at_fd, name, unpacking->entry.mode | S_IRWXU) < 0 &&
        (errno != EEXIST || !is_folder(at_fd, name))) {
        leave_out(unpacking, errno == EEXIST ? "something is in the way" : err_text(errno));
    }
}

/* The outermost entry: the target itself. */
static int place_root(struct unpacking *unpacking)
{
    unpacking->begun = true;
    if (unpacking->entry.kind == TAR_FILE && unpacking->name[0] != '\0') {
        return place_file(unpacking, unpacking->folder_fd, unpacking->name);
    }
    if (unpacking->entry.kind != TAR_FOLDER) {
        return err_set(unpacking->err, -EISDIR, "the target is a folder");
    }
    if (unpacking->name[0] == '\0') {
        unpacking->root_fd = fcntl(unpacking->folder_fd, F_DUPFD_CLOEXEC, 3);
    } else {
        place_folder(unpacking, unpacking->folder_fd, unpacking->name);
        unpacking->root_fd = openat(unpacking->folder_fd, unpacking->name,
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    return unpacking->root_fd < 0 ? err_set(unpacking->err, -errno, "%s: %m", unpacking->name) : 0;
}

static int place_below(struct unpacking *unpacking)
{
    const char *leaf = NULL;
    CLEANUP(cleanup_close) int parent_fd = open_parent(unpacking, &leaf);

    if (parent_fd < 0) {
        leave_out(unpacking, err_text(errno));
        return unpacking->entry.kind == TAR_FILE ? take_bytes(unpacking, -1) : 0;
    }
    if (unpacking->entry.kind == TAR_FILE) {
        return place_file(unpacking, parent_fd, leaf);
    }
    if (unpacking->entry.kind == TAR_LINK) {
        place_link(unpacking, parent_fd, leaf);
    } else {
        place_folder(unpacking, parent_fd, leaf);
    }
    return 0;
}

static int place(struct unpacking *unpacking)
{
    static const size_t root_length = sizeof(TREE_COPY_ROOT) - 1;
    const char *path = unpacking->entry.path;

    if (++unpacking->copy->entry_count > TREE_COPY_ENTRIES_MAX) {
        return err_set(unpacking->err, -E2BIG, "more than %d entries", TREE_COPY_ENTRIES_MAX);
    }
    if (!unpacking->begun && strcmp(path, TREE_COPY_ROOT) == 0) {
        unpacking->path = "";
        return place_root(unpacking);
    }
    if (!unpacking->begun || unpacking->root_fd < 0 ||
        strncmp(path, TREE_COPY_ROOT "/", root_length + 1) != 0) {
        return err_set(unpacking->err, -EBADMSG, "an entry outside of what was asked for");
    }
    unpacking->path = path + root_length + 1;
    return place_below(unpacking);
}

int tree_receive(struct tree_copy *copy, int in_fd, int folder_fd, const char *name,
                 struct err *err)
{
    struct unpacking unpacking = {.copy = copy,
                                  .in_fd = in_fd,
                                  .folder_fd = folder_fd,
                                  .name = name,
                                  .root_fd = -1,
                                  .err = err,
                                  .path = ""};
    uint8_t block[TAR_BLOCK_BYTES];
    int r = 0;

    tar_reader_init(&unpacking.reader);
    while (r == 0) {
        const char *fault = "";
        int taken;

        r = read_all(&unpacking, block, sizeof(block));
        if (r < 0) {
            break;
        }
        taken = tar_take(&unpacking.reader, block, &unpacking.entry, &fault);
        if (taken == TAR_END) {
            break;
        }
        if (taken < 0) {
            r = err_set(err, taken, "the files are no archive: %s", fault);
        } else if (taken == TAR_ENTRY) {
            r = place(&unpacking);
        }
    }
    cleanup_close(&unpacking.root_fd);
    return r;
}

/* ------------------------------------------------------------------ where to */

static int make_folders(const char *path, struct err *err)
{
    return file_make_folders(path, 0777, err);
}

int tree_copy_place(const char *path, const char *name, char name_out[TREE_COPY_NAME_BYTES],
                    struct err *err)
{
    size_t length = strlen(path);
    char parent[PATH_BYTES_MAX];
    const char *slash;
    int fd;

    if (length == 0 || length >= sizeof(parent)) {
        return err_set(err, -ENAMETOOLONG, "%.64s: not a path", path);
    }
    if (path[length - 1] == '/' && make_folders(path, err) < 0) {
        return err->code;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)text_copy(name_out, TREE_COPY_NAME_BYTES, name);
        return fd;
    }
    slash = strrchr(path, '/');
    snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
             slash == NULL ? "." : path);
    if (text_copy(name_out, TREE_COPY_NAME_BYTES, slash == NULL ? path : slash + 1) < 0 ||
        name_out[0] == '\0') {
        return err_set(err, -errno, "%s: %m", path);
    }
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_set(err, -errno, "%s: %m", parent) : fd;
}
