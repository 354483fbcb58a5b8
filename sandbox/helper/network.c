// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
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

/* A kernel without the setting is fine as it is. */
static int set(const char *proc, const char *name, const char *value, struct err *err)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/sys/net/ipv4/%s", proc, name);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 ? errno != ENOENT : write(fd, value, strlen(value)) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

int network_settle(const char *proc, struct err *err)
{
    /* Low ports are special on a host with users; the network here has one service. */
    int r = set(proc, "ip_unprivileged_port_start", "0", err);

    /* What the service sends goes over loopback (or to passt): nothing there needs pacing. */
    if (r == 0) {
        r = set(proc, "tcp_congestion_control", "reno", err);
    }
    return r < 0 ? r : loopback_up(err);
}

void network_hush(const char *folder)
{
    /* Packets by processor, memory of all sockets, kinds of packets, counts of routes. */
    static const char *const names[] = {"softnet_stat", "sockstat", "sockstat6",
                                        "protocols",    "ptype",    "stat/rt_cache"};
    char path[PATH_MAX];

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)chmod(path, 0); /* a kernel may lack it; what could be read `minga prove` tells */
    }
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
    network_hush("/proc/thread-self/net");
    r = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return r >= 0 ? r : err_set(err, -errno, "network namespace: %m");
}
