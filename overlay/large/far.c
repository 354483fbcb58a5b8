// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a node of a large community knows of the far parts of the ring: it feeds the fingers and
 * the location cache with what it hears, and looks up what the fingers want to know.
 */
#include "overlay/ring/neighbourhood.h"
#include "overlay/state.h"

enum {
    PLACE_AGAIN_MS = 1000,
    LEAF_UNHEARD_MS =
        5000, /* who answers for a leaf's position watches it, and speaks more often */
    LEAF_PLACE_MS = 16000,
};

static void step(struct overlay *overlay, struct fingers_event *event)
{
    struct fingers_effects effects = {0};

    event->now_ms = overlay->now_ms;
    fingers_step(&overlay->fingers, event, &effects);
    if (effects.look_up && overlay->large) {
        (void)search_start(overlay, &effects.target, SEARCH_FINGER, 0);
    }
}

static struct ring_node node_of(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];

    return (struct ring_node){member->view.node, member->position};
}

void far_init(struct overlay *overlay)
{
    fingers_init(&overlay->fingers, &overlay->place);
    locations_init(&overlay->locations);
    overlay->router.fingers = &overlay->fingers;
    overlay->router.locations = &overlay->locations;
}

/* Does the first of the successors speak to it? */
static bool is_looked_after(const struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;
    int index = ring->successor_count == 0
                    ? MEMBER_NONE
                    : membership_find(&overlay->membership, &ring->successors[0].node);

    return index != MEMBER_NONE && overlay->membership.list[index].heard_ms != 0 &&
           overlay->now_ms - overlay->membership.list[index].heard_ms < LEAF_UNHEARD_MS;
}

/* Whoever comes to the ring asks until it has a place. A leaf has none, and nobody before it asks it
 * for a lease: where it knows the wrong ones, or those who should know it hold it for dead, nothing
 * else would show that. To be asked by it is to hear it. */
static void look_for_place(struct overlay *overlay)
{
    bool is_leaf = overlay->ring.phase == RING_OUT && reach_is_leaf(overlay);

    if (!overlay->large || (overlay->ring.phase != RING_JOINING && !is_leaf) ||
        overlay->now_ms < overlay->place_ms) {
        return;
    }
    overlay->place_ms =
        overlay->now_ms +
        (uint64_t)(is_leaf && is_looked_after(overlay) ? LEAF_PLACE_MS : PLACE_AGAIN_MS);
    (void)search_start(overlay, &overlay->place.position, SEARCH_PLACE, 0);
}

void far_tick(struct overlay *overlay)
{
    struct fingers_event tick = {.kind = FINGERS_TICK};
    struct neighbourhood near;

    look_for_place(overlay);
    if (!overlay->large || overlay->ring.phase != RING_IN) {
        return;
    }
    neighbourhood_of(&overlay->ring, &near);
    tick.near_distance = neighbourhood_reach(&near, &overlay->place.position);
    step(overlay, &tick);
}

void far_known(struct overlay *overlay, int index)
{
    struct fingers_event known = {.kind = FINGERS_KNOWN};

    if (overlay->large && index != overlay->self_index) {
        known.node = node_of(overlay, index);
        step(overlay, &known);
    }
}

void far_lost(struct overlay *overlay, int index)
{
    struct fingers_event lost = {.kind = FINGERS_LOST};

    if (overlay->large && index != overlay->self_index) {
        lost.node = node_of(overlay, index);
        locations_forget(&overlay->locations, &lost.node);
        step(overlay, &lost);
    }
}

void far_heard(struct overlay *overlay, int index, const struct ring_key *from)
{
    struct fingers_event known = {.kind = FINGERS_KNOWN};

    if (!overlay->large || index == overlay->self_index ||
        !membership_in_ring(&overlay->membership.list[index])) {
        return;
    }
    known.node = node_of(overlay, index);
    known.has_from = from != NULL;
    if (from != NULL) {
        known.from = *from;
        locations_learn(&overlay->locations, &known.node, from);
    }
    step(overlay, &known);
}

void far_silent(struct overlay *overlay, const struct ring_node *node)
{
    struct fingers_event lost = {.kind = FINGERS_LOST, .node = *node};

    locations_forget(&overlay->locations, node);
    step(overlay, &lost);
}

void far_answered(struct overlay *overlay, int index, uint64_t rtt_ms)
{
    struct fingers_event rtt = {.kind = FINGERS_RTT};

    if (overlay->large && index != overlay->self_index && rtt_ms <= UINT16_MAX) {
        rtt.node = node_of(overlay, index);
        rtt.rtt_ms = rtt_ms == 0 ? 1 : (uint32_t)rtt_ms;
        step(overlay, &rtt);
    }
}

void far_found(struct overlay *overlay, const struct ring_key *key, const struct node_id *owner,
               const struct ring_key *from)
{
    struct fingers_event found = {.kind = FINGERS_FOUND, .target = *key};
    int index = membership_find(&overlay->membership, owner);

    if (!overlay->large || peer_is_self(overlay, owner)) {
        return;
    }
    /* Its own word counts: it is greeted, and looked up again when it has answered. */
    if (index == MEMBER_NONE || !membership_in_ring(&overlay->membership.list[index])) {
        contacts_named(overlay, owner);
        return;
    }
    found.node = node_of(overlay, index);
    found.has_from = from != NULL && id_in_arc(&key->id, &from->id, &found.node.position.id);
    if (found.has_from) {
        found.from = *from;
        locations_learn(&overlay->locations, &found.node, from);
    }
    step(overlay, &found);
}
