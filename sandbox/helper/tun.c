// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/ipv6_route.h>
#include <linux/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/egress/egress.h"
#include "sandbox/helper/packet.h"

enum { PREFIX_BITS_IPV6 = 64 };

static struct ifreq request_of_device(void)
{
    struct ifreq request;

    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, EGRESS_DEVICE, sizeof(EGRESS_DEVICE));
    return request;
}

static struct sockaddr ipv4_of(const char *text)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr address;

    CHECK(inet_pton(AF_INET, text, &ipv4.sin_addr) == 1);
    memcpy(&address, &ipv4, sizeof(address));
    return address;
}

/* In the network namespace of whoever opens it: hence not by the helper. */
static int make_device(struct err *err)
{
    struct ifreq request = request_of_device();
    CLEANUP(cleanup_close) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return err_set(err, -errno, "egress: /dev/net/tun: %m");
    }
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        return err_set(err, -errno, "egress: tun device: %m");
    }
    return take_fd(&fd);
}

static int configure_ipv4(int fd, struct err *err)
{
    struct ifreq request = request_of_device();
    struct rtentry route;
    char name[] = EGRESS_DEVICE;

    request.ifr_addr = ipv4_of(EGRESS_OWN_IPV4);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0) {
        return err_set(err, -errno, "egress: address: %m");
    }
    request = request_of_device();
    request.ifr_mtu = EGRESS_MTU_BYTES;
    if (ioctl(fd, SIOCSIFMTU, &request) < 0) {
        return err_set(err, -errno, "egress: MTU: %m");
    }
    request = request_of_device();
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) {
        return err_set(err, -errno, "egress: up: %m");
    }
    memset(&route, 0, sizeof(route));
    route.rt_dst = ipv4_of("0.0.0.0");
    route.rt_genmask = ipv4_of("0.0.0.0");
    route.rt_flags = RTF_UP;
    route.rt_dev = name;
    return ioctl(fd, SIOCADDRT, &route) < 0 ? err_set(err, -errno, "egress: route: %m") : 0;
}

/* A kernel without IPv6 has no such socket: then there is IPv4. */
static int configure_ipv6(struct err *err)
{
    struct ifreq device = request_of_device();
    struct in6_ifreq address = {.ifr6_prefixlen = PREFIX_BITS_IPV6};
    struct in6_rtmsg route = {.rtmsg_flags = RTF_UP, .rtmsg_metric = 1};
    CLEANUP(cleanup_close) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return 0;
    }
    CHECK(inet_pton(AF_INET6, EGRESS_OWN_IPV6, &address.ifr6_addr) == 1);
    if (ioctl(fd, SIOCGIFINDEX, &device) < 0) {
        return err_set(err, -errno, "egress: device: %m");
    }
    address.ifr6_ifindex = device.ifr_ifindex;
    route.rtmsg_ifindex = device.ifr_ifindex;
    if (ioctl(fd, SIOCSIFADDR, &address) < 0) {
        return errno == EACCES || errno == EOPNOTSUPP || errno == EADDRNOTAVAIL
                   ? 0 /* switched off by a setting */
                   : err_set(err, -errno, "egress: IPv6 address: %m");
    }
    return ioctl(fd, SIOCADDRT, &route) < 0 ? err_set(err, -errno, "egress: IPv6 route: %m") : 0;
}

/*
 * passt drops what its socket to us does not take, which by default is some 400 KiB: the windows
 * that this network's receivers offer are kept below. Slower without, not broken.
 */
static void limit_windows(void)
{
    static const char windows[] = "4096 131072 524288";
    CLEANUP(cleanup_close) int fd = open("/proc/sys/net/ipv4/tcp_rmem", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, windows, sizeof(windows) - 1) < 0) {
        return;
    }
}

int tun_hand_out(int setup_fd, struct err *err)
{
    const uint8_t nothing = 0;
    CLEANUP(cleanup_close) int tun_fd = make_device(err);

    if (tun_fd < 0) {
        return tun_fd;
    }
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? err_set(err, -errno, "egress: %m") : configure_ipv4(fd, err);

    r = r < 0 ? r : configure_ipv6(err);
    limit_windows();
    if (r < 0) {
        return r;
    }
    r = packet_send(setup_fd, (struct bytes){&nothing, 1}, &(struct packet_fds){{tun_fd}, 1});
    errno = -r;
    return r < 0 ? err_set(err, r, "egress: hand out: %m") : 0;
}
