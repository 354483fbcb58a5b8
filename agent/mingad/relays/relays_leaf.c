// SPDX-License-Identifier: GPL-3.0-or-later
/* The leaf's side: connections to the relays' doors, and from there to its own ports. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relays_internal.h"
#include "base/check.h"
#include "base/log.h"

enum { RETRY_MS = 1000 };

struct leaf_relay *leaf_relay_find(struct relays *relays, const struct node_id *node)
{
    for (uint32_t i = 0; i < LEAF_RELAYS_MAX; i++) {
        if (relays->relays[i].used && id_equal(&relays->relays[i].peer.node.id, &node->id)) {
            return &relays->relays[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ dialling the door */

/* A numeric host, IPv6 in brackets, with a port behind it that is not the one we want. */
static bool parse_host(const char *address, uint16_t port, struct sockaddr_storage *out)
{
    char host[ADDRESS_CHARS_MAX + 1] = "";
    const char *colon = strrchr(address, ':');
    size_t length;

    if (colon == NULL || colon - address > ADDRESS_CHARS_MAX) {
        return false;
    }
    length = (size_t)(colon - address);
    if (address[0] == '[' && length > 2 && colon[-1] == ']') {
        memcpy(host, address + 1, length - 2);
        return uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0;
    }
    memcpy(host, address, length);
    return uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0;
}

static bool door_of(struct relays *relays, const struct leaf_relay *relay, size_t way,
                    struct sockaddr_storage *out)
{
    const char *address = relay->peer.addresses[way / TRANSPORT_HOSTS_MAX];
    char numeric[TRANSPORT_ADDRESS_BYTES_MAX];

    if (way % TRANSPORT_HOSTS_MAX == 0 && parse_host(address, relay->grant.door, out)) {
        return true;
    }
    /* A name that is still being looked up is tried again at the next tick. */
    return relays->config.numeric != NULL &&
           relays->config.numeric(relays->config.context, address, way % TRANSPORT_HOSTS_MAX,
                                  numeric) == 0 &&
           parse_host(numeric, relay->grant.door, out);
}

static void on_door(uv_connect_t *connect, int status)
{
    struct pipe *pipe = connect->data;

    if (pipe->phase == PIPE_CLOSING) {
        return;
    }
    if (status < 0) {
        pipe_close(pipe);
    } else {
        pipe_begin(pipe);
    }
}

static void dial(struct relays *relays, struct leaf_relay *relay)
{
    struct sockaddr_storage address = {0};
    struct pipe *pipe;
    size_t way_count = relay->peer.address_count * TRANSPORT_HOSTS_MAX;

    for (size_t i = 0; i < way_count; i++) {
        size_t way = (relay->next_way + i) % way_count;

        if (!door_of(relays, relay, way, &address)) {
            continue;
        }
        relay->next_way = way;
        pipe = relays_add_pipe(relays, true, &relay->peer.node);
        if (pipe == NULL) {
            return;
        }
        pipe->way = way;
        pipe->connect.data = pipe;
        if (uv_tcp_connect(&pipe->connect, &pipe->sealed, (const struct sockaddr *)&address,
                           on_door) < 0) {
            pipe_close(pipe);
        }
        return;
    }
}

static void keep_idle_ones(struct relays *relays, struct leaf_relay *relay, uint64_t now_ms)
{
    const struct pipe like = {.is_leaf = true, .other = relay->peer.node};
    uint32_t count = relays_count_pipes(relays, &like, PIPE_CONNECTING) +
                     relays_count_pipes(relays, &like, PIPE_GREETING) +
                     relays_count_pipes(relays, &like, PIPE_IDLE);

    for (; count < IDLE_WANTED && now_ms >= relay->retry_ms; count++) {
        dial(relays, relay);
    }
}

static void tell(struct relays *relays, struct leaf_relay *relay, bool is_up)
{
    struct overlay_event event = {.kind = is_up ? OVERLAY_RELAY_UP : OVERLAY_RELAY_DOWN,
                                  .node = relay->peer.node};

    if (relay->is_up != is_up) {
        char name[ID_SHORT_CHARS + 1];

        relay->is_up = is_up;
        id_to_short(&relay->peer.node.id, name);
        log_info("%s %s", name,
                 is_up ? "passes connections on to this node"
                       : "passes no connections on to this node any more");
        relays->config.event(relays->config.context, &event);
    }
}

void leaf_on_pipe(struct relays *relays, const struct pipe *pipe)
{
    struct leaf_relay *relay = leaf_relay_find(relays, &pipe->other);
    const struct pipe like = {.is_leaf = true, .other = pipe->other};

    if (pipe->phase == PIPE_CLOSING && relays_count_pipes(relays, &like, PIPE_FLOWS) == 0) {
        leaf_flows_end(relays, &pipe->other); /* what carries them next has other numbers */
    }
    if (relay == NULL) {
        return;
    }
    if (pipe->phase == PIPE_IDLE) {
        relay->retry_ms = 0;
        tell(relays, relay, true);
    } else if (pipe->phase == PIPE_OPEN || pipe->phase == PIPE_FLOWS) {
        keep_idle_ones(relays, relay, clock_now_ms());
    } else if (pipe->phase == PIPE_CLOSING && relays_count_pipes(relays, &like, PIPE_IDLE) == 0) {
        /* The relay, or the way to it, is gone: the next of its addresses, a little later. */
        if (relays_count_pipes(relays, &like, PIPE_OPEN) +
                relays_count_pipes(relays, &like, PIPE_FLOWS) ==
            0) {
            relay->next_way += pipe->way == relay->next_way ? 1 : 0; /* once for all of them */
            relay->retry_ms = clock_now_ms() + RETRY_MS;
            tell(relays, relay, false);
        }
    }
}

