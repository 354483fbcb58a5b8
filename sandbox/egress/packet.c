// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/packet.h"

#include <string.h>

#include "base/check.h"
#include "sandbox/egress/rules.h"

enum { IPV4_MORE_OR_OFFSET = 0x3fff, IPV4_RESERVED = 0x8000, TCP_FLAGS = 13, TCP_OFFSET = 12 };

uint32_t packet_sum(const uint8_t *bytes, size_t length_bytes, uint32_t sum)
{
    for (size_t i = 0; i + 1 < length_bytes; i += 2) {
        sum += packet_u16(bytes + i);
    }
    if (length_bytes % 2 != 0) {
        sum += (uint32_t)bytes[length_bytes - 1] << 8;
    }
    return sum;
}

uint16_t packet_fold(uint32_t sum)
{
    while (sum > UINT16_MAX) {
        sum = (sum & UINT16_MAX) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static bool parse_ipv4(uint8_t *bytes, size_t length_bytes, struct packet *packet)
{
    uint16_t fragment;

    if (length_bytes < PACKET_IPV4_BYTES || bytes[0] != 0x45 ||
        packet_u16(bytes + 2) != length_bytes) {
        return false;
    }
    fragment = packet_u16(bytes + 6);
    if ((fragment & (IPV4_MORE_OR_OFFSET | IPV4_RESERVED)) != 0) {
        return false;
    }
    packet->is_ipv6 = false;
    packet->protocol = bytes[9];
    egress_address_of_ipv4(bytes + 12, packet->source);
    egress_address_of_ipv4(bytes + 16, packet->destination);
    packet->segment = bytes + PACKET_IPV4_BYTES;
    return true;
}

static bool parse_ipv6(uint8_t *bytes, size_t length_bytes, struct packet *packet)
{
    if (length_bytes < PACKET_IPV6_BYTES ||
        (size_t)packet_u16(bytes + 4) != length_bytes - PACKET_IPV6_BYTES) {
        return false;
    }
    packet->is_ipv6 = true;
    packet->protocol = bytes[6]; /* an extension header is neither TCP nor UDP */
    memcpy(packet->source, bytes + 8, sizeof(packet->source));
    memcpy(packet->destination, bytes + 24, sizeof(packet->destination));
    packet->segment = bytes + PACKET_IPV6_BYTES;
    return true;
}

static bool parse_segment(size_t length_bytes, struct packet *packet)
{
    const uint8_t *segment = packet->segment;

    if (packet->protocol == PACKET_UDP) {
        if (length_bytes < PACKET_UDP_BYTES || packet_u16(segment + 4) != length_bytes) {
            return false;
        }
    } else if (packet->protocol == PACKET_TCP) {
        if (length_bytes < PACKET_TCP_BYTES ||
            (size_t)(segment[TCP_OFFSET] >> 4) * 4 < PACKET_TCP_BYTES ||
            (size_t)(segment[TCP_OFFSET] >> 4) * 4 > length_bytes) {
            return false;
        }
        packet->tcp_flags = segment[TCP_FLAGS];
    } else {
        return false;
    }
    packet->source_port = packet_u16(segment);
    packet->destination_port = packet_u16(segment + 2);
    return packet->source_port != 0 && packet->destination_port != 0;
}

bool packet_parse(uint8_t *bytes, size_t length_bytes, struct packet *packet_out)
{
    struct packet packet = {0};
    unsigned version = length_bytes > 0 ? bytes[0] >> 4 : 0;
    bool sound = (version == 4 && parse_ipv4(bytes, length_bytes, &packet)) ||
                 (version == 6 && parse_ipv6(bytes, length_bytes, &packet));

    if (!sound || !parse_segment(length_bytes - (size_t)(packet.segment - bytes), &packet)) {
        return false;
    }
    *packet_out = packet;
    return true;
}

/* RFC 1624: the sum without the old value, with the new one. */
void packet_set_udp_port(struct packet *packet, size_t at, uint16_t port)
{
    uint8_t *checksum = packet->segment + 6;
    uint16_t old = packet_u16(packet->segment + at);

    CHECK(packet->protocol == PACKET_UDP && (at == 0 || at == 2));
    if (packet_u16(checksum) != 0) { /* 0: IPv4 without one */
        uint16_t fresh =
            packet_fold((uint32_t)(uint16_t)~packet_u16(checksum) + (uint16_t)~old + port);

        packet_put_u16(checksum, fresh == 0 ? UINT16_MAX : fresh);
    }
    packet_put_u16(packet->segment + at, port);
}
