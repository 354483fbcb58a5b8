// SPDX-License-Identifier: GPL-3.0-or-later
/* The relay's side of datagrams: clients' flows to the leaves' UDP ports. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relays_internal.h"
#include "agent/mingad/replicas/ports.h"
#include "base/check.h"
#include "base/log.h"

struct flow_port {  /* one UDP port of ours that leads to a leaf's */
    uv_poll_t poll; /* first */
    struct relays *relays;
    struct node_id leaf;
    struct overlay_relay_port port;
    int fd;
    uint32_t first_version; /* random: no number of an earlier relay's is taken for ours */
    struct flows flows;
};

/* ------------------------------------------------------------------ inwards */

/* The connection that carries them; the first datagram turns an idle one into it. */
static struct pipe *carrier_of(struct relays *relays, const struct node_id *leaf)
{
    struct pipe *idle;

    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (!pipe->is_leaf && pipe->phase == PIPE_FLOWS && id_equal(&pipe->other.id, &leaf->id)) {
            return pipe;
        }
    }
    idle = host_find_idle(relays, leaf);
    if (idle != NULL) {
        pipe_carry_flows(idle);
    }
    return idle != NULL && idle->phase == PIPE_FLOWS ? idle : NULL;
}

static struct flow *flow_of(struct flow_port *port, const struct flow_key *key, uint64_t now_ms)
{
    struct flow *flow = flows_find(&port->flows, key);
    struct flow *yields = NULL;

    if (flow != NULL) {
        return flow;
    }
    if (!flows_have_room(&port->flows, 0, now_ms, &yields)) {
        if (yields == NULL) {
            return NULL;
        }
        flows_remove(&port->flows, yields);
    }
    flow = flows_add(&port->flows, key, now_ms);
    flow->fd = 0; /* it is in use; the port's socket is everybody's */
    return flow;
}

