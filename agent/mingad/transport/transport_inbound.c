// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The ROUTER that every peer dials.
 *
 * ZeroMQ names each connection by five bytes of its own, a zero and a counter, unless the peer
 * claims a name. We take no claimed ones (two peers with the same would shut each other out), so
 * the counter is the link's number and needs no table. It begins anew with each socket that is bound:
 * which one it was stands before it, or an answer might go to whoever has the number by then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/transport/transport_gate.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"
#include "base/units.h"

enum { ROUTING_ID_BYTES = 5 };

static int link_of(const struct transport *transport, struct bytes routing, uint64_t *link_out)
{
    if (routing.length_bytes != ROUTING_ID_BYTES || routing.data[0] != 0) {
        return -EBADMSG;
    }
    *link_out = (uint64_t)transport->relieved_count << 32 | (uint64_t)routing.data[1] << 24 |
                (uint64_t)routing.data[2] << 16 | (uint64_t)routing.data[3] << 8 | routing.data[4];
    return 0;
}

static void routing_of(uint64_t link, uint8_t routing_out[ROUTING_ID_BYTES])
{
    routing_out[0] = 0;
    routing_out[1] = (uint8_t)(link >> 24);
    routing_out[2] = (uint8_t)(link >> 16);
    routing_out[3] = (uint8_t)(link >> 8);
    routing_out[4] = (uint8_t)link;
}

/* The key that CURVE proved. */
static int key_of(struct frames *frames, uint8_t key_out[CURVE_KEY_BYTES])
{
    const char *user =
        frames->count > 0 ? zmq_msg_gets(&frames->list[frames->count - 1], "User-Id") : NULL;

    return user == NULL || bytes_from_hex(user, key_out, CURVE_KEY_BYTES) < 0 ? -EBADMSG : 0;
}

static int to_event(const struct transport *transport, struct frames *frames,
                    struct overlay_event *event)
{
    if (frames->is_overlong || frames->count < 2 ||
        link_of(transport, frame_bytes(frames, 0), &event->source.link) < 0) {
        return -EBADMSG;
    }
    event->message = frame_bytes(frames, 1);
    frame_host(frames, 1, event->source.host);
    event->data = frame_bytes(frames, 2);
    if (event->message.length_bytes == 0 || event->message.length_bytes > MESSAGE_BYTES_MAX ||
        event->data.length_bytes > CHUNK_BYTES_MAX) {
        return -EBADMSG;
    }
    return 0;
}

static void on_message(struct transport *transport, struct frames *frames)
{
    struct overlay_event event = {.kind = OVERLAY_RECEIVED, .source.inbound = true};

    if (key_of(frames, event.source.curve_key) < 0) {
        transport->counters.dropped_inbound++;
        return;
    }
    if (to_event(transport, frames, &event) == 0) {
        transport->counters.received_messages++;
        transport->event(transport->context, &event);
    } else {
        transport->counters.dropped_inbound++;
    }
    door_heard(transport, frames, event.source.curve_key, event.source.link);
}

void inbound_lost(struct transport *transport, uint64_t link)
{
    if (transport->lost_caller_count < LOST_CALLERS_MAX) {
        transport->lost_callers[transport->lost_caller_count++] = link;
    }
    if (transport->router.socket != NULL) { /* else it is bound again, and marked with that */
        watch_mark(&transport->router);
    }
}

/* After all that came on those links, or its sender would be taken for somebody who is still there. */
static void tell_lost(struct transport *transport)
{
    uint32_t count = transport->lost_caller_count;
    struct overlay_event event = {.kind = OVERLAY_CALLER_LOST, .source.inbound = true};

    transport->lost_caller_count = 0;
    for (uint32_t i = 0; i < count; i++) { /* nothing that follows from it adds others */
        event.source.link = transport->lost_callers[i];
        transport->event(transport->context, &event);
    }
}

