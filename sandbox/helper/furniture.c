// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/furniture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"

enum { PATH_TEXT_BYTES = 64, SIZE_TEXT_BYTES = 32 };

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

static int set_attributes(const char *path, unsigned int flags, uint64_t attributes,
                          struct err *err)
{
    struct mount_attr wanted = {.attr_set = attributes};

    if (mount_setattr(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | flags, &wanted, sizeof(wanted)) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

/* By mount(2), as in proc.c: of the one name root's /dev decides, and the other was just made. */
static int make_device(const char *name, struct err *err)
{
    char source[PATH_TEXT_BYTES];
    char path[PATH_TEXT_BYTES];

    snprintf(source, sizeof(source), "/dev/%s", name);
    snprintf(path, sizeof(path), "dev/%s", name);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0 || mount(source, path, NULL, MS_BIND, NULL) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

static int make_dev(uint64_t shm_bytes_max, struct err *err)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const struct {
        const char *target;
        const char *path;
    } links[] = {{"/proc/self/fd", "dev/fd"},
                 {"/proc/self/fd/0", "dev/stdin"},
                 {"/proc/self/fd/1", "dev/stdout"},
                 {"/proc/self/fd/2", "dev/stderr"}};
    char size[SIZE_TEXT_BYTES];
    int r = attach_tmpfs("dev", (struct tmpfs){"64k", "32", "0755", 0}, err);

    for (size_t i = 0; i < ARRAY_COUNT(devices) && r == 0; i++) {
        r = make_device(devices[i], err);
    }
    for (size_t i = 0; i < ARRAY_COUNT(links) && r == 0; i++) {
        if (symlink(links[i].target, links[i].path) < 0) {
            r = err_set(err, -errno, "%s: %m", links[i].path);
        }
    }
    if (r == 0 && mkdir("dev/shm", 01777) < 0) {
        r = err_set(err, -errno, "dev/shm: %m");
    }
    if (r == 0) {
        snprintf(size, sizeof(size), "%" PRIu64, shm_bytes_max);
        r = attach_tmpfs("dev/shm", (struct tmpfs){size, "1024", "1777", MOUNT_ATTR_NODEV}, err);
    }
    if (r == 0) { /* the devices, too */
        r = set_attributes("dev", AT_RECURSIVE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
    }
    return r < 0 ? r : set_attributes("dev", 0, MOUNT_ATTR_RDONLY, err);
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
        fchdir(fd) < 0 || mkdir("dev", 0755) < 0 || mkdir("proc", 0755) < 0) {
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
    r = make_dev(plan->shm_bytes_max, err);
    if (r < 0) {
        return err_wrap(err, "/dev");
    }
    r = proc_make(&plan->proc, err);
    return r < 0 ? err_wrap(err, "/proc") : 0;
}
