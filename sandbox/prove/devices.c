// SPDX-License-Identifier: GPL-3.0-or-later
/* Devices of the host: by their names in /dev, and by nodes that we make ourselves. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

#define NODE_PATH "/tmp/minga-probe-node"

/* By name, for reading. */
static void open_device(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    CLEANUP(cleanup_close)
    int fd = open(attempt->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    (void)facts;
    if (fd >= 0) {
        outcome_open(out, "can be opened");
    } else {
        outcome_of_absence(out, errno);
    }
}

/* number: S_IFCHR or S_IFBLK; arguments: major, minor. */
static void make_node(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    const dev_t device =
        makedev((unsigned int)attempt->arguments[0], (unsigned int)attempt->arguments[1]);

    (void)facts;
    if (mknod(NODE_PATH, (mode_t)attempt->number | 0600, device) < 0) {
        outcome_of_error(out, errno);
        return;
    }
    CLEANUP(cleanup_close) int fd = open(NODE_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "made and opened");
    }
    unlink(NODE_PATH);
}

/* Is there a driver of that number? */
static bool has_driver(const struct attempt *attempt, const struct facts *facts)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/devices", "re");
    bool is_block = false;
    char line[128];

    (void)facts;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        long major = -1;

        is_block = is_block || strncmp(line, "Block", 5) == 0;
        if (sscanf(line, "%ld", &major) == 1 && major == attempt->arguments[0] &&
            is_block == (attempt->number == S_IFBLK)) {
            return true;
        }
    }
    return false;
}

#define DEVICE(where)                                                                       \
    {                                                                                       \
        .name = "open " where, .run = open_device, .path = (where), .control = control_path \
    }
#define NODE(text, type, major, minor)                                                          \
    {                                                                                           \
        .name = "mknod " text, .run = make_node, .number = (type), .arguments = {major, minor}, \
        .control = has_driver                                                                   \
    }

static const struct attempt rows[] = {
    DEVICE("/dev/mem"),
    DEVICE("/dev/port"),
    DEVICE("/dev/kmsg"),
    DEVICE("/dev/sda"),
    DEVICE("/dev/vda"),
    DEVICE("/dev/nvme0n1"),
    DEVICE("/dev/loop0"),
    DEVICE("/dev/loop-control"),
    DEVICE("/dev/mapper/control"),
    DEVICE("/dev/btrfs-control"),
    DEVICE("/dev/fuse"),
    DEVICE("/dev/kvm"),
    DEVICE("/dev/net/tun"),
    DEVICE("/dev/vhost-net"),
    DEVICE("/dev/vhost-vsock"),
    DEVICE("/dev/vsock"),
    DEVICE("/dev/rtc0"),
    DEVICE("/dev/hpet"),
    DEVICE("/dev/nvram"),
    DEVICE("/dev/snapshot"),
    DEVICE("/dev/uinput"),
    DEVICE("/dev/userfaultfd"),
    DEVICE("/dev/watchdog"),
    DEVICE("/dev/hwrng"),
    DEVICE("/dev/ppp"),
    DEVICE("/dev/autofs"),
    DEVICE("/dev/console"),
    DEVICE("/dev/tty0"),
    DEVICE("/dev/ttyS0"),
    {.name = "open /dev/tty", .run = open_device, .path = "/dev/tty"},
    DEVICE("/dev/ptmx"),
    DEVICE("/dev/pts/0"),
    DEVICE("/dev/dri/card0"),
    DEVICE("/dev/input/event0"),
    DEVICE("/dev/cpu/0/msr"),
    NODE("of memory", S_IFCHR, 1, 1),
    NODE("of ports", S_IFCHR, 1, 4),
    NODE("of the kernel's log", S_IFCHR, 1, 11),
    NODE("of the loop control", S_IFCHR, 10, 237),
    NODE("of a tunnel", S_IFCHR, 10, 200),
    NODE("of a loop device", S_IFBLK, 7, 0),
    NODE("of a disk", S_IFBLK, 8, 0),
    NODE("of a virtual disk", S_IFBLK, 254, 0),
    {.name = "mknod of a whiteout", .run = make_node, .number = S_IFCHR},
};

const struct attempt_group devices_group = {"devices", rows, ARRAY_COUNT(rows)};
