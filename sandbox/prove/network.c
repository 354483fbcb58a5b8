// SPDX-License-Identifier: GPL-3.0-or-later
/* Reaching somebody: the host, its network, the router, the provider, the Internet. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { CONNECT_MS_MAX = 700, HTTP_PORT = 80, DNS_PORT = 53 };

/* Whom a row means: `path` an address, or one of these words. */
static const char *address_of(const struct attempt *attempt, const struct facts *facts)
{
    if (strcmp(attempt->path, "lan") == 0) {
        return facts->lan;
    }
    return strcmp(attempt->path, "router") == 0 ? facts->router : attempt->path;
}

static uint16_t port_of(const struct attempt *attempt, const struct facts *facts)
{
    const bool is_udp = attempt->arguments[0] == SOCK_DGRAM;

    return (uint16_t)(attempt->number != 0 ? (uint64_t)attempt->number
                      : is_udp             ? facts->udp_port
                                           : facts->tcp_port);
}

static socklen_t make_address(const char *text, uint16_t port, struct sockaddr_storage *address_out)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        memcpy(address_out, &four, sizeof(four));
        return sizeof(four);
    }
    if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
        memcpy(address_out, &six, sizeof(six));
        return sizeof(six);
    }
    return 0;
}

/* Returns 0 when it is connected, else the errno; EINVAL where there is no such address. */
static int reach(const char *text, uint16_t port, int type)
{
    struct sockaddr_storage address = {0};
    socklen_t length = text[0] == '\0' ? 0 : make_address(text, port, &address);
    const int on = 1;

    if (length == 0 || port == 0) {
        return EINVAL;
    }
    CLEANUP(cleanup_close)
    int fd = socket(address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    if (type == SOCK_DGRAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
        return sendto(fd, "probe", 5, 0, (const struct sockaddr *)&address, length) < 0 ? errno : 0;
    }
    if (connect(fd, (const struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS) {
        return errno;
    }
    struct pollfd waiting = {fd, POLLOUT, 0};
    int code = ETIMEDOUT;
    socklen_t code_bytes = sizeof(code);
    if (poll(&waiting, 1, CONNECT_MS_MAX) == 1) {
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_bytes);
    }
    return code;
}

static void connect_to(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    int code =
        reach(address_of(attempt, facts), port_of(attempt, facts), (int)attempt->arguments[0]);

    if (code == 0) {
        outcome_open(out, "reached");
    } else {
        outcome_of_absence(out, code);
    }
}

/*
 * Outside: does what is ours answer? What is not ours is not disturbed: connecting a datagram
 * socket sends nothing, and only asks whether there is a way.
 */
static bool is_reachable(const struct attempt *attempt, const struct facts *facts)
{
    struct sockaddr_storage address = {0};
    const char *text = address_of(attempt, facts);
    const int on = 1;

    if (attempt->number == 0) {
        return reach(text, port_of(attempt, facts), (int)attempt->arguments[0]) == 0;
    }
    socklen_t length =
        text[0] == '\0' ? 0 : make_address(text, (uint16_t)attempt->number, &address);
    CLEANUP(cleanup_close)
    int fd = length == 0 ? -1 : socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0 &&
           connect(fd, (const struct sockaddr *)&address, length) == 0;
}

static int reach_unix(const char *path, bool is_abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    CLEANUP(cleanup_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return errno;
    }
    if (length == 0 || length + 2 > sizeof(address.sun_path)) {
        return EINVAL;
    }
    memcpy(address.sun_path + (is_abstract ? 1 : 0), path, length);
    length += offsetof(struct sockaddr_un, sun_path) + 1;
    return connect(fd, (const struct sockaddr *)&address, (socklen_t)length) < 0 ? errno : 0;
}

static void connect_abstract(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    int code = reach_unix(facts->abstract, true);

    (void)attempt;
    if (code == 0) {
        outcome_open(out, "reached");
    } else {
        outcome_of_absence(out, code);
    }
}

static bool has_abstract(const struct attempt *attempt, const struct facts *facts)
{
    (void)attempt;
    return reach_unix(facts->abstract, true) == 0;
}

static void connect_path(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    int code = reach_unix(attempt->path != NULL ? attempt->path : facts->unix_path, false);

    if (code == 0) {
        outcome_open(out, "reached");
    } else {
        outcome_of_absence(out, code);
    }
}

static bool has_path(const struct attempt *attempt, const struct facts *facts)
{
    if (attempt->path != NULL) {
        return access(attempt->path, F_OK) == 0 || errno == EACCES;
    }
    return reach_unix(facts->unix_path, false) == 0;
}

static void attach_shm(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    int id = shmget((key_t)facts->shm_key, 1, 0);

    (void)attempt;
    if (id >= 0) {
        outcome_open(out, "segment %d", id);
    } else {
        outcome_of_absence(out, errno);
    }
}

static bool has_shm(const struct attempt *attempt, const struct facts *facts)
{
    (void)attempt;
    return facts->shm_key != 0 && shmget((key_t)facts->shm_key, 1, 0) >= 0;
}

static void open_shm(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = shm_open(facts->shm_name, O_RDONLY, 0);

    (void)attempt;
    if (fd >= 0) {
        outcome_open(out, "opened");
    } else {
        outcome_of_absence(out, errno);
    }
}

static bool has_posix_shm(const struct attempt *attempt, const struct facts *facts)
{
    CLEANUP(cleanup_close) int fd = shm_open(facts->shm_name, O_RDONLY, 0);

    (void)attempt;
    return facts->shm_name[0] != '\0' && fd >= 0;
}

static void find_interfaces(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen(attempt->path, "re");
    char line[256];

    (void)facts;
    if (file == NULL) {
        outcome_of_absence(out, errno);
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[IFNAMSIZ + 1] = "";

        if (strchr(line, ':') != NULL && sscanf(line, " %16[^:]:", name) == 1 &&
            strcmp(name, "lo") != 0) {
            outcome_open(out, "%s", name);
            return;
        }
    }
    outcome_stopped(out, "only its loopback");
}

/* number: an ioctl about an interface, arguments[0]: the flags. */
static void set_interface(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = (short)attempt->arguments[0]};
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)facts;
    if (fd >= 0 && ioctl(fd, (unsigned long)attempt->number, &request) == 0) {
        outcome_open(out, "done");
    } else {
        outcome_of_error(out, errno);
    }
}

