// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Shared by relays*.c; not for other modules. */
#include "agent/mingad/relays/relay_flows.h"
#include "agent/mingad/relays/relay_pipe.h"
#include "agent/mingad/relays/relays.h"
#include "overlay/reach/reach.h"

enum {
    PIPES_MAX = 1024,
    PIPES_PER_LEAF_MAX = 256,
    GREETING_MAX = 64, /* at the door, not known yet */
    GREETING_MS_MAX = 5000,
    WAITING_MAX = 16, /* connections of one leaf for which none of its own is there yet */
    WAITING_MS_MAX = 5000,
    IDLE_WANTED = 4,
    IDLE_MAX = 16, /* of one leaf */
    TICK_MS = 1000,
    TICK_SOON_MS = 50, /* while the rate limit holds some back */
    LEAF_RELAYS_MAX = RELAYS_WANTED + 2,
};

struct listener {
    uv_tcp_t tcp; /* first */
    struct relays *relays;
    struct node_id leaf;
    bool is_door;
    struct overlay_relay_port port;
};

struct waiting {
    uv_stream_t *plain; /* NULL: none */
    uint16_t port_at_leaf;
    uint64_t since_ms;
};

struct host_leaf { /* one that we pass on to */
    bool used;
    struct node_id node;
    uint8_t secret[RELAY_SECRET_BYTES];
    uint32_t listener_count;
    struct listener *listeners[OVERLAY_RELAY_PORTS_MAX];
    struct waiting waiting[WAITING_MAX];
    uint32_t flow_port_count;
    struct flow_port *flow_ports[RELAYED_PORTS_MAX]; /* UDP */
};

struct leaf_relay { /* one that passes on to us */
    bool used;
    bool is_up;
    struct overlay_peer peer;
    struct overlay_relay grant;
    size_t next_way; /* each address has TRANSPORT_HOSTS_MAX */
    uint64_t retry_ms;
};

struct relays {
    struct relays_config config;
    struct pipe_owner owner;
    uv_timer_t timer;
    uint64_t period_ms; /* of the timer; 0: it stands still */
    bool is_closing;
    struct pipe *pipes;
    uint32_t pipe_count;
    struct listener *door;
    struct host_leaf leaves[RELAYED_MAX];
    struct leaf_relay relays[LEAF_RELAYS_MAX];
    uint32_t leaf_flow_count;
    struct leaf_flow *leaf_flows; /* the newest first */
    uint8_t block[RELAY_FLOW_HEADER_BYTES + UDP_DATAGRAM_BYTES_MAX];
    uint64_t limit_bytes_per_s; /* below what is configured; 0: none */
    int64_t credit_bytes;       /* may go below 0 by one read */
    uint64_t credited_ms;
    uint64_t looked_ms; /* who answers */
    struct relays_counters counters;
};

/* relays.c */
bool relays_has_credit(struct relays *relays);
/* Of the pipes' owner: so many bytes have passed. */
bool relays_count(void *self, struct pipe *pipe, size_t count_bytes);
struct pipe *relays_add_pipe(struct relays *relays, bool is_leaf, const struct node_id *other);
uint32_t relays_count_pipes(const struct relays *relays, const struct pipe *like,
                            enum pipe_phase phase);
void relays_close_pipes(struct relays *relays, bool is_leaf, const struct node_id *other);
void relays_wake(struct relays *relays);

/* relay_flows_host.c */
void host_flows_fit(struct relays *relays, struct host_leaf *leaf,
                    const struct overlay_relay *grant);
void host_flows_end(struct host_leaf *leaf);
void host_on_datagram(struct relays *relays, const struct pipe *pipe, struct bytes body);
void host_flows_tick(struct host_leaf *leaf, uint64_t now_ms);

/* relay_flows_leaf.c */
void leaf_on_datagram(struct relays *relays, struct pipe *pipe, struct bytes body);
/* NULL: all. */
void leaf_flows_end(struct relays *relays, const struct node_id *relay);
void leaf_flows_tick(struct relays *relays, uint64_t now_ms);

/* relays_host.c */
struct pipe *host_find_idle(struct relays *relays, const struct node_id *leaf);
void host_tell_refused(struct relays *relays, uint16_t port);
struct host_leaf *host_find(struct relays *relays, const struct node_id *node);
void host_on_idle(struct relays *relays, struct pipe *pipe);
void host_tick(struct relays *relays, uint64_t now_ms);
bool host_is_busy(const struct relays *relays);
void host_close(struct relays *relays);

/* relays_leaf.c */
bool leaf_is_passed_on(const struct leaf_relay *relay, uint16_t port, bool is_udp);
bool leaf_own_address(const struct relays *relays, uint16_t port, struct sockaddr_storage *out);
struct leaf_relay *leaf_relay_find(struct relays *relays, const struct node_id *node);
/* Of the pipes' owner: someone wants a port of ours. */
void leaf_on_wanted(void *self, struct pipe *pipe, uint16_t port);
void leaf_on_pipe(struct relays *relays, const struct pipe *pipe);
void leaf_tick_edge(struct relays *relays, uint64_t now_ms);
bool leaf_is_busy(const struct relays *relays);
