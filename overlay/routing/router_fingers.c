// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Routing in a large community: the neighbourhood knows the owners near by, known arcs give the
 * owner at once, and else the best node before the key is the next hop.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/ring/neighbourhood.h"
#include "overlay/routing/router.h"

enum {
    CANDIDATES_OF_FINGERS = 8,
    CANDIDATES_OF_LOCATIONS = 8,
    CANDIDATES_MAX = NEIGHBOURHOOD_MAX + CANDIDATES_OF_FINGERS + CANDIDATES_OF_LOCATIONS,
    LOG_UNIT = 16, /* logarithms are counted in sixteenths */
};

struct candidate {
    struct ring_node node;
    uint64_t cost; /* lower is better */
};

struct candidates {
    const struct router *router;
    const struct ring_key *key;
    enum router_choice choice;
    uint64_t gap; /* top 64 bits of the distance between neighbours */
    uint32_t count;
    struct candidate list[CANDIDATES_MAX];
};

/* 16 log2(value), 0 below 2. */
static uint64_t log_of(uint64_t value)
{
    unsigned int whole;

    if (value < 2) {
        return 0;
    }
    whole = 63U - (unsigned int)__builtin_clzll(value);
    return LOG_UNIT * whole + ((value << (63U - whole)) << 1 >> 60);
}

/*
 * The time that the rest of the way will take: the round trip to the candidate, and from there a
 * mean round trip for each further digit. Without measurements, and where it must be safe, the
 * distance alone.
 */
static uint64_t cost_of(const struct candidates *candidates, const struct ring_node *node,
                        uint32_t rtt_ms)
{
    const struct fingers *fingers = candidates->router->fingers;
    struct id distance = id_distance(&node->position.id, &candidates->key->id);
    uint64_t rtt_mean_ms = fingers->rtt_mean_ms;

    if (candidates->choice != ROUTER_FAST || rtt_mean_ms == 0) {
        return id_top(&distance);
    }
    /* log16 in sixteenths is a quarter of log2 in sixteenths */
    return LOG_UNIT * (rtt_ms != 0 ? rtt_ms : rtt_mean_ms) +
           rtt_mean_ms * log_of(id_top(&distance) / candidates->gap) / 4;
}

static bool has(const struct candidates *candidates, const struct ring_node *node)
{
    for (uint32_t i = 0; i < candidates->count; i++) {
        if (id_equal(&candidates->list[i].node.position.id, &node->position.id)) {
            return true;
        }
    }
    return false;
}

/* Sorted in; among equals the first one stays first. */
static void add(struct candidates *candidates, const struct ring_node *node, uint64_t cost)
{
    uint32_t place = candidates->count;

    if (has(candidates, node)) {
        return;
    }
    CHECK(candidates->count < CANDIDATES_MAX);
    for (; place > 0 && candidates->list[place - 1].cost > cost; place--) {
        candidates->list[place] = candidates->list[place - 1];
    }
    candidates->list[place] = (struct candidate){*node, cost};
    candidates->count++;
}

static void add_neighbours(struct candidates *candidates, const struct neighbourhood *near)
{
    const struct ring *ring = candidates->router->ring;

    for (uint32_t i = 0; i < near->count; i++) {
        const struct ring_node *node = &near->nodes[i];
        const struct finger *finger = fingers_find(candidates->router->fingers, node);

        if (!id_equal(&node->position.id, &ring->self.position.id) &&
            !id_equal(&node->position.id, &candidates->key->id) &&
            id_in_arc(&node->position.id, &ring->self.position.id, &candidates->key->id)) {
            add(candidates, node, cost_of(candidates, node, finger != NULL ? finger->rtt_ms : 0));
        }
    }
}

