// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Between sockets of one machine the kernel lets buffers grow to several MiB, and by the time that
 * bytes are read they have left the processor's caches: bounded ones carry up to twice as much. And
 * what a host may use towards networks (bbr) paces by timers, of which loopback has no need: "reno",
 * which every kernel has, sends when there is room.
 */
void socket_suit_to_this_host(int fd)
{
    static const char congestion[] = "reno";
    const int bytes = SOCKET_BUFFER_BYTES;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof(congestion) - 1);
}

bool socket_is_of_this_host(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } own = {0}, peer = {0};
    socklen_t own_bytes = sizeof(own);
    socklen_t peer_bytes = sizeof(peer);

    if (getsockname(fd, &own.any, &own_bytes) < 0 || getpeername(fd, &peer.any, &peer_bytes) < 0 ||
        own.any.sa_family != peer.any.sa_family) {
        return false;
    }
    if (own.any.sa_family == AF_INET6) {
        return memcmp(&own.v6.sin6_addr, &peer.v6.sin6_addr, sizeof(own.v6.sin6_addr)) == 0;
    }
    return own.any.sa_family == AF_INET && own.v4.sin_addr.s_addr == peer.v4.sin_addr.s_addr;
}

void socket_reset_at_close(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

bool socket_was_closed(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};

    return poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP) != 0;
}
