// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/egress/resolver.h"
#include "sandbox/egress/routes.h"
#include "sandbox/egress/rules.h"

static void address_of(const char *text, uint8_t address_out[16])
{
    uint8_t ipv4[4];

    if (inet_pton(AF_INET, text, ipv4) == 1) {
        egress_address_of_ipv4(ipv4, address_out);
        return;
    }
    cr_assert_eq(inet_pton(AF_INET6, text, address_out), 1, "%s", text);
}

static bool open_to(const struct egress_rules *rules, const char *text)
{
    uint8_t address[16];

    address_of(text, address);
    return egress_rules_open(rules, address);
}

static void close_to(struct egress_rules *rules, const char *text, uint8_t bits)
{
    uint8_t address[16];

    address_of(text, address);
    egress_rules_close(rules, address, strchr(text, ':') == NULL ? (uint8_t)(bits + 96) : bits);
}

Test(egress_rules, special_addresses_are_closed_up_to_their_last_one)
{
    static const char *const closed[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "100::1",
        "3fff::1",
        "4000::1",
        "1fff:ffff::1",
    };
    static const char *const open[] = {
        "1.0.0.0",         "9.255.255.255", "11.0.0.0",    "100.63.255.255", "100.128.0.0",
        "126.0.0.1",       "128.0.0.1",     "169.253.0.1", "169.255.0.1",    "172.15.255.255",
        "172.32.0.0",      "192.167.0.1",   "192.169.0.1", "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "2000::1",       "2001:200::1", "2003::1",        "2a00:1450::1",
        "3ffe::1",         "8.8.8.8",
    };
    struct egress_rules *rules = calloc(1, sizeof(*rules));

    egress_rules_init(rules);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        cr_expect_not(open_to(rules, closed[i]), "%s", closed[i]);
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        cr_expect(open_to(rules, open[i]), "%s", open[i]);
    }
    free(rules);
}

Test(egress_rules, the_hosts_own_networks_are_closed)
{
    struct egress_rules *rules = calloc(1, sizeof(*rules));

    egress_rules_init(rules);
    close_to(rules, "11.22.33.0", 26);
    close_to(rules, "2a00:1:2:3::", 64);
    cr_assert_not(open_to(rules, "11.22.33.63"));
    cr_assert(open_to(rules, "11.22.33.64"));
    cr_assert_not(open_to(rules, "2a00:1:2:3:ffff::1"));
    cr_assert(open_to(rules, "2a00:1:2:4::1"));
    close_to(rules, "11.22.33.1", 32); /* is in one of them already */
    cr_assert_eq(rules->count, 2);
    free(rules);
}

Test(egress_rules, more_networks_than_there_is_room_for_close_everything)
{
    struct egress_rules *rules = calloc(1, sizeof(*rules));

    egress_rules_init(rules);
    for (uint32_t i = 0; i < EGRESS_NETWORKS_MAX; i++) {
        uint8_t address[16] = {0x2a, 0, (uint8_t)(i >> 8), (uint8_t)i};

        egress_rules_close(rules, address, 32);
    }
    cr_assert(open_to(rules, "8.8.8.8"));
    close_to(rules, "11.0.0.0", 8);
    cr_assert_not(open_to(rules, "8.8.8.8"));
    free(rules);
}

/* --- routes --- */

struct answer { /* as the kernel would write it */
    uint8_t bytes[4096];
    size_t length_bytes;
};

static struct nlmsghdr *message_begin(struct answer *answer, uint16_t type, struct rtmsg route)
{
    struct nlmsghdr *header = (struct nlmsghdr *)(void *)(answer->bytes + answer->length_bytes);

    *header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof(route)), .nlmsg_type = type};
    memcpy(NLMSG_DATA(header), &route, sizeof(route));
    answer->length_bytes += NLMSG_ALIGN(header->nlmsg_len);
    return header;
}

static void put(struct answer *answer, struct nlmsghdr *header, uint16_t type, const char *address)
{
    struct rtattr *attribute = (struct rtattr *)(void *)(answer->bytes + answer->length_bytes);
    int family = strchr(address, ':') == NULL ? AF_INET : AF_INET6;
    size_t value_bytes = family == AF_INET ? 4 : 16;

    *attribute = (struct rtattr){(uint16_t)RTA_LENGTH(value_bytes), type};
    cr_assert_eq(inet_pton(family, address, RTA_DATA(attribute)), 1);
    header->nlmsg_len += (uint32_t)RTA_LENGTH(value_bytes);
    answer->length_bytes += RTA_LENGTH(value_bytes);
}

