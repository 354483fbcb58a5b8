// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Connections passed on for those whom nobody can dial; overlay/reach/reach.h decides who for whom.
 *
 * The relay listens on ports of its own (network.ports) and on its door. The leaf keeps a few idle
 * connections to the door; who connects to one of the leaf's ports there is joined to one of them,
 * and the leaf joins it to its own port. Between the two the bytes are sealed (relay_seal.h). The
 * leaf opens only ports that it has asked to be passed on; the relay no more than its volunteer
 * allows (network.relay).
 *
 * On the edge's loop. Memory and connections are bounded.
 */
#include <uv.h>

#include "agent/mingad/transport/transport.h"
#include "overlay/overlay.h"

struct relays;

struct relays_config {
    uv_loop_t *loop;
    struct node_id node;
    const char *listen_host; /* borrowed; "*" or where the overlay listens */
    uint16_t listen_port;
    const char *bind; /* borrowed; where replicas' ports are */
    uint64_t bytes_per_s;
    void (*event)(void *context, const struct overlay_event *event);
    /* As transport_numeric(). NULL: relays' names are passed over. */
    int (*numeric)(void *context, const char *address, size_t which,
                   char address_out[TRANSPORT_ADDRESS_BYTES_MAX]);
    void *context;
};

/* NULL without memory. */
struct relays *relays_new(const struct relays_config *config);
/* Performs OVERLAY_RELAY and OVERLAY_RELAYED. */
void relays_pass_on(struct relays *relays, const struct node_id *leaf,
                    const struct overlay_relay *grant);
void relays_be_passed_on(struct relays *relays, const struct overlay_peer *relay,
                         const struct overlay_relay *grant);
/* The configuration is another one now. */
void relays_configure(struct relays *relays, uint64_t bytes_per_s);
/* At most so much from now on, and never more than configured; 0: as configured. */
void relays_limit(struct relays *relays, uint64_t bytes_per_s);
/* This machine has another address: connections from the old one carry nothing any more. */
void relays_move(struct relays *relays);
/* The loop runs on until its handles are closed, then free. */
void relays_close(struct relays *relays);
void relays_free(struct relays *relays);

struct relays_counters {
    uint32_t leaf_count;       /* that this node passes on for */
    uint32_t connection_count; /* passed on at present */
    uint64_t passed_bytes;
    uint64_t relayed_bytes; /* of these, for others */
    bool waits;             /* some of it, for the rate */
    uint64_t refused_count;
};
struct relays_counters relays_counters(const struct relays *relays);
