// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The key-based routing API of Dabek et al. ("Towards a common API for structured peer-to-peer
 * overlays", 2003) as a table of functions. Pure reading; one suite passes for every table.
 *
 *   router_full     everyone is known (the membership): one hop
 *   router_fingers  ring neighbours, fingers and the location cache: for large communities
 *   router_near     the same, and the address book for whatever those do not reach
 *   router_static   a list of nodes that never changes
 *
 * Where the paper's calls and upcalls are:
 *
 *   route(key, message)       overlay_route() in overlay.h
 *   deliver(key, message)     OVERLAY_DELIVER
 *   forward(key, message, n)  next_hop(); overlay/asks.c sends a routed message on to it
 *   update(node, joined)      router_update() says what has changed among the neighbours; the agent
 *                             hears it as OVERLAY_MEMBER (a node's state) and OVERLAY_ARC (own arc)
 *   local_lookup, neighborSet, replicaSet, range   functions of the table
 */
#include "overlay/members/membership.h"
#include "overlay/ring/ring.h"
#include "overlay/routing/fingers.h"
#include "overlay/routing/locations.h"

enum { ROUTER_NEIGHBOURS_MAX = 2 * RECORD_COPIES };

struct router {                          /* what a table does not use may be left out */
    const struct membership *membership; /* full */
    const struct ring *ring;
    int self;                          /* full: own index, or MEMBER_NONE before membership */
    const struct fingers *fingers;     /* fingers */
    const struct locations *locations; /* fingers; may be NULL */
    const struct ring_node *nodes;     /* static: sorted by position */
    uint32_t node_count;
    uint64_t now_ms; /* of the present call: leases run out */
};

struct router_functions {
    /* Next hops towards the key, best first; self first when the key is of its own arc (its lease
     * is another question), and then the owner first wherever it is known. `safe`: nobody could have pushed itself into the
     * choice, so that no more of these are faulty than of all nodes; slower. */
    uint32_t (*local_lookup)(const struct router *router, const struct ring_key *key, bool safe,
                             uint32_t count_max, struct node_id *nodes_out);
    /* Where to send next; false when this node itself should deliver or nobody is known. */
    bool (*next_hop)(const struct router *router, const struct ring_key *key,
                     struct node_id *node_out);
    /* The responsible node and the next ones, up and in ring order. Few or none where the key
     * lies outside of what is known here. */
    uint32_t (*replica_set)(const struct router *router, const struct ring_key *key,
                            uint32_t count_max, struct node_id *nodes_out);
    /* The nearest on both sides in turn, beginning with the successor. */
    uint32_t (*neighbour_set)(const struct router *router, uint32_t count_max,
                              struct node_id *nodes_out);
    /* The arc that `node` answers for as one of the first `rank` + 1 holders; false when that is
     * not known here. */
    bool (*range)(const struct router *router, const struct node_id *node, uint32_t rank,
                  struct ring_key *from_out, struct ring_key *to_out);
};

extern const struct router_functions router_full;
extern const struct router_functions router_near;
extern const struct router_functions router_fingers;
extern const struct router_functions router_static;

enum router_choice {
    ROUTER_FAST,    /* the shortest way in time: distance and round trips */
    ROUTER_NEAREST, /* by distance; round trips of this node mean nothing to one who asks it */
    ROUTER_SAFE,    /* by distance, and only nodes that could not choose to be in the tables */
};
enum { ROUTER_CLOSEST_MAX = 16 };
struct router_closest {
    bool presumed; /* the first one is the owner, as far as is known */
    uint32_t count;
    struct ring_node nodes[ROUTER_CLOSEST_MAX];
};
/* Next hops of router_fingers with their positions, as local_lookup. */
void router_fingers_closest(const struct router *router, const struct ring_key *key,
                            enum router_choice choice, uint32_t count_max,
                            struct router_closest *closest_out);

/* The neighbours as they were told last; all zero at first. */
struct router_neighbours {
    uint32_t count;
    struct node_id nodes[ROUTER_NEIGHBOURS_MAX];
};
struct router_change {
    struct node_id node;
    bool joined; /* else it has left the set */
};
/* The paper's update(): what has changed since the last call. Returns how many changes. */
uint32_t router_update(const struct router_functions *functions, const struct router *router,
                       struct router_neighbours *neighbours,
                       struct router_change changes_out[2 * ROUTER_NEIGHBOURS_MAX]);
