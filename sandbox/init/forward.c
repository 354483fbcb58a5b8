// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/init/connect.h"
#include "sandbox/init/held.h"
#include "sandbox/init/socket.h"

/*
 * An event's tag: our kind in the highest byte, then 8 bits of which one is "is a port" and one
 * says which end of a connection, 16 bits index, 32 bits version of the connection.
 */
enum {
    INDEX_NONE = UINT16_MAX,
    ACCEPTS_PER_TURN = 16,
    KEEPALIVE_IDLE_S = 60,
    PIECES_PER_TURN = 64, /* of those that waited for the line */
};
static const uint64_t tag_port = (uint64_t)1 << 48;
static const uint64_t tag_inside = (uint64_t)1 << 49;
static_assert((int)FORWARD_CONNECTIONS_MAX < (int)INDEX_NONE, "an index fits 16 bits");

static uint16_t index_of(const struct forward *forward, const struct connection *connection)
{
    return (uint16_t)(connection - forward->connections);
}

static uint64_t tag_of(const struct forward *forward, const struct connection *connection)
{
    return forward->epoll_tag | (uint64_t)index_of(forward, connection) << 32 | connection->version;
}

static int watch_port(struct forward *forward, uint32_t port)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = forward->epoll_tag | tag_port | (uint64_t)port << 32};

    forward->ports[port].paused = false;
    return epoll_ctl(forward->epoll_fd, EPOLL_CTL_ADD, forward->ports[port].listen_fd, &event) < 0
               ? -errno
               : 0;
}

static void pause_port(struct forward *forward, uint32_t port)
{
    if (!forward->ports[port].paused) {
        (void)epoll_ctl(forward->epoll_fd, EPOLL_CTL_DEL, forward->ports[port].listen_fd, NULL);
        forward->ports[port].paused = true;
    }
}

static void watch_paused(struct forward *forward)
{
    forward->again_ms = 0;
    for (uint32_t i = 0; i < forward->port_count; i++) {
        if (forward->ports[i].paused && forward->ports[i].listen_fd >= 0) {
            (void)watch_port(forward, i);
        }
    }
}

/* Who else has the socket has shut it down: it would be ready for ever, and nobody comes any more. */
static void leave_if_shut(struct forward *forward, uint32_t port)
{
    struct pollfd shut = {.fd = forward->ports[port].listen_fd, .events = POLLRDHUP};

    if (poll(&shut, 1, 0) == 1) {
        pause_port(forward, port);
        forward->ports[port].listen_fd = -1;
    }
}

