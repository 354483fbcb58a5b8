// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which packets pass between a replica and the Internet? Pure; works on one IP packet in place.
 *
 * Out: TCP and UDP from the replica's own address to open addresses (rules.h), never to a mail
 * port, in whole packets without options, fragments or extension headers; and questions to the
 * resolver's stand-in. In: what belongs to that. The stack behind us binds a UDP socket of the
 * *host* to the port that a datagram comes from, so source ports are rewritten to ones of a small
 * range that is this replica's; a replica cannot take a port of the host away from others.
 */
#include "sandbox/egress/egress.h"
#include "sandbox/egress/rules.h"

enum {
    EGRESS_PACKET_BYTES_MAX = 65535,
    EGRESS_UDP_PORTS = EGRESS_PORTS_PER_SLICE, /* at once; the range of a replica */
    EGRESS_UDP_MS_MAX = 185000, /* of silence; the stack behind us forgets a port after 180 s */
    EGRESS_PEERS = 1024,
    EGRESS_REFUSAL_BYTES_MAX = 128,
};

struct egress_port {
    uint16_t inside; /* the replica's source port; 0: free */
    bool is_ipv6;
    uint64_t used_ms;
};

struct egress_filter {
    struct egress_rules rules;
    bool dns4, dns6;    /* the host has a resolver that the stand-in of that family leads to */
    uint16_t udp_first; /* [udp_first, udp_first + EGRESS_UDP_PORTS) */
    uint64_t seed;
    struct egress_port ports[EGRESS_UDP_PORTS];
    uint64_t peers[EGRESS_PEERS]; /* who was talked to, as hashes: only they may answer */
    uint64_t dropped_count;
};

void egress_filter_init(struct egress_filter *filter, uint16_t udp_first, uint64_t seed);
/* Does it pass? It may have been rewritten then. */
bool egress_out(struct egress_filter *filter, uint8_t *packet, size_t length_bytes,
                uint64_t now_ms);
bool egress_in(struct egress_filter *filter, uint8_t *packet, size_t length_bytes, uint64_t now_ms);
/*
 * Of a packet that has passed: must passt find it alone? Debian's passt (2023-03) counts wrongly when
 * the first packet of a flow, or a datagram, is read together with more of the same flow: it then
 * handles them for ever, sending datagrams without end.
 */
bool egress_goes_alone(const uint8_t *packet, size_t length_bytes);
/*
 * The answer to a packet that did not pass on its way out, so that programs hear "no" rather than
 * nothing: "administratively prohibited". Returns its length, 0 when there is none to give;
 * answer_out has room for EGRESS_REFUSAL_BYTES_MAX.
 */
size_t egress_refusal(const uint8_t *packet, size_t length_bytes, uint8_t *answer_out);
