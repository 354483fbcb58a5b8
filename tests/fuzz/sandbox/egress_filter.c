// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Any bytes as packets of a replica: what passes is a whole TCP segment or UDP datagram, from the
 * replica's own address, to an open one; and an answer to what was refused fits.
 */
#include <string.h>

#include "base/check.h"
#include "sandbox/egress/filter.h"
#include "sandbox/egress/packet.h"
#include "sandbox/egress/routes.h"

enum { FIRST = 61000 };

static void check_passed(const struct egress_filter *filter, uint8_t *bytes, size_t length_bytes)
{
    struct packet packet;

    CHECK(packet_parse(bytes, length_bytes, &packet));
    CHECK(packet.destination_port != 25 && packet.destination_port != 465 &&
          packet.destination_port != 587);
    CHECK(egress_rules_open(&filter->rules, packet.destination) || packet.destination_port == 53);
    CHECK(packet.protocol != PACKET_UDP ||
          (packet.source_port >= FIRST && packet.source_port < FIRST + EGRESS_UDP_PORTS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    static struct egress_filter filter;
    static uint8_t packet[EGRESS_PACKET_BYTES_MAX];
    uint8_t answer[EGRESS_REFUSAL_BYTES_MAX];
    uint64_t now_ms = 1;

    egress_filter_init(&filter, FIRST, 7);
    egress_rules_init(&filter.rules);
    (void)routes_take(&filter.rules, (struct bytes){data, length_bytes});
    filter.rules.closed = false; /* most of what is no route closes everything */
    filter.dns4 = true;
    while (length_bytes > 2) { /* packets, each behind its length; the highest bit: one comes in */
        size_t packet_bytes = (size_t)(data[0] & 0x7f) << 8 | data[1];
        bool is_in = (data[0] & 0x80) != 0;

        packet_bytes = packet_bytes < length_bytes - 2 ? packet_bytes : length_bytes - 2;
        memcpy(packet, data + 2, packet_bytes);
        if (is_in) {
            (void)egress_in(&filter, packet, packet_bytes, now_ms);
        } else if (egress_out(&filter, packet, packet_bytes, now_ms)) {
            check_passed(&filter, packet, packet_bytes);
        } else {
            CHECK(egress_refusal(packet, packet_bytes, answer) <= sizeof(answer));
        }
        data += 2 + packet_bytes;
        length_bytes -= 2 + packet_bytes;
        now_ms += 1000;
    }
    return 0;
}
