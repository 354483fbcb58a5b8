// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/port_sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* -1: it has none, or is no socket. */
static int option(int fd, int name)
{
    int value = 0;
    socklen_t value_bytes = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &value_bytes) == 0 ? value : -1;
}

/* Takes what comes from whoever comes. A datagram socket that is connected hears one peer only, of
 * mingad's choice. */
static bool serves(int fd, int type)
{
    union address peer;
    socklen_t peer_bytes = sizeof(peer);

    if (type != SOCK_DGRAM) {
        return option(fd, SO_ACCEPTCONN) == 1;
    }
    return getpeername(fd, &peer.any, &peer_bytes) < 0 && errno == ENOTCONN;
}

static bool is_of_internet(int fd, int type, int protocol)
{
    const int domain = option(fd, SO_DOMAIN);

    return (domain == AF_INET || domain == AF_INET6) && option(fd, SO_TYPE) == type &&
           option(fd, SO_PROTOCOL) == protocol && serves(fd, type);
}

/* mingad's own end of a port for members: where it lies is mingad's affair, strangers come to mingad. */
static bool is_for_members(int fd, int type)
{
    return option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_TYPE) == type && serves(fd, type);
}

static bool is_bound_to(int fd, uint16_t port)
{
    union address own = {0};
    socklen_t own_bytes = sizeof(own);

    return getsockname(fd, &own.any, &own_bytes) == 0 &&
           ntohs(own.any.sa_family == AF_INET ? own.v4.sin_port : own.v6.sin6_port) == port;
}

static int check_one(const struct sandbox_port *wanted, int fd, struct err *err)
{
    const uint16_t port = wanted->host_port;

    if (sandbox_is_for_members(wanted->protocol)) {
        const bool is_udp = sandbox_is_udp(wanted->protocol);

        return is_for_members(fd, is_udp ? SOCK_SEQPACKET : SOCK_STREAM)
                   ? 0
                   : err_set(err, -EPERM, "port %u: not a listening unix socket%s", port,
                             is_udp ? " of packets" : "");
    }
    if (wanted->protocol == SANDBOX_UDP && !is_of_internet(fd, SOCK_DGRAM, IPPROTO_UDP)) {
        return err_set(err, -EPERM, "port %u: not a bound UDP socket", port);
    }
    if (wanted->protocol == SANDBOX_TCP && !is_of_internet(fd, SOCK_STREAM, IPPROTO_TCP)) {
        return err_set(err, -EPERM, "port %u: not a listening TCP socket", port);
    }
    return is_bound_to(fd, port)
               ? 0
               : err_set(err, -EPERM, "port %u: the socket is bound to another", port);
}

int port_sockets_check(const struct sandbox_spec *spec, const struct host_limits *limits,
                       const int *fds, uint32_t fd_count, struct err *err)
{
    if (fd_count != spec->port_count) {
        return err_set(err, -EPERM, "%u ports, but %u sockets", spec->port_count, fd_count);
    }
    for (uint32_t i = 0; i < spec->port_count; i++) {
        const uint16_t port = spec->ports[i].host_port;
        int r;

        if (port < limits->port_first || port > limits->port_last) {
            return err_set(err, -EPERM, "port %u is not among the allowed %u-%u", port,
                           limits->port_first, limits->port_last);
        }
        r = check_one(&spec->ports[i], fds[i], err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
