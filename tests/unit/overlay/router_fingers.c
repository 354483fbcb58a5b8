// SPDX-License-Identifier: GPL-3.0-or-later
/* Fingers in a ring that no node knows as a whole, beside the list of all nodes. */
#include "large_ring.h"

enum { HOPS_MAX = 5, KEYS = 20 };

static uint32_t place_of(const struct node_id *node)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (id_equal(&nodes[i].node.id, &node->id)) {
            return i;
        }
    }
    cr_assert_fail("a next hop that does not exist");
    return 0;
}

TestSuite(router_in_a_large_ring, .init = begin, .fini = end);

Test(router_in_a_large_ring, next_hops_lead_everyone_to_the_owner_in_a_few_steps)
{
    uint32_t total = 0;

    for (uint32_t start = 0; start < NODES; start++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            struct ring_key key = key_of(100000 + start * KEYS + i);
            struct router router = router_at(start);
            struct node_id owner;
            struct node_id next = nodes[start].node;
            uint32_t hops = 0;

            (void)router_static.replica_set(&router, &key, 1, &owner);
            while (router_fingers.next_hop(&router, &key, &next)) {
                cr_assert_leq(++hops, HOPS_MAX);
                router = router_at(place_of(&next));
            }
            cr_assert(id_equal(&router.ring->self.node.id, &owner.id));
            total += hops;
        }
    }
    cr_assert_lt(total, 2 * NODES * KEYS, "fewer than two hops in the mean");
}

Test(router_in_a_large_ring, replicas_and_ranges_are_right_where_they_are_known)
{
    uint32_t known_count = 0;

    for (uint32_t i = 0; i < NODES * KEYS; i++) {
        struct ring_key key = key_of(200000 + i);
        struct router router = router_at(i % NODES);
        struct node_id mine[RECORD_COPIES];
        struct node_id truth[RECORD_COPIES];
        uint32_t count = router_fingers.replica_set(&router, &key, RECORD_COPIES, mine);

        (void)router_static.replica_set(&router, &key, RECORD_COPIES, truth);
        for (uint32_t k = 0; k < count; k++) {
            cr_assert(id_equal(&mine[k].id, &truth[k].id));
        }
        known_count += count > 0;
    }
    cr_assert_gt(known_count, NODES, "the keys near by");
    for (uint32_t i = 0; i < NODES; i++) {
        struct router router = router_at(i);
        struct ring_key arcs[2][2];

        for (uint32_t step = 0; step < SUCCESSORS_MAX; step++) {
            const struct node_id *node = &nodes[(i + step) % NODES].node;

            cr_assert(router_fingers.range(&router, node, step, &arcs[0][0], &arcs[0][1]));
            cr_assert(router_static.range(&router, node, step, &arcs[1][0], &arcs[1][1]));
            cr_assert(id_equal(&arcs[0][0].id, &arcs[1][0].id));
            cr_assert(id_equal(&arcs[0][1].id, &arcs[1][1].id));
        }
        cr_assert(!router_fingers.range(&router, &nodes[(i + 100) % NODES].node, 0, &arcs[0][0],
                                        &arcs[0][1]));
    }
}

Test(router_in_a_large_ring, neighbours_are_the_successors_and_the_predecessor)
{
    struct router router = router_at(7);
    struct node_id set[ROUTER_NEIGHBOURS_MAX];
    uint32_t count = router_fingers.neighbour_set(&router, ROUTER_NEIGHBOURS_MAX, set);

    cr_assert_geq(count, SUCCESSORS_MAX);
    cr_assert(id_equal(&set[0].id, &nodes[8].node.id));
    cr_assert(id_equal(&set[1].id, &nodes[6].node.id));
    cr_assert(id_equal(&set[2].id, &nodes[9].node.id));
}

Test(router_in_a_large_ring, a_location_that_was_learnt_is_one_hop_away)
{
    struct router router = router_at(0);
    struct ring_key key = nodes[150].position;
    struct router_closest closest;
    struct node_id next;

    key.id.bytes[ID_BYTES - 1]--;
    router_fingers_closest(&router, &key, ROUTER_SAFE, 4, &closest);
    locations_learn(&places[0].locations, &nodes[150], &nodes[149].position);
    cr_assert(router_fingers.next_hop(&router, &key, &next));
    cr_assert(id_equal(&next.id, &nodes[150].node.id));
    router_fingers_closest(&router, &key, ROUTER_FAST, 4, &closest);
    cr_assert_gt(closest.count, 1);
    cr_assert(closest.presumed);
    router_fingers_closest(&router, &key, ROUTER_SAFE, 4, &closest);
    cr_assert(!closest.presumed || fingers_owner(&places[0].fingers, &key) != NULL,
              "a safe lookup does not follow what was learnt by the way");
}

Test(router_in_a_large_ring, of_two_next_hops_that_are_alike_the_nearer_by_round_trip_is_taken)
{
    struct router router = router_at(0);
    struct fingers_event event = {.kind = FINGERS_KNOWN};
    struct fingers_effects effects;
    struct ring_key key = nodes[200].position;
    struct router_closest closest;

    fingers_init(&places[0].fingers, &nodes[0]);
    event.near_distance = id_distance(&nodes[0].position.id, &nodes[SUCCESSORS_MAX].position.id);
    event.kind = FINGERS_TICK;
    fingers_step(&places[0].fingers, &event, &effects);
    event.kind = FINGERS_KNOWN;
    event.node = nodes[150];
    event.rtt_ms = 20;
    fingers_step(&places[0].fingers, &event, &effects);
    event.node = nodes[155];
    event.rtt_ms = 400;
    fingers_step(&places[0].fingers, &event, &effects);
    router_fingers_closest(&router, &key, ROUTER_FAST, 2, &closest);
    cr_assert(id_equal(&closest.nodes[0].node.id, &nodes[150].node.id));
    router_fingers_closest(&router, &key, ROUTER_SAFE, 2, &closest);
    cr_assert(!closest.presumed);
}

Test(router_in_a_large_ring, the_size_of_the_community_is_estimated_from_the_density)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        struct neighbourhood near;
        uint64_t size;

        neighbourhood_of(&places[i].ring, &near);
        size = neighbourhood_community_size(&near);
        cr_assert(size > NODES / 4 && size < NODES * 4);
        sum += size;
    }
    cr_assert(sum / NODES > NODES * 3 / 4 && sum / NODES < NODES * 3 / 2);
}
