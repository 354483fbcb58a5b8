// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who answers for a key? The iterative look-up of large communities. Pure: one instance is one
 * look-up; events in, nodes to ask out.
 *
 * Each step asks the node that is thought to own the key, or else the nearest known one before it,
 * which names nearer ones. The end is the owner's own word (a claim with arc and epoch). When a
 * node does not answer in the time that it should, it is asked again and the next best beside it.
 *
 * Liars: a position is a hash of an admitted key, so nobody can choose to lie close to a key. Of
 * all nodes that claim a key the nearest at or behind it is right, once the owner itself has been
 * asked; what a liar can do is to hide it. A careful look-up (`witness_count` > 0) therefore
 *  - asks everyone nearer than the best claim,
 *  - asks so many of the last nodes before the key, whose successor lists all hold the owner,
 *  - does not believe a claim or a witness from further away than the density of nodes allows,
 *  - goes on in turn from the nearest and from nodes of the own tables not tried yet.
 *
 * START must not be given while self answers for the key. Self is never asked: where the key is of
 * the own arc and only the lease is gone, the caller looks at each TICK whether it is back. ASK may
 * name one node more than once (the answer may be lost): send it without repeating. Nodes of LOST
 * effects did not answer; they are hints to drop a finger, never a proof of death. Contacts are
 * believed only as far as to ask them.
 */
#include "overlay/routing/router.h"

enum {
    SEEK_CONTACTS_MAX = ROUTER_CLOSEST_MAX,
    SEEK_CONTACTS = 4,        /* wanted of each node */
    SEEK_CONTACTS_UPKEEP = 2, /* the same, where it is for fingers only */
    SEEK_WITNESSES = 6,       /* good against one liar in five */
    SEEK_NODES_MAX = 96,      /* remembered in one look-up */
    SEEK_ASKS_MAX = 112,      /* sent in one look-up */
    SEEK_SEARCH_ASKS = 64,    /* of these, before time must help; the rest is for asking again */
    SEEK_RETRY_ASKS = 8,      /* each time */
    SEEK_PARALLEL_MAX = 3,    /* answers awaited in a careful look-up */
    SEEK_EFFECTS_MAX = 8,     /* of one kind in one step */
    SEEK_TRIES = 3,           /* of one node */
    SEEK_PATIENCE_MS = 400,   /* for an answer where no round trip is known */
    SEEK_PATIENCE_MS_MIN = 50,
    SEEK_RETRY_MS = 300, /* the arc is changing hands: ask again, each time half as much later */
    SEEK_RETRY_MS_MAX = 2500,
    SEEK_DEADLINE_MS = 20000, /* longer than an arc is without an owner after two deaths */
};

/* What a node answers to SeekNext. */
struct seek_answer {
    bool owns;    /* by lease, now */
    bool waiting; /* its arc, but the lease is not there (yet) */
    bool has_arc;
    struct ring_key from; /* its arc: (from, its position] */
    uint64_t epoch;
    bool presumed; /* the first contact is the owner, as far as it knows */
    uint32_t contact_count;
    struct ring_node contacts[SEEK_CONTACTS_MAX];
};

enum seek_event_kind { SEEK_START, SEEK_ANSWER, SEEK_SILENT, SEEK_TICK };

struct seek_event {
    enum seek_event_kind kind;
    uint64_t now_ms;
    /* START */
    struct ring_key key;
    const struct router *router; /* borrowed for the call */
    uint32_t witness_count;      /* 0: the first claim is believed */
    /* ANSWER, SILENT */
    struct ring_node node;
    const struct seek_answer *answer; /* borrowed for the call */
};

struct seek_effects {
    uint32_t ask_count;
    struct ring_node asks[SEEK_EFFECTS_MAX];
    uint32_t contacts_wanted; /* for each of them */
    uint32_t lost_count;
    struct ring_node lost[SEEK_EFFECTS_MAX];
    bool done; /* see the result in struct seek */
    uint64_t wake_ms;
};

enum seek_node_state { SEEK_FRESH, SEEK_ASKED, SEEK_ANSWERED, SEEK_GONE };

struct seek_node {
    struct ring_node node;
    enum seek_node_state state;
    bool presumed;   /* somebody thinks that it is the owner */
    bool claims;     /* it says so itself */
    bool waiting;    /* it will, as soon as its lease is there */
    bool late;       /* the first time-out has passed */
    bool from_start; /* of the own tables */
    struct ring_key from;
    uint64_t epoch;
    uint64_t before; /* top 64 bits of the distance from it to the key */
    uint64_t behind; /* the same from the key to it */
    uint32_t depth;  /* hops from self */
    int parent;      /* who named it; -1: self did */
    uint32_t tries;
    uint32_t patience_ms;
    uint64_t due_ms;
};

struct seek {
    bool active;
    struct ring_node self; /* never asked */
    struct ring_key key;
    uint64_t gap; /* top 64 bits of the mean distance between neighbours */
    uint32_t witness_count;
    uint64_t deadline_ms;
    uint64_t retry_ms;
    uint32_t retry_every_ms;
    uint32_t ask_count;
    uint32_t ask_count_max; /* careful: of the search until the next retry */
    uint32_t node_count;
    struct seek_node nodes[SEEK_NODES_MAX];
    /* the result */
    bool found;
    struct ring_node owner;
    struct ring_key owner_from;
    uint64_t owner_epoch;
    uint32_t hop_count; /* nodes on the path, the owner being the last */
    struct ring_node path[ROUTE_HOPS_MAX];
};

void seek_step(struct seek *seek, const struct seek_event *event, struct seek_effects *effects_out);

/* The honest answer of a node, from its tables. At most SEEK_CONTACTS_MAX contacts. */
void seek_fill_answer(const struct router *router, const struct ring_key *key,
                      uint32_t contacts_wanted, struct seek_answer *answer_out);
