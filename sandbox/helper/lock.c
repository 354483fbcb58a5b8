// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { ATTEMPTS = 16 };

/* A holder that leaves removes the file: then ours has no name any more, and locks nothing. */
static bool is_named(int fd, const char *path)
{
    struct stat ours;
    struct stat named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

int lock_take(const char *path, struct err *err)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (int i = 0; i < ATTEMPTS; i++) {
        CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0) {
            return err_set(err, -errno, "%s: %m", path);
        }
        if (fcntl(fd, F_SETLK, &whole) < 0) {
            break;
        }
        if (is_named(fd, path)) {
            return take_fd(&fd);
        }
    }
    return err_set(err, -EADDRINUSE, "another minga-sandboxd runs here: it has locked %s", path);
}
