// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One IP packet, taken apart as far as the filter wants to know. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACKET_TCP = 6,
    PACKET_UDP = 17,
    PACKET_IPV4_BYTES = 20,
    PACKET_IPV6_BYTES = 40,
    PACKET_TCP_BYTES = 20,
    PACKET_UDP_BYTES = 8,
};

struct packet {
    bool is_ipv6;
    uint8_t protocol;
    uint8_t source[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t destination[16];
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t tcp_flags;
    uint8_t *segment; /* its TCP or UDP header, inside the packet */
};

/*
 * False unless it is exactly one whole TCP segment or UDP datagram: no options, no fragment, no
 * extension header, lengths that agree.
 */
bool packet_parse(uint8_t *bytes, size_t length_bytes, struct packet *packet_out);
/* Rewrites a port of a UDP datagram (`at`: 0 the source's, 2 the destination's) and the checksum. */
void packet_set_udp_port(struct packet *packet, size_t at, uint16_t port);
/* The Internet checksum (RFC 1071) of bytes, on top of `sum`. */
uint32_t packet_sum(const uint8_t *bytes, size_t length_bytes, uint32_t sum);
uint16_t packet_fold(uint32_t sum);

static inline uint16_t packet_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void packet_put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}
