// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/pcp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"

/* Where fields lie: the common header (figures 2 and 3), then the opcode's (figures 9 and 10). */
enum {
    AT_VERSION = 0,
    AT_OPCODE = 1,
    AT_RESULT = 3,
    AT_LIFETIME = 4,
    AT_CLIENT = 8, /* of a request: 16 bytes */
    AT_EPOCH = 8,  /* of a response */
    HEADER_BYTES = 24,
    AT_NONCE = HEADER_BYTES,
    AT_PROTOCOL = 36,
    AT_INSIDE = 40,
    AT_OUTSIDE = 42,
    AT_HOST = 44, /* 16 bytes */

    VERSION = 2,
    VERSION_NATPMP = 0,
    OPCODE_MAP = 1,
    IS_RESPONSE = 0x80,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    MAPPED_PREFIX_BYTES = 12, /* ::ffff:a.b.c.d */
    IPV4_BYTES = 4,
    IPV6_BYTES = 16,
};
static_assert(AT_HOST + 16 == PCP_MAP_BYTES, "the last field ends it");

static const uint8_t mapped_prefix[MAPPED_PREFIX_BYTES] = {[10] = 0xff, [11] = 0xff};

static void write_16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void write_32(uint8_t *bytes, uint32_t value)
{
    write_16(bytes, (uint16_t)(value >> 16));
    write_16(bytes + 2, (uint16_t)value);
}

static uint16_t read_16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t read_32(const uint8_t *bytes)
{
    return (uint32_t)read_16(bytes) << 16 | read_16(bytes + 2);
}

static uint8_t protocol_of(const struct portmap_port *port)
{
    return port->is_udp ? PROTOCOL_UDP : PROTOCOL_TCP;
}

void pcp_encode(const struct pcp_map *map, uint8_t datagram_out[PCP_MAP_BYTES])
{
    memset(datagram_out, 0, PCP_MAP_BYTES);
    datagram_out[AT_VERSION] = VERSION;
    datagram_out[AT_OPCODE] = OPCODE_MAP;
    write_32(datagram_out + AT_LIFETIME, map->lifetime_s);
    if (map->is_ipv6) {
        memcpy(datagram_out + AT_CLIENT, map->client, IPV6_BYTES);
    } else {
        memcpy(datagram_out + AT_CLIENT, mapped_prefix, sizeof(mapped_prefix));
        memcpy(datagram_out + AT_CLIENT + MAPPED_PREFIX_BYTES, map->client, IPV4_BYTES);
    }
    memcpy(datagram_out + AT_NONCE, map->nonce, sizeof(map->nonce));
    datagram_out[AT_PROTOCOL] = protocol_of(&map->port);
    write_16(datagram_out + AT_INSIDE, map->port.inside);
    write_16(datagram_out + AT_OUTSIDE, map->port.outside);
    if (!map->is_ipv6) { /* any address; that of IPv6 is all zero */
        memcpy(datagram_out + AT_HOST, mapped_prefix, sizeof(mapped_prefix));
    }
}

int pcp_decode(struct bytes datagram, const struct pcp_map *map, struct pcp_mapped *mapped_out)
{
    const uint8_t *data = datagram.data;
    size_t length = datagram.length_bytes;
    struct pcp_mapped mapped = {0};

    /* NAT-PMP's answer to any other version is shorter than ours (RFC 6886, section 3.5). */
    if (length >= AT_RESULT + 1 && data[AT_VERSION] == VERSION_NATPMP) {
        return -EPROTONOSUPPORT;
    }
    if (length < HEADER_BYTES || length > PCP_DATAGRAM_BYTES_MAX || length % 4 != 0 ||
        data[AT_OPCODE] != (IS_RESPONSE | OPCODE_MAP)) {
        return -EBADMSG;
    }
    if (data[AT_VERSION] != VERSION) {
        return -EPROTONOSUPPORT;
    }
    if (length < PCP_MAP_BYTES || data[AT_PROTOCOL] != protocol_of(&map->port) ||
        read_16(data + AT_INSIDE) != map->port.inside ||
        memcmp(data + AT_NONCE, map->nonce, sizeof(map->nonce)) != 0 ||
        (!map->is_ipv6 && memcmp(data + AT_HOST, mapped_prefix, sizeof(mapped_prefix)) != 0)) {
        return -EBADMSG;
    }
    mapped.result = data[AT_RESULT];
    mapped.lifetime_s = read_32(data + AT_LIFETIME);
    mapped.epoch_s = read_32(data + AT_EPOCH);
    mapped.outside = read_16(data + AT_OUTSIDE);
    if (map->is_ipv6) {
        memcpy(mapped.host, data + AT_HOST, IPV6_BYTES);
    } else {
        memcpy(mapped.host, data + AT_HOST + MAPPED_PREFIX_BYTES, IPV4_BYTES);
    }
    *mapped_out = mapped;
    return 0;
}
