// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Packets that wait for the line on their way into a replica. Pure.
 *
 * They must not wait in passt's socket: when that is full passt resets whatever connection it has
 * just something to say about. What a few connections have under way fits in here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BACKLOG_BYTES = 4 << 20 }; /* memory that is touched only as far as something waits */

struct backlog { /* zeroed */
    size_t begin, end;
    uint8_t bytes[BACKLOG_BYTES];
};

static inline bool backlog_is_empty(const struct backlog *backlog)
{
    return backlog->begin == backlog->end;
}
/* Is there room for one more packet of any length? */
bool backlog_has_room(const struct backlog *backlog);
/* There is room. */
void backlog_add(struct backlog *backlog, const uint8_t *packet, size_t length_bytes);
/* The oldest, until the next call; there is one. Returns its length. */
size_t backlog_take(struct backlog *backlog, const uint8_t **packet_out);
/* Does it go ahead of those that wait? What opens a connection, and short datagrams: answers of a
 * resolver. Their order among the others is of no importance. */
bool backlog_is_passed_by(uint8_t *packet, size_t length_bytes);
