// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/routes.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
    DATAGRAM_BYTES_MAX = 65536,
    DATAGRAMS_MAX = 4096, /* of one answer: then something is wrong */
    DEFAULT_BITS_MAX = 1, /* tunnels like to cut the default route into two halves */
    ANSWER_S_MAX = 5,
    ATTRIBUTE_TYPES = 0x3fff, /* the bits above say of what form the value is */
};

struct attribute {
    uint16_t type;
    struct bytes value;
};

/* Everything here begins at a multiple of four. */
static size_t aligned(size_t length_bytes)
{
    return (length_bytes + 3) & ~(size_t)3;
}

/* The next attribute of a row; false at its end, or when it does not add up. */
static bool attribute_next(struct bytes *rest, struct attribute *attribute_out)
{
    struct rtattr header;
    size_t step_bytes;

    if (rest->length_bytes < sizeof(header)) {
        return false;
    }
    memcpy(&header, rest->data, sizeof(header));
    if (header.rta_len < sizeof(header) || header.rta_len > rest->length_bytes) {
        return false;
    }
    attribute_out->type = header.rta_type & ATTRIBUTE_TYPES;
    attribute_out->value =
        (struct bytes){rest->data + sizeof(header), header.rta_len - sizeof(header)};
    step_bytes = aligned(header.rta_len);
    step_bytes = step_bytes < rest->length_bytes ? step_bytes : rest->length_bytes;
    rest->data += step_bytes;
    rest->length_bytes -= step_bytes;
    return true;
}

/* An address of 4 or 16 bytes, made one of 16; the prefix's length with it. */
static bool to_address(struct bytes value, uint8_t *address_out, uint8_t *bits)
{
    if (value.length_bytes == 4 && *bits <= 32) {
        egress_address_of_ipv4(value.data, address_out);
        *bits = (uint8_t)(*bits + 96);
        return true;
    }
    if (value.length_bytes == EGRESS_ADDRESS_BYTES && *bits <= 128) {
        memcpy(address_out, value.data, EGRESS_ADDRESS_BYTES);
        return true;
    }
    return false;
}

static void close_network(struct egress_rules *rules, struct bytes value, uint8_t bits)
{
    uint8_t address[EGRESS_ADDRESS_BYTES];

    if (to_address(value, address, &bits)) {
        egress_rules_close(rules, address, bits);
    } else {
        rules->closed = true; /* a form that we do not know */
    }
}

static void close_gateway(struct egress_rules *rules, const struct attribute *attribute)
{
    struct bytes value = attribute->value;

    if (attribute->type == RTA_VIA) { /* of the other family: two bytes say which */
        if (value.length_bytes < sizeof(uint16_t)) {
            rules->closed = true;
            return;
        }
        value.data += sizeof(uint16_t);
        value.length_bytes -= sizeof(uint16_t);
    }
    close_network(rules, value, value.length_bytes == 4 ? 32 : 128);
}

static void close_hops(struct egress_rules *rules, struct bytes hops)
{
    struct rtnexthop hop;

    while (hops.length_bytes >= sizeof(hop)) {
        struct attribute attribute;

        memcpy(&hop, hops.data, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > hops.length_bytes) {
            rules->closed = true;
            return;
        }
        struct bytes rest = {hops.data + sizeof(hop), hop.rtnh_len - sizeof(hop)};
        while (attribute_next(&rest, &attribute)) {
            if (attribute.type == RTA_GATEWAY || attribute.type == RTA_VIA) {
                close_gateway(rules, &attribute);
            }
        }
        size_t step_bytes = aligned(hop.rtnh_len);
        step_bytes = step_bytes < hops.length_bytes ? step_bytes : hops.length_bytes;
        hops.data += step_bytes;
        hops.length_bytes -= step_bytes;
    }
}