/* ------------------------------------------------------------------ to the own port */

bool leaf_is_passed_on(const struct leaf_relay *relay, uint16_t port, bool is_udp)
{
    for (uint32_t i = 0; i < relay->grant.port_count; i++) {
        if (relay->grant.ports[i].at_leaf == port && relay->grant.ports[i].is_udp == is_udp) {
            return true;
        }
    }
    return false;
}

bool leaf_own_address(const struct relays *relays, uint16_t port, struct sockaddr_storage *out)
{
    const char *host = port == 0 ? relays->config.listen_host : relays->config.bind;
    uint16_t own_port = port == 0 ? relays->config.listen_port : port;

    if (strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        host = "127.0.0.1";
    }
    return uv_ip4_addr(host, own_port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, own_port, (struct sockaddr_in6 *)out) == 0;
}

static void on_own_port(uv_connect_t *connect, int status)
{
    struct pipe *pipe = connect->handle->data;

    free(connect);
    if (pipe != NULL) {
        pipe_plain_connected(pipe, status == 0);
    }
}

void leaf_on_wanted(void *self, struct pipe *pipe, uint16_t port)
{
    struct relays *relays = self;
    const struct leaf_relay *relay = leaf_relay_find(relays, &pipe->other);
    struct sockaddr_storage address = {0};
    uv_tcp_t *plain;
    uv_connect_t *connect;

    if (pipe->phase != PIPE_OPEN) {
        return;
    }
    if (relay == NULL || !leaf_is_passed_on(relay, port, false) ||
        !leaf_own_address(relays, port, &address)) {
        relays->counters.refused_count++;
        pipe_close(pipe);
        return;
    }
    plain = calloc(1, sizeof(*plain));
    if (plain == NULL || uv_tcp_init(relays->config.loop, plain) < 0) {
        free(plain);
        pipe_close(pipe);
        return;
    }
    pipe->plain = (uv_stream_t *)plain;
    plain->data = pipe;
    connect = calloc(1, sizeof(*connect));
    if (connect == NULL ||
        uv_tcp_connect(connect, plain, (const struct sockaddr *)&address, on_own_port) < 0) {
        free(connect);
        pipe_close(pipe);
    }
}

/* ------------------------------------------------------------------ what the core wants */

static bool same_addresses(const struct overlay_peer *a, const struct overlay_peer *b)
{
    bool is_same = a->address_count == b->address_count;

    for (size_t i = 0; is_same && i < a->address_count; i++) {
        is_same = strcmp(a->addresses[i], b->addresses[i]) == 0;
    }
    return is_same;
}

void relays_move(struct relays *relays)
{
    relays_close_pipes(relays, true, NULL);
    for (uint32_t i = 0; i < LEAF_RELAYS_MAX; i++) {
        relays->relays[i].retry_ms = 0;
    }
    relays_wake(relays);
}

void relays_be_passed_on(struct relays *relays, const struct overlay_peer *peer,
                         const struct overlay_relay *grant)
{
    struct leaf_relay *relay = leaf_relay_find(relays, &peer->node);

    if (grant->port_count == 0) {
        if (relay != NULL) {
            relay->used = false;
            leaf_flows_end(relays, &peer->node);
            relays_close_pipes(relays, true, &peer->node);
        }
        return;
    }
    for (uint32_t i = 0; relay == NULL && i < LEAF_RELAYS_MAX; i++) {
        if (!relays->relays[i].used) {
            relay = &relays->relays[i];
            *relay = (struct leaf_relay){.used = true};
        }
    }
    if (relay == NULL) {
        return;
    }
    if (!same_addresses(&relay->peer, peer)) {
        relays_close_pipes(relays, true, &peer->node);
        relay->retry_ms = 0;
    }
    relay->peer = *peer;
    relay->grant = *grant;
    keep_idle_ones(relays, relay, clock_now_ms());
    relays_wake(relays);
}

void leaf_tick_edge(struct relays *relays, uint64_t now_ms)
{
    leaf_flows_tick(relays, now_ms);
    for (uint32_t i = 0; i < LEAF_RELAYS_MAX; i++) {
        if (relays->relays[i].used) {
            keep_idle_ones(relays, &relays->relays[i], now_ms);
        }
    }
}

bool leaf_is_busy(const struct relays *relays)
{
    for (uint32_t i = 0; i < LEAF_RELAYS_MAX; i++) {
        if (relays->relays[i].used) {
            return true;
        }
    }
    return false;
}
