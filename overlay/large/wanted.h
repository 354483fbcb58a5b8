// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Tables of a large community: nodes that are not known yet, and keys whose holders are wanted. */
#include "overlay/overlay.h"
#include "overlay/routing/seek.h"

/* One that can be dialled, but is not known as a member (yet). */
struct contact {
    bool used;
    bool linked;
    bool stores;
    bool manages;
    struct overlay_peer peer;
    uint64_t used_ms;
    uint64_t greeted_ms;
};

enum admit_how {
    ADMIT_LOADED, /* from the own disk: verified before */
    ADMIT_TOLD,   /* by others */
    ADMIT_MET,    /* by itself: we talk to it */
    ADMIT_GREETS, /* the same, and nobody else has named it */
};

/* What a lookup is for, besides the agent's own. */
enum search_for {
    SEARCH_RECORD_GET,
    SEARCH_CHUNK_PUT,
    SEARCH_CHUNK_GET,
    SEARCH_LOCATE,
    SEARCH_FINGER,
    SEARCH_PLACE,   /* where this node belongs on the ring */
    SEARCH_AGENT,   /* the agent's own: number is its token */
    SEARCH_ROUTE,   /* a request that waits for the way: number is its id */
    SEARCH_IMAGE,   /* the same, to an image of a record's key */
    SEARCH_COMPARE, /* who answers for an image of the own arc */
};

struct wanted {
    enum search_for purpose;
    uint64_t number;
    bool is_careful; /* withstands liars, and costs some twenty questions */
};

struct search_result {
    enum search_for purpose;
    uint64_t number;
    struct ring_key key;
    bool found;
    struct ring_key from; /* the owner's arc begins there */
    uint32_t count;
    struct node_id holders[RECORD_COPIES]; /* the owner first */
    uint32_t path_count;
    struct node_id path[ROUTE_HOPS_MAX]; /* from this node to the owner */
};

/* A look-up under way; see seeks.c. */
struct seek_run {
    bool used;
    bool has_begun;
    bool is_careful;
    enum search_for purpose;
    uint64_t number;     /* so that late answers do not hit a later one */
    uint64_t for_number; /* whoever waits */
    uint64_t deadline_ms;
    uint64_t wake_ms;
    struct ring_key key;
    bool has_claim;
    struct ring_node claim; /* the nearest that says it is the owner, and whom it names */
    uint32_t holder_count;
    struct node_id holders[RECORD_COPIES];
    struct seek seek;
};

/* One for which there is no room yet: its turn comes. */
struct seek_wait {
    struct wanted wanted;
    struct ring_key key;
    uint64_t deadline_ms;
};

/* A key that the agent asks for often, and who holds it. */
struct located {
    bool used;
    struct ring_key key;
    uint32_t count;
    struct node_id holders[RECORD_COPIES];
    uint64_t found_ms;
    uint64_t careful_ms; /* the last look-up that withstands liars began */
    uint64_t wanted_ms;
    uint64_t asked_ms;
};

struct chain_link {
    struct bytes encoded; /* an admission */
    struct public_key countersigner;
};

/* The comparison with the other neighbourhoods of the own arc; see images.c. */
struct images {
    uint64_t term;        /* of settled.c, in which it began */
    bool is_compared;     /* with one of them, for all of the arc */
    uint32_t turn;        /* the one under way */
    bool is_equal;        /* so far it had nothing that was lacking here */
    bool is_asking;       /* who answers for the image of `to` */
    struct ring_key to;   /* (the arc's begin, to] is left */
    struct ring_key from; /* (from, to] is being compared */
    uint64_t next_ms;
};