static void settle_router(struct watch *watch)
{
    struct frames frames;

    for (int i = 0; i < BATCH_MESSAGES_MAX; i++) {
        if (watch->is_closed) {
            return;
        }
        if (frames_receive(watch->socket, &frames) < 0) {
            door_router_is_empty(watch->transport);
            tell_lost(watch->transport);
            return;
        }
        on_message(watch->transport, &frames);
        frames_done(&frames);
    }
    watch_mark(watch);
}

static int set_options(struct transport *transport, void *router)
{
    static const struct {
        int option;
        int value;
    } rows[] = {
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_CURVE_SERVER, 1},
        {ZMQ_BACKLOG, BACKLOG_MAX},
    };
    int r = socket_set_common(router);

    for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
        r = socket_set_int(router, rows[i].option, rows[i].value);
    }
    if (r == 0 && (zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, "minga", 5) < 0 ||
                   zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, transport->curve.secret_bytes,
                                  CURVE_KEY_BYTES) < 0)) {
        r = -errno;
    }
    return r;
}

static int bind_router(void *router, const char *host, uint16_t wanted_port, uint16_t *port_out)
{
    char endpoint[128];
    size_t endpoint_bytes = sizeof(endpoint);
    bool is_v6 = strchr(host, ':') != NULL;
    char port[8] = "*";
    uint64_t bound_port = 0;

    if (wanted_port != 0) {
        snprintf(port, sizeof(port), "%u", wanted_port);
    }
    snprintf(endpoint, sizeof(endpoint), "tcp://%s%s%s:%s", is_v6 ? "[" : "", host,
             is_v6 ? "]" : "", port);
    if (zmq_bind(router, endpoint) < 0) {
        return -errno;
    }
    if (zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_bytes) < 0) {
        return -errno;
    }
    const char *colon = strrchr(endpoint, ':');

    if (colon == NULL || units_parse_number(colon + 1, &bound_port) < 0 ||
        bound_port > UINT16_MAX) {
        return -EINVAL;
    }
    *port_out = (uint16_t)bound_port;
    return 0;
}

static void close_unbound(struct transport *transport, void *router)
{
    if (transport->door_watch.socket != NULL) {
        zmq_socket_monitor(router, NULL, 0);
        watch_close(&transport->door_watch, NULL);
    }
    zmq_close(router);
}

int inbound_open(struct transport *transport, struct err *err)
{
    const char *host = transport->listen_host;
    void *router = zmq_socket(transport->zmq, ZMQ_ROUTER);
    int r = router == NULL ? -errno : set_options(transport, router);

    if (r == 0) {
        r = door_watch(transport, router);
    }
    if (r == 0) {
        gate_begin_listening();
        r = bind_router(router, host, transport->port, &transport->port);
        door_listening(transport);
    }
    if (r == 0) {
        r = watch_open(transport, &transport->router, router, settle_router);
    }
    if (r == 0) {
        return 0;
    }
    if (router != NULL) {
        close_unbound(transport, router);
    }
    err_set(err, r, "listen on %s port %u: %s", host, transport->port, zmq_strerror(-r));
    if (r == -EADDRINUSE) {
        err_hint(err, "another agent has it: set network.listen in minga.yaml");
    }
    return r;
}

void transport_reply(struct transport *transport, uint64_t link, struct bytes message,
                     struct transport_data data)
{
    uint8_t routing[ROUTING_ID_BYTES];

    if (transport->router.is_closed || link >> 32 != transport->relieved_count) {
        frames_discard(data);
        transport->counters.dropped_outbound++;
        return;
    }
    routing_of(link, routing);
    if (zmq_send(transport->router.socket, routing, sizeof(routing), ZMQ_SNDMORE | ZMQ_DONTWAIT) <
        0) {
        /* EHOSTUNREACH: the peer has gone; EAGAIN: its queue is full. */
        frames_discard(data);
        transport->counters.dropped_outbound++;
    } else if (frames_send(&transport->router, message, data) < 0) {
        transport->counters.dropped_outbound++;
    } else {
        transport->counters.sent_messages++;
    }
    watch_mark(&transport->router);
}