Test(egress_rules, every_route_but_the_default_one_is_closed_and_so_are_routers)
{
    struct egress_rules *rules = calloc(1, sizeof(*rules));
    struct answer answer = {.length_bytes = 0};
    struct nlmsghdr *header;

    egress_rules_init(rules);
    header = message_begin(&answer, RTM_NEWROUTE,
                           (struct rtmsg){.rtm_family = AF_INET, .rtm_type = RTN_UNICAST});
    put(&answer, header, RTA_GATEWAY, "11.22.33.1");
    header = message_begin(
        &answer, RTM_NEWROUTE,
        (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 24, .rtm_type = RTN_UNICAST});
    put(&answer, header, RTA_DST, "12.0.0.0");
    header = message_begin(
        &answer, RTM_NEWROUTE,
        (struct rtmsg){.rtm_family = AF_INET6, .rtm_dst_len = 64, .rtm_type = RTN_UNICAST});
    put(&answer, header, RTA_DST, "2a00:1::");
    header = message_begin(&answer, RTM_NEWROUTE,
                           (struct rtmsg){.rtm_family = AF_INET6,
                                          .rtm_dst_len = 128,
                                          .rtm_type = RTN_UNICAST,
                                          .rtm_flags = RTM_F_CLONED});
    put(&answer, header, RTA_DST, "2a00:2::1"); /* a host of the Internet, with its MTU */
    cr_assert_eq(routes_take(rules, (struct bytes){answer.bytes, answer.length_bytes}),
                 ROUTES_MORE);
    cr_assert(rules->has_default4 && !rules->has_default6 && !rules->closed);
    cr_assert_not(open_to(rules, "11.22.33.1"));
    cr_assert(open_to(rules, "11.22.33.2"));
    cr_assert_not(open_to(rules, "12.0.0.255"));
    cr_assert_not(open_to(rules, "2a00:1::5"));
    cr_assert(open_to(rules, "2a00:2::1"));
    (void)message_begin(&answer, NLMSG_DONE, (struct rtmsg){.rtm_family = AF_INET});
    cr_assert_eq(routes_take(rules, (struct bytes){answer.bytes, answer.length_bytes}), ROUTES_END);
    free(rules);
}

Test(egress_rules, a_route_that_cannot_be_read_closes_everything)
{
    struct egress_rules *rules = calloc(1, sizeof(*rules));
    struct answer answer = {.length_bytes = 0};

    egress_rules_init(rules);
    (void)message_begin(
        &answer, RTM_NEWROUTE,
        (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 24, .rtm_type = RTN_UNICAST});
    cr_assert_eq(routes_take(rules, (struct bytes){answer.bytes, answer.length_bytes}),
                 ROUTES_MORE);
    cr_assert(rules->closed);
    ((struct nlmsghdr *)(void *)answer.bytes)->nlmsg_len = 4;
    cr_assert_eq(routes_take(rules, (struct bytes){answer.bytes, answer.length_bytes}), ROUTES_BAD);
    free(rules);
}

Test(egress_rules, this_machines_own_routes_can_be_read)
{
    struct egress_rules *rules = calloc(1, sizeof(*rules));
    int fd = routes_open();

    cr_assert_geq(fd, 0);
    cr_assert_eq(routes_load(fd, rules), 0);
    cr_assert_not(rules->closed);
    free(rules);
}

/* --- the resolver --- */

static void check_resolver(const char *text, bool ipv4, bool ipv6)
{
    bool has4 = !ipv4;
    bool has6 = !ipv6;

    resolver_read(bytes_of_text(text), &has4, &has6);
    cr_expect_eq(has4, ipv4, "%s", text);
    cr_expect_eq(has6, ipv6, "%s", text);
}

Test(egress_rules, the_resolvers_families_are_found)
{
    check_resolver("", false, false);
    check_resolver("# nameserver 1.2.3.4\nsearch nameserver\n", false, false);
    check_resolver("search lan\nnameserver 127.0.0.53\noptions edns0", true, false);
    check_resolver("nameserver\tfe80::1%eth0\n", false, true);
    check_resolver("nameserver 2a00::1 \nnameserver  9.9.9.9\r\n", true, true);
    check_resolver("nameserver9.9.9.9\nnameserver nine\nnameserver", false, false);
}
