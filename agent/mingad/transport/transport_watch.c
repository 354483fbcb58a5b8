// SPDX-License-Identifier: GPL-3.0-or-later
/* ZeroMQ sockets on libuv's loop, and messages of one or two frames. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"

/* First marked, first settled. */
void watch_mark(struct watch *watch)
{
    struct transport *transport = watch->transport;

    if (watch->is_dirty || watch->is_closed) {
        return;
    }
    watch->is_dirty = true;
    watch->next_dirty = NULL;
    if (transport->dirty == NULL) {
        transport->dirty = watch;
    } else {
        transport->dirty_last->next_dirty = watch;
    }
    transport->dirty_last = watch;
    transport->dirty_count++;
}

struct watch *watch_take_dirty(struct transport *transport)
{
    struct watch *watch = transport->dirty;

    CHECK(watch != NULL && transport->dirty_count > 0);
    transport->dirty = watch->next_dirty;
    transport->dirty_count--;
    watch->is_dirty = false;
    return watch;
}

/* The descriptor only says that something has changed: look at once, and again in settle. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;

    (void)status;
    (void)events;
    watch_mark(watch);
}

int watch_open(struct transport *transport, struct watch *watch, void *socket,
               void (*settle)(struct watch *watch))
{
    int fd = -1;
    size_t fd_bytes = sizeof(fd);

    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &fd_bytes) < 0) {
        return -errno;
    }
    int r = uv_poll_init(transport->loop, &watch->poll, fd);

    if (r < 0) {
        return r;
    }
    watch->transport = transport;
    watch->socket = socket;
    watch->settle = settle;
    r = uv_poll_start(&watch->poll, UV_READABLE, on_readable);
    CHECK(r == 0);
    watch_mark(watch);
    return 0;
}

static void unmark(struct watch *watch)
{
    struct transport *transport = watch->transport;
    struct watch *before = NULL;

    if (!watch->is_dirty) {
        return;
    }
    for (struct watch *other = transport->dirty; other != watch; other = other->next_dirty) {
        CHECK(other != NULL);
        before = other;
    }
    if (before == NULL) {
        transport->dirty = watch->next_dirty;
    } else {
        before->next_dirty = watch->next_dirty;
    }
    if (transport->dirty_last == watch) {
        transport->dirty_last = before;
    }
    transport->dirty_count--;
    watch->is_dirty = false;
}

void watch_close(struct watch *watch, uv_close_cb closed)
{
    CHECK(!watch->is_closed);
    unmark(watch);
    watch->is_closed = true;
    /* Stopped first: ZeroMQ closes the descriptor, and the number may be used again at once. */
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, closed);
    zmq_close(watch->socket);
    watch->socket = NULL;
}

/* ------------------------------------------------------------------ options */

int socket_set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int socket_set_common(void *socket)
{
    static const struct {
        int option;
        int value;
    } rows[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_IPV6, 1},
        {ZMQ_SNDHWM, QUEUE_MESSAGES_MAX},
        {ZMQ_RCVHWM, QUEUE_MESSAGES_MAX},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS_MAX},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_MS_MAX},
        {ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS_MAX},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 240},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
    };
    int64_t frame_bytes_max = FRAME_BYTES_MAX;
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
        r = socket_set_int(socket, rows[i].option, rows[i].value);
    }
    if (r == 0 &&
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof(frame_bytes_max)) < 0) {
        r = -errno;
    }
    return r;
}

/* ------------------------------------------------------------------ frames */

enum { FRAME_OVERHEAD_BYTES = 256 }; /* CURVE: 42 */

void frames_discard(struct transport_data data)
{
    free(data.data);
}

/* A frame of ours inside ZeroMQ. */
struct outgoing {
    atomic_size_t *unsent_bytes;
    atomic_size_t *its_unsent_bytes; /* of the receiver alone; or NULL */
    size_t length_bytes;
};

/* Called by ZeroMQ's own thread when the bytes are on their way. */
static void free_frame(void *data, void *hint)
{
    struct outgoing *outgoing = hint;

    atomic_fetch_sub(outgoing->unsent_bytes, outgoing->length_bytes);
    if (outgoing->its_unsent_bytes != NULL) {
        atomic_fetch_sub(outgoing->its_unsent_bytes, outgoing->length_bytes);
    }
    free(outgoing);
    free(data);
}

