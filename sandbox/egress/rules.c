// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/rules.h"

#include <string.h>

#include "base/attributes.h"
#include "base/check.h"

#define V4(a, b, c, d)                                       \
    {                                                        \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d \
    }

/* IANA's special-purpose registry for IPv4, and one address that is special at a large host. */
static const struct egress_network special_ipv4[] = {
    {V4(0, 0, 0, 0), 96 + 8},        /* this network */
    {V4(10, 0, 0, 0), 96 + 8},       /* private */
    {V4(100, 64, 0, 0), 96 + 10},    /* shared by customers of a provider */
    {V4(127, 0, 0, 0), 96 + 8},      /* loopback */
    {V4(168, 63, 129, 16), 96 + 32}, /* Azure's service to its virtual machines */
    {V4(169, 254, 0, 0), 96 + 16},   /* link-local; metadata of clouds */
    {V4(172, 16, 0, 0), 96 + 12},    /* private */
    {V4(192, 0, 0, 0), 96 + 24},     /* protocol assignments */
    {V4(192, 0, 2, 0), 96 + 24},     /* documentation */
    {V4(192, 31, 196, 0), 96 + 24},  /* AS112 */
    {V4(192, 52, 193, 0), 96 + 24},  /* AMT */
    {V4(192, 88, 99, 0), 96 + 24},   /* relays of 6to4 */
    {V4(192, 168, 0, 0), 96 + 16},   /* private */
    {V4(192, 175, 48, 0), 96 + 24},  /* AS112 */
    {V4(198, 18, 0, 0), 96 + 15},    /* benchmarks */
    {V4(198, 51, 100, 0), 96 + 24},  /* documentation */
    {V4(203, 0, 113, 0), 96 + 24},   /* documentation */
    {V4(224, 0, 0, 0), 96 + 4},      /* multicast */
    {V4(240, 0, 0, 0), 96 + 4},      /* reserved, and broadcast */
};

/* Within 2000::/3, the only part of IPv6 that is open at all. */
static const struct egress_network global_ipv6 = {{0x20}, 3};
static const struct egress_network special_ipv6[] = {
    {{0x20, 0x01, 0x00}, 23},             /* protocol assignments, Teredo, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},       /* documentation */
    {{0x20, 0x02}, 16},                   /* 6to4: IPv4 inside */
    {{0x26, 0x20, 0x00, 0x4f, 0x80}, 48}, /* AS112 */
    {{0x3f, 0xff, 0x00}, 20},             /* documentation */
};

void egress_address_of_ipv4(const uint8_t *ipv4, uint8_t *address_out)
{
    memset(address_out, 0, EGRESS_ADDRESS_BYTES);
    address_out[10] = 0xff;
    address_out[11] = 0xff;
    memcpy(address_out + 12, ipv4, 4);
}

static bool is_in(const struct egress_network *network, const uint8_t *address)
{
    size_t whole_bytes = network->bits / 8;
    uint8_t rest_bits = network->bits % 8;

    if (memcmp(network->address, address, whole_bytes) != 0) {
        return false;
    }
    return rest_bits == 0 ||
           ((network->address[whole_bytes] ^ address[whole_bytes]) >> (8 - rest_bits)) == 0;
}

static bool is_in_any(const struct egress_network *networks, size_t count, const uint8_t *address)
{
    for (size_t i = 0; i < count; i++) {
        if (is_in(&networks[i], address)) {
            return true;
        }
    }
    return false;
}

void egress_rules_init(struct egress_rules *rules)
{
    memset(rules, 0, sizeof(*rules));
}

void egress_rules_close(struct egress_rules *rules, const uint8_t *address, uint8_t bits)
{
    CHECK(bits <= EGRESS_ADDRESS_BYTES * 8);
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->networks[i].bits <= bits && is_in(&rules->networks[i], address)) {
            return;
        }
    }
    if (rules->count == EGRESS_NETWORKS_MAX) {
        rules->closed = true;
        return;
    }
    rules->networks[rules->count].bits = bits;
    memcpy(rules->networks[rules->count].address, address, EGRESS_ADDRESS_BYTES);
    rules->count++;
}

bool egress_rules_open(const struct egress_rules *rules, const uint8_t *address)
{
    static const struct egress_network ipv4 = {V4(0, 0, 0, 0), 96};

    if (rules->closed || is_in_any(rules->networks, rules->count, address)) {
        return false;
    }
    if (is_in(&ipv4, address)) {
        return !is_in_any(special_ipv4, ARRAY_COUNT(special_ipv4), address);
    }
    return is_in(&global_ipv6, address) &&
           !is_in_any(special_ipv6, ARRAY_COUNT(special_ipv6), address);
}
