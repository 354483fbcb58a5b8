// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/held.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/check.h"
#include "sandbox/init/socket.h"

enum { HELD_NONE = UINT16_MAX, WINDOW_BYTES_MIN = 1 << 16, WINDOW_BYTES_MAX = 1 << 30 };
static_assert((int)FORWARD_CONNECTIONS_MAX < (int)HELD_NONE, "an index fits 16 bits");

void held_init(struct forward *forward)
{
    for (unsigned i = 0; i < 2; i++) {
        forward->held[i] = (struct forward_held){HELD_NONE, HELD_NONE};
    }
}

bool held_any(const struct forward *forward, enum forward_end from)
{
    return forward->held[from].head != HELD_NONE;
}

void held_add(struct forward *forward, struct connection *connection, enum forward_end from)
{
    struct forward_held *held = &forward->held[from];
    struct forward_stream *stream = &connection->streams[from];
    uint16_t index = (uint16_t)(connection - forward->connections);

    if (stream->held) {
        return;
    }
    stream->held = true;
    stream->held_next = HELD_NONE;
    stream->held_previous = held->tail;
    if (held->tail == HELD_NONE) {
        held->head = index;
    } else {
        forward->connections[held->tail].streams[from].held_next = index;
    }
    held->tail = index;
}

void held_remove(struct forward *forward, struct connection *connection, enum forward_end from)
{
    struct forward_held *held = &forward->held[from];
    struct forward_stream *stream = &connection->streams[from];

    if (!stream->held) {
        return;
    }
    stream->held = false;
    if (stream->held_previous == HELD_NONE) {
        held->head = stream->held_next;
    } else {
        forward->connections[stream->held_previous].streams[from].held_next = stream->held_next;
    }
    if (stream->held_next == HELD_NONE) {
        held->tail = stream->held_previous;
    } else {
        forward->connections[stream->held_next].streams[from].held_previous = stream->held_previous;
    }
}

struct connection *held_take(struct forward *forward, enum forward_end from)
{
    struct connection *connection;

    if (!held_any(forward, from)) {
        return NULL;
    }
    connection = &forward->connections[forward->held[from].head];
    CHECK(connection->streams[from].held);
    held_remove(forward, connection, from);
    return connection;
}

struct line_gate *held_gate(const struct forward *forward, enum forward_end from)
{
    return &forward->line->gates[from == FORWARD_OUTSIDE ? LINE_DOWN : LINE_UP];
}

/* What we do not read should not be sent to us either: the line lies before us. */
static void narrow_window(const struct forward *forward, const struct connection *connection)
{
    const uint64_t rate = held_gate(forward, FORWARD_OUTSIDE)->bucket.bytes_per_s;
    uint64_t window_bytes = rate / 4; /* a quarter of a second's: more than most round trips */

    window_bytes = window_bytes < WINDOW_BYTES_MIN ? WINDOW_BYTES_MIN : window_bytes;
    if (window_bytes < SOCKET_BUFFER_BYTES) {
        const int bytes = (int)window_bytes;

        (void)setsockopt(connection->fds[FORWARD_OUTSIDE], IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes,
                         sizeof(bytes));
    }
}

static void widen_window(const struct connection *connection)
{
    const int bytes = WINDOW_BYTES_MAX;

    (void)setsockopt(connection->fds[FORWARD_OUTSIDE], IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes,
                     sizeof(bytes));
}

uint64_t held_room_bytes(struct forward *forward, struct connection *connection,
                         enum forward_end from)
{
    struct forward_stream *stream = &connection->streams[from];
    struct line_gate *gate = held_gate(forward, from);
    uint64_t room_bytes = line_room_bytes(gate);

    if (room_bytes == UINT64_MAX) {
        if (stream->narrowed) {
            stream->narrowed = false;
            widen_window(connection);
        }
        return FORWARD_PIPE_BYTES;
    }
    if (room_bytes > 0 && (stream->turn || !held_any(forward, from))) {
        return room_bytes;
    }
    if (from == FORWARD_OUTSIDE && !stream->narrowed) {
        stream->narrowed = true;
        narrow_window(forward, connection);
    }
    line_held(gate);
    held_add(forward, connection, from);
    gate->streams_wait = true;
    return 0;
}
