// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Shared by relays*.c; not for other modules. */
#include "agent/mingad/relay_pipe.h"
#include "agent/mingad/relays.h"
#include "overlay/reach.h"

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
    uv_tcp_t *plain; /* NULL: none */
    uint16_t port_at_leaf;
    uint64_t since_ms;
};

struct host_leaf { /* one that we pass on to */
    bool used;
    struct node_id node;
    uint8_t secret[RELAY_SECRET_BYTES];
    uint32_t listener_count;
    struct listener *listeners[RELAYED_PORTS_MAX + 1];
    struct waiting waiting[WAITING_MAX];
};

struct leaf_relay { /* one that passes on to us */
    bool used;
    bool is_up;
    struct overlay_peer peer;
    struct overlay_relay grant;
    size_t next_address;
    uint64_t retry_ms;
};

struct relays {
    struct relays_config config;
    uv_timer_t timer;
    uint64_t period_ms; /* of the timer; 0: it stands still */
    bool is_closing;
    struct pipe *pipes;
    uint32_t pipe_count;
    struct listener *door;
    struct host_leaf leaves[RELAYED_MAX];
    struct leaf_relay relays[LEAF_RELAYS_MAX];
    int64_t credit_bytes; /* may go below 0 by one read */
    uint64_t credited_ms;
    struct relays_counters counters;
};

/* relays.c */
struct pipe *relays_add_pipe(struct relays *relays, bool is_leaf, const struct node_id *other);
uint32_t relays_count_pipes(const struct relays *relays, const struct pipe *like,
                            enum pipe_phase phase);
void relays_close_pipes(struct relays *relays, bool is_leaf, const struct node_id *other);
void relays_wake(struct relays *relays);

/* relays_host.c */
struct host_leaf *host_find(struct relays *relays, const struct node_id *node);
void host_on_idle(struct relays *relays, struct pipe *pipe);
void host_tick(struct relays *relays, uint64_t now_ms);
bool host_is_busy(const struct relays *relays);
void host_close(struct relays *relays);

/* relays_leaf.c */
struct leaf_relay *leaf_relay_find(struct relays *relays, const struct node_id *node);
void leaf_on_pipe(struct relays *relays, const struct pipe *pipe);
void leaf_tick_edge(struct relays *relays, uint64_t now_ms);
bool leaf_is_busy(const struct relays *relays);
