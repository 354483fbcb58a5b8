// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The plan of fetching: which chunk to ask whom for next.
 *
 * Pure: one event in, bounded effects out. Peers and chunks are small numbers that the caller
 * gives meaning to. Memory is the caller's array of struct plan_chunk, one per wanted chunk.
 *
 * Several peers are asked in parallel, a few chunks each. Every ASK is answered by exactly one
 * of GOT, BAD, MISSING, TIMEOUT, or by GONE for all of a peer's. A chunk that did not come is
 * asked of another holder; a peer that sent wrong bytes is blamed and never asked again.
 * COMPLETE comes once. FAILED names a chunk that no known holder is left for; more holders may
 * be given then (a later HOLDERS revives it) or the plan be dropped.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    PLAN_PEERS_MAX = 64,
    PLAN_OUTSTANDING_PER_PEER_MAX = 4,
    PLAN_ROUNDS_MAX = 3, /* how often every holder of a chunk is tried after time-outs */
    PLAN_EFFECTS_MAX = 64,
    PLAN_NONE = -1,
};

enum plan_event_kind {
    PLAN_HOLDERS,  /* the peers in `peers` hold `chunk`, too */
    PLAN_ALL_HELD, /* the peers in `peers` hold every chunk (a replica's node, the origin) */
    PLAN_GOT,      /* chunk came from peer and its hash is right; or was found here (PLAN_NONE) */
    PLAN_BAD,      /* peer sent wrong bytes for chunk */
    PLAN_MISSING,  /* peer does not have chunk */
    PLAN_TIMEOUT,  /* peer did not answer in time */
    PLAN_GONE,     /* peer is gone */
    PLAN_CONTINUE, /* asks for what did not fit into the last effects */
};

struct plan_event {
    enum plan_event_kind kind;
    int peer;       /* 0 .. PLAN_PEERS_MAX - 1 */
    uint32_t chunk; /* 0 .. chunk_count - 1 */
    uint64_t peers; /* one bit per peer */
};

enum plan_effect_kind { PLAN_ASK, PLAN_BLAME, PLAN_COMPLETE, PLAN_FAILED };

struct plan_effect {
    enum plan_effect_kind kind;
    int peer;       /* ASK, BLAME */
    uint32_t chunk; /* ASK, BLAME, FAILED */
};

struct plan_effects {
    uint32_t count;
    bool more; /* step again with PLAN_CONTINUE */
    struct plan_effect effects[PLAN_EFFECTS_MAX];
};

enum plan_chunk_state { PLAN_WAITING, PLAN_ASKED, PLAN_HERE, PLAN_HOPELESS };

struct plan_chunk {
    uint64_t holders; /* one bit per peer */
    uint64_t tried;   /* in this round */
    int32_t next;     /* in the queue of waiting chunks */
    int8_t asked;     /* the peer that is asked, PLAN_NONE unless ASKED */
    uint8_t round_count;
    uint8_t state; /* enum plan_chunk_state */
};

struct plan {
    struct plan_chunk *chunks; /* borrowed */
    uint32_t chunk_count;
    uint32_t here_count;
    int32_t queue_first; /* waiting chunks, PLAN_NONE when empty */
    int32_t queue_last;
    uint32_t queue_count; /* with some that came in the meantime */
    uint32_t scan_count;  /* waiting chunks not looked at since the last event */
    uint64_t blamed;      /* never asked again */
    uint64_t gone;        /* not asked until named as holders again */
    uint64_t all_held;
    uint64_t known; /* ever named as holders */
    uint8_t outstanding[PLAN_PEERS_MAX];
    bool complete;
};

/* `chunks` has room for chunk_count and outlives the plan. With no chunk it is complete. */
void plan_init(struct plan *plan, struct plan_chunk *chunks, uint32_t chunk_count);

/* Events about unknown peers or chunks, and answers never asked for, are ignored. */
void plan_step(struct plan *plan, struct plan_event event, struct plan_effects *effects_out);
