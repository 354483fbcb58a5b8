// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"

static const struct {
    const char *name;
    unsigned int major_number;
    unsigned int minor_number;
} nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
             {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const struct {
    const char *target;
    const char *name;
} links[] = {{"/proc/self/fd", "fd"},
             {"/proc/self/fd/0", "stdin"},
             {"/proc/self/fd/1", "stdout"},
             {"/proc/self/fd/2", "stderr"}};

static int fill(int mount_fd, struct err *err)
{
    const mode_t for_all = 0666;

    for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
        const dev_t number = makedev(nodes[i].major_number, nodes[i].minor_number);

        if (mknodat(mount_fd, nodes[i].name, S_IFCHR | for_all, number) < 0) {
            return err_set(err, -errno, "/dev/%s: %m", nodes[i].name);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
        if (symlinkat(links[i].target, mount_fd, links[i].name) < 0) {
            return err_set(err, -errno, "/dev/%s: %m", links[i].name);
        }
    }
    return mkdirat(mount_fd, "shm", 0755) < 0 ? err_set(err, -errno, "/dev/shm: %m") : 0;
}

int devices_make(struct err *err)
{
    static const struct mount_option options[] = {
        {"size", "64k"}, {"nr_inodes", "32"}, {"mode", "0755"}, {NULL, NULL}};
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP(cleanup_close)
    int fd = mount_make("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);

    if (fd < 0) {
        return fd;
    }
    int r = fill(fd, err);
    if (r == 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0) {
        r = err_set(err, -errno, "/dev: %m");
    }
    return r < 0 ? r : take_fd(&fd);
}
