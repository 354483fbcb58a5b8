// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static int loopback_up(struct err *err)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) {
        return err_set(err, -errno, "loopback: %m");
    }
    return 0;
}

/* Low ports are special on a host with users; the network here has one service. */
static int open_ports(const char *proc, struct err *err)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/sys/net/ipv4/ip_unprivileged_port_start", proc);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    /* A kernel without the setting is fine as it is. */
    if (fd < 0 ? errno != ENOENT : write(fd, "0", 1) != 1) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

int network_settle(const char *proc, struct err *err)
{
    int r = open_ports(proc, err);

    return r < 0 ? r : loopback_up(err);
}

int network_make(struct err *err)
{
    if (unshare(CLONE_NEWNET) < 0) {
        return err_set(err, -errno, "network namespace: %m");
    }
    int r = network_settle("/proc", err);
    if (r < 0) {
        return r;
    }
    r = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return r >= 0 ? r : err_set(err, -errno, "network namespace: %m");
}
