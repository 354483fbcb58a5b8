// SPDX-License-Identifier: GPL-3.0-or-later
/* Kinds of sockets: each is a door of the kernel of its own. */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { ALIAS_BYTES = 64, LINE_BYTES = 512 };

static void make(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    const long *given = attempt->arguments;
    CLEANUP(cleanup_close)
    int fd = socket((int)given[0], (int)given[1] | SOCK_CLOEXEC, (int)given[2]);

    (void)facts;
    if (fd >= 0) {
        outcome_open(out, "made");
    } else {
        outcome_of_error(out, errno);
    }
}

static void make_pair(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    int pair[2];

    (void)facts;
    if (socketpair((int)attempt->arguments[0], (int)attempt->arguments[1] | SOCK_CLOEXEC, 0,
                   pair) == 0) {
        outcome_open(out, "made");
    } else {
        outcome_of_error(out, errno);
    }
}

static int try_option(const struct attempt *attempt)
{
    static const char value[64] = {2 /* UDP_ENCAP_ESPINUDP */};
    const long *given = attempt->arguments;
    CLEANUP(cleanup_close)
    int fd = socket(AF_INET, (int)given[2] | SOCK_CLOEXEC, 0);

    errno = 0;
    return fd < 0 || setsockopt(fd, (int)given[0], (int)given[1], value, (socklen_t)given[3]) == 0
               ? 0
               : errno;
}

/* The filter's answer; a kernel that has the option would complain of something else. */
static void set_option(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    (void)facts;
    if (try_option(attempt) == ENOPROTOOPT) {
        outcome_stopped(out, "Protocol not available");
    } else {
        outcome_open(out, "taken by the kernel");
    }
}

static bool has_option(const struct attempt *attempt, const struct facts *facts)
{
    (void)facts;
    return try_option(attempt) != ENOPROTOOPT;
}

static bool file_has(const char *path, const char *word)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    char line[LINE_BYTES];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, word) != NULL) {
            return true;
        }
    }
    return false;
}

static bool module_has(const char *file, const char *alias)
{
    struct utsname name;
    char path[LINE_BYTES];

    if (uname(&name) < 0) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "/lib/modules/%.128s/%s", name.release, file);
    return file_has(path, alias);
}

/*
 * Is the family there, or could it be? Asked of lists: a socket would load its module into the
 * host's kernel, and a control changes nothing.
 */
static bool has_family(const struct attempt *attempt, const struct facts *facts)
{
    const long *given = attempt->arguments;
    char alias[ALIAS_BYTES];

    (void)facts;
    if (attempt->path != NULL && file_has("/proc/net/protocols", attempt->path)) {
        return true;
    }
    if (given[2] == 0) {
        (void)snprintf(alias, sizeof(alias), "net-pf-%ld ", given[0]);
    } else {
        (void)snprintf(alias, sizeof(alias), "net-pf-%ld-proto-%ld", given[0], given[2]);
    }
    return module_has("modules.alias", alias) || module_has("modules.builtin.alias.bin", alias);
}

#define ALWAYS(text, ...)                                         \
    {                                                             \
        .name = (text), .run = make, .arguments = { __VA_ARGS__ } \
    }
/* `listed`: its name in /proc/net/protocols. */
#define FAMILY(text, listed, ...)                                                            \
    {                                                                                        \
        .name = (text), .run = make, .control = has_family, .path = (listed), .arguments = { \
            __VA_ARGS__                                                                      \
        }                                                                                    \
    }
/* Level, name, kind of socket, length. */
#define OPTION(text, ...)                                                                      \
    {                                                                                          \
        .name = (text), .run = set_option, .control = has_option, .arguments = { __VA_ARGS__ } \
    }

