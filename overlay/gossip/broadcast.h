// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Telling everyone, each node once: broadcast by interval. Pure.
 *
 * After El-Ansary, Alima, Brand and Haridi ("Efficient broadcast in structured P2P networks",
 * 2003): who begins covers the whole ring. Whoever covers an interval splits it into parts; the
 * first node of a part is told, and covers the rest of it. In a stable ring that makes n - 1
 * messages.
 *
 * A part begins where a link exists already, for a new one costs more than all the messages on it.
 * With full membership and links to all the depth is log16 n; without any, parts are halves, and
 * it is log2 n: whoever begins, halves of halves lie at the same distances, so that the few links
 * that one broadcast has built serve the next.
 *
 * The parts must begin with nodes, and the first part with the first known node: nobody else
 * would cover what lies before a part's first node. One who does not acknowledge has its
 * interval split anew among the others in it; who hears of the same twice covers only what it has
 * not covered yet.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/allowance.h"
#include "overlay/ring/ring.h"

enum {
    BROADCAST_FANOUT = 16,
    BROADCASTS_HEARD_MAX = LIMIT(128, 8),
    BROADCAST_KEPT_MS = 30000, /* the same, later than that, is told anew */
};

struct broadcast_node {
    struct ring_node node;
    bool is_linked; /* a message needs no new link */
};

struct broadcast_part {
    struct ring_node to;
    struct ring_key until; /* it covers what lies strictly between itself and this */
};

/* Splits what lies before `until` among `nodes`, which lie there, in ring order. Returns the
 * number of parts. */
uint32_t broadcast_split(const struct broadcast_node *nodes, uint32_t node_count,
                         const struct ring_key *until,
                         struct broadcast_part parts_out[BROADCAST_FANOUT]);

struct broadcast_heard {
    struct id name; /* hash of origin, number and content: nobody can use up another one's */
    struct ring_key until;
    uint64_t heard_ms; /* 0: free */
};

struct broadcasts {
    struct allowance known; /* passed on although they brought nothing new here */
    struct broadcast_heard list[BROADCASTS_HEARD_MAX];
};

/* `self` was asked to cover what lies between itself and `until`. Returns false when it has done
 * so before; else what is left begins at `from_out` (self's own position: all of it), and counts
 * as covered from now on. A full table forgets the oldest. */
bool broadcast_claim(struct broadcasts *broadcasts, const struct id *name,
                     const struct ring_key *self, const struct ring_key *until, uint64_t now_ms,
                     struct ring_key *from_out);

/* Does `key` lie in the interval from `from`, included, to `until`, excluded, in which `self` is
 * not? The interval (x, x) is the whole ring. */
bool broadcast_covers(const struct ring_key *self, const struct ring_key *from,
                      const struct ring_key *until, const struct ring_key *key);
