// SPDX-License-Identifier: GPL-3.0-or-later
/* Removing a folder with all that is in it, without following a link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "images/worker.h"

enum { LEVELS_MAX = BUNDLE_DEPTH_MAX + 3 }; /* of a tree among others, where those were put away */

struct removal { /* the folders that are open, from the outermost */
    DIR *folders[LEVELS_MAX];
    char names[LEVELS_MAX][256];
    int level_count;
};

static int enter(struct removal *removal, int parent_fd, const char *name)
{
    CLEANUP(cleanup_close) int fd = -1;
    DIR *folder;

    if (removal->level_count == LEVELS_MAX || strlen(name) >= sizeof(removal->names[0])) {
        return -ENAMETOOLONG;
    }
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        return -errno;
    }
    take_fd(&fd);
    removal->folders[removal->level_count] = folder;
    memcpy(removal->names[removal->level_count], name, strlen(name) + 1);
    removal->level_count++;
    return 0;
}

static int parent_of_top(const struct removal *removal, int parent_fd)
{
    return removal->level_count == 1 ? parent_fd
                                     : dirfd(removal->folders[removal->level_count - 2]);
}

/* The innermost folder is empty now. */
static int leave(struct removal *removal, int parent_fd)
{
    int fd = parent_of_top(removal, parent_fd);
    const char *name = removal->names[removal->level_count - 1];

    closedir(removal->folders[removal->level_count - 1]);
    removal->level_count--;
    return unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes one name of the innermost folder, or steps into it. */
static int remove_next(struct removal *removal, int parent_fd)
{
    DIR *folder = removal->folders[removal->level_count - 1];
    const struct dirent *entry;

    do {
        errno = 0;
        /* One DIR is read by one thread, which is what readdir asks for. */
        entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe) */
    } while (entry != NULL && is_dots(entry->d_name));
    if (entry == NULL) {
        return errno != 0 ? -errno : leave(removal, parent_fd);
    }
    if (unlinkat(dirfd(folder), entry->d_name, 0) == 0) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -errno;
    }
    return enter(removal, dirfd(folder), entry->d_name);
}

int worker_remove_some(int parent_fd, const char *name, uint32_t count_max)
{
    struct removal removal = {.level_count = 0};
    int r = enter(&removal, parent_fd, name);

    while (r == 0 && removal.level_count > 0 && count_max > 0) {
        int level_count = removal.level_count;

        r = remove_next(&removal, parent_fd);
        count_max -= removal.level_count <= level_count; /* else it went into a folder */
    }
    if (r == 0 && removal.level_count > 0) {
        r = 1;
    }
    while (removal.level_count > 0) {
        closedir(removal.folders[removal.level_count - 1]);
        removal.level_count--;
    }
    return r;
}

int worker_remove_folder(int parent_fd, const char *name)
{
    int r = 1;

    while (r > 0) {
        r = worker_remove_some(parent_fd, name, UINT32_MAX);
    }
    return r;
}
