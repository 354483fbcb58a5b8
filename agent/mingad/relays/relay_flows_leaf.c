// SPDX-License-Identifier: GPL-3.0-or-later
/* The leaf's side of datagrams: a socket for each client, to the own port. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relays_internal.h"
#include "base/check.h"
#include "base/cleanup.h"

struct leaf_flow {
    uv_poll_t poll; /* first */
    struct relays *relays;
    struct leaf_flow *next;
    struct node_id relay;
    struct relay_flow_id id;
    int fd;
    bool is_answered;
    uint64_t used_ms;
};

/* ------------------------------------------------------------------ coming and going */

static void on_freed(uv_handle_t *handle)
{
    struct leaf_flow *flow = (struct leaf_flow *)(void *)handle;

    close(flow->fd);
    free(flow);
}

static void end_flow(struct leaf_flow *flow)
{
    struct leaf_flow **place = &flow->relays->leaf_flows;

    while (*place != flow) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = flow->next;
    flow->relays->leaf_flow_count--;
    uv_poll_stop(&flow->poll);
    uv_close((uv_handle_t *)&flow->poll, on_freed);
}

void leaf_flows_end(struct relays *relays, const struct node_id *relay)
{
    for (struct leaf_flow *flow = relays->leaf_flows; flow != NULL;) {
        struct leaf_flow *next = flow->next;

        if (relay == NULL || id_equal(&flow->relay.id, &relay->id)) {
            end_flow(flow);
        }
        flow = next;
    }
}

void leaf_flows_tick(struct relays *relays, uint64_t now_ms)
{
    for (struct leaf_flow *flow = relays->leaf_flows; flow != NULL;) {
        struct leaf_flow *next = flow->next;
        uint64_t most_ms = flow->is_answered ? FLOW_ANSWERED_MS_MAX : FLOW_UNANSWERED_MS_MAX;

        if (now_ms - flow->used_ms >= most_ms) {
            end_flow(flow);
        }
        flow = next;
    }
}

/* The one silent for longest, those never answered first. */
static void make_room(struct relays *relays)
{
    struct leaf_flow *worst = relays->leaf_flows;

    for (struct leaf_flow *flow = worst; flow != NULL; flow = flow->next) {
        if (flow->is_answered != worst->is_answered ? worst->is_answered
                                                    : flow->used_ms < worst->used_ms) {
            worst = flow;
        }
    }
    if (worst != NULL) {
        end_flow(worst);
    }
}

/* ------------------------------------------------------------------ outwards */

static struct pipe *carrier_of(const struct relays *relays, const struct node_id *relay)
{
    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->is_leaf && pipe->phase == PIPE_FLOWS && id_equal(&pipe->other.id, &relay->id)) {
            return pipe;
        }
    }
    return NULL;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct leaf_flow *flow = (struct leaf_flow *)(void *)poll;
    struct relays *relays = flow->relays;

    (void)status;
    (void)events;
    for (int i = 0; i < FLOW_DATAGRAMS_PER_TURN; i++) {
        struct pipe *carrier = carrier_of(relays, &flow->relay);
        ssize_t length_bytes =
            recv(flow->fd, relays->block + RELAY_FLOW_HEADER_BYTES, UDP_DATAGRAM_BYTES_MAX, 0);

        if (length_bytes < 0) {
            return; /* no more, or nobody listens there (yet) */
        }
        if (carrier == NULL || length_bytes > RELAY_DATAGRAM_BYTES_MAX) {
            relays->counters.refused_count++;
            continue;
        }
        flow->is_answered = true;
        flow->used_ms = clock_now_ms();
        relay_flow_write(flow->id, relays->block);
        if (pipe_send_datagram(carrier, (struct bytes){relays->block, RELAY_FLOW_HEADER_BYTES +
                                                                          (size_t)length_bytes})) {
            (void)relays_count(relays, carrier, (size_t)length_bytes);
        }
    }
}

/* ------------------------------------------------------------------ inwards */

static int connect_own(const struct relays *relays, uint16_t port)
{
    struct sockaddr_storage address = {0};
    CLEANUP(cleanup_close) int fd = -1;

    if (!leaf_own_address(relays, port, &address)) {
        return -EINVAL;
    }
    fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
                          address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                       : sizeof(struct sockaddr_in6)) < 0) {
        return -errno;
    }
    return take_fd(&fd);
}

static struct leaf_flow *new_flow(struct relays *relays, const struct node_id *relay,
                                  struct relay_flow_id id)
{
    int fd = connect_own(relays, id.port_at_leaf);
    struct leaf_flow *flow = fd < 0 ? NULL : calloc(1, sizeof(*flow));

    if (flow == NULL || uv_poll_init(relays->config.loop, &flow->poll, fd) < 0) {
        if (fd >= 0) {
            close(fd);
        }
        free(flow);
        return NULL;
    }
    flow->relays = relays;
    flow->relay = *relay;
    flow->id = id;
    flow->fd = fd;
    flow->next = relays->leaf_flows;
    relays->leaf_flows = flow;
    relays->leaf_flow_count++;
    uv_poll_start(&flow->poll, UV_READABLE, on_readable);
    return flow;
}

static struct leaf_flow *find(struct relays *relays, const struct node_id *relay,
                              struct relay_flow_id id)
{
    for (struct leaf_flow *flow = relays->leaf_flows; flow != NULL; flow = flow->next) {
        if (flow->id.index == id.index && flow->id.version == id.version &&
            flow->id.port_at_leaf == id.port_at_leaf && id_equal(&flow->relay.id, &relay->id)) {
            return flow;
        }
    }
    return NULL;
}

void leaf_on_datagram(struct relays *relays, struct pipe *pipe, struct bytes body)
{
    const struct leaf_relay *relay = leaf_relay_find(relays, &pipe->other);
    struct relay_flow_id id;
    struct leaf_flow *flow;
    struct bytes datagram;

    if (relay == NULL || !relay_flow_read(body, &id, &datagram) ||
        !leaf_is_passed_on(relay, id.port_at_leaf, true)) {
        relays->counters.refused_count++;
        return;
    }
    flow = find(relays, &pipe->other, id);
    if (flow == NULL) {
        if (relays->leaf_flow_count >= LEAF_FLOWS_MAX) {
            make_room(relays);
        }
        flow = new_flow(relays, &pipe->other, id);
    }
    if (flow == NULL) {
        relays->counters.refused_count++;
        return;
    }
    flow->used_ms = clock_now_ms();
    /* Lost, if it does not fit. An error is that of the one before. */
    if (send(flow->fd, datagram.data, datagram.length_bytes, MSG_NOSIGNAL) < 0 &&
        errno == ECONNREFUSED) {
        (void)send(flow->fd, datagram.data, datagram.length_bytes, MSG_NOSIGNAL);
    }
}
