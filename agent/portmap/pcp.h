// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The MAP request of the Port Control Protocol (RFC 6887, sections 7 and 11): the little of it that
 * opening a port takes. For IPv6 it opens the router's firewall for our own address and port; nothing
 * is translated. No library of it is packaged. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/portmap/line.h"
#include "base/bytes.h"

enum {
    PCP_PORT = 5351, /* NAT-PMP's, too */
    PCP_MAP_BYTES = 60,
    PCP_DATAGRAM_BYTES_MAX = 1100, /* section 7 */
};

struct pcp_map {
    uint8_t nonce[PORTMAP_NONCE_BYTES]; /* the same for as long as the mapping is to be ours */
    uint32_t lifetime_s;                /* 0: away with it */
    bool is_ipv6;
    uint8_t client[16];       /* our own address towards the router, network order; IPv4: 4 bytes */
    struct portmap_port port; /* outside: suggested */
};

/* What became of it. Results are those of section 7.4; PCP_SUCCESS is 0. */
enum { PCP_SUCCESS = 0, PCP_UNSUPP_VERSION = 1, PCP_NOT_AUTHORIZED = 2 };
struct pcp_mapped {
    uint8_t result;
    uint32_t lifetime_s;
    uint32_t epoch_s; /* section 8.5 */
    uint16_t outside;
    uint8_t host[16]; /* IPv4: 4 bytes */
};

void pcp_encode(const struct pcp_map *map, uint8_t datagram_out[PCP_MAP_BYTES]);

/*
 * Returns 0 when the datagram answers that request; -EPROTONOSUPPORT when it comes from a router
 * that speaks no version 2 (NAT-PMP only); -EBADMSG when it is neither.
 */
int pcp_decode(struct bytes datagram, const struct pcp_map *map, struct pcp_mapped *mapped_out);
