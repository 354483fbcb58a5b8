// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A part of state.h: can this node be dialled, and if not, through whom is it
 * reached?
 *
 * reach.c has two others dial back, on new links. Who cannot be dialled is a leaf: it has no place
 * on the ring, and two members that can be dialled pass on to it (leaf.c asks, relaying.c grants).
 * What is passed on is a connection, byte for byte: both ends speak CURVE through it as over any
 * other, so a relay can neither read nor change what is said, nor speak for anybody.
 */
#include "overlay/overlay.h"
#include "overlay/protocol.pb.h"

struct overlay;
struct arrival;
struct request;

enum {
    REACH_HELPERS = 2, /* a third one where they do not agree */
    REACH_ASKED_MAX = 4,
    REACH_MS = 3000,        /* to be dialled in */
    REACH_SOON_MS = 2000,   /* after a round without a verdict */
    REACH_FIRST_MS = 200,   /* the same, before the first verdict */
    REACH_AGAIN_MS = 60000, /* a leaf looks whether it still is one ... */
    REACH_LONG_MS = 600000, /* ... and others seldom */
    REACH_DOUBTS = 2,       /* rounds without success that take a node off the ring ... */
    REACH_DOUBTS_ONE = 3,   /* ... where only one helper is to be had */
    REACH_BURST_MAX = 8,    /* dials on behalf of others */
    REACH_INTERVAL_MS = 250,
    REACH_NONCE_BYTES = 16,

    RELAYS_WANTED = 2, /* of one leaf */
    RELAY_ASK_MS = 2000,
    RELAY_RENEW_MS = 4000,
    RELAY_LEASE_MS = 15000,
    RELAY_UP_MS = 10000,    /* for the edge to get through */
    RELAY_FOUND_MS = 20000, /* after which a leaf that has come has found one, if it ever does */
    RELAY_AVOID_MS = 30000, /* one that refused, or was lost */
    RELAY_AVOIDED_MAX = 8,
    RELAYED_MAX = LIMIT(32, 2), /* leaves of one relay */
    RELAY_PORT_REFUSED_MS = 600000,
};
static_assert(RELAY_LEASE_MS > 3 * RELAY_RENEW_MS, "two lost renewals end nothing");

enum reach_answer { REACH_ASKED, REACH_WAITING, REACH_YES, REACH_NO, REACH_SILENT };

struct reach_helper { /* one who is to dial us */
    struct node_id node;
    enum reach_answer answer;
    uint64_t until_ms; /* WAITING: it says that it dials */
    uint8_t nonce[REACH_NONCE_BYTES];
    uint16_t port;                       /* that it was asked to dial */
    char address[ADDRESS_CHARS_MAX + 1]; /* that it dials */
};

struct mapped {      /* a port of the router's that leads to another one here */
    uint16_t inside; /* 0: unused */
    uint16_t outside;
    bool is_udp;
};

struct reach {
    bool is_used;
    minga_NodeRecord described;         /* what the agent says of this node; addresses: its own */
    char proven[ADDRESS_CHARS_MAX + 1]; /* an address that others have dialled; "": none */
    uint64_t next_ms;
    uint64_t began_ms;    /* the last round */
    uint32_t doubt_count; /* rounds in a row without success */
    bool in_round;
    uint32_t helper_count;
    struct reach_helper helpers[REACH_ASKED_MAX];
    uint16_t outside_port; /* of a router, which says that it leads here; 0: none */
    bool tries_own_port;   /* the next round, though there is another one outside */
    struct mapped mapped[MAPPED_PORTS_MAX];
    uint32_t token_count; /* dials that others may still ask for */
    uint64_t tokens_ms;
};

struct relay { /* one that passes on to us */
    bool used;
    bool is_granted;
    bool is_up; /* the edge has a connection to its door */
    struct node_id node;
    uint64_t asked_ms;
    uint64_t granted_ms;    /* the last time */
    uint64_t first_ms;      /* since when its door might be open, or has been */
    uint64_t told_sequence; /* of its record, as the edge knows its addresses */
    struct overlay_relay grant;
};

struct avoided {
    struct node_id node;
    uint64_t until_ms;
};

struct leaf {
    uint64_t next_ms;
    struct relay relays[RELAYS_WANTED];
    uint32_t avoided_next;
    struct avoided avoided[RELAY_AVOIDED_MAX];
    uint32_t port_count;
    struct overlay_port ports[2 * RELAYED_PORTS_MAX]; /* of the replicas here */
};

struct relayed { /* a leaf that we pass on to */
    bool used;
    struct node_id node;
    uint64_t until_ms;
    struct overlay_relay grant;
};

struct relaying {
    uint16_t port_first;
    uint16_t port_count;                  /* 0: never */
    uint16_t door;                        /* 0: not opened yet */
    uint64_t refused_ms[RELAY_PORTS_MAX]; /* the edge could not open the port then */
    struct relayed list[RELAYED_MAX];
};

/* --- reach.c */
void reach_init(struct overlay *overlay, const struct overlay_config *config);
/* After the stored state was loaded: the last verdict stands while the addresses are the same. */
void reach_begin(struct overlay *overlay);
/* This node's addresses, or what else it says of itself, may have changed: does its record? */
bool reach_describe(struct overlay *overlay, const minga_NodeRecord *description);
bool reach_is_leaf(const struct overlay *overlay);
/* Composes the own record from the verdict, the addresses and the relays; tells if it is news. */
void reach_publish(struct overlay *overlay, minga_Reachable verdict);
void reach_tick(struct overlay *overlay);
uint64_t reach_wake(const struct overlay *overlay);
void reach_on_dialled(struct overlay *overlay, const struct arrival *arrival);
void reach_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival);
void reach_on_timeout(struct overlay *overlay, const struct request *request);

/* --- mapped.c */
/* A router passes the port on to this node, or no longer does: it says so. */
void mapped_on_edge(struct overlay *overlay, const struct overlay_event *event);
/* Under which port someone elsewhere is to dial this node, whose own is `own_port`. */
uint16_t mapped_port_to_ask(const struct overlay *overlay, uint16_t own_port);
/* Where others find a port of this node that the router passes on. */
uint16_t mapped_outside(const struct overlay *overlay, uint16_t port, bool is_udp);

/* --- leaf.c */
void leaf_tick(struct overlay *overlay);
uint64_t leaf_wake(const struct overlay *overlay);
/* Adds the addresses under which the relays pass on. */
void leaf_fill(const struct overlay *overlay, minga_NodeRecord *record);
void leaf_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival);
void leaf_on_timeout(struct overlay *overlay, const struct request *request);
void leaf_on_edge(struct overlay *overlay, const struct node_id *relay, bool is_up);
bool leaf_is_relay(const struct overlay *overlay, const struct node_id *node);

/* --- relaying.c */
void relaying_on_relay(struct overlay *overlay, const struct arrival *arrival);
void relaying_tick(struct overlay *overlay);
uint64_t relaying_wake(const struct overlay *overlay);
void relaying_port_refused(struct overlay *overlay, uint16_t port);

/* --- dial_back.c */
void reach_on_dial_back(struct overlay *overlay, const struct arrival *arrival);
