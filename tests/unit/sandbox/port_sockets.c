// SPDX-License-Identifier: GPL-3.0-or-later
/* What a mingad that is not itself any more could hand over in place of a port's socket. */
#include "sandbox/helper/port_sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"

enum { PROTOCOLS = SANDBOX_MEMBERS_UDP + 1, ELSEWHERE = 1 };

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t address_bytes = sizeof(address);

    cr_assert_eq(getsockname(fd, &address.any, &address_bytes), 0);
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* Bound to loopback, at a port of the kernel's choice. */
static int bound(int family, int type, int protocol)
{
    const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);

    if (fd >= 0 && family == AF_INET) {
        cr_assert_eq(bind(fd, (const struct sockaddr *)&v4, sizeof(v4)), 0);
    } else if (fd >= 0 && bind(fd, (const struct sockaddr *)&v6, sizeof(v6)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listening(int fd)
{
    cr_assert(fd < 0 || listen(fd, 1) == 0);
    return fd;
}

static int a_file(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int a_path(void)
{
    return open("/", O_PATH | O_CLOEXEC);
}

static int a_pipe(void)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    return ends[0];
}

static int some_memory(void)
{
    return memfd_create("minga-test", MFD_CLOEXEC);
}

static int nothing(void)
{
    int fd = a_file();

    close(fd);
    return fd;
}

static int tcp_listening(void)
{
    return listening(bound(AF_INET, SOCK_STREAM, 0));
}

static int tcp6_listening(void)
{
    return listening(bound(AF_INET6, SOCK_STREAM, 0));
}

static int tcp_bound(void)
{
    return bound(AF_INET, SOCK_STREAM, 0);
}

static int mptcp_listening(void)
{
    return listening(bound(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));
}

static int udp_bound(void)
{
    return bound(AF_INET, SOCK_DGRAM, 0);
}

static int udp6_bound(void)
{
    return bound(AF_INET6, SOCK_DGRAM, 0);
}

static int udp_unbound(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Made by who may: else there is nothing to refuse. */
static int udp_raw(void)
{
    return bound(AF_INET, SOCK_RAW, IPPROTO_UDP);
}

static int connected(int type)
{
    struct sockaddr_in address = {0};
    socklen_t address_bytes = sizeof(address);
    int other_fd = tcp_listening();
    int fd = bound(AF_INET, type, 0);

    cr_assert_eq(getsockname(other_fd, (struct sockaddr *)&address, &address_bytes), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(other_fd);
    return fd;
}

static int tcp_connected(void)
{
    return connected(SOCK_STREAM);
}

static int udp_connected(void)
{
    return connected(SOCK_DGRAM);
}

static int unix_bound(int type)
{
    const struct sockaddr_un nowhere = {.sun_family = AF_UNIX}; /* a name of the kernel's choice */
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere.sun_family)), 0);
    return fd;
}

static int unix_listening(void)
{
    return listening(unix_bound(SOCK_STREAM));
}

static int unix_stream(void)
{
    return unix_bound(SOCK_STREAM);
}

static int unix_packets(void)
{
    return listening(unix_bound(SOCK_SEQPACKET));
}

static int unix_packets_bound(void)
{
    return unix_bound(SOCK_SEQPACKET);
}

static int unix_datagrams(void)
{
    return unix_bound(SOCK_DGRAM);
}

static int unix_connected(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[0]);
    return ends[1];
}

static const struct {
    const char *name;
    int (*make)(void);    /* -1: this machine has none */
    uint8_t serves;       /* what it is right for: bits of enum sandbox_protocol */
    uint8_t kind_of_inet; /* it has a port of its own */
} rows[] = {
    {"nothing", nothing, 0, 0},
    {"a file", a_file, 0, 0},
    {"a path", a_path, 0, 0},
    {"a pipe", a_pipe, 0, 0},
    {"memory", some_memory, 0, 0},
    {"TCP, listening", tcp_listening, 1 << SANDBOX_TCP, 1},
    {"TCP over IPv6, listening", tcp6_listening, 1 << SANDBOX_TCP, 1},
    {"TCP, bound only", tcp_bound, 0, 1},
    {"TCP, connected", tcp_connected, 0, 1},
    {"multipath TCP, listening", mptcp_listening, 0, 1},
    {"UDP, bound", udp_bound, 1 << SANDBOX_UDP, 1},
    {"UDP over IPv6, bound", udp6_bound, 1 << SANDBOX_UDP, 1},
    {"UDP, not bound", udp_unbound, 0, 0},
    {"UDP, connected", udp_connected, 0, 1},
    {"UDP, raw", udp_raw, 0, 1},
    {"unix stream, listening", unix_listening, 1 << SANDBOX_MEMBERS, 0},
    {"unix stream, bound only", unix_stream, 0, 0},
    {"unix stream, connected", unix_connected, 0, 0},
    {"unix packets, listening", unix_packets, 1 << SANDBOX_MEMBERS_UDP, 0},
    {"unix packets, bound only", unix_packets_bound, 0, 0},
    {"unix datagrams, bound", unix_datagrams, 0, 0},
};