static void take_route(struct egress_rules *rules, struct bytes message)
{
    struct rtmsg route;
    struct attribute attribute;
    bool has_destination = false;

    if (message.length_bytes < sizeof(route)) {
        rules->closed = true;
        return;
    }
    memcpy(&route, message.data, sizeof(route));
    if ((route.rtm_flags & RTM_F_CLONED) != 0 ||
        (route.rtm_family != AF_INET && route.rtm_family != AF_INET6)) {
        return; /* what was learnt about single hosts of the Internet; multicast routing */
    }
    bool is_default = route.rtm_dst_len <= DEFAULT_BITS_MAX;
    if (is_default && route.rtm_type == RTN_UNICAST) {
        *(route.rtm_family == AF_INET ? &rules->has_default4 : &rules->has_default6) = true;
    }
    struct bytes rest = {message.data + NLMSG_ALIGN(sizeof(route)),
                         message.length_bytes - NLMSG_ALIGN(sizeof(route))};
    while (attribute_next(&rest, &attribute)) {
        if (attribute.type == RTA_DST && !is_default) {
            close_network(rules, attribute.value, route.rtm_dst_len);
            has_destination = true;
        } else if (attribute.type == RTA_GATEWAY || attribute.type == RTA_VIA) {
            close_gateway(rules, &attribute);
        } else if (attribute.type == RTA_MULTIPATH) {
            close_hops(rules, attribute.value);
        }
    }
    rules->closed = rules->closed || (!is_default && !has_destination);
}

enum routes_outcome routes_take(struct egress_rules *rules, struct bytes datagram)
{
    struct nlmsghdr header;

    while (datagram.length_bytes >= sizeof(header)) {
        memcpy(&header, datagram.data, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.length_bytes ||
            header.nlmsg_type == NLMSG_ERROR || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
            return ROUTES_BAD;
        }
        if (header.nlmsg_type == NLMSG_DONE) {
            return ROUTES_END;
        }
        if (header.nlmsg_type == RTM_NEWROUTE) {
            take_route(rules, (struct bytes){datagram.data + NLMSG_HDRLEN,
                                             header.nlmsg_len - (size_t)NLMSG_HDRLEN});
        }
        size_t step_bytes = aligned(header.nlmsg_len);
        step_bytes = step_bytes < datagram.length_bytes ? step_bytes : datagram.length_bytes;
        datagram.data += step_bytes;
        datagram.length_bytes -= step_bytes;
    }
    return ROUTES_MORE;
}

/* --- the kernel's side --- */

static int netlink_socket(uint32_t groups, int flags)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    const struct timeval patience = {.tv_sec = ANSWER_S_MAX};
    CLEANUP(cleanup_close)
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

int routes_open(void)
{
    return netlink_socket(0, 0);
}

int routes_watch(void)
{
    return netlink_socket(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_IFADDR |
                              RTMGRP_IPV6_IFADDR,
                          SOCK_NONBLOCK);
}

void routes_seen(int watch_fd)
{
    uint8_t scrap[4096];

    /* ENOBUFS, too many to keep, is a change as well. */
    while (recv(watch_fd, scrap, sizeof(scrap), MSG_DONTWAIT | MSG_TRUNC) >= 0) {
    }
}

static int load_family(int fd, uint8_t family, struct egress_rules *rules)
{
    static uint8_t datagram[DATAGRAM_BYTES_MAX];
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETROUTE,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .route = {.rtm_family = family},
    };

    if (send(fd, &request, sizeof(request), 0) < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
        ssize_t length_bytes = recv(fd, datagram, sizeof(datagram), 0);

        if (length_bytes < 0 && errno != EINTR) {
            return -errno;
        }
        if (length_bytes < 0) {
            continue;
        }
        enum routes_outcome outcome =
            routes_take(rules, (struct bytes){datagram, (size_t)length_bytes});
        if (outcome != ROUTES_MORE) {
            return outcome == ROUTES_END ? 0 : -EAGAIN;
        }
    }
    return -EOVERFLOW;
}

int routes_load(int fd, struct egress_rules *rules)
{
    int r;

    egress_rules_init(rules);
    r = load_family(fd, AF_INET, rules);
    if (r == 0) {
        r = load_family(fd, AF_INET6, rules);
    }
    rules->closed = rules->closed || r < 0;
    return r;
}
