// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * This node's place on the ring: predecessors, successor list, the arc it answers for. Pure.
 *
 * Chord as corrected by Zave ("Reasoning about identifier spaces: how to make Chord correct",
 * 2017), with ownership on lease. One question a second from each node to its keeper, the first
 * successor that is on the ring, is stabilise, rectify, heartbeat and request for the lease in one.
 *
 * A node answers for (predecessor, itself]. Only its keeper may ever take that arc over, and the
 * keeper does so when the lease that it granted has surely run out, or the process is surely gone,
 * or the node handed its arc over. A node answers while its lease lasts: LEASE_MS from when it
 * asked; the keeper waits GRANT_MS from when it was asked. A node whose arc is the whole ring is
 * its own keeper, and loses its lease like any other when it sleeps.
 *
 * A keeper that cuts its arc for a newcomer has first told its own keeper of it, so that whoever
 * takes over from it knows at whose arc to stop: see ring_keeper.c.
 *
 * Invariants: successors are sorted by clockwise distance, without repetition, without self; the
 * epoch never falls; an arc is only reported while the node is IN.
 */
#include <stdbool.h>

#include "base/ids.h"
#include "base/limits.h"

enum {
    RING_JOIN_MS = 100,              /* a node without a lease asks so often */
    RING_BUSY_MS = 5,                /* a busy keeper is asked again so soon, at first */
    RING_IDLE_MS = 300,              /* the same where none of its successors is on the ring */
    RING_ALONE_MS = 2 * ABSENT_MS,   /* joining, and nobody is heard: alone */
    RING_SELF_MS = 2900,             /* who is alone answers so long after it last had time */
    RING_GIVE_UP_MS = 5 * ABSENT_MS, /* so long without a lease, and the arc is given up */
    RING_SILENT_TIMES = 4,           /* RECLAIM_MS, where no keeper answers */
    RING_NEWCOMER_MS = 300,          /* a newcomer that does not ask again is forgotten */
    RING_HANDED_MS = 600,            /* one that was handed its arc is waited for so long */
    RING_PACE_MAX = 3,               /* of all who keep a part of a large community only */
    RING_CALM_MS = 3000,       /* so long without a change at its ends, a node slows down by one */
    RING_STALL_MS = ABSENT_MS, /* no event for longer: we slept */
    RING_EFFECTS_MAX = 8,
};

static_assert(RING_ALONE_MS >= 2 * GRANT_MS,
              "whoever forgot in a restart what it granted does not answer before that is over");
static_assert(RING_SELF_MS >= 2 * STABILISE_MS && RING_ALONE_MS >= RING_SELF_MS + STABILISE_MS,
              "whoever begins the ring since another fell asleep is heard by it, or answers later");
static_assert(ABSENT_MS >= GRANT_MS, "nor does the first of a community that starts anew");

enum ring_phase { RING_OUT, RING_JOINING, RING_IN };

struct ring_node {
    struct node_id node;
    struct ring_key position;
};

enum ring_event_kind {
    RING_BEGIN, /* joins */
    RING_LEAVE, /* answers for nothing any more */
    RING_TICK,
    RING_KNOWN,    /* node is up */
    RING_LOST,     /* node is dead or left, since lost_ms */
    RING_ASKED,    /* node asks us as its keeper: the answer is in the effects */
    RING_ANSWERED, /* node's answer to our question */
    RING_HANDED,   /* node leaves, and hands its arc over */
    RING_KEPT,     /* epochs up to `epoch` are durable: they may be used */
};

enum ring_verdict {
    RING_GRANTED, /* the lease, or with `is_handed` the arc too */
    RING_BUSY,    /* ask again soon */
    RING_OTHER,   /* another node is our predecessor */
    RING_IDLE,    /* we are not on the ring ourselves */
};

struct ring_answer {
    enum ring_verdict verdict;
    bool is_handed;         /* the arc (from, asker] is handed over */
    struct ring_node other; /* OTHER: our predecessor; handed: from */
    uint64_t epoch;         /* handed: the new arc's is at least this */
    uint32_t told_version;  /* of the asker's predecessors, as we know them */
    uint32_t paces;         /* leases of so many LEASE_MS have been heard of */
};

struct ring_event {
    enum ring_event_kind kind;
    uint64_t now_ms;
    struct ring_node node;
    bool alone;     /* BEGIN, TICK: nobody else is a member, and we would know */
    bool has_other; /* LOST, TICK: `other` is the nearest member before [0] that is up;
                             * ANSWERED: it is known here, and up */
    struct ring_node other;
    bool
        has_nearest; /* ANSWERED, LOST, TICK: `nearest` is the nearest member before us that is up */
    struct ring_node nearest;
    bool is_first;             /* TICK: of all members that are up we have the lowest id */
    bool is_gone;              /* LOST: surely, not only silent */
    uint64_t lost_ms;          /* LOST */
    bool joined;               /* ASKED: node has an arc ... */
    bool leased;               /* ... and a lease on it */
    uint64_t sent_ms;          /* ANSWERED: when we first asked */
    uint32_t pace;             /* ASKED: the lease that is wanted; ANSWERED: that we had wanted */
    uint32_t paces;            /* ASKED: as in ring_answer; 0: 1 */
    struct ring_answer answer; /* ANSWERED */
    uint64_t epoch;            /* of the other side; KEPT */
    uint32_t version;          /* ASKED: of its predecessors */
    bool has_list;   /* ASKED, HANDED: `list` is them; ANSWERED: `list` is its successors */
    bool is_partial; /* the nearest of `list` is not known here */
    uint32_t list_count;
    struct ring_node list[SUCCESSORS_MAX];
};

