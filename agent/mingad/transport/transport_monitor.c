// SPDX-License-Identifier: GPL-3.0-or-later
/* What happens to an outbound link: its socket's monitor, read on the loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_gate.h"
#include "agent/mingad/transport/transport_internal.h"

enum {
    EVENT_UP = ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
    EVENT_CONNECTED = ZMQ_EVENT_CONNECTED, /* before the handshake; tells the descriptor */
    EVENT_DIALLED = ZMQ_EVENT_CONNECT_DELAYED,
    EVENT_FAILED = ZMQ_EVENT_CONNECT_RETRIED, /* refused, or timed out */
    EVENTS_BROKEN = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
    EVENTS_PER_TURN = 16,
};

static void emit(struct transport *transport, const struct link *link, enum overlay_event_kind kind,
                 bool refused)
{
    struct overlay_event event = {.kind = kind, .node = link->peer.node, .refused = refused};

    transport->event(transport->context, &event);
}

/* The first frame: the event's number in 16 bits, its value in 32, both as in this machine. */
int monitor_receive(struct watch *watch, struct monitor_event *event_out)
{
    struct monitor_event event = {0};
    struct frames frames;
    struct bytes frame;
    uint16_t number;

    if (frames_receive(watch->socket, &frames) < 0) {
        return -EAGAIN;
    }
    frame = frame_bytes(&frames, 0);
    if (frame.length_bytes >= sizeof(number) + sizeof(event.value)) {
        memcpy(&number, frame.data, sizeof(number));
        memcpy(&event.value, frame.data + sizeof(number), sizeof(event.value));
        event.number = number;
    }
    frames_done(&frames);
    *event_out = event;
    return 0;
}

/* Have all addresses refused, one after the other? ZeroMQ does not say why a connection failed, but
 * nothing else fails so soon: who gets no answer waits for CONNECT_MS_MAX. */
static bool note_failed(struct link *link)
{
    bool soon = link->dialled_ms == 0 || clock_now_ms() - link->dialled_ms < CONNECT_MS_MAX / 2;

    link->dialled_ms = 0;
    if (!soon) {
        link->refused_count = 0;
    } else if (link->refused_count < link->way_count) {
        link->refused_count++;
    }
    return link->refused_count >= link->way_count;
}

static void on_event(struct link *link, const struct monitor_event *event)
{
    struct transport *transport = link->monitor.transport;
    unsigned number = event->number;

    if ((number & EVENT_UP) != 0) {
        link->is_up = true;
        link->refused_count = 0;
        link->is_redialling = false;
        watch_mark(&link->dealer);
        emit(transport, link, OVERLAY_LINK_UP, false);
    } else if ((number & EVENT_CONNECTED) != 0) {
        link->is_suspect = false;
        link->fd = (int)event->value;
        gate_watch_dialled(link->fd);
    } else if ((number & EVENTS_BROKEN) != 0) {
        link->is_up = false;
        link->is_redialling = true;
        gate_forget_dialled(link->fd);
        link->fd = -1;
        emit(transport, link, OVERLAY_LINK_LOST, false); /* may close the link: last */
    } else if ((number & EVENT_DIALLED) != 0) {
        link->dialled_ms = clock_now_ms();
    } else if ((number & EVENT_FAILED) != 0 && link->is_redialling) {
        link->is_redialling = false;
    } else if ((number & EVENT_FAILED) != 0) {
        bool refused = note_failed(link);

        link_try_next_address(link);
        emit(transport, link, OVERLAY_LINK_LOST, refused);
    }
}

static void settle_monitor(struct watch *watch)
{
    struct monitor_event event;

    for (int i = 0; i < EVENTS_PER_TURN; i++) {
        if (watch->is_closed || monitor_receive(watch, &event) < 0) {
            return;
        }
        on_event(watch->link, &event);
    }
    watch_mark(watch);
}

int monitor_watch(struct transport *transport, void *socket, int events, struct watch *watch,
                  void (*settle)(struct watch *watch))
{
    char endpoint[64];
    void *pair = NULL;
    int r;

    snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%u", transport->monitor_number++);
    if (zmq_socket_monitor(socket, endpoint, events) < 0) {
        return -errno;
    }
    pair = zmq_socket(transport->zmq, ZMQ_PAIR);
    if (pair == NULL) {
        return -errno;
    }
    r = socket_set_int(pair, ZMQ_LINGER, 0);
    if (r == 0) { /* else ZeroMQ's thread would wait for us while events are many */
        r = socket_set_int(pair, ZMQ_RCVHWM, 0);
    }
    if (r == 0 && zmq_connect(pair, endpoint) < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = watch_open(transport, watch, pair, settle);
    }
    if (r < 0) {
        zmq_close(pair);
    }
    return r;
}

int monitor_open(struct transport *transport, struct link *link)
{
    int r = monitor_watch(transport, link->dealer.socket,
                          EVENT_UP | EVENT_CONNECTED | EVENT_DIALLED | EVENT_FAILED | EVENTS_BROKEN,
                          &link->monitor, settle_monitor);

    link->monitor.link = link;
    link->handle_count += r == 0;
    return r;
}
