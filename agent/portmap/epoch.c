// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/epoch.h"

#include <errno.h>

enum {
    AT_VERSION = 0,
    AT_OPCODE = 1,
    AT_RESULT = 3, /* NAT-PMP's has two bytes, from 2 on */
    IS_RESPONSE = 0x80,
    NATPMP_VERSION = 0,
    NATPMP_ADDRESS = IS_RESPONSE | 0, /* figure of section 3.2.1 */
    NATPMP_AT_EPOCH = 4,
    NATPMP_BYTES = 12,
    PCP_VERSION = 2,
    PCP_ANNOUNCE = IS_RESPONSE | 0,
    PCP_AT_EPOCH = 8,
    PCP_BYTES = 24,
    SLACK_S = 2, /* on either side, beside a sixteenth of the time */
    PART = 16,
};

/* Section 8.5 of RFC 6887; 6886's seven eighths are as good as that. */
bool epoch_goes_on(const struct router_epoch *before, uint32_t router_s, uint64_t now_ms)
{
    uint64_t own_s = now_ms > before->heard_ms ? (now_ms - before->heard_ms) / 1000 : 0;
    uint64_t past_s;

    if (!before->is_known) {
        return true;
    }
    if ((uint64_t)router_s + 1 < before->router_s) {
        return false;
    }
    past_s = router_s > before->router_s ? router_s - before->router_s : 0;
    return own_s + SLACK_S >= past_s - past_s / PART && past_s + SLACK_S >= own_s - own_s / PART;
}

static uint32_t read_32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

int announce_decode(struct bytes datagram, uint32_t *router_s_out)
{
    const uint8_t *data = datagram.data;
    size_t length = datagram.length_bytes;

    if (length < NATPMP_BYTES || length > ANNOUNCE_BYTES_MAX || data[AT_RESULT] != 0) {
        return -EBADMSG;
    }
    if (data[AT_VERSION] == PCP_VERSION && data[AT_OPCODE] == PCP_ANNOUNCE && length >= PCP_BYTES) {
        *router_s_out = read_32(data + PCP_AT_EPOCH);
        return 0;
    }
    if (data[AT_VERSION] == NATPMP_VERSION && data[AT_OPCODE] == NATPMP_ADDRESS &&
        length == NATPMP_BYTES && data[2] == 0) {
        *router_s_out = read_32(data + NATPMP_AT_EPOCH);
        return 0;
    }
    return -EBADMSG;
}
