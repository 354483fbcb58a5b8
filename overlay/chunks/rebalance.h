// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What an overlay remembers of how much all store: tables of state.h. */
#include "base/bucket.h"
#include "overlay/chunks/balance.h"

enum {
    REBALANCE_FIRST_MS = 3000,    /* on the ring, before it takes its positions */
    REBALANCE_EMPTY_MS = 20000,   /* between looks, while there are no chunks here ... */
    REBALANCE_MS = 60000,         /* ... and else */
    REBALANCE_SETTLE_MS = 240000, /* after a change that moves chunks */
    REBALANCE_CALM_MS = 1200000,  /* so long without a change near by */
    REBALANCE_STAY_PERMILLE =
        800, /* of full membership; in a larger community nothing changes ... */
    REBALANCE_FIRST_PERMILLE = 900,  /* ... and here all go back to their first positions */
    REBALANCE_TELL_MS = 20000,       /* between two words on what is stored here, and so much ... */
    REBALANCE_TELL_MEMBER_MS = 2000, /* ... for each member, who all hear it */
    REBALANCE_TELL_KIB = 64,         /* less is no news */
    REBALANCE_CHUNKS_MIN = 12,       /* of one member; with fewer, chance decides */
    REBALANCE_HOURS = 16,            /* in which may move what one gives, as often as it will */
    REBALANCE_NEAR = 6,              /* positions and members that a change concerns, about */
    REBALANCE_STEPS_MAX = 16,        /* from the positions to begin with to those that fit */
};

struct rebalance {
    uint64_t next_ms;   /* looks again */
    uint64_t change_ms; /* changes nothing before */
    uint64_t told_ms;
    uint64_t heard_ms; /* somebody stores much more or less, or has changed positions near here */
    struct bucket budget;             /* bytes that its changes may move */
    bool is_measured;                 /* there are chunks enough to go by what is stored */
    uint64_t stored_kib;              /* here, of chunks that live here */
    uint64_t once_kib;                /* in the community, each chunk counted once */
    uint64_t heard_kib[MEMBERS_MAX];  /* what each said last ... */
    uint64_t share_then[MEMBERS_MAX]; /* ... and its share of the ring by then */
    uint32_t part_permille;           /* of its fair part that this node stores */
    uint32_t changed_count;
    struct balance table;
};
