// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/backlog.h"

#include <string.h>

#include "base/check.h"
#include "sandbox/egress/filter.h"
#include "sandbox/egress/packet.h"

enum {
    LENGTH_BYTES = sizeof(uint32_t),
    ROOM_BYTES = LENGTH_BYTES + EGRESS_PACKET_BYTES_MAX,
    SHORT_BYTES_MAX = 600,
    TCP_SYN = 0x02,
};

/* What is left of it is moved to the front when the back has no room: half of it at most. */
bool backlog_has_room(const struct backlog *backlog)
{
    size_t used_bytes = backlog->end - backlog->begin;

    return used_bytes + ROOM_BYTES <= BACKLOG_BYTES / 2;
}

void backlog_add(struct backlog *backlog, const uint8_t *packet, size_t length_bytes)
{
    const uint32_t length = (uint32_t)length_bytes;

    CHECK(backlog_has_room(backlog) && length_bytes <= EGRESS_PACKET_BYTES_MAX);
    if (backlog->end + ROOM_BYTES > BACKLOG_BYTES) {
        memcpy(backlog->bytes, backlog->bytes + backlog->begin, backlog->end - backlog->begin);
        backlog->end -= backlog->begin;
        backlog->begin = 0;
    }
    memcpy(backlog->bytes + backlog->end, &length, LENGTH_BYTES);
    memcpy(backlog->bytes + backlog->end + LENGTH_BYTES, packet, length_bytes);
    backlog->end += LENGTH_BYTES + length_bytes;
}

size_t backlog_take(struct backlog *backlog, const uint8_t **packet_out)
{
    uint32_t length;

    CHECK(backlog->end - backlog->begin >= LENGTH_BYTES);
    memcpy(&length, backlog->bytes + backlog->begin, LENGTH_BYTES);
    *packet_out = backlog->bytes + backlog->begin + LENGTH_BYTES;
    backlog->begin += LENGTH_BYTES + length;
    CHECK(backlog->begin <= backlog->end);
    if (backlog->begin == backlog->end) {
        backlog->begin = 0;
        backlog->end = 0;
    }
    return length;
}

bool backlog_is_passed_by(uint8_t *packet, size_t length_bytes)
{
    struct packet parts;

    if (length_bytes > SHORT_BYTES_MAX || !packet_parse(packet, length_bytes, &parts)) {
        return false;
    }
    return parts.protocol == PACKET_UDP || (parts.tcp_flags & TCP_SYN) != 0;
}
