// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/in6.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/portmap/job.h"
#include "base/bytes.h"
#include "base/cleanup.h"

enum { LINE_BYTES = 256, ROUTES_MAX = 4096, FLAG_UP_AND_GATEWAY = 3 };

/* The default route with the lowest metric: /proc/net/route, one line for each route. */
static bool find_route(struct in_addr *gateway_out)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/net/route", "re");
    uint32_t best_metric = UINT32_MAX;
    char line[LINE_BYTES];
    bool is_found = false;

    for (int i = 0; file != NULL && i < ROUTES_MAX && fgets(line, sizeof(line), file) != NULL;
         i++) {
        uint32_t destination = 0;
        uint32_t gateway = 0;
        uint32_t flags = 0;
        uint32_t metric = 0;
        uint32_t mask = 0;

        /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers, each of 32 bits */
        if (sscanf(line, "%*31s %" SCNx32 " %" SCNx32 " %" SCNx32 " %*d %*d %" SCNu32 " %" SCNx32,
                   &destination, &gateway, &flags, &metric, &mask) == 5 &&
            destination == 0 && mask == 0 && gateway != 0 &&
            (flags & FLAG_UP_AND_GATEWAY) == FLAG_UP_AND_GATEWAY && metric < best_metric) {
            best_metric = metric;
            gateway_out->s_addr = gateway; /* printed as it lies in memory */
            is_found = true;
        }
    }
    return is_found;
}

/* Connecting a datagram socket sends nothing. */
static int find_own(const struct in_addr *gateway, struct in_addr *own_out)
{
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = *gateway};
    socklen_t length_bytes = sizeof(address);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length_bytes) < 0) {
        return -errno;
    }
    *own_out = address.sin_addr;
    return 0;
}

/* RFC 1918, RFC 6598 (a provider's own translation), RFC 3927. */
static bool is_private(const struct in_addr *address)
{
    static const struct {
        uint32_t network;
        uint32_t mask;
    } ranges[] = {
        {0x0a000000, 0xff000000}, {0xac100000, 0xfff00000}, {0xc0a80000, 0xffff0000},
        {0x64400000, 0xffc00000}, {0xa9fe0000, 0xffff0000},
    };
    uint32_t number = ntohl(address->s_addr);

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if ((number & ranges[i].mask) == ranges[i].network) {
            return true;
        }
    }
    return false;
}

int gateway_find(struct job *job, char why_out[PORTMAP_WHY_CHARS_MAX + 1])
{
    if (!find_route(&job->gateway)) {
        (void)snprintf(why_out, PORTMAP_WHY_CHARS_MAX + 1, "there is no IPv4 default route");
        return -ENETUNREACH;
    }
    int r = find_own(&job->gateway, &job->own);

    if (r < 0) {
        (void)snprintf(why_out, PORTMAP_WHY_CHARS_MAX + 1, "the router cannot be reached");
        return r;
    }
    (void)inet_ntop(AF_INET, &job->gateway, job->gateway_text, sizeof(job->gateway_text));
    (void)inet_ntop(AF_INET, &job->own, job->own_text, sizeof(job->own_text));
    if (!is_private(&job->own)) { /* whose router that is, we have nothing to ask of it */
        (void)snprintf(why_out, PORTMAP_WHY_CHARS_MAX + 1,
                       PORTMAP_NOT_HIDDEN ": its address %s is a public one", job->own_text);
        return -EADDRNOTAVAIL;
    }
    return 0;
}

/* ------------------------------------------------------------------ IPv6 */

/* The default route with the lowest metric: /proc/net/ipv6_route, one line for each route. */
static bool find_route_ipv6(struct sockaddr_in6 *gateway_out)
{
    CLEANUP(cleanup_fclose) FILE *file = fopen("/proc/net/ipv6_route", "re");
    uint32_t best_metric = UINT32_MAX;
    char line[LINE_BYTES];
    bool is_found = false;

    for (int i = 0; file != NULL && i < ROUTES_MAX && fgets(line, sizeof(line), file) != NULL;
         i++) {
        struct sockaddr_in6 gateway = {.sin6_family = AF_INET6};
        char hop[2 * sizeof(gateway.sin6_addr) + 1];
        char device[IF_NAMESIZE + 1];
        uint32_t prefix = 0;
        uint32_t metric = 0;
        uint32_t flags = 0;

        static_assert(sizeof(hop) == 33 && sizeof(device) >= 17, "what is scanned fits");
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers, each of 32 bits */
        if (sscanf(line, "%*32s %" SCNx32 " %*32s %*2s %32s %" SCNx32 " %*8s %*8s %" SCNx32 " %16s",
                   &prefix, hop, &metric, &flags, device) == 5 &&
            prefix == 0 && (flags & FLAG_UP_AND_GATEWAY) == FLAG_UP_AND_GATEWAY &&
            metric < best_metric &&
            bytes_from_hex(hop, gateway.sin6_addr.s6_addr, sizeof(gateway.sin6_addr.s6_addr)) >=
                0) {
            gateway.sin6_scope_id = if_nametoindex(device);
            best_metric = metric;
            *gateway_out = gateway;
            is_found = true;
        }
    }
    return is_found;
}

/* The address that others dial, and not one of those that change by the day for privacy's sake. */
static int find_own_ipv6(struct in6_addr *own_out)
{
    CLEANUP(cleanup_close) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int lasting = IPV6_PREFER_SRC_PUBLIC;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    socklen_t length_bytes = sizeof(address);

    address.sin6_addr.s6_addr[0] = 0x20; /* anywhere on the Internet: nothing is sent */
    if (fd < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &lasting, sizeof(lasting)) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length_bytes) < 0) {
        return -errno;
    }
    *own_out = address.sin6_addr;
    return 0;
}

int gateway_find_ipv6(struct job *job, char why_out[PORTMAP_WHY_CHARS_MAX + 1])
{
    if (!find_route_ipv6(&job->gateway_ipv6) || find_own_ipv6(&job->own_ipv6) < 0) {
        (void)snprintf(why_out, PORTMAP_WHY_CHARS_MAX + 1, "there is no IPv6 default route");
        return -ENETUNREACH;
    }
    if ((job->own_ipv6.s6_addr[0] & 0xe0) != 0x20) { /* RFC 4291, section 2.5.4 */
        (void)snprintf(why_out, PORTMAP_WHY_CHARS_MAX + 1,
                       "this machine has no IPv6 address of the Internet");
        return -EADDRNOTAVAIL;
    }
    (void)inet_ntop(AF_INET6, &job->gateway_ipv6.sin6_addr, job->gateway_text,
                    sizeof(job->gateway_text));
    return 0;
}
