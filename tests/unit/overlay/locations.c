// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/locations.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/overlay/ring_at.h"

static struct locations locations;

static void learn(uint16_t from, uint16_t to)
{
    struct ring_node node = at(to);
    struct ring_key start = at(from).position;

    locations_learn(&locations, &node, &start);
}

/* The position of who answers for the point, -1: not known. */
static int owner(uint16_t point)
{
    struct ring_key key = at(point).position;
    const struct location *location = locations_owner(&locations, &key);

    if (location == NULL) {
        return -1;
    }
    return location->node.position.id.bytes[0] << 8 | location->node.position.id.bytes[1];
}

static void begin(void)
{
    locations_init(&locations);
}

TestSuite(locations, .init = begin);

Test(locations, an_arc_covers_its_end_and_not_its_beginning)
{
    learn(100, 200);
    cr_assert_eq(owner(100), -1);
    cr_assert_eq(owner(101), 200);
    cr_assert_eq(owner(200), 200);
    cr_assert_eq(owner(201), -1);
}

Test(locations, an_arc_may_pass_zero)
{
    learn(65000, 10);
    learn(100, 200);
    cr_assert_eq(owner(65001), 10);
    cr_assert_eq(owner(5), 10);
    cr_assert_eq(owner(10), 10);
    cr_assert_eq(owner(11), -1);
    cr_assert_eq(owner(65000), -1);
}

Test(locations, a_larger_arc_removes_who_stood_inside)
{
    learn(100, 150);
    learn(150, 180);
    learn(300, 400);
    learn(90, 200);
    cr_assert_eq(owner(120), 200);
    cr_assert_eq(owner(160), 200);
    cr_assert_eq(owner(350), 400);
    cr_assert_eq(locations.count, 2);
}

Test(locations, a_node_that_came_between_cuts_the_arc_behind_it)
{
    learn(100, 200);
    learn(100, 150);
    cr_assert_eq(owner(120), 150);
    cr_assert_eq(owner(151), 200);
}

Test(locations, what_is_forgotten_is_not_found)
{
    struct ring_node node = at(200);

    learn(100, 200);
    locations_forget(&locations, &node);
    cr_assert_eq(owner(150), -1);
    locations_forget(&locations, &node);
    cr_assert_eq(locations.count, 0);
}

Test(locations, the_arc_not_used_for_longest_makes_room)
{
    struct ring_node first = at(10);

    for (uint16_t i = 0; i < LOCATIONS_MAX; i++) {
        learn((uint16_t)(i * 100), (uint16_t)(i * 100 + 10));
    }
    locations_touch(&locations, &first);
    learn(60000, 60010);
    cr_assert_eq(locations.count, LOCATIONS_MAX);
    cr_assert_eq(owner(5), 10, "it was used");
    cr_assert_eq(owner(105), -1);
    cr_assert_eq(owner(60005), 60010);
}

Test(locations, those_before_a_key_come_nearest_first_and_not_from_behind_self)
{
    const struct location *list[8];
    struct ring_key self = at(100).position;
    struct ring_key key = at(500).position;

    learn(40, 50);
    learn(190, 200);
    learn(290, 300);
    learn(490, 500);
    cr_assert_eq(locations_before(&locations, &self, &key, 8, list), 2);
    cr_assert_eq(list[0]->node.position.id.bytes[1], 300 - 256);
    cr_assert_eq(list[1]->node.position.id.bytes[1], 200);
    cr_assert_eq(locations_before(&locations, &self, &key, 1, list), 1);
}

Test(locations, an_arc_of_the_whole_ring_leaves_only_its_owner)
{
    learn(10, 20);
    learn(30, 40);
    learn(100, 100);
    cr_assert_eq(locations.count, 1);
    cr_assert_eq(owner(35), 100);
}
