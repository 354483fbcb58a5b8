// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/unpack/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "images/unpack/say.h"

enum { PARENT_MODE = 0755 /* of folders that the archive does not list */ };

/*
 * One name in an open folder, no link followed: what O_NOFOLLOW does not refuse (a link as O_PATH),
 * O_DIRECTORY does.
 */
static int open_name(int folder_fd, const char *name, size_t name_bytes, int flags, uint16_t mode)
{
    char copy[PATH_BYTES_MAX];

    if (name_bytes == 0 || name_bytes >= sizeof(copy) ||
        (name_bytes <= 2 && strncmp(name, "..", name_bytes) == 0)) {
        errno = EXDEV; /* "", "." and "..": nothing that lies beneath */
        return -1;
    }
    memcpy(copy, name, name_bytes);
    copy[name_bytes] = '\0';
    return openat(folder_fd, copy, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

/*
 * Name by name, each in the folder that the last one opened: no "..", no link, no first slash, so
 * every step leads down. openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) says the same in one call,
 * but a seccomp filter cannot look into its struct: confine.c allows openat with O_NOFOLLOW only,
 * and the unit's RestrictSUIDSGID= allows no openat2 at all.
 */
static int open_beneath(int root_fd, const char *path, int flags, uint16_t mode)
{
    CLEANUP(cleanup_close) int owned_fd = -1;
    int folder_fd = root_fd;

    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(path, '/')) {
        int fd = open_name(folder_fd, path, (size_t)(slash - path), O_PATH | O_DIRECTORY, 0);

        cleanup_close(&owned_fd);
        owned_fd = fd;
        if (fd < 0) {
            return -1;
        }
        folder_fd = fd;
        path = slash + 1;
    }
    return open_name(folder_fd, path, strlen(path), flags, mode);
}

/* The first `length_bytes` of a path, as a text of its own. */
static const char *prefix_of(const char *path, size_t length_bytes, char prefix[PATH_BYTES_MAX])
{
    memcpy(prefix, path, length_bytes);
    prefix[length_bytes] = '\0';
    return prefix;
}

/* Opens the folder of the first `length_bytes` of path, which is there. */
static int open_folder(int root_fd, const char *path, size_t length_bytes)
{
    char prefix[PATH_BYTES_MAX];
    int fd = length_bytes == 0 ? openat(root_fd, ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                               : open_beneath(root_fd, prefix_of(path, length_bytes, prefix),
                                              O_PATH | O_DIRECTORY, 0);

    if (fd < 0 && errno != ENOENT) {
        say_failed(path, "%m");
    }
    return fd;
}

/* Makes every missing folder above path. */
static void make_parents(int root_fd, const char *path)
{
    char prefix[PATH_BYTES_MAX];
    size_t parent_bytes = 0;

    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length_bytes = (size_t)(slash - path);
        CLEANUP(cleanup_close) int parent_fd = open_folder(root_fd, path, parent_bytes);
        const char *name = path + (parent_bytes == 0 ? 0 : parent_bytes + 1);

        prefix_of(name, (size_t)(slash - name), prefix);
        if (parent_fd < 0 || (mkdirat(parent_fd, prefix, PARENT_MODE) < 0 && errno != EEXIST)) {
            say_failed(path, "%m");
        }
        parent_bytes = length_bytes;
    }
}

/* The open folder above path, made if it is not there; the name in it. */
static int open_parent(int root_fd, const char *path, const char **name_out)
{
    const char *slash = strrchr(path, '/');
    size_t parent_bytes = slash == NULL ? 0 : (size_t)(slash - path);
    int fd = open_folder(root_fd, path, parent_bytes);

    *name_out = slash == NULL ? path : slash + 1;
    if (fd < 0) {
        make_parents(root_fd, path);
        fd = open_folder(root_fd, path, parent_bytes);
    }
    if (fd < 0) {
        say_failed(path, "%m");
    }
    return fd;
}

int place_file(int root_fd, const char *path, uint16_t mode)
{
    const char *name = NULL;
    CLEANUP(cleanup_close) int parent_fd = open_parent(root_fd, path, &name);
    int fd = open_beneath(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL, mode);

    if (fd < 0) {
        say_failed(path, "%m");
    }
    return fd;
}

void place_folder(int root_fd, const char *path, uint16_t mode)
{
    const char *name = NULL;
    CLEANUP(cleanup_close) int parent_fd = open_parent(root_fd, path, &name);

    if (mkdirat(parent_fd, name, mode) == 0) {
        return;
    }
    CLEANUP(cleanup_close) int fd = -1;
    if (errno == EEXIST) {
        fd = open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
    }
    if (fd < 0 || fchmod(fd, mode) < 0) {
        say_failed(path, "%m");
    }
}

void place_link(int root_fd, const char *path, const char *target)
{
    const char *name = NULL;
    CLEANUP(cleanup_close) int parent_fd = open_parent(root_fd, path, &name);

    if (symlinkat(target, parent_fd, name) < 0) {
        say_failed(path, "%m");
    }
}

bool place_hard_link(int root_fd, const char *path, const char *target)
{
    const char *name = NULL;
    const char *target_name = NULL;
    CLEANUP(cleanup_close) int target_fd = open_parent(root_fd, target, &target_name);
    CLEANUP(cleanup_close) int parent_fd = open_parent(root_fd, path, &name);

    /* Without AT_SYMLINK_FOLLOW: a link would be linked itself, not followed. */
    if (linkat(target_fd, target_name, parent_fd, name, 0) == 0) {
        return true;
    }
    if (errno != EXDEV && errno != EACCES && errno != EPERM && errno != EMLINK) {
        say_failed(path, "%m");
    }
    return false;
}

int place_open(int root_fd, const char *path)
{
    return open_beneath(root_fd, path, O_RDONLY, 0);
}
