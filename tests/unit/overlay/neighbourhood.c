// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/neighbourhood.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/overlay/ring_at.h"

static struct ring ring;
static struct neighbourhood near;

/* Self at 1000, in a ring with a node every `gap`; so many successors and predecessors are known. */
static void stand(uint16_t gap, uint32_t successor_count, uint32_t predecessor_count)
{
    struct ring_node self = at(1000);

    ring_init(&ring, &self, 1);
    ring.phase = RING_IN;
    ring.successor_count = successor_count;
    for (uint32_t i = 0; i < successor_count; i++) {
        ring.successors[i] = at((uint16_t)(1000 + (i + 1) * gap));
    }
    ring.predecessor_count = predecessor_count;
    for (uint32_t i = 0; i < predecessor_count; i++) {
        ring.predecessors[i] = at((uint16_t)(1000 - (i + 1) * gap));
    }
}

static int owner_of(uint16_t position)
{
    struct ring_key key = at(position).position;
    int place;

    neighbourhood_of(&ring, &near);
    place = neighbourhood_owner(&near, &key);
    if (place < 0) {
        return -1;
    }
    return near.nodes[place].position.id.bytes[0] << 8 | near.nodes[place].position.id.bytes[1];
}

Test(neighbourhood, in_a_large_ring_it_reaches_from_the_last_predecessor_to_the_last_successor)
{
    stand(10, 16, 4);
    cr_assert_eq(owner_of(960), -1, "who comes before that one is not known");
    cr_assert_eq(owner_of(961), 970);
    cr_assert_eq(owner_of(995), 1000);
    cr_assert_eq(owner_of(1160), 1160);
    cr_assert_eq(owner_of(1161), -1);
    cr_assert(!near.whole);
}

Test(neighbourhood, a_ring_of_a_few_is_seen_as_a_whole)
{
    stand(10, 3, 0);
    ring.predecessor_count = 1;
    ring.predecessors[0] = ring.successors[2];
    cr_assert_eq(owner_of(1031), 1000);
    cr_assert_eq(owner_of(5), 1000);
    cr_assert(near.whole);
    cr_assert_eq(neighbourhood_community_size(&near), 4);
}

Test(neighbourhood, a_node_alone_is_the_whole_ring)
{
    stand(10, 0, 0);
    ring.predecessor_count = 1;
    ring.predecessors[0] = ring.self;
    cr_assert_eq(owner_of(7), 1000);
    cr_assert_eq(neighbourhood_community_size(&near), 1);
}

/* The list had lost two, and then the predecessor asked and so became the farthest successor. */
Test(neighbourhood, a_predecessor_at_the_end_of_a_short_list_does_not_close_a_large_ring)
{
    stand(10, 15, 4);
    ring.successors[14] = ring.predecessors[0];
    cr_assert_eq(owner_of(30000), -1);
    cr_assert(!near.whole);
    cr_assert_eq(owner_of(1140), 1140);
    cr_assert_eq(owner_of(1150), -1, "the way to the predecessor is not known");
    cr_assert_gt(neighbourhood_community_size(&near), 5000);
}

Test(neighbourhood, a_list_that_ends_with_a_farther_predecessor_is_cut_before_it)
{
    stand(10, 16, 4);
    ring.successors[15] = ring.predecessors[2];
    neighbourhood_of(&ring, &near);
    cr_assert(!near.whole);
    cr_assert_eq(near.count, 4 + 1 + 15);
    cr_assert_lt(neighbourhood_community_size(&near), 10000);
    cr_assert_gt(neighbourhood_community_size(&near), 5000);
}

Test(neighbourhood, fifteen_nodes_evenly_spread_are_a_whole_ring)
{
    stand(65536 / 15, 14, 0);
    ring.predecessor_count = 1;
    ring.predecessors[0] = ring.successors[13];
    cr_assert_eq(owner_of(900), 1000);
    cr_assert(near.whole);
}

Test(neighbourhood, one_that_does_not_stand_on_the_ring_is_no_part_of_it)
{
    stand(10, 16, 0);
    ring.phase = RING_JOINING;
    cr_assert_eq(owner_of(1000), -1);
    cr_assert_eq(owner_of(1011), 1020);
    cr_assert(!near.has_self);
}

Test(neighbourhood, predecessors_out_of_order_are_left_out)
{
    stand(10, 16, 4);
    ring.predecessors[2] = at(995);
    neighbourhood_of(&ring, &near);
    cr_assert_eq(near.self, 2);
}