/* arguments: level, option, value */
static void set_option(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    const int value = (int)attempt->arguments[2];
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)facts;
    if (fd >= 0 && setsockopt(fd, (int)attempt->arguments[0], (int)attempt->arguments[1], &value,
                              sizeof(value)) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

#define TCP(text, where, port)                                                       \
    {                                                                                \
        .name = (text), .run = connect_to, .control = is_reachable, .path = (where), \
        .number = (port), .arguments = {                                             \
            SOCK_STREAM                                                              \
        }                                                                            \
    }
#define UDP(text, where, port)                                                       \
    {                                                                                \
        .name = (text), .run = connect_to, .control = is_reachable, .path = (where), \
        .number = (port), .arguments = {                                             \
            SOCK_DGRAM                                                               \
        }                                                                            \
    }
#define OPTION(text, level, option, value)                                       \
    {                                                                            \
        .name = (text), .run = set_option, .arguments = { level, option, value } \
    }

static const struct attempt rows[] = {
    TCP("the host's loopback", "127.0.0.1", 0),
    TCP("the host's loopback, by 0.0.0.0", "0.0.0.0", 0),
    TCP("the host's loopback, IPv6", "::1", 0),
    TCP("the host's address on its network", "lan", 0),
    UDP("the host's address, by a datagram", "lan", 0),
    TCP("secure shell of the host", "lan", 22),
    TCP("the router", "router", HTTP_PORT),
    UDP("names from the router", "router", DNS_PORT),
    TCP("metadata of a cloud", "169.254.169.254", HTTP_PORT),
    TCP("metadata of a cloud, IPv6", "fd00:ec2::254", HTTP_PORT),
    TCP("a neighbour at 192.168.1.1", "192.168.1.1", HTTP_PORT),
    TCP("a neighbour at 10.0.0.1", "10.0.0.1", HTTP_PORT),
    TCP("a neighbour at 172.17.0.1", "172.17.0.1", HTTP_PORT),
    TCP("a neighbour at 100.64.0.1", "100.64.0.1", HTTP_PORT),
    TCP("the Internet", "1.1.1.1", 443),
    TCP("the Internet, IPv6", "2606:4700:4700::1111", 443),
    TCP("mail to anyone", "8.8.8.8", 25),
    UDP("names from the Internet", "8.8.8.8", DNS_PORT),
    UDP("everyone on the network", "255.255.255.255", 9),
    UDP("those who listen for names (mDNS)", "224.0.0.251", 5353),
    UDP("those who listen for devices (SSDP)", "239.255.255.250", 1900),
    {.name = "an abstract socket of the host", .run = connect_abstract, .control = has_abstract},
    {.name = "a socket in a folder of the host", .run = connect_path, .control = has_path},
    {.name = "the system's bus",
     .run = connect_path,
     .control = has_path,
     .path = "/run/dbus/system_bus_socket"},
    {.name = "systemd", .run = connect_path, .control = has_path, .path = "/run/systemd/private"},
    {.name = "docker", .run = connect_path, .control = has_path, .path = "/run/docker.sock"},
    {.name = "the journal",
     .run = connect_path,
     .control = has_path,
     .path = "/run/systemd/journal/stdout"},
    {.name = "this machine's mingad",
     .run = connect_path,
     .control = has_path,
     .path = "/run/minga/agent.sock"},
    {.name = "this machine's minga-sandboxd",
     .run = connect_path,
     .control = has_path,
     .path = "/run/minga/sandbox.sock"},
    {.name = "System V memory of the host", .run = attach_shm, .control = has_shm},
    {.name = "POSIX memory of the host", .run = open_shm, .control = has_posix_shm},
    {.name = "interfaces of the host", .run = find_interfaces, .path = "/proc/self/net/dev"},
    {.name = "change an interface",
     .run = set_interface,
     .number = SIOCSIFFLAGS,
     .arguments = {IFF_PROMISC}},
    {.name = "change an address", .run = set_interface, .number = SIOCSIFADDR},
    {.name = "make a bridge", .run = set_interface, .number = SIOCBRADDBR},
    OPTION("mark packets for routing", SOL_SOCKET, SO_MARK, 1),
    OPTION("send with system priority", SOL_SOCKET, SO_PRIORITY, 7),
    OPTION("debug a socket", SOL_SOCKET, SO_DEBUG, 1),
    OPTION("buffers beyond the limit", SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26),
    OPTION("send from foreign addresses", IPPROTO_IP, IP_TRANSPARENT, 1),
    OPTION("repair a connection", IPPROTO_TCP, TCP_REPAIR, 1),
};

const struct attempt_group network_group = {"network", rows, ARRAY_COUNT(rows)};
