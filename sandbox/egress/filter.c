// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/filter.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "sandbox/egress/packet.h"

enum { DNS_PORT = 53, TCP_SYN = 0x02, TCP_ACK = 0x10, TCP_FLAGS = 13 };

/* As in EGRESS_OWN_IPV4 and the others; a unit test compares. */
static const uint8_t own_ipv4[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 0, 2};
static const uint8_t resolver_ipv4[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 0, 1};
static const uint8_t own_ipv6[16] = {0xfd, 0x6d, 0x69, 0x6e, 0x67, 0x61, [15] = 2};
static const uint8_t resolver_ipv6[16] = {0xfd, 0x6d, 0x69, 0x6e, 0x67, 0x61, [15] = 1};

void egress_filter_init(struct egress_filter *filter, uint16_t udp_first, uint64_t seed)
{
    CHECK(udp_first > 0 && udp_first <= UINT16_MAX - EGRESS_UDP_PORTS + 1);
    memset(filter, 0, sizeof(*filter));
    filter->rules.closed = true; /* until the caller knows better */
    filter->udp_first = udp_first;
    filter->seed = seed;
}

static const uint8_t *own(const struct packet *packet)
{
    return packet->is_ipv6 ? own_ipv6 : own_ipv4;
}

static bool is_resolver(const struct egress_filter *filter, const struct packet *packet,
                        const uint8_t *address, uint16_t port)
{
    return packet->protocol == PACKET_UDP && port == DNS_PORT &&
           (packet->is_ipv6 ? filter->dns6 : filter->dns4) &&
           memcmp(address, packet->is_ipv6 ? resolver_ipv6 : resolver_ipv4, 16) == 0;
}

/* Submission of mail, with and without: what makes a home connection end on block lists. */
static bool is_mail(uint16_t port)
{
    return port == 25 || port == 465 || port == 587;
}

/* --- datagrams --- */

static uint64_t peer_hash(const struct egress_filter *filter, const uint8_t *address, uint16_t port,
                          uint16_t outer_port)
{
    uint64_t hash = filter->seed ^ ((uint64_t)port << 16 | outer_port);

    for (size_t i = 0; i < 16; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, address + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 29 ^ filter->seed;
    }
    return hash | 1; /* 0 is an empty place */
}

static uint64_t *peer_place(struct egress_filter *filter, uint64_t hash)
{
    return &filter->peers[hash >> 32 & (EGRESS_PEERS - 1)];
}
static_assert((EGRESS_PEERS & (EGRESS_PEERS - 1)) == 0, "a mask finds the place");

/* Its port of the range: the one it has, a free one, or one that has been silent. -1: none. */
static int port_of(struct egress_filter *filter, const struct packet *packet, uint64_t now_ms)
{
    int found = -1;

    for (int i = 0; i < EGRESS_UDP_PORTS; i++) {
        const struct egress_port *port = &filter->ports[i];

        if (port->inside == packet->source_port && port->is_ipv6 == packet->is_ipv6) {
            return i;
        }
        if (found < 0 && (port->inside == 0 || port->used_ms + EGRESS_UDP_MS_MAX <= now_ms)) {
            found = i;
        }
    }
    return found;
}

static bool datagram_out(struct egress_filter *filter, struct packet *packet, uint64_t now_ms)
{
    int index = port_of(filter, packet, now_ms);

    if (index < 0) {
        return false;
    }
    uint16_t outer_port = (uint16_t)(filter->udp_first + index);
    uint64_t hash = peer_hash(filter, packet->destination, packet->destination_port, outer_port);

    filter->ports[index] = (struct egress_port){packet->source_port, packet->is_ipv6, now_ms};
    *peer_place(filter, hash) = hash;
    packet_set_udp_port(packet, 0, outer_port);
    return true;
}

static bool datagram_in(struct egress_filter *filter, struct packet *packet, uint64_t now_ms)
{
    uint16_t outer_port = packet->destination_port;
    uint64_t hash = peer_hash(filter, packet->source, packet->source_port, outer_port);

    if (outer_port < filter->udp_first || outer_port - filter->udp_first >= EGRESS_UDP_PORTS ||
        *peer_place(filter, hash) != hash) {
        return false;
    }
    struct egress_port *port = &filter->ports[outer_port - filter->udp_first];

    if (port->inside == 0 || port->is_ipv6 != packet->is_ipv6 ||
        port->used_ms + EGRESS_UDP_MS_MAX <= now_ms) {
        return false;
    }
    port->used_ms = now_ms;
    packet_set_udp_port(packet, 2, port->inside);
    return true;
}

/* --- both ways --- */

static bool out(struct egress_filter *filter, uint8_t *bytes, size_t length_bytes, uint64_t now_ms)
{
    struct packet packet;

    if (!packet_parse(bytes, length_bytes, &packet) ||
        memcmp(packet.source, own(&packet), sizeof(packet.source)) != 0 ||
        is_mail(packet.destination_port)) {
        return false;
    }
    if (!is_resolver(filter, &packet, packet.destination, packet.destination_port) &&
        !egress_rules_open(&filter->rules, packet.destination)) {
        return false;
    }
    return packet.protocol == PACKET_TCP || datagram_out(filter, &packet, now_ms);
}

