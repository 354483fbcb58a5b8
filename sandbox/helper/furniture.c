// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/furniture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"

enum { SIZE_TEXT_BYTES = 32 };

struct tmpfs { /* options as the kernel reads them */
    const char *size;
    const char *inodes;
    const char *mode;
    uint64_t attributes;
};

/* Makes a tmpfs; a copy of nothing, so its size is all that it can take. */
static int attach_tmpfs(const char *path, struct tmpfs wanted, struct err *err)
{
    const struct mount_option options[] = {
        {"size", wanted.size}, {"nr_inodes", wanted.inodes}, {"mode", wanted.mode}, {NULL, NULL}};
    CLEANUP(cleanup_close)
    int fd = mount_make("tmpfs", options, wanted.attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                        err);

    return fd < 0 ? fd : mount_attach(fd, path, err);
}

static int make_shm(uint64_t bytes_max, struct err *err)
{
    char size[SIZE_TEXT_BYTES];

    snprintf(size, sizeof(size), "%" PRIu64, bytes_max);
    return attach_tmpfs("shm", (struct tmpfs){size, "1024", "1777", MOUNT_ATTR_NODEV}, err);
}

/* Over the working folder, which we may not search ("." would be denied); then in its root. */
static int enter_stage(struct err *err)
{
    static const struct mount_option options[] = {
        {"size", "128k"}, {"nr_inodes", "32"}, {"mode", "0755"}, {NULL, NULL}};
    CLEANUP(cleanup_close)
    int fd =
        mount_make("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);

    if (fd < 0) {
        return fd;
    }
    if (move_mount(fd, "", AT_FDCWD, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ||
        fchdir(fd) < 0 || mkdir("shm", 0755) < 0 || mkdir("proc", 0755) < 0) {
        return err_set(err, -errno, "%m");
    }
    return 0;
}

int furniture_make(const struct furniture_plan *plan, struct err *err)
{
    int r = enter_stage(err);

    if (r < 0) {
        return err_wrap(err, "stage");
    }
    r = make_shm(plan->shm_bytes_max, err);
    if (r < 0) {
        return err_wrap(err, "/dev/shm");
    }
    r = proc_make(&plan->proc, err);
    return r < 0 ? err_wrap(err, "/proc") : 0;
}
