// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A ring that no node knows as a whole, with everyone's tables filled by the truth. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "overlay/ring/neighbourhood.h"
#include "overlay/routing/router.h"

enum { NODES = 300 };

struct place {
    struct ring ring;
    struct fingers fingers;
    struct locations locations;
};

static struct ring_node nodes[NODES];
static struct place *places;

static struct ring_key key_of(uint32_t number)
{
    return (struct ring_key){
        hash_of("minga test", (struct bytes){(uint8_t *)&number, sizeof(number)})};
}

static int compare(const void *a, const void *b)
{
    const struct ring_node *first = a;
    const struct ring_node *second = b;

    return id_compare(&first->position.id, &second->position.id);
}

static struct router router_at(uint32_t place)
{
    return (struct router){.ring = &places[place].ring,
                           .fingers = &places[place].fingers,
                           .locations = &places[place].locations,
                           .nodes = nodes,
                           .node_count = NODES,
                           .now_ms = 1};
}

static void fill_ring(uint32_t place)
{
    struct ring *ring = &places[place].ring;

    ring_init(ring, &nodes[place], 1);
    ring->phase = RING_IN;
    ring->kept_epoch = 10;
    ring->lease_ms = UINT64_MAX;
    ring->predecessor_count = PREDECESSORS_MAX;
    for (uint32_t i = 0; i < PREDECESSORS_MAX; i++) {
        ring->predecessors[i] = nodes[(place + NODES - 1 - i) % NODES];
    }
    ring->successor_count = SUCCESSORS_MAX;
    for (uint32_t i = 0; i < SUCCESSORS_MAX; i++) {
        ring->successors[i] = nodes[(place + 1 + i) % NODES];
    }
}

/* What the look-ups of the repair would bring. */
static void fill_fingers(uint32_t place)
{
    struct fingers *fingers = &places[place].fingers;
    struct router router = router_at(place);
    struct neighbourhood near;
    struct fingers_effects effects = {.look_up = true};

    neighbourhood_of(&places[place].ring, &near);
    for (uint64_t now_ms = FINGERS_FILL_MS; effects.look_up; now_ms += FINGERS_FILL_MS) {
        struct fingers_event event = {.kind = FINGERS_TICK, .now_ms = now_ms};
        struct node_id owner;
        struct ring_key from;

        event.near_distance = neighbourhood_reach(&near, &nodes[place].position);
        fingers_step(fingers, &event, &effects);
        if (!effects.look_up) {
            break;
        }
        event.kind = FINGERS_FOUND;
        event.target = effects.target;
        event.has_from = true;
        (void)router_static.replica_set(&router, &effects.target, 1, &owner);
        cr_assert(router_static.range(&router, &owner, 0, &from, &event.node.position));
        event.node.node = owner;
        event.from = from;
        fingers_step(fingers, &event, &effects);
        effects.look_up = true;
    }
}

static void begin(void)
{
    places = calloc(NODES, sizeof(*places));
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i].position = key_of(i);
        nodes[i].node.id = key_of(NODES + i).id;
    }
    qsort(nodes, NODES, sizeof(nodes[0]), compare);
    for (uint32_t i = 0; i < NODES; i++) {
        fill_ring(i);
        fingers_init(&places[i].fingers, &nodes[i]);
        locations_init(&places[i].locations);
        fill_fingers(i);
    }
}

static void end(void)
{
    free(places);
}
