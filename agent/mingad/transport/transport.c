// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"

static int open_all(struct transport *transport, const struct transport_config *config,
                    struct err *err)
{
    if (keys_curve(config->node_key, &transport->curve) < 0) {
        return err_set(err, -EINVAL, "the node's key has no CURVE key");
    }
    transport->zmq = zmq_ctx_new();
    if (transport->zmq == NULL) {
        return err_set(err, -ENOMEM, "transport: out of memory");
    }
    zmq_ctx_set(transport->zmq, ZMQ_IO_THREADS, 1);
    zmq_ctx_set(transport->zmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    /* The judge of keys first: a peer may knock the moment the port is bound. */
    int r = door_open(transport);

    if (r == 0) {
        r = names_open(transport);
    }
    if (r < 0) {
        return err_set(err, r, "transport: out of memory");
    }
    r = zap_open(transport, err);
    if (r == 0) {
        r = inbound_open(transport, err);
    }
    return r < 0 ? r : guard_open(transport, err);
}

int transport_open(const struct transport_config *config, struct transport **transport_out,
                   struct err *err)
{
    struct transport *transport = calloc(1, sizeof(*transport));

    if (transport == NULL) {
        return err_set(err, -ENOMEM, "transport: out of memory");
    }
    transport->loop = config->loop;
    transport->event = config->event;
    transport->context = config->context;
    transport->is_member = config->is_member;
    transport->statm_fd = -1;
    transport->port = config->listen_port;
    (void)text_copy(transport->listen_host, sizeof(transport->listen_host), config->listen_host);
    uv_timer_init(config->loop, &transport->guard_timer);
    int r = open_all(transport, config, err);

    if (r < 0) {
        transport_close(transport);
        uv_run(config->loop, UV_RUN_NOWAIT); /* lets the handles close */
        transport_free(transport);
        return r;
    }
    *transport_out = transport;
    return 0;
}

static void close_if_open(struct watch *watch)
{
    if (watch->socket != NULL && !watch->is_closed) {
        watch_close(watch, NULL);
    }
}

static void close_inbound(struct transport *transport)
{
    if (transport->router.socket != NULL && !transport->router.is_closed) {
        zmq_socket_monitor(transport->router.socket, NULL, 0);
    }
    close_if_open(&transport->router);
    close_if_open(&transport->door_watch);
}

void transport_close(struct transport *transport)
{
    guard_close(transport);
    names_close(transport);
    for (size_t i = 0; i < LINK_BUCKETS; i++) {
        while (transport->links[i] != NULL) {
            link_close(transport, transport->links[i]);
        }
    }
    close_inbound(transport);
    door_close(transport);
    close_if_open(&transport->zap);
    if (transport->zmq != NULL) {
        zmq_ctx_term(transport->zmq); /* all sockets are closed and linger 0 ms */
        transport->zmq = NULL;
    }
    memset(&transport->curve, 0, sizeof(transport->curve));
}

void transport_free(struct transport *transport)
{
    if (transport != NULL) {
        CHECK(transport->zmq == NULL && transport->counters.link_count == 0);
        free(transport->door);
        free(transport->names);
        free(transport);
    }
}

uint16_t transport_port(const struct transport *transport)
{
    return transport->port;
}

static struct link *link_to(struct transport *transport, const struct overlay_peer *peer)
{
    struct link *link = link_find(transport, &peer->node);

    if (link == NULL) {
        return link_open(transport, peer);
    }
    if (peer->address_count > 0 && peer->address_count <= ADDRESSES_MAX) {
        link_update(link, peer);
    }
    return link;
}

void transport_send(struct transport *transport, const struct overlay_peer *peer,
                    struct bytes message, struct transport_data data)
{
    struct link *link = transport->router.is_closed ? NULL : link_to(transport, peer);

    if (link == NULL) {
        frames_discard(data);
        transport->counters.dropped_outbound++;
        return;
    }
    link->used_ms = clock_now_ms();
    if (link_send(link, message, data) < 0) {
        transport->counters.dropped_outbound++;
    } else {
        transport->counters.sent_messages++;
    }
    watch_mark(&link->dealer);
}

void transport_hang_up(struct transport *transport, const struct node_id *node)
{
    struct link *link = link_find(transport, node);

    if (link != NULL) {
        link_close(transport, link);
    }
}

bool transport_settle(struct transport *transport)
{
    /* Those that become dirty meanwhile wait for the next call: nobody starves the others. */
    for (uint32_t left = transport->dirty_count; left > 0 && transport->dirty != NULL; left--) {
        struct watch *watch = watch_take_dirty(transport);

        watch->settle(watch);
    }
    return transport->dirty != NULL;
}

void transport_tidy(struct transport *transport, uint64_t now_ms)
{
    for (size_t i = 0; i < LINK_BUCKETS; i++) {
        struct link *next = NULL;

        for (struct link *link = transport->links[i]; link != NULL; link = next) {
            next = link->next;
            if (link->used_ms + UNUSED_MS_MAX < now_ms) {
                link_close(transport, link);
            }
        }
    }
}

uint64_t transport_unsent_bytes(const struct transport *transport)
{
    return atomic_load(&transport->unsent_bytes);
}

struct transport_counters transport_counters(const struct transport *transport)
{
    return transport->counters;
}
