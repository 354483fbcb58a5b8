// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which addresses are "the Internet" for a replica? Pure.
 *
 * Not those that are special by their number (private, link-local, shared, multicast, ...), and
 * none that this host reaches otherwise than by its default route: its own addresses, its LANs,
 * its tunnels and containers, its routers. What is in doubt is closed.
 *
 * Addresses are 16 bytes in network order, those of IPv4 as ::ffff:a.b.c.d.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EGRESS_NETWORKS_MAX = 1024, EGRESS_ADDRESS_BYTES = 16 };

struct egress_network {
    uint8_t address[EGRESS_ADDRESS_BYTES];
    uint8_t bits; /* of the prefix; those of IPv4 begin at 96 */
};

struct egress_rules {
    bool closed;       /* to everything: the host has more networks than we hold */
    bool has_default4; /* the host has a default route */
    bool has_default6;
    uint32_t count;
    struct egress_network networks[EGRESS_NETWORKS_MAX]; /* of the host: closed */
};

void egress_rules_init(struct egress_rules *rules);
/* Closes one more network; bits at most 128. When there is no room, everything is closed. */
void egress_rules_close(struct egress_rules *rules, const uint8_t *address, uint8_t bits);
/* May a replica talk to it? */
bool egress_rules_open(const struct egress_rules *rules, const uint8_t *address);

/* Writes ::ffff:a.b.c.d; `ipv4` are four bytes in network order. */
void egress_address_of_ipv4(const uint8_t *ipv4, uint8_t *address_out);
