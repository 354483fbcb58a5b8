// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a stranger at a relay's door, or a lying relay, can send: a greeting, then frames. With the
 * first byte's lowest bit the frames are sealed first, so that what lies behind the seal is reached.
 */
#include <string.h>

#include "agent/mingad/relays/relay_flows.h"
#include "agent/mingad/relays/relay_seal.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_all(struct relay_seal *seal, struct bytes in)
{
    static struct relay_opened opened;

    while (in.length_bytes > 0) {
        int taken = relay_open_frame(seal, in, &opened);

        CHECK(taken <= (int)in.length_bytes);
        if (taken <= 0) {
            return;
        }
        CHECK(opened.type < RELAY_FRAMES_COUNT && opened.body_bytes <= RELAY_BODY_BYTES_MAX);
        if (opened.type == RELAY_DATAGRAM) {
            struct relay_flow_id id = {0};
            struct bytes datagram = {0};

            CHECK(!relay_flow_read(relay_body(&opened), &id, &datagram) ||
                  datagram.length_bytes <= RELAY_DATAGRAM_BYTES_MAX);
        }
        in = (struct bytes){in.data + taken, in.length_bytes - (size_t)taken};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[RELAY_SECRET_BYTES];
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    struct relay_hello hello = {0};
    struct relay_seal from;
    struct relay_seal to;

    if (size < RELAY_HELLO_BYTES + 1) {
        return 0;
    }
    (void)relay_hello_read(data + 1, &hello);
    relay_seal_init(&from, secret, (struct relay_nonces){hello.nonce, data + 1}, true);
    relay_seal_init(&to, secret, (struct relay_nonces){hello.nonce, data + 1}, false);
    struct bytes rest = {data + 1 + RELAY_HELLO_BYTES, size - 1 - RELAY_HELLO_BYTES};

    if ((data[0] & 1) != 0 && rest.length_bytes <= RELAY_BODY_BYTES_MAX) {
        rest.length_bytes = relay_seal_frame(
            &from, (enum relay_frame)(data[0] / 2 % RELAY_FRAMES_COUNT), rest, frame);
        rest.data = frame;
    }
    open_all(&to, rest);
    return 0;
}