enum ring_effect_kind { RING_ASK, RING_ARC };

struct ring_effect {
    enum ring_effect_kind kind;
    struct node_id to;
};

struct ring_effects {
    uint32_t count;
    struct ring_effect list[RING_EFFECTS_MAX];
    struct ring_answer answer; /* ASKED */
};

struct ring {
    struct ring_node self;
    enum ring_phase phase;
    uint64_t epoch;      /* the highest heard of: that of the next arc is above */
    uint64_t arc_epoch;  /* of this node's own */
    uint64_t kept_epoch; /* no epoch above is durable */

    uint32_t successor_count;
    struct ring_node successors[SUCCESSORS_MAX];
    uint32_t keeper;         /* index of the one that is asked for the lease */
    uint32_t nearer;         /* which of those before the keeper is asked next */
    uint32_t busy_count;     /* answers "busy" in a row */
    uint64_t idle_ms;        /* since when none of them is on the ring; 0: one may be */
    bool met_idle;           /* since the last tick that asked, somebody was not on the ring */
    uint64_t lease_ms;       /* we may answer before */
    uint64_t lapsed_ms;      /* since when we know that we may not; 0: we may */
    bool lapse_answered;     /* one that is on the ring has answered since then */
    struct node_id acked_by; /* this keeper knows ... */
    uint32_t acked_version;  /* ... this version of our predecessors */

    /* One exchange takes `pace` seconds, and its lease lasts so much longer. A node slows down where
     * its ends stay as they are, and is back at once when they change. */
    uint32_t pace_max; /* by the size of the community; never falls below 1 */
    uint32_t pace;
    uint32_t paces;        /* the greatest pace ever heard of: no lease is longer; never falls */
    uint64_t changed_ms;   /* the last change of keeper, predecessor or lease; or slowing down */
    struct node_id before; /* the ends, as they were then */
    struct node_id after;

    /* [0] is where our arc begins; self: nowhere. */
    uint32_t predecessor_count;
    struct ring_node predecessors[PREDECESSORS_MAX];
    uint64_t granted_ms;   /* [0] may answer before */
    uint64_t asked_ms;     /* it asked us, or was named to us by the one that handed us our arc */
    uint32_t first_pace;   /* [0] asks so often */
    bool is_told;          /* the arc of [0] begins at [1] */
    uint32_t told_version; /* of its predecessors, as it told */
    bool is_handed;        /* [0] has been handed its arc, and has not yet said that it has it */
    uint64_t lost_ms;      /* [0] counts as gone since; 0: it does not */
    bool has_newcomer;     /* our keeper is being told of it */
    struct ring_node newcomer;
    uint64_t newcomer_ms;

    bool has_arc; /* an arc was reported */
    struct ring_key arc_from;
    uint64_t begun_ms; /* joining since */
    uint64_t met_ms;   /* when one that has an arc asked us last; 0: never */
    uint64_t seen_ms;  /* the last event */
    uint64_t woke_ms;  /* from the last sleep; 0: it never slept */
    uint64_t next_ms;  /* of the periodic work */
};

void ring_init(struct ring *ring, const struct ring_node *self, uint64_t epoch);
/* Whether the community is small (1) or large (RING_PACE_MAX). */
void ring_set_pace_max(struct ring *ring, uint32_t pace_max);
void ring_step(struct ring *ring, const struct ring_event *event, struct ring_effects *effects_out);

/* May this node answer for the key at this moment? */
bool ring_responsible(const struct ring *ring, const struct ring_key *key, uint64_t now_ms);
/* The same for all that it has: does its lease last? */
bool ring_is_leased(const struct ring *ring, uint64_t now_ms);
/* Does the key lie in the arc, lease or not? */
bool ring_has(const struct ring *ring, const struct ring_key *key);

/* A short name (FNV-1a) of a list, so that it need not be told twice; not 0. A mistake costs a list
 * that is sent twice, or once too seldom until the next change. */
uint32_t ring_list_version(const struct node_id *list, uint32_t count);
/* Of what a node tells of those before it: its predecessors with the newcomer, if there is one,
 * before them. */
uint32_t ring_before_version(const struct ring *ring);
/* What that stands for; returns how many. */
uint32_t ring_before(const struct ring *ring, struct ring_node list_out[PREDECESSORS_MAX]);
