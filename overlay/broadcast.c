// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/broadcast.h"

#include <string.h>

#include "base/check.h"

uint32_t broadcast_split(const struct ring_node *nodes, uint32_t node_count,
                         const struct ring_key *until,
                         struct broadcast_part parts_out[BROADCAST_FANOUT])
{
    uint32_t part_count = node_count < BROADCAST_FANOUT ? node_count : (uint32_t)BROADCAST_FANOUT;

    for (uint32_t i = 0; i < part_count; i++) {
        uint32_t first = (uint32_t)((uint64_t)i * node_count / part_count);
        uint32_t next = (uint32_t)((uint64_t)(i + 1) * node_count / part_count);

        CHECK(first < next);
        parts_out[i].to = nodes[first];
        parts_out[i].until = next < node_count ? nodes[next].position : *until;
    }
    return part_count;
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