static bool in(struct egress_filter *filter, uint8_t *bytes, size_t length_bytes, uint64_t now_ms)
{
    struct packet packet;

    if (!packet_parse(bytes, length_bytes, &packet) ||
        memcmp(packet.destination, own(&packet), sizeof(packet.destination)) != 0) {
        return false;
    }
    if (!is_resolver(filter, &packet, packet.source, packet.source_port) &&
        !egress_rules_open(&filter->rules, packet.source)) {
        return false;
    }
    if (packet.protocol == PACKET_TCP) { /* nobody connects to a replica this way */
        return (packet.tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
    }
    return datagram_in(filter, &packet, now_ms);
}

bool egress_out(struct egress_filter *filter, uint8_t *packet, size_t length_bytes, uint64_t now_ms)
{
    bool passes = out(filter, packet, length_bytes, now_ms);

    filter->dropped_count += passes ? 0 : 1;
    return passes;
}

bool egress_in(struct egress_filter *filter, uint8_t *packet, size_t length_bytes, uint64_t now_ms)
{
    bool passes = in(filter, packet, length_bytes, now_ms);

    filter->dropped_count += passes ? 0 : 1;
    return passes;
}

bool egress_goes_alone(const uint8_t *packet, size_t length_bytes)
{
    bool is_ipv6 = packet[0] >> 4 == 6;
    size_t header_bytes = is_ipv6 ? PACKET_IPV6_BYTES : PACKET_IPV4_BYTES;
    uint8_t protocol = packet[is_ipv6 ? 6 : 9];

    CHECK(length_bytes >= header_bytes + PACKET_UDP_BYTES);
    return protocol == PACKET_UDP || (packet[header_bytes + TCP_FLAGS] & TCP_SYN) != 0;
}

/* --- saying no --- */

enum { ICMP_BYTES = 8, QUOTED_BYTES = 8, ICMP = 1, ICMPV6 = 58, HOPS = 64 };

/* RFC 792, 1812: destination unreachable, communication administratively prohibited. */
static size_t refusal_ipv4(const uint8_t *packet, uint8_t *answer)
{
    const size_t quoted_bytes = PACKET_IPV4_BYTES + QUOTED_BYTES;
    const size_t length_bytes = PACKET_IPV4_BYTES + ICMP_BYTES + quoted_bytes;
    uint8_t *icmp = answer + PACKET_IPV4_BYTES;

    answer[0] = 0x45;
    packet_put_u16(answer + 2, (uint16_t)length_bytes);
    answer[8] = HOPS;
    answer[9] = ICMP;
    memcpy(answer + 12, packet + 16, 4);
    memcpy(answer + 16, packet + 12, 4);
    packet_put_u16(answer + 10, packet_fold(packet_sum(answer, PACKET_IPV4_BYTES, 0)));
    icmp[0] = 3;
    icmp[1] = 13;
    memcpy(icmp + ICMP_BYTES, packet, quoted_bytes);
    packet_put_u16(icmp + 2, packet_fold(packet_sum(icmp, ICMP_BYTES + quoted_bytes, 0)));
    return length_bytes;
}

/* RFC 4443, 3.1. */
static size_t refusal_ipv6(const uint8_t *packet, uint8_t *answer)
{
    const size_t quoted_bytes = PACKET_IPV6_BYTES + QUOTED_BYTES;
    const size_t icmp_bytes = ICMP_BYTES + quoted_bytes;
    uint8_t *icmp = answer + PACKET_IPV6_BYTES;

    answer[0] = 0x60;
    packet_put_u16(answer + 4, (uint16_t)icmp_bytes);
    answer[6] = ICMPV6;
    answer[7] = HOPS;
    memcpy(answer + 8, packet + 24, 16);
    memcpy(answer + 24, packet + 8, 16);
    icmp[0] = 1;
    icmp[1] = 1;
    memcpy(icmp + ICMP_BYTES, packet, quoted_bytes);
    uint32_t sum = packet_sum(answer + 8, 32, (uint32_t)icmp_bytes + ICMPV6);
    packet_put_u16(icmp + 2, packet_fold(packet_sum(icmp, icmp_bytes, sum)));
    return PACKET_IPV6_BYTES + icmp_bytes;
}
static_assert(2 * PACKET_IPV6_BYTES + ICMP_BYTES + QUOTED_BYTES <= EGRESS_REFUSAL_BYTES_MAX,
              "the larger answer has room");

size_t egress_refusal(const uint8_t *packet, size_t length_bytes, uint8_t *answer_out)
{
    unsigned version = length_bytes > 0 ? packet[0] >> 4 : 0;

    memset(answer_out, 0, EGRESS_REFUSAL_BYTES_MAX);
    if (version == 4 && packet[0] == 0x45 && length_bytes >= PACKET_IPV4_BYTES + QUOTED_BYTES &&
        memcmp(packet + 12, own_ipv4 + 12, 4) == 0 &&
        (packet[9] == PACKET_TCP || packet[9] == PACKET_UDP)) {
        return refusal_ipv4(packet, answer_out);
    }
    if (version == 6 && length_bytes >= PACKET_IPV6_BYTES + QUOTED_BYTES &&
        memcmp(packet + 8, own_ipv6, 16) == 0 &&
        (packet[6] == PACKET_TCP || packet[6] == PACKET_UDP)) {
        return refusal_ipv6(packet, answer_out);
    }
    return 0;
}