static void pass_in(struct flow_port *port, const struct flow_key *key, size_t length_bytes)
{
    struct relays *relays = port->relays;
    uint64_t now_ms = clock_now_ms();
    struct pipe *carrier = NULL;
    struct flow *flow = NULL;

    if (length_bytes <= RELAY_DATAGRAM_BYTES_MAX && relays_has_credit(relays)) {
        carrier = carrier_of(relays, &port->leaf);
    }
    if (carrier != NULL) {
        flow = flow_of(port, key, now_ms);
    }
    if (flow == NULL) {
        relays->counters.refused_count++;
        return;
    }
    flows_touch(&port->flows, flow, false, now_ms);
    relay_flow_write((struct relay_flow_id){port->port.at_leaf, flows_index(&port->flows, flow),
                                            port->first_version + flow->version},
                     relays->block);
    if (pipe_send_datagram(carrier,
                           (struct bytes){relays->block, RELAY_FLOW_HEADER_BYTES + length_bytes})) {
        (void)relays_count(relays, carrier, length_bytes);
    } else {
        relays->counters.refused_count++;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct flow_port *port = (struct flow_port *)(void *)poll;
    uint8_t *datagram = port->relays->block + RELAY_FLOW_HEADER_BYTES;

    (void)status;
    (void)events;
    relays_wake(port->relays);
    for (int i = 0; i < FLOW_DATAGRAMS_PER_TURN; i++) {
        size_t length_bytes = 0;
        struct flow_key key;
        enum udp_received received = udp_receive(port->fd, datagram, 0, &key, &length_bytes);

        if (received == UDP_EMPTY) {
            return;
        }
        if (received == UDP_TAKEN) {
            pass_in(port, &key, length_bytes);
        }
    }
}

/* ------------------------------------------------------------------ outwards */

/* Only to who has begun the flow, from the port that it has begun it with. */
void host_on_datagram(struct relays *relays, const struct pipe *pipe, struct bytes body)
{
    struct host_leaf *leaf = host_find(relays, &pipe->other);
    struct relay_flow_id id;
    struct bytes datagram;

    if (leaf == NULL || !relay_flow_read(body, &id, &datagram)) {
        return;
    }
    for (uint32_t i = 0; i < leaf->flow_port_count; i++) {
        struct flow_port *port = leaf->flow_ports[i];
        struct flow *flow = port->port.at_leaf == id.port_at_leaf
                                ? flows_at(&port->flows, id.index, id.version - port->first_version)
                                : NULL;

        if (flow != NULL) {
            flows_touch(&port->flows, flow, true, clock_now_ms());
            udp_answer(port->fd, &flow->key, datagram);
        }
    }
}

/* ------------------------------------------------------------------ ports */

static void on_freed(uv_handle_t *handle)
{
    struct flow_port *port = (struct flow_port *)(void *)handle;

    close(port->fd);
    free(port);
}

static void close_port(struct flow_port *port)
{
    uv_poll_stop(&port->poll);
    uv_close((uv_handle_t *)&port->poll, on_freed);
}

static struct flow_port *open_port(struct relays *relays, const struct node_id *leaf,
                                   struct overlay_relay_port at)
{
    int fd = ports_listen(relays->config.bind, at.at_relay, SOCK_DGRAM);
    /* Of the table only what is used is touched. */
    struct flow_port *port = fd < 0 ? NULL : calloc(1, sizeof(*port));
    uint64_t seed;

    if (port == NULL || udp_begin(fd) < 0 ||
        uv_poll_init(relays->config.loop, &port->poll, fd) < 0) {
        log_info("UDP port %u cannot be passed on: %s", at.at_relay,
                 fd < 0 ? strerror(-fd) : "memory");
        if (fd >= 0) {
            close(fd);
        }
        free(port);
        host_tell_refused(relays, at.at_relay);
        return NULL;
    }
    randombytes_buf(&seed, sizeof(seed));
    randombytes_buf(&port->first_version, sizeof(port->first_version));
    flows_init(&port->flows, RELAY_FLOWS_OF_PORT_MAX, seed);
    port->relays = relays;
    port->leaf = *leaf;
    port->port = at;
    port->fd = fd;
    uv_poll_start(&port->poll, UV_READABLE, on_readable);
    return port;
}

static bool is_granted(const struct overlay_relay *grant, const struct overlay_relay_port *port)
{
    for (uint32_t i = 0; i < grant->port_count; i++) {
        if (grant->ports[i].is_udp && grant->ports[i].at_relay == port->at_relay &&
            grant->ports[i].at_leaf == port->at_leaf) {
            return true;
        }
    }
    return false;
}

static bool is_open(const struct host_leaf *leaf, uint16_t at_relay)
{
    for (uint32_t i = 0; i < leaf->flow_port_count; i++) {
        if (leaf->flow_ports[i]->port.at_relay == at_relay) {
            return true;
        }
    }
    return false;
}

void host_flows_fit(struct relays *relays, struct host_leaf *leaf,
                    const struct overlay_relay *grant)
{
    uint32_t kept_count = 0;

    for (uint32_t i = 0; i < leaf->flow_port_count; i++) {
        if (is_granted(grant, &leaf->flow_ports[i]->port)) {
            leaf->flow_ports[kept_count++] = leaf->flow_ports[i];
        } else {
            close_port(leaf->flow_ports[i]);
        }
    }
    leaf->flow_port_count = kept_count;
    for (uint32_t i = 0; i < grant->port_count; i++) {
        struct flow_port *port = NULL;

        if (grant->ports[i].is_udp && !is_open(leaf, grant->ports[i].at_relay) &&
            leaf->flow_port_count < RELAYED_PORTS_MAX) {
            port = open_port(relays, &leaf->node, grant->ports[i]);
        }
        if (port != NULL) {
            leaf->flow_ports[leaf->flow_port_count++] = port;
        }
    }
}

void host_flows_end(struct host_leaf *leaf)
{
    for (uint32_t i = 0; i < leaf->flow_port_count; i++) {
        close_port(leaf->flow_ports[i]);
    }
    leaf->flow_port_count = 0;
}

void host_flows_tick(struct host_leaf *leaf, uint64_t now_ms)
{
    for (uint32_t i = 0; i < leaf->flow_port_count; i++) {
        struct flows *flows = &leaf->flow_ports[i]->flows;
        struct flow *flow;

        while ((flow = flows_expired(flows, now_ms)) != NULL) {
            flows_remove(flows, flow);
        }
    }
}
