// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/backlog.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/egress/filter.h"
#include "sandbox/egress/packet.h"

Test(backlog, what_goes_in_comes_out_in_its_order_whatever_its_length)
{
    struct backlog *backlog = calloc(1, sizeof(*backlog));
    static uint8_t packet[EGRESS_PACKET_BYTES_MAX];
    uint64_t random = 1;
    uint32_t in = 0;
    uint32_t out = 0;
    bool was_full = false;

    while (out < 20000) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        bool adds = (random >> 33) % 16 < (out / 2000 % 2 == 0 ? 10 : 6);
        bool has_room = backlog_has_room(backlog);

        was_full = was_full || !has_room;
        if (adds && has_room) {
            size_t length_bytes =
                sizeof(in) + 1 + (size_t)((random >> 20) % (sizeof(packet) - sizeof(in)));

            memcpy(packet, &in, sizeof(in));
            packet[length_bytes - 1] = packet[0];
            backlog_add(backlog, packet, length_bytes);
            in++;
        } else if (!adds && !backlog_is_empty(backlog)) {
            const uint8_t *first;
            uint32_t number;
            size_t length_bytes = backlog_take(backlog, &first);

            memcpy(&number, first, sizeof(number));
            cr_assert_eq(first[length_bytes - 1], first[0]);
            cr_assert_eq(number, out);
            out++;
        }
    }
    cr_assert(was_full);
    cr_assert_leq(out, in);
    free(backlog);
}

enum { IPV4 = PACKET_IPV4_BYTES, IPV6 = PACKET_IPV6_BYTES, FLAGS_AT = 13, SYN = 0x02, RST = 0x04 };

/* Returns its length. */
static size_t tcp_of(bool is_ipv6, uint8_t flags, uint8_t *packet_out)
{
    size_t at = is_ipv6 ? IPV6 : IPV4;
    size_t length_bytes = at + PACKET_TCP_BYTES;

    memset(packet_out, 0, length_bytes);
    packet_out[0] = is_ipv6 ? 0x60 : 0x45;
    if (is_ipv6) {
        packet_put_u16(packet_out + 4, PACKET_TCP_BYTES);
        packet_out[6] = PACKET_TCP;
    } else {
        packet_put_u16(packet_out + 2, (uint16_t)length_bytes);
        packet_out[9] = PACKET_TCP;
    }
    packet_put_u16(packet_out + at, 443);
    packet_put_u16(packet_out + at + 2, 40000);
    packet_out[at + 12] = 0x50;
    packet_out[at + FLAGS_AT] = flags;
    return length_bytes;
}

static size_t udp_of(size_t length_bytes, uint8_t *packet_out)
{
    memset(packet_out, 0, length_bytes);
    packet_out[0] = 0x45;
    packet_put_u16(packet_out + 2, (uint16_t)length_bytes);
    packet_out[9] = PACKET_UDP;
    packet_put_u16(packet_out + IPV4, 53);
    packet_put_u16(packet_out + IPV4 + 2, 40000);
    packet_put_u16(packet_out + IPV4 + 4, (uint16_t)(length_bytes - IPV4));
    return length_bytes;
}

Test(backlog, what_opens_a_connection_and_short_datagrams_pass_those_that_wait)
{
    uint8_t packet[1500];

    cr_assert(backlog_is_passed_by(packet, tcp_of(false, SYN, packet)));
    cr_assert(backlog_is_passed_by(packet, tcp_of(true, SYN | 0x10, packet)));
    cr_assert(backlog_is_passed_by(packet, udp_of(600, packet)));
}

Test(backlog, nothing_else_passes_them)
{
    uint8_t packet[1500];

    cr_assert_not(backlog_is_passed_by(packet, tcp_of(false, 0x10, packet)));
    /* A reset would make what waits worthless. */
    cr_assert_not(backlog_is_passed_by(packet, tcp_of(true, RST, packet)));
    cr_assert_not(backlog_is_passed_by(packet, udp_of(601, packet)));
    cr_assert_not(backlog_is_passed_by(packet, tcp_of(false, SYN, packet) - 1));
    cr_assert_not(backlog_is_passed_by(packet, 0));
}
