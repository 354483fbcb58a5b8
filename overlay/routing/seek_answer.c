// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "overlay/ring/neighbourhood.h"
#include "overlay/routing/seek.h"

static void add(struct seek_answer *answer, uint32_t count_max, const struct ring_node *node,
                const struct ring_node *self)
{
    if (answer->contact_count >= count_max || id_equal(&node->position.id, &self->position.id)) {
        return;
    }
    for (uint32_t i = 0; i < answer->contact_count; i++) {
        if (id_equal(&answer->contacts[i].position.id, &node->position.id)) {
            return;
        }
    }
    answer->contacts[answer->contact_count++] = *node;
}

/* The nearest of the neighbourhood at or behind the key: one of them owns it, should the one that
 * is presumed to be gone. */
static void add_behind(struct seek_answer *answer, const struct neighbourhood *near,
                       const struct ring_key *key, uint32_t count_max, const struct ring_node *self)
{
    int owner = neighbourhood_owner(near, key);

    for (uint32_t i = 0; owner >= 0 && i < count_max; i++) {
        uint32_t place = (uint32_t)owner + i;

        if (place < near->count || near->whole) {
            add(answer, count_max, &near->nodes[place % near->count], self);
        }
    }
}

void seek_fill_answer(const struct router *router, const struct ring_key *key,
                      uint32_t contacts_wanted, struct seek_answer *answer_out)
{
    const struct ring *ring = router->ring;
    uint32_t wanted = contacts_wanted < SEEK_CONTACTS_MAX ? contacts_wanted : SEEK_CONTACTS_MAX;
    struct router_closest closest;
    struct neighbourhood near;

    memset(answer_out, 0, sizeof(*answer_out));
    answer_out->epoch = ring->arc_epoch;
    answer_out->owns = ring_responsible(ring, key, router->now_ms);
    answer_out->has_arc = ring->phase == RING_IN && ring->predecessor_count > 0;
    if (answer_out->has_arc) {
        answer_out->from = ring->predecessors[0].position;
        answer_out->waiting = !answer_out->owns && ring_has(ring, key);
    }
    if (answer_out->owns) {
        return;
    }
    neighbourhood_of(ring, &near);
    router_fingers_closest(router, key, ROUTER_NEAREST, wanted, &closest);
    /* An arc that we have without a lease is not ours to promise. */
    if (closest.presumed && closest.count > 0) {
        add(answer_out, wanted, &closest.nodes[0], &ring->self);
        answer_out->presumed = answer_out->contact_count > 0;
    }
    add_behind(answer_out, &near, key, wanted / 4 + 1, &ring->self);
    for (uint32_t i = 0; i < closest.count; i++) {
        add(answer_out, wanted, &closest.nodes[i], &ring->self);
    }
}
