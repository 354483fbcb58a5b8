// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/descriptors.h"

enum { BACKLOG = 128 };

/*
 * Binds, and listens for streams; SO_REUSEADDR only lets go of connections that linger in
 * TIME_WAIT. (For datagrams it would share the port with whoever else asks for that.)
 */
static int listen_on(const struct sockaddr *address, socklen_t address_bytes, int type)
{
    const int on = 1;
    const int off = 0;
    CLEANUP(cleanup_close)
    int fd = socket(address->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 ||
        (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)) {
        return -errno;
    }
    if (address->sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) {
        return -errno;
    }
    if (bind(fd, address, address_bytes) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
        return -errno;
    }
    return take_fd(&fd);
}

static int listen_v4(struct in_addr host, uint16_t port, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host};

    return listen_on((const struct sockaddr *)&address, sizeof(address), type);
}

static int listen_v6(struct in6_addr host, uint16_t port, int type)
{
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host};

    return listen_on((const struct sockaddr *)&address, sizeof(address), type);
}

int ports_listen(const char *bind_host, uint16_t port, int type)
{
    struct in_addr v4 = {.s_addr = htonl(INADDR_ANY)};
    struct in6_addr v6 = in6addr_any;

    if (strcmp(bind_host, "*") == 0) {
        int fd = listen_v6(v6, port, type);

        /* A kernel without IPv6 has no such family or address. */
        return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL ? listen_v4(v4, port, type) : fd;
    }
    if (inet_pton(AF_INET, bind_host, &v4) == 1) {
        return listen_v4(v4, port, type);
    }
    return inet_pton(AF_INET6, bind_host, &v6) == 1 ? listen_v6(v6, port, type) : -EINVAL;
}

void ports_members_name(uint16_t port, char name_out[PORTS_PATH_BYTES])
{
    int chars = snprintf(name_out, PORTS_PATH_BYTES, "%u", port);

    CHECK(chars > 0 && chars < PORTS_PATH_BYTES);
}

/* By the folder's descriptor: its own path may be longer than an address of a unix socket. */
void ports_members_path(int members_fd, uint16_t port, char path_out[PORTS_PATH_BYTES])
{
    int chars = snprintf(path_out, PORTS_PATH_BYTES, "/proc/self/fd/%d/%u", members_fd, port);

    CHECK(chars > 0 && chars < PORTS_PATH_BYTES);
}

static int listen_for_members(int members_fd, uint16_t port, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[PORTS_PATH_BYTES];
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    static_assert(sizeof(address.sun_path) >= PORTS_PATH_BYTES, "the path fits");
    ports_members_name(port, name);
    ports_members_path(members_fd, port, address.sun_path);
    /* Of a replica that is gone: who still ran would have the port. */
    if (fd < 0 || (unlinkat(members_fd, name, 0) < 0 && errno != ENOENT) ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

int ports_members_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -errno;
    }
    (void)descriptors_refuse(fd); /* a minga-init may have been taken over */
    return fd;
}

int ports_members_connect(int members_fd, uint16_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close) int fd = ports_members_socket(SOCK_SEQPACKET);

    if (fd < 0) {
        return fd;
    }
    ports_members_path(members_fd, port, address.sun_path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

static int bind_one(const struct sandbox_port *port, const struct ports_where *where)
{
    if (sandbox_is_for_members(port->protocol)) {
        return listen_for_members(where->members_fd, port->host_port,
                                  sandbox_is_udp(port->protocol) ? SOCK_SEQPACKET : SOCK_STREAM);
    }
    return ports_listen(where->bind_host, port->host_port,
                        port->protocol == SANDBOX_UDP ? SOCK_DGRAM : SOCK_STREAM);
}

int ports_bind(const struct sandbox_spec *spec, const struct ports_where *where,
               struct ports *ports_out, uint16_t *refused_out)
{
    struct ports ports = {0};

    CHECK(spec->port_count <= PORTS_PER_SERVICE_MAX);
    for (uint32_t i = 0; i < spec->port_count; i++) {
        int fd = bind_one(&spec->ports[i], where);

        if (fd < 0) {
            *refused_out = spec->ports[i].host_port;
            ports_close(&ports);
            return fd;
        }
        ports.fds[ports.count++] = fd;
    }
    *ports_out = ports;
    return 0;
}

void ports_close(struct ports *ports)
{
    for (uint32_t i = 0; i < ports->count; i++) {
        close(ports->fds[i]);
    }
    ports->count = 0;
}