static const struct attempt rows[] = {
    ALWAYS("netlink: routes and links", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
    ALWAYS("netlink: events of devices", AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT),
    ALWAYS("netlink: generic", AF_NETLINK, SOCK_RAW, NETLINK_GENERIC),
    ALWAYS("netlink: sockets", AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG),
    FAMILY("netlink: audit", "NETLINK", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT),
    FAMILY("netlink: firewall", "NETLINK", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
    FAMILY("netlink: cryptography", "NETLINK", AF_NETLINK, SOCK_RAW, NETLINK_CRYPTO),
    FAMILY("netlink: IPsec", "NETLINK", AF_NETLINK, SOCK_RAW, NETLINK_XFRM),
    FAMILY("packets", "PACKET", AF_PACKET, SOCK_RAW, 0x0300),
    FAMILY("packets, cooked", "PACKET", AF_PACKET, SOCK_DGRAM, 0x0300),
    ALWAYS("raw IPv4", AF_INET, SOCK_RAW, 255),
    ALWAYS("raw ICMP", AF_INET, SOCK_RAW, 1),
    FAMILY("raw IPv6", "RAWv6", AF_INET6, SOCK_RAW, 255),
    FAMILY("ping", "PING", AF_INET, SOCK_DGRAM, 1),
    FAMILY("UDP-Lite", "UDP-Lite", AF_INET, SOCK_DGRAM, 136),
    FAMILY("SCTP", "SCTP", AF_INET, SOCK_STREAM, 132),
    FAMILY("DCCP", "DCCP", AF_INET, 6 /* SOCK_DCCP */, 33),
    FAMILY("MPTCP", "MPTCP", AF_INET, SOCK_STREAM, 262),
    FAMILY("L2TP", "L2TP", AF_INET, SOCK_DGRAM, 115),
    FAMILY("vsock: to the host of a virtual machine", "AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0),
    FAMILY("cryptography of the kernel (AF_ALG)", "ALG", AF_ALG, SOCK_SEQPACKET, 0),
    FAMILY("express data path (AF_XDP)", "XDP", AF_XDP, SOCK_RAW, 0),
    FAMILY("keys of IPsec (AF_KEY)", "KEY", AF_KEY, SOCK_RAW, 2),
    FAMILY("Bluetooth", "BT", AF_BLUETOOTH, SOCK_RAW, 1),
    FAMILY("CAN bus", "CAN", AF_CAN, SOCK_RAW, 1),
    FAMILY("TIPC", "TIPC", AF_TIPC, SOCK_SEQPACKET, 0),
    FAMILY("RDS", "RDS", AF_RDS, SOCK_SEQPACKET, 0),
    FAMILY("SMC", "SMC", 43 /* AF_SMC */, SOCK_STREAM, 0),
    FAMILY("KCM", "KCM", AF_KCM, SOCK_DGRAM, 0),
    FAMILY("RxRPC", "RXRPC", AF_RXRPC, SOCK_DGRAM, AF_INET),
    FAMILY("PPP over something", "PPPOX", AF_PPPOX, SOCK_STREAM, 0),
    FAMILY("LLC", "LLC", AF_LLC, SOCK_STREAM, 0),
    FAMILY("X.25", "X25", AF_X25, SOCK_SEQPACKET, 0),
    FAMILY("amateur radio (AX.25)", "AX25", AF_AX25, SOCK_DGRAM, 0),
    FAMILY("AppleTalk", "DDP", AF_APPLETALK, SOCK_DGRAM, 0),
    FAMILY("near field (NFC)", "NFC", AF_NFC, SOCK_SEQPACKET, 0),
    FAMILY("phonet", "PHONET", AF_PHONET, SOCK_DGRAM, 0),
    FAMILY("IPC router (QRTR)", "QIPCRTR", 42 /* AF_QIPCRTR */, SOCK_DGRAM, 0),
    FAMILY("sensor networks (802.15.4)", "IEEE-802.15.4", AF_IEEE802154, SOCK_DGRAM, 0),
    {.name = "a pair of another family",
     .run = make_pair,
     .control = has_family,
     .path = "TIPC",
     .arguments = {AF_TIPC, SOCK_SEQPACKET, 0}},
    OPTION("a program for packets", SOL_SOCKET, SO_ATTACH_FILTER, SOCK_DGRAM, 16),
    OPTION("a program for ports", SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, SOCK_DGRAM, 16),
    OPTION("a socket of one device", SOL_SOCKET, SO_BINDTODEVICE, SOCK_DGRAM, 16),
    OPTION("another protocol within TCP", IPPROTO_TCP, TCP_ULP, SOCK_STREAM, 2),
    OPTION("signatures within TCP", IPPROTO_TCP, TCP_MD5SIG, SOCK_STREAM, 2),
    OPTION("IPsec within UDP", IPPROTO_UDP, UDP_ENCAP, SOCK_DGRAM, 4),
    OPTION("merged datagrams: new code in the kernel", IPPROTO_UDP, UDP_GRO, SOCK_DGRAM, 4),
    OPTION("times of arrival: new code in the kernel", SOL_SOCKET, SO_TIMESTAMP, SOCK_DGRAM, 4),
    OPTION("memory of a device", SOL_SOCKET, 80 /* SO_DEVMEM_DONTNEED */, SOCK_STREAM, 4),
};

const struct attempt_group sockets_group = {"sockets", rows, ARRAY_COUNT(rows)};