int forward_init(struct forward *forward, int epoll_fd, uint64_t epoll_tag,
                 const struct sandbox_spec *spec, const int *listen_fds)
{
    CHECK(spec->port_count <= PORTS_PER_SERVICE_MAX);
    CHECK(forward->port_count == 0 && forward->line != NULL);
    held_init(forward);
    forward->epoll_fd = epoll_fd;
    forward->epoll_tag = epoll_tag;
    forward->free_head = INDEX_NONE;
    forward->ready_head = INDEX_NONE;
    forward->ready_tail = INDEX_NONE;
    forward->port_count = spec->port_count;
    forward->connections_max =
        spec->connections_max > 0 ? spec->connections_max : CONNECTIONS_PER_PORT_DEFAULT;
    CHECK(forward->connections_max <= CONNECTIONS_PER_PORT_MAX);
    for (uint32_t i = 0; i < spec->port_count; i++) {
        if (sandbox_is_udp(spec->ports[i].protocol)) {
            forward->ports[i] = (struct forward_port){.listen_fd = -1, .paused = true};
            continue;
        }
        int flags = fcntl(listen_fds[i], F_GETFL);

        forward->ports[i] = (struct forward_port){.listen_fd = listen_fds[i],
                                                  .container_port = spec->ports[i].container_port};
        if (flags < 0 || fcntl(listen_fds[i], F_SETFL, flags | O_NONBLOCK) < 0) {
            return -errno;
        }
        int r = watch_port(forward, i);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* --- pipes --- */

static int pipe_take(struct forward *forward, struct forward_stream *stream)
{
    if (stream->pipe[0] >= 0) {
        return 0;
    }
    if (forward->kept_count > 0) {
        forward->kept_count--;
        const struct forward_pipe *kept = &forward->kept_pipes[forward->kept_count];

        stream->pipe[0] = kept->ends[0];
        stream->pipe[1] = kept->ends[1];
        stream->large = kept->large;
        return 0;
    }
    if (pipe2(stream->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        stream->pipe[0] = -1;
        stream->pipe[1] = -1;
        return -errno;
    }
    stream->large = false;
    return 0;
}

/* Only for those who need it: what all pipes of a user may hold together is bounded. */
static void pipe_enlarge(struct forward_stream *stream)
{
    if (!stream->large && stream->pipe[1] >= 0) {
        stream->large = true;
        (void)fcntl(stream->pipe[1], F_SETPIPE_SZ, FORWARD_PIPE_BYTES);
    }
}

/* Gives the pipe back; one with bytes in it is of no use to another direction. */
static void pipe_release(struct forward *forward, struct forward_stream *stream)
{
    if (stream->pipe[0] < 0) {
        return;
    }
    if (stream->pipe_bytes == 0 && forward->kept_count < FORWARD_PIPES_KEPT) {
        forward->kept_pipes[forward->kept_count++] =
            (struct forward_pipe){{stream->pipe[0], stream->pipe[1]}, stream->large};
    } else {
        close(stream->pipe[0]);
        close(stream->pipe[1]);
    }
    stream->pipe[0] = -1;
    stream->pipe[1] = -1;
    stream->pipe_bytes = 0;
}

/* --- connections --- */

static struct connection *connection_new(struct forward *forward, uint32_t port, int outside_fd)
{
    struct connection *connection;
    uint32_t version;

    if (forward->free_head != INDEX_NONE) {
        connection = &forward->connections[forward->free_head];
        forward->free_head = connection->next;
    } else {
        CHECK(forward->fresh_count < FORWARD_CONNECTIONS_MAX);
        connection = &forward->connections[forward->fresh_count++];
    }
    version = connection->version + 1;
    *connection = (struct connection){
        .fds = {outside_fd, -1},
        .port = (uint8_t)port,
        .next = INDEX_NONE,
        .version = version,
        .streams = {{.pipe = {-1, -1}}, {.pipe = {-1, -1}}},
    };
    forward->ports[port].connection_count++;
    forward->connection_count++;
    return connection;
}

/* `reset`: the peers are to see that the stream did not come to its end. */
static void connection_close(struct forward *forward, struct connection *connection, bool reset)
{
    struct forward_port *port = &forward->ports[connection->port];

    CHECK(connection->fds[FORWARD_OUTSIDE] >= 0 && port->connection_count > 0);
    CHECK(!connection->queued);
    for (unsigned i = 0; i < 2; i++) {
        held_remove(forward, connection, i);
        pipe_release(forward, &connection->streams[i]);
        if (connection->fds[i] < 0) {
            continue;
        }
        if (reset) {
            socket_reset_at_close(connection->fds[i]);
        }
        close(connection->fds[i]);
        connection->fds[i] = -1;
    }
    connection->version++;
    connection->next = forward->free_head;
    forward->free_head = index_of(forward, connection);
    port->connection_count--;
    forward->connection_count--;
    watch_paused(forward);
}

static int watch_end(struct forward *forward, struct connection *connection, enum forward_end end)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = tag_of(forward, connection) |
                                            (end == FORWARD_INSIDE ? tag_inside : 0)};

    return epoll_ctl(forward->epoll_fd, EPOLL_CTL_ADD, connection->fds[end], &event) < 0 ? -errno
                                                                                         : 0;
}

/* Tries the loopback addresses that are left. Returns 0 when an attempt is under way. */
static int connect_inside(struct forward *forward, struct connection *connection)
{
    for (; connection->family < LOOPBACK_FAMILY_COUNT; connection->family++) {
        int fd = connect_begin((enum loopback_family)connection->family,
                               forward->ports[connection->port].container_port);

        if (fd >= 0) {
            socket_suit_to_this_host(fd);
            connection->fds[FORWARD_INSIDE] = fd;
            return watch_end(forward, connection, FORWARD_INSIDE);
        }
    }
    return -ECONNREFUSED;
}

/* Has the attempt come to something? 0: connected. -EINPROGRESS: wait. Else: give up. */
static int check_inside(struct forward *forward, struct connection *connection)
{
    int r = connect_result(connection->fds[FORWARD_INSIDE]);

    if (r == 0) {
        connection->connected = true;
        return 0;
    }
    if (r == -EINPROGRESS) {
        return r;
    }
    close(connection->fds[FORWARD_INSIDE]);
    connection->fds[FORWARD_INSIDE] = -1;
    connection->family++;
    r = connect_inside(forward, connection);
    return r < 0 ? r : -EINPROGRESS;
}

/* --- bytes --- */

/* Reads what there is, and may pass. Returns the bytes, 0 when it has to wait, or -errno. */
static int64_t take_some(struct forward *forward, struct connection *connection,
                         enum forward_end from)
{
    struct forward_stream *stream = &connection->streams[from];
    uint64_t room_bytes = held_room_bytes(forward, connection, from);
    ssize_t count_bytes;
    int r;

    stream->turn = false;
    if (room_bytes == 0) {
        return 0;
    }
    r = pipe_take(forward, stream);
    if (r < 0) {
        return r;
    }
    count_bytes = splice(connection->fds[from], NULL, stream->pipe[1], NULL, (size_t)room_bytes,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count_bytes < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    if (count_bytes == 0 && !connection->streams[1 - from].closed &&
        socket_was_closed(connection->fds[from])) {
        return -ECONNRESET; /* it has not shut its direction after all was said: it was cut */
    }
    stream->at_end = count_bytes == 0;
    stream->pipe_bytes = (uint32_t)count_bytes;
    line_passed(held_gate(forward, from), (uint64_t)count_bytes);
    return count_bytes;
}

/* Moves on what there is. Returns bytes moved, 0 when it has to wait or is closed, or -errno. */
static int64_t move_some(struct forward *forward, struct connection *connection,
                         enum forward_end from)
{
    struct forward_stream *stream = &connection->streams[from];
    int64_t count_bytes;

    if (stream->pipe_bytes == 0 && !stream->at_end) {
        count_bytes = take_some(forward, connection, from);
        if (count_bytes < 0) {
            return count_bytes;
        }
    }
    if (stream->pipe_bytes == 0) {
        return 0;
    }
    count_bytes = splice(stream->pipe[0], NULL, connection->fds[1 - from], NULL, stream->pipe_bytes,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count_bytes < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    stream->pipe_bytes -= (uint32_t)count_bytes;
    return count_bytes;
}

/* One direction, for one turn. Returns 0 (waits), 1 (has more to do) or -errno. */
static int pump(struct forward *forward, struct connection *connection, enum forward_end from)
{
    struct forward_stream *stream = &connection->streams[from];
    int64_t moved_bytes = 0;
    int64_t count_bytes;

    do {
        count_bytes = move_some(forward, connection, from);
        moved_bytes += count_bytes > 0 ? count_bytes : 0;
    } while (count_bytes > 0 && moved_bytes < FORWARD_TURN_BYTES_MAX);
    if (count_bytes < 0) {
        return (int)count_bytes;
    }
    if (moved_bytes >= FORWARD_BULK_BYTES) {
        pipe_enlarge(stream);
    }
    if (stream->pipe_bytes == 0) {
        pipe_release(forward, stream);
    }
    if (stream->at_end && stream->pipe_bytes == 0 && !stream->closed) {
        stream->closed = true;
        (void)shutdown(connection->fds[1 - from], SHUT_WR);
    }
    return count_bytes > 0 ? 1 : 0;
}

static void enqueue(struct forward *forward, struct connection *connection)
{
    uint16_t index = index_of(forward, connection);

    if (connection->queued) {
        return;
    }
    connection->queued = true;
    connection->next = INDEX_NONE;
    if (forward->ready_head == INDEX_NONE) {
        forward->ready_head = index;
    } else {
        forward->connections[forward->ready_tail].next = index;
    }
    forward->ready_tail = index;
}

enum { STREAM_IN = 1 << FORWARD_OUTSIDE, STREAM_OUT = 1 << FORWARD_INSIDE, STREAMS_BOTH = 3 };

/*
 * Not queued, or taken from the queue just now. `streams`: those that something has happened to,
 * a bit each by the end that they come from.
 */
static void connection_go_on(struct forward *forward, struct connection *connection,
                             unsigned streams)
{
    bool was_connected = connection->connected;
    int r = connection->connected ? 0 : check_inside(forward, connection);

    if (r == -EINPROGRESS) {
        return;
    }
    if (r < 0) {
        connection_close(forward, connection, false);
        return;
    }
    streams = was_connected ? streams : STREAMS_BOTH;
    int there = (streams & STREAM_IN) != 0 ? pump(forward, connection, FORWARD_OUTSIDE) : 0;
    int back =
        there >= 0 && (streams & STREAM_OUT) != 0 ? pump(forward, connection, FORWARD_INSIDE) : 0;
    if (there < 0 || back < 0) {
        connection_close(forward, connection, true);
    } else if (connection->streams[0].closed && connection->streams[1].closed) {
        connection_close(forward, connection, false);
    } else if (there > 0 || back > 0) {
        enqueue(forward, connection);
    }
}

static void begin_connection(struct forward *forward, uint32_t port, int outside_fd)
{
    struct connection *connection = connection_new(forward, port, outside_fd);
    int on = 1;
    int idle_s = KEEPALIVE_IDLE_S;

    (void)setsockopt(outside_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* A peer that has vanished must not hold its place for ever. */
    (void)setsockopt(outside_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(outside_fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    if (socket_is_of_this_host(outside_fd)) {
        socket_suit_to_this_host(outside_fd);
    }
    if (connect_inside(forward, connection) < 0 ||
        watch_end(forward, connection, FORWARD_OUTSIDE) < 0) {
        connection_close(forward, connection, false);
        return;
    }
    connection_go_on(forward, connection, STREAMS_BOTH);
}

/* The peer is told at once, rather than waiting for a turn that may never come. */
static void refuse_connection(struct forward *forward, int fd)
{
    forward->refused_count++;
    socket_reset_at_close(fd);
    close(fd);
}

static void accept_some(struct forward *forward, uint32_t port)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(forward->ports[port].listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && forward->ports[port].connection_count >= forward->connections_max) {
            refuse_connection(forward, fd);
            continue;
        }
        if (fd >= 0) {
            begin_connection(forward, port, fd);
            continue;
        }
        /* Out of descriptors or memory: until a connection ends, or somebody else's descriptors do. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_port(forward, port);
            forward->again_ms = line_now_ms() + FORWARD_AGAIN_MS;
        } else if (i == 0) {
            leave_if_shut(forward, port);
        }
        return;
    }
}

/*
 * Edge-triggered: a direction whose pipe is empty waits for its sender, one with bytes in its pipe
 * for its receiver; whatever else is true of the sockets needs no system call.
 */
static unsigned streams_of(const struct connection *connection, enum forward_end end,
                           uint32_t events)
{
    const unsigned from_here = 1U << end;
    const unsigned to_here = 1U << (1 - end);
    unsigned streams = 0;

    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        return STREAMS_BOTH;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        streams |= from_here;
    }
    if ((events & EPOLLOUT) != 0 && connection->streams[1 - end].pipe_bytes > 0) {
        streams |= to_here;
    }
    return streams;
}

void forward_event(struct forward *forward, uint64_t tag, uint32_t events)
{
    uint32_t index = (uint32_t)(tag >> 32) & UINT16_MAX;
    struct connection *connection;

    if (forward->port_count == 0) {
        return; /* done since the event was fetched */
    }
    if ((tag & tag_port) != 0) {
        CHECK(index < forward->port_count);
        if (!forward->ports[index].paused) {
            accept_some(forward, index);
        }
        return;
    }
    CHECK(index < forward->fresh_count);
    connection = &forward->connections[index];
    /* One whose connection was closed earlier in this round, or that has its turn anyway. */
    if (connection->version != (uint32_t)tag || connection->queued) {
        return;
    }
    connection_go_on(
        forward, connection,
        streams_of(connection, (tag & tag_inside) != 0 ? FORWARD_INSIDE : FORWARD_OUTSIDE, events));
}

bool forward_turn(struct forward *forward)
{
    uint16_t index = forward->ready_head;

    forward->ready_head = INDEX_NONE;
    forward->ready_tail = INDEX_NONE;
    while (index != INDEX_NONE && forward->port_count > 0) {
        struct connection *connection = &forward->connections[index];

        CHECK(connection->queued);
        index = connection->next;
        connection->queued = false;
        connection_go_on(forward, connection, STREAMS_BOTH);
    }
    return forward->port_count > 0 && forward->ready_head != INDEX_NONE;
}

/* Returns after how many ms paused ports are to be asked again. */
static uint64_t ask_paused(struct forward *forward)
{
    uint64_t now_ms = forward->again_ms == 0 ? 0 : line_now_ms();

    if (forward->again_ms > now_ms) {
        return forward->again_ms - now_ms;
    }
    if (forward->again_ms != 0) {
        watch_paused(forward);
    }
    return UINT64_MAX;
}

uint64_t forward_release(struct forward *forward)
{
    uint64_t wait_ms = ask_paused(forward);

    for (unsigned from = 0; from < 2 && forward->port_count > 0; from++) {
        struct line_gate *gate = held_gate(forward, from);

        for (unsigned i = 0;
             i < PIECES_PER_TURN && held_any(forward, from) && line_room_bytes(gate) > 0; i++) {
            struct connection *connection = held_take(forward, from);

            connection->streams[from].turn = true;
            if (!connection->queued) { /* else it goes on anyway */
                connection_go_on(forward, connection, 1U << from);
            }
        }
        gate->streams_wait = held_any(forward, from);
        if (gate->streams_wait) {
            uint64_t gate_ms = line_wait_ms(gate);

            line_held(gate);
            wait_ms = gate_ms < wait_ms ? gate_ms : wait_ms;
        }
    }
    return wait_ms;
}

void forward_done(struct forward *forward)
{
    for (uint32_t i = 0; i < forward->port_count; i++) {
        pause_port(forward, i);
        forward->ports[i].listen_fd = -1;
    }
    for (uint32_t i = 0; i < forward->fresh_count; i++) {
        struct connection *connection = &forward->connections[i];

        connection->queued = false;
        if (connection->fds[FORWARD_OUTSIDE] >= 0) {
            connection_close(forward, connection, false);
        }
    }
    while (forward->kept_count > 0) {
        forward->kept_count--;
        close(forward->kept_pipes[forward->kept_count].ends[0]);
        close(forward->kept_pipes[forward->kept_count].ends[1]);
    }
    forward->port_count = 0;
}