static void add_fingers(struct candidates *candidates)
{
    const struct fingers *fingers = candidates->router->fingers;
    const struct finger *list[FINGERS_MAX];
    bool safe = candidates->choice == ROUTER_SAFE;
    uint32_t wanted_count = safe ? FINGERS_MAX : CANDIDATES_OF_FINGERS;
    uint32_t count = fingers_before(fingers, candidates->key, wanted_count, list);
    uint32_t taken_count = 0;

    for (uint32_t i = 0; i < count && taken_count < CANDIDATES_OF_FINGERS; i++) {
        if (!safe || finger_is_constrained(fingers, list[i])) {
            add(candidates, &list[i]->node, cost_of(candidates, &list[i]->node, list[i]->rtt_ms));
            taken_count++;
        }
    }
}

static void add_locations(struct candidates *candidates)
{
    const struct router *router = candidates->router;
    const struct location *list[CANDIDATES_OF_LOCATIONS];
    uint32_t count;

    if (router->locations == NULL || candidates->choice == ROUTER_SAFE) {
        return;
    }
    count = locations_before(router->locations, &router->ring->self.position, candidates->key,
                             CANDIDATES_OF_LOCATIONS, list);
    for (uint32_t i = 0; i < count; i++) {
        const struct finger *finger = fingers_find(router->fingers, &list[i]->node);

        add(candidates, &list[i]->node,
            cost_of(candidates, &list[i]->node, finger != NULL ? finger->rtt_ms : 0));
    }
}

/* Who owns the key as far as is known; never self, which would know. */
static bool find_owner(const struct candidates *candidates, const struct neighbourhood *near,
                       struct ring_node *node_out)
{
    const struct router *router = candidates->router;
    int place = neighbourhood_owner(near, candidates->key);
    const struct finger *finger = fingers_owner(router->fingers, candidates->key);
    const struct location *location = NULL;
    bool safe = candidates->choice == ROUTER_SAFE;

    if (place >= 0) {
        *node_out = near->nodes[place];
        return !id_equal(&node_out->position.id, &router->ring->self.position.id);
    }
    if (finger != NULL && (!safe || finger_is_constrained(router->fingers, finger))) {
        *node_out = finger->node;
        return true;
    }
    if (router->locations != NULL && !safe) {
        location = locations_owner(router->locations, candidates->key);
    }
    if (location == NULL ||
        id_equal(&location->node.position.id, &router->ring->self.position.id)) {
        return false;
    }
    *node_out = location->node;
    return true;
}

/* Nobody lies before the key: whoever is nearest behind self gives the next hint. */
static void add_last_resort(struct candidates *candidates, const struct neighbourhood *near)
{
    const struct ring *ring = candidates->router->ring;

    for (uint32_t i = 0; i < near->count && candidates->count == 0; i++) {
        const struct ring_node *node = &near->nodes[(near->self + i) % near->count];

        if (!id_equal(&node->position.id, &ring->self.position.id)) {
            add(candidates, node, 0);
        }
    }
}

static void take(struct router_closest *closest, uint32_t count_max, const struct ring_node *node)
{
    for (uint32_t i = 0; i < closest->count; i++) {
        if (id_equal(&closest->nodes[i].position.id, &node->position.id)) {
            return;
        }
    }
    if (closest->count < count_max) {
        closest->nodes[closest->count++] = *node;
    }
}

void router_fingers_closest(const struct router *router, const struct ring_key *key,
                            enum router_choice choice, uint32_t count_max,
                            struct router_closest *closest_out)
{
    struct candidates candidates = {.router = router, .key = key, .choice = choice};
    struct neighbourhood near;
    struct ring_node owner;

    CHECK(count_max <= ROUTER_CLOSEST_MAX);
    closest_out->count = 0;
    closest_out->presumed = ring_has(router->ring, key);
    if (closest_out->presumed) {
        take(closest_out, count_max, &router->ring->self);
    }
    if (ring_responsible(router->ring, key, router->now_ms)) {
        return; /* else, without a lease, another may have taken over */
    }
    neighbourhood_of(router->ring, &near);
    candidates.gap = neighbourhood_gap(neighbourhood_community_size(&near));
    if (find_owner(&candidates, &near, &owner)) {
        closest_out->presumed |= closest_out->count == 0;
        take(closest_out, count_max, &owner);
    }
    add_neighbours(&candidates, &near);
    add_fingers(&candidates);
    add_locations(&candidates);
    add_last_resort(&candidates, &near);
    for (uint32_t i = 0; i < candidates.count; i++) {
        take(closest_out, count_max, &candidates.list[i].node);
    }
}

