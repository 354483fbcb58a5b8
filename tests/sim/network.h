// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Links between nodes as mingad's transport gives them, ZeroMQ over TCP: ordered per link, dialled
 * on first use and again after each loss until hung up, silently lossy at high water, what was
 * under way lost when a link breaks. A killed process is noticed at once (the kernel answers for
 * it), a cut cable is silence: what was sent waits in the kernel and arrives late, or the link
 * breaks when it was not acknowledged for long.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "tests/sim/traffic.h"

struct world;

enum {
    /* As in mingad's transport. */
    LINK_QUEUE_COUNT_MAX = 128, /* messages that wait on a link; more are lost silently */
    LINK_UNDER_WAY_MAX = 1000,  /* in both queues and the kernels' buffers, the same */
    LINK_CONNECT_MS_MAX = 2000, /* then an attempt is given up */
    LINK_AGAIN_MS = 250,        /* between attempts, doubled ... */
    LINK_AGAIN_MS_MAX = 2000,   /* ... up to this */
    LINK_SILENCE_MS_MAX = 5000, /* unacknowledged for so long, a link breaks */
};

struct packet {
    struct packet *next; /* while it waits */
    uint32_t dialler;
    uint32_t target;
    uint32_t generation; /* of the link */
    uint32_t receiver_life;
    uint64_t number; /* on its direction of the link */
    bool to_dialler;
    bool is_loose;       /* keeps no order, and may come after its connection */
    bool is_corrupt;     /* damaged under way */
    bool chunk_is_other; /* a liar's: not the chunk's data */
    bool has_chunk;
    struct chunk_id chunk;
    uint32_t length_bytes;
    uint8_t message[];
};

struct packet_list {
    struct packet *first;
    struct packet *last;
    uint32_t count;
};

enum link_state { LINK_NONE, LINK_DIALLING, LINK_UP };

struct link { /* one per ordered pair (dialler, target) */
    enum link_state state;
    uint32_t generation;
    uint32_t socket; /* which one of the dialler's for this target: those that it closed before */
    uint32_t dialler_life;
    uint32_t target_life;     /* while UP */
    uint32_t via;             /* the relay, or node_count: none */
    struct overlay_peer peer; /* as it was named last */
    struct public_key target_key;
    bool is_dialled_late;         /* the attempt waited for a clogged wire */
    uint64_t again_ms;            /* before the next attempt */
    uint32_t closed_generation;   /* the target has closed links up to this one */
    uint64_t news_ms;             /* the dialler hears of what happens later not before */
    uint32_t under_way[2];        /* messages */
    uint64_t order_ms[2];         /* nothing arrives before what was sent earlier */
    uint64_t sent_count[2];       /* of the pair, over all links: numbers of random draws */
    struct packet_list waiting;   /* for the handshake */
    struct packet_list caught[2]; /* in the kernel's buffers, while blocked */
    uint64_t caught_since_ms[2];
};

struct network {
    uint32_t node_count;
    struct link *links;         /* node_count * node_count */
    uint8_t *blocked_counts;    /* partitions and one-way faults in force, per direction */
    uint32_t latency_ms_max;    /* of the pair with the longest wires */
    uint64_t *clogged_until_ms; /* by direction */
    uint32_t queued_max;
    uint32_t under_way_max;
    uint32_t loss_permille;
    uint32_t duplicate_permille;
    uint32_t reorder_permille;
    uint32_t corrupt_permille;
    uint64_t late_news_ms; /* at most */
    uint64_t sent_count;   /* messages, all nodes */
    struct traffic traffic;
};

void network_init(struct network *network, uint32_t node_count);
void network_done(struct network *network);

/* Performs OVERLAY_SEND, OVERLAY_REPLY and OVERLAY_HANG_UP of a node. */
void network_send(struct world *world, uint32_t node, const struct overlay_effect *effect);
void network_reply(struct world *world, uint32_t node, const struct overlay_effect *effect);
void network_hang_up(struct world *world, uint32_t node, const struct node_id *peer);

/* The node's process has ended; with power its kernel tells the others. */
void network_process_ended(struct world *world, uint32_t node, bool powered);

/* The host has another address and identity now: no socket of others leads to it any more. */
void network_forget(struct world *world, uint32_t node);

/* Stops (or lets again) what flows from one node to another; calls nest. */
void network_block(struct world *world, uint32_t from, uint32_t to, bool blocked);
/* Lets what flows that way arrive only at `until_ms`; nothing is lost. */
void network_clog(struct world *world, uint32_t from, uint32_t to, uint64_t until_ms);
/* Lets links hold `count` messages, or 0: as many as ever. */
void network_high_water(struct network *network, uint32_t count);
/* Sends what a node's own core never asked for; only while the link is up. */
void network_inject(struct world *world, uint32_t dialler, uint32_t target, bool to_dialler,
                    struct bytes message);
/* Can bytes flow that way now? */
bool network_open(const struct world *world, uint32_t from, uint32_t to);
/* The same, and do they arrive? */
bool network_flows(const struct world *world, uint32_t from, uint32_t to);
/* Something about the reachability of nodes has changed: move what is caught. */
void network_changed(struct world *world);