static struct sandbox_spec spec_of(enum sandbox_protocol protocol, uint16_t port)
{
    struct sandbox_spec spec = {.port_count = 1};

    spec.ports[0] = (struct sandbox_port){8080, port, protocol};
    return spec;
}

static const struct host_limits all_ports = {.port_first = 1, .port_last = UINT16_MAX};

Test(port_sockets, each_kind_of_port_takes_its_own_kind_of_socket_and_nothing_else)
{
    uint32_t taken_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int fd = rows[i].make();

        for (int protocol = 0; fd >= 0 && protocol < PROTOCOLS; protocol++) {
            const bool is_right = (rows[i].serves >> protocol & 1) != 0;
            const uint16_t port = rows[i].kind_of_inet != 0 ? bound_port(fd) : 31000;
            const struct sandbox_spec spec = spec_of((enum sandbox_protocol)protocol, port);
            struct err err = {0};
            int r = port_sockets_check(&spec, &all_ports, &fd, 1, &err);

            cr_expect_eq(r, is_right ? 0 : -EPERM, "%s for protocol %d: %d %s", rows[i].name,
                         protocol, r, err.text);
            cr_expect_eq(err.text[0] == '\0', is_right, "%s: why", rows[i].name);
            taken_count += r == 0;
        }
        close(fd);
    }
    cr_expect_geq(taken_count, PROTOCOLS, "one of each at least");
}

Test(port_sockets, none_two_and_those_of_another_port_are_refused)
{
    const enum sandbox_protocol protocols[] = {SANDBOX_TCP, SANDBOX_UDP, SANDBOX_MEMBERS,
                                               SANDBOX_MEMBERS_UDP};

    for (size_t i = 0; i < ARRAY_COUNT(protocols); i++) {
        const bool is_inet = !sandbox_is_for_members(protocols[i]);
        int fd = protocols[i] == SANDBOX_TCP       ? tcp_listening()
                 : protocols[i] == SANDBOX_UDP     ? udp_bound()
                 : protocols[i] == SANDBOX_MEMBERS ? unix_listening()
                                                   : unix_packets();
        const int both[] = {fd, fd};
        const uint16_t port = is_inet ? bound_port(fd) : 31000;
        struct sandbox_spec spec = spec_of(protocols[i], port);
        struct err err = {0};

        cr_expect_eq(port_sockets_check(&spec, &all_ports, both, 1, &err), 0);
        cr_expect_eq(port_sockets_check(&spec, &all_ports, both, 0, &err), -EPERM);
        cr_expect_str_eq(err.text, "1 ports, but 0 sockets");
        cr_expect_eq(port_sockets_check(&spec, &all_ports, both, 2, &err), -EPERM);
        spec.ports[0].host_port = (uint16_t)(port ^ ELSEWHERE);
        cr_expect_eq(port_sockets_check(&spec, &all_ports, both, 1, &err), is_inet ? -EPERM : 0,
                     "its own port's only, where it has one");
        close(fd);
    }
}

Test(port_sockets, every_port_of_several_is_looked_at)
{
    int right_fd = unix_listening();
    int wrong_fd = unix_stream();
    struct sandbox_spec spec = spec_of(SANDBOX_MEMBERS, 31000);
    struct err err = {0};

    spec.port_count = 2;
    spec.ports[1] = (struct sandbox_port){8081, 31001, SANDBOX_MEMBERS};
    cr_expect_eq(port_sockets_check(&spec, &all_ports, (const int[]){right_fd, right_fd}, 2, &err),
                 0);
    cr_expect_eq(port_sockets_check(&spec, &all_ports, (const int[]){right_fd, wrong_fd}, 2, &err),
                 -EPERM);
    cr_expect_not_null(strstr(err.text, "port 31001: "));
    cr_expect_eq(port_sockets_check(&spec, &all_ports, (const int[]){wrong_fd, right_fd}, 2, &err),
                 -EPERM);
    close(right_fd);
    close(wrong_fd);
}

Test(port_sockets, only_ports_that_root_gives_are_taken_for_members_too)
{
    const struct host_limits limits = {.port_first = 31000, .port_last = 31001};
    int fd = unix_listening();

    for (uint16_t port = 30999; port <= 31002; port++) {
        const struct sandbox_spec spec = spec_of(SANDBOX_MEMBERS, port);
        struct err err = {0};

        cr_expect_eq(port_sockets_check(&spec, &limits, &fd, 1, &err),
                     port == 31000 || port == 31001 ? 0 : -EPERM, "port %u", port);
    }
    close(fd);
}