static uint32_t local_lookup(const struct router *router, const struct ring_key *key, bool safe,
                             uint32_t count_max, struct node_id *nodes_out)
{
    struct router_closest closest;

    router_fingers_closest(router, key, safe ? ROUTER_SAFE : ROUTER_FAST,
                           count_max < ROUTER_CLOSEST_MAX ? count_max : ROUTER_CLOSEST_MAX,
                           &closest);
    for (uint32_t i = 0; i < closest.count; i++) {
        nodes_out[i] = closest.nodes[i].node;
    }
    return closest.count;
}

static bool next_hop(const struct router *router, const struct ring_key *key,
                     struct node_id *node_out)
{
    return local_lookup(router, key, false, 1, node_out) > 0 &&
           !id_equal(&node_out->id, &router->ring->self.node.id);
}

static uint32_t replica_set(const struct router *router, const struct ring_key *key,
                            uint32_t count_max, struct node_id *nodes_out)
{
    struct neighbourhood near;
    uint32_t count = 0;
    int owner;

    neighbourhood_of(router->ring, &near);
    owner = neighbourhood_owner(&near, key);
    if (owner < 0) {
        return 0;
    }
    for (uint32_t i = 0; i < near.count && count < count_max; i++) {
        uint32_t place = (uint32_t)owner + i;

        if (place >= near.count && !near.whole) {
            break;
        }
        nodes_out[count++] = near.nodes[place % near.count].node;
    }
    return count;
}

/* The node `step` places on (or back) from self, if it is known and not self. */
static const struct ring_node *at_step(const struct neighbourhood *near, uint32_t step, bool back)
{
    uint32_t count = near->count;
    /* without self, its place is the first successor's */
    uint32_t ahead = near->has_self ? step : step - 1;

    if (near->whole) {
        return &near->nodes[(near->self + (back ? count - step : ahead)) % count];
    }
    if (back) {
        return step <= near->self ? &near->nodes[near->self - step] : NULL;
    }
    return near->self + ahead < count ? &near->nodes[near->self + ahead] : NULL;
}

static uint32_t neighbour_set(const struct router *router, uint32_t count_max,
                              struct node_id *nodes_out)
{
    struct neighbourhood near;
    uint32_t others_count;
    uint32_t count = 0;

    neighbourhood_of(router->ring, &near);
    others_count = near.count - (near.has_self ? 1 : 0);
    /* On a whole ring both ways meet: no step further than half of it, and the middle only once. */
    for (uint32_t step = 1; step <= near.count && count < count_max && count < others_count;
         step++) {
        const struct ring_node *nodes[2] = {at_step(&near, step, false),
                                            at_step(&near, step, true)};

        for (uint32_t side = 0; side < 2 && count < count_max && count < others_count; side++) {
            if (nodes[side] != NULL && !(side == 1 && nodes[1] == nodes[0])) {
                nodes_out[count++] = nodes[side]->node;
            }
        }
    }
    return count;
}

static bool range(const struct router *router, const struct node_id *node, uint32_t rank,
                  struct ring_key *from_out, struct ring_key *to_out)
{
    struct neighbourhood near;
    uint32_t before = rank + 1; /* so many places lies the arc's beginning */
    int place;

    neighbourhood_of(router->ring, &near);
    place = neighbourhood_find(&near, node);
    if (place < 0 || (!near.whole && before > (uint32_t)place)) {
        return false;
    }
    if (near.whole && before >= near.count) {
        before = 0; /* it holds everything */
    }
    *to_out = near.nodes[place].position;
    *from_out = near.nodes[((uint32_t)place + near.count - before) % near.count].position;
    return true;
}

const struct router_functions router_fingers = {local_lookup, next_hop, replica_set, neighbour_set,
                                                range};
