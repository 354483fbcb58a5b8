// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/gossip/broadcast.h"

#include <string.h>

#include "base/check.h"

/* Where parts begin, in order. */
struct cuts {
    uint32_t count;
    uint32_t at[BROADCAST_FANOUT];
};

/* The first node, and in each of so many equal stretches the first one that is linked. */
static void cut_at_links(const struct broadcast_node *nodes, uint32_t node_count, struct cuts *cuts)
{
    uint64_t stretches = node_count < BROADCAST_FANOUT ? node_count : (uint32_t)BROADCAST_FANOUT;

    cuts->count = 1;
    cuts->at[0] = 0;
    for (uint64_t i = 1; i < stretches; i++) {
        uint32_t next = (uint32_t)((i + 1) * node_count / stretches);

        for (uint32_t k = (uint32_t)(i * node_count / stretches); k < next; k++) {
            if (nodes[k].is_linked) {
                cuts->at[cuts->count++] = k;
                break;
            }
        }
    }
}

/* No part is longer than half of the whole. */
static void halve_long(uint32_t node_count, struct cuts *cuts)
{
    for (uint32_t i = 0; i < cuts->count && cuts->count < BROADCAST_FANOUT; i++) {
        uint32_t first = cuts->at[i];
        uint32_t next = i + 1 < cuts->count ? cuts->at[i + 1] : node_count;

        if (next - first > (node_count + 1) / 2) {
            memmove(&cuts->at[i + 2], &cuts->at[i + 1],
                    (cuts->count - i - 1) * sizeof(cuts->at[0]));
            cuts->at[i + 1] = first + (next - first) / 2;
            cuts->count++;
        }
    }
}

uint32_t broadcast_split(const struct broadcast_node *nodes, uint32_t node_count,
                         const struct ring_key *until,
                         struct broadcast_part parts_out[BROADCAST_FANOUT])
{
    struct cuts cuts;

    if (node_count == 0) {
        return 0;
    }
    cut_at_links(nodes, node_count, &cuts);
    halve_long(node_count, &cuts);
    for (uint32_t i = 0; i < cuts.count; i++) {
        parts_out[i].to = nodes[cuts.at[i]].node;
        parts_out[i].until = i + 1 < cuts.count ? nodes[cuts.at[i + 1]].node.position : *until;
    }
    return cuts.count;
}

/* Does the interval from `self` to `a` reach farther than the one to `b`? */
static bool reaches_beyond(const struct ring_key *self, const struct ring_key *a,
                           const struct ring_key *b)
{
    struct id to_a = id_distance(&self->id, &a->id);
    struct id to_b = id_distance(&self->id, &b->id);

    if (id_is_zero(&to_b)) {
        return false; /* once around */
    }
    return id_is_zero(&to_a) || id_compare(&to_a, &to_b) > 0;
}

static struct broadcast_heard *find_or_make_room(struct broadcasts *broadcasts,
                                                 const struct id *name, uint64_t now_ms)
{
    struct broadcast_heard *oldest = &broadcasts->list[0];

    for (uint32_t i = 0; i < BROADCASTS_HEARD_MAX; i++) {
        struct broadcast_heard *heard = &broadcasts->list[i];

        if (heard->heard_ms != 0 && now_ms - heard->heard_ms < BROADCAST_KEPT_MS &&
            id_equal(&heard->name, name)) {
            return heard;
        }
        if (heard->heard_ms < oldest->heard_ms) {
            oldest = heard;
        }
    }
    oldest->heard_ms = 0;
    return oldest;
}

bool broadcast_claim(struct broadcasts *broadcasts, const struct id *name,
                     const struct ring_key *self, const struct ring_key *until, uint64_t now_ms,
                     struct ring_key *from_out)
{
    struct broadcast_heard *heard = find_or_make_room(broadcasts, name, now_ms);

    CHECK(now_ms != 0);
    if (heard->heard_ms == 0) {
        *heard = (struct broadcast_heard){*name, *until, now_ms};
        *from_out = *self;
        return true;
    }
    if (!reaches_beyond(self, until, &heard->until)) {
        return false;
    }
    *from_out = heard->until;
    heard->until = *until;
    return true;
}

bool broadcast_covers(const struct ring_key *self, const struct ring_key *from,
                      const struct ring_key *until, const struct ring_key *key)
{
    struct id to_key = id_distance(&from->id, &key->id);
    struct id to_until = id_distance(&from->id, &until->id);

    return !id_equal(&key->id, &self->id) &&
           (id_is_zero(&to_until) || id_compare(&to_key, &to_until) < 0);
}