static int send_data(struct watch *watch, struct transport_data data)
{
    struct outgoing *outgoing = malloc(sizeof(*outgoing));
    zmq_msg_t frame;

    if (outgoing != NULL) {
        *outgoing = (struct outgoing){&watch->transport->unsent_bytes, data.unsent_bytes,
                                      data.length_bytes};
    }
    if (outgoing != NULL &&
        zmq_msg_init_data(&frame, data.data, data.length_bytes, free_frame, outgoing) == 0) {
        atomic_fetch_add(outgoing->unsent_bytes, data.length_bytes);
        if (data.unsent_bytes != NULL) {
            atomic_fetch_add(data.unsent_bytes, data.length_bytes);
        }
    } else {
        free(outgoing);
        frames_discard(data);
        zmq_msg_init(&frame); /* two frames were announced: an empty one, which is no chunk */
    }
    if (zmq_msg_send(&frame, watch->socket, ZMQ_DONTWAIT) < 0) {
        int r = -errno;

        zmq_msg_close(&frame);
        return r;
    }
    return 0;
}

int frames_send(struct watch *watch, struct bytes message, struct transport_data data)
{
    int flags = ZMQ_DONTWAIT | (data.data == NULL ? 0 : ZMQ_SNDMORE);

    if (zmq_send(watch->socket, message.data, message.length_bytes, flags) < 0) {
        int r = -errno;

        frames_discard(data);
        return r;
    }
    /* The high-water mark counts messages: after the first frame, the second one has room. */
    return data.data == NULL ? 0 : send_data(watch, data);
}

static bool has_more(zmq_msg_t *frame)
{
    return zmq_msg_more(frame) != 0;
}

static void count_frame(struct frames *frames, zmq_msg_t *frame)
{
    frames->wire_bytes += zmq_msg_size(frame) + FRAME_OVERHEAD_BYTES;
}

/* Throws the rest of a message with too many frames away. */
static void skip_rest(void *socket, struct frames *frames)
{
    bool more = true;

    while (more) {
        zmq_msg_t frame;

        zmq_msg_init(&frame);
        /* ZeroMQ hands over whole messages only: the next frame is there. */
        more = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0 && has_more(&frame);
        count_frame(frames, &frame);
        zmq_msg_close(&frame);
    }
}

int frames_receive(void *socket, struct frames *frames_out)
{
    bool more = true;

    frames_out->count = 0;
    frames_out->is_overlong = false;
    frames_out->wire_bytes = 0;
    while (more && frames_out->count < FRAMES_MAX) {
        zmq_msg_t *frame = &frames_out->list[frames_out->count];

        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            if (errno == EINTR) {
                continue;
            }
            frames_done(frames_out);
            return -EAGAIN;
        }
        frames_out->count++;
        count_frame(frames_out, frame);
        more = has_more(frame);
    }
    if (more) {
        frames_out->is_overlong = true;
        skip_rest(socket, frames_out);
    }
    return 0;
}

void frames_done(struct frames *frames)
{
    for (int i = 0; i < frames->count; i++) {
        zmq_msg_close(&frames->list[i]);
    }
    frames->count = 0;
}

struct bytes frame_bytes(struct frames *frames, int index)
{
    if (index >= frames->count) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){zmq_msg_data(&frames->list[index]), zmq_msg_size(&frames->list[index])};
}

void frame_host(struct frames *frames, int index, char host_out[HOST_CHARS_MAX + 1])
{
    static const char mapped[] = "::ffff:"; /* an IPv4 address at a socket for both */
    const char *host =
        index < frames->count ? zmq_msg_gets(&frames->list[index], "Peer-Address") : NULL;

    host_out[0] = '\0';
    if (host == NULL || strchr(host, '%') != NULL) {
        return;
    }
    if (strncmp(host, mapped, sizeof(mapped) - 1) == 0 && strchr(host, '.') != NULL) {
        host += sizeof(mapped) - 1;
    }
    if (text_copy(host_out, HOST_CHARS_MAX + 1, host) < 0) {
        host_out[0] = '\0';
    }
}
