// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The key-based routing API of Dabek et al. ("Towards a common API for structured peer-to-peer
 * overlays", 2003) as a table of functions. Pure reading.
 *
 * `router_full` knows everyone: one hop. `router_near` knows a part of a large community.
 */
#include "overlay/membership.h"
#include "overlay/ring.h"

struct router {
    const struct membership *membership;
    const struct ring *ring;
    int self; /* own index, or MEMBER_NONE before membership */
};

struct router_functions {
    /* Who, as far as is known here, answers for the key. */
    bool (*local_lookup)(const struct router *router, const struct ring_key *key,
                         struct node_id *node_out);
    /* Where to send next; false when this node itself should deliver or nobody is known. */
    bool (*next_hop)(const struct router *router, const struct ring_key *key,
                     struct node_id *node_out);
    /* The responsible node and the next ones, up and in ring order. */
    uint32_t (*replica_set)(const struct router *router, const struct ring_key *key,
                            uint32_t count_max, struct node_id *nodes_out);
    uint32_t (*neighbour_set)(const struct router *router, uint32_t count_max,
                              struct node_id *nodes_out);
    /* The arc that `node` answers for as one of the first `rank` + 1 holders. */
    bool (*range)(const struct router *router, const struct node_id *node, uint32_t rank,
                  struct ring_key *from_out, struct ring_key *to_out);
};

extern const struct router_functions router_full;
extern const struct router_functions router_near;
