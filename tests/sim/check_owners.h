// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * At any moment at most one node answers for a key, within one connected part of the network. The
 * question put to each live process is the one that it puts to itself before it answers, at the
 * present time of its own clock: a process that is stalled must not answer when it wakes.
 *
 * Parts that were separate each have owners of their own, and cannot know of each other the moment
 * they meet: a pair of nodes is only held to this when it has been in one part for
 * OWNERS_MERGE_MS. Nothing else excuses: not a crash, a restart, a stall, loss, a false alarm.
 * Who has no lease while parts merge (it joins, or its lease ran out) may get the next one from
 * either: it stands for all whom it can reach.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

struct world;

enum {
    OWNERS_EVERY_MS = 20,
    OWNERS_MERGE_MS = 10000,
    OWNERS_KEYS = 32, /* at random places, and one at each node's own */
};

struct owners {
    uint32_t node_count;
    uint32_t key_count;
    struct ring_key *keys;
    bool *is_free;       /* each node: it had no lease when it was last looked at */
    uint32_t *part;      /* of each node; its own number when it takes no part */
    uint32_t *awake;     /* room for one check: those who could answer, */
    uint32_t *answering; /* and those who do for one key */
    uint64_t noted_ms;   /* the last look */
    uint64_t *apart_ms;  /* of each pair: when the two were last in different parts; 0: never */
};

/* When the nodes have their keys. */
void owners_init(struct world *world);
void owners_done(struct owners *owners);
/* Every OWNERS_EVERY_MS, from the beginning. Fails the run when two nodes answer for a key. */
void owners_check(struct world *world);
