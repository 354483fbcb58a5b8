// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int connect_begin(enum loopback_family family, uint16_t port)
{
    struct sockaddr_in ipv4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 ipv6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool is_ipv4 = family == LOOPBACK_IPV4;
    const struct sockaddr *address =
        is_ipv4 ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&ipv6;
    socklen_t address_bytes = is_ipv4 ? sizeof(ipv4) : sizeof(ipv6);
    int on = 1;

    CLEANUP(cleanup_close)
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    /* What is forwarded was cut into packets by its sender already. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address, address_bytes) < 0 && errno != EINPROGRESS) {
        return -errno;
    }
    return take_fd(&fd);
}

int connect_result(int fd)
{
    struct pollfd poll_fd = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t error_bytes = sizeof(error);

    if (poll(&poll_fd, 1, 0) == 0) {
        return -EINPROGRESS;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0) {
        return -errno;
    }
    return -error;
}
