// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/fingers.h"

#include <criterion/criterion.h>
#include <string.h>

static struct fingers fingers;
static struct fingers_effects effects;

/* Self lies at 0; a node at a distance whose first two bytes are given. */
static struct ring_node at(uint8_t first, uint8_t second)
{
    struct ring_node node;

    memset(&node, 0, sizeof(node));
    node.position.id.bytes[0] = first;
    node.position.id.bytes[1] = second;
    node.node.id = node.position.id;
    return node;
}

static struct ring_key key_at(uint8_t first, uint8_t second)
{
    return at(first, second).position;
}

static void step(struct fingers_event event)
{
    fingers_step(&fingers, &event, &effects);
}

static void know(struct ring_node node, uint32_t rtt_ms)
{
    step((struct fingers_event){.kind = FINGERS_KNOWN, .node = node, .rtt_ms = rtt_ms});
}

static void know_arc(struct ring_node node, struct ring_key from)
{
    step((struct fingers_event){
        .kind = FINGERS_KNOWN, .node = node, .has_from = true, .from = from});
}

/* The successor list reaches to 00 40. */
static void tick(uint64_t now_ms)
{
    step((struct fingers_event){
        .kind = FINGERS_TICK, .now_ms = now_ms, .near_distance = at(0, 0x40).position.id});
}

static void begin(void)
{
    struct ring_node self = at(0, 0);

    fingers_init(&fingers, &self);
    tick(1);
}

static bool knows(struct ring_node node)
{
    return fingers_find(&fingers, &node) != NULL;
}

TestSuite(fingers, .init = begin);

Test(fingers, a_distance_belongs_to_the_slot_of_its_first_digit_that_is_not_zero)
{
    struct id distance = at(0x30, 0).position.id;

    cr_assert_eq(fingers_slot(&distance), 2);
    distance = at(0x3f, 0xff).position.id;
    cr_assert_eq(fingers_slot(&distance), 2);
    distance = at(0x0f, 0).position.id;
    cr_assert_eq(fingers_slot(&distance), 15 + 14);
    distance = at(0, 0x12).position.id;
    cr_assert_eq(fingers_slot(&distance), 30);
    distance = at(0, 0).position.id;
    cr_assert_eq(fingers_slot(&distance), FINGER_SLOT_NONE);
}

Test(fingers, the_start_of_a_slot_is_counted_on_around_the_circle)
{
    struct ring_key self = key_at(0xf8, 0x01);
    struct ring_key start = fingers_slot_start(&self, 2);
    struct ring_key expected = key_at(0x28, 0x01);

    cr_assert(id_equal(&start.id, &expected.id));
    start = fingers_slot_start(&self, 15 + 14);
    expected = key_at(0x07, 0x01);
    cr_assert(id_equal(&start.id, &expected.id));
}

Test(fingers, every_slot_begins_where_the_one_before_ends)
{
    struct ring_key zero = {0};

    for (uint32_t slot = 0; slot < FINGER_SLOTS; slot++) {
        struct ring_key start = fingers_slot_start(&zero, slot);

        cr_assert_eq(fingers_slot(&start.id), (int)slot);
    }
}

Test(fingers, a_slot_keeps_the_owner_of_its_start_and_the_nearest_by_round_trip)
{
    know_arc(at(0x30, 0x10), key_at(0x2f, 0));
    know(at(0x31, 0), 300);
    know(at(0x32, 0), 100);
    know(at(0x33, 0), 200);
    for (uint8_t i = 3; i < FINGER_SLOT_CANDIDATES; i++) {
        know(at((uint8_t)(0x35 + i), 0), 150);
    }
    cr_assert_eq(fingers.count, FINGER_SLOT_CANDIDATES);
    cr_assert(knows(at(0x30, 0x10)), "it answers for the slot's first point");
    cr_assert(!knows(at(0x31, 0)), "the slowest has made room");
    know(at(0x34, 0), 250);
    cr_assert(!knows(at(0x34, 0)));
    know_arc(at(0x30, 0x08), key_at(0x2f, 0));
    cr_assert(knows(at(0x30, 0x08)));
}

Test(fingers, what_the_successor_list_covers_is_no_finger)
{
    know(at(0, 0x40), 1);
    cr_assert_eq(fingers.count, 0);
    know(at(0, 0x41), 1);
    cr_assert_eq(fingers.count, 1);
    step((struct fingers_event){
        .kind = FINGERS_TICK, .now_ms = 2, .near_distance = at(0, 0x41).position.id});
    cr_assert_eq(fingers.count, 1, "the far end itself may stay");
    step((struct fingers_event){
        .kind = FINGERS_TICK, .now_ms = 3, .near_distance = at(0, 0x42).position.id});
    cr_assert_eq(fingers.count, 0);
}

Test(fingers, self_is_never_a_finger)
{
    know(at(0, 0), 1);
    cr_assert_eq(fingers.count, 0);
}

Test(fingers, those_before_a_key_come_nearest_first_and_strictly_before_it)
{
    const struct finger *list[4];
    struct ring_key key = key_at(0x50, 0);

    know(at(0x20, 0), 1);
    know(at(0x40, 0), 1);
    know(at(0x50, 0), 1);
    know(at(0x60, 0), 1);
    cr_assert_eq(fingers_before(&fingers, &key, 4, list), 2);
    cr_assert_eq(list[0]->node.position.id.bytes[0], 0x40);
    cr_assert_eq(list[1]->node.position.id.bytes[0], 0x20);
}

Test(fingers, before_the_own_position_lies_everyone)
{
    const struct finger *list[4];
    struct ring_key key = key_at(0, 0);

    know(at(0x20, 0), 1);
    know(at(0x60, 0), 1);
    cr_assert_eq(fingers_before(&fingers, &key, 4, list), 2);
    cr_assert_eq(list[0]->node.position.id.bytes[0], 0x60);
}

Test(fingers, a_known_arc_names_the_owner_of_a_key)
{
    struct ring_key inside = key_at(0x50, 0x20);
    struct ring_key start = key_at(0x50, 0);

    know_arc(at(0x50, 0x80), start);
    cr_assert_not_null(fingers_owner(&fingers, &inside));
    cr_assert_null(fingers_owner(&fingers, &start), "the arc begins behind its start");
    step((struct fingers_event){.kind = FINGERS_LOST, .node = at(0x50, 0x80)});
    cr_assert_null(fingers_owner(&fingers, &inside));
}

Test(fingers, round_trips_are_smoothed)
{
    struct ring_node node = at(0x50, 0);

    know(node, 100);
    step((struct fingers_event){.kind = FINGERS_RTT, .node = node, .rtt_ms = 200});
    cr_assert_eq(fingers_find(&fingers, &node)->rtt_ms, 125);
}

static uint32_t look_ups_within(uint64_t from_ms, uint64_t to_ms, bool answered)
{
    uint32_t count = 0;

    for (uint64_t now_ms = from_ms; now_ms < to_ms; now_ms += 100) {
        tick(now_ms);
        if (effects.look_up) {
            struct ring_node owner = {.node = {effects.target.id}, .position = effects.target};
            struct ring_key from = effects.target;

            count++;
            owner.position.id.bytes[ID_BYTES - 1] = 1;
            from.id.bytes[1]--;
            if (answered) {
                step((struct fingers_event){.kind = FINGERS_FOUND,
                                            .node = owner,
                                            .has_from = true,
                                            .from = from,
                                            .target = effects.target});
            }
        }
    }
    return count;
}

Test(fingers, all_slots_are_filled_at_first_and_then_looked_at_ever_more_rarely)
{
    enum { NEEDED = 15 + 15 + 12 }; /* of the third digit those that reach behind 00 40 */

    begin();
    cr_assert_eq(look_ups_within(1000, 1000 + (NEEDED + 1) * FINGERS_FILL_MS, true), NEEDED);
    cr_assert_eq(fingers.count, NEEDED);
    (void)look_ups_within(100000, 10000000, true);
    cr_assert_eq(fingers.period_ms, FINGERS_PERIOD_MS_MAX, "nothing ever changed");
    cr_assert_leq(look_ups_within(10000000, 10000000 + 3600000, true),
                  3600000 / FINGERS_PERIOD_MS_MAX + 1);
}

Test(fingers, a_lost_finger_is_looked_up_soon_and_news_quicken_the_round)
{
    struct ring_node lost;

    (void)look_ups_within(1000, 10000000, true);
    lost = fingers.list[7].node;
    cr_assert_eq(fingers.period_ms, FINGERS_PERIOD_MS_MAX);
    step((struct fingers_event){.kind = FINGERS_LOST, .node = lost});
    tick(10000000 + FINGERS_FILL_MS);
    cr_assert(effects.look_up);
    cr_assert_eq(fingers_slot(&effects.target.id), fingers_slot(&lost.position.id));
    step((struct fingers_event){.kind = FINGERS_FOUND, .node = lost, .target = effects.target});
    cr_assert_lt(fingers.period_ms, FINGERS_PERIOD_MS_MAX);
}

Test(fingers, a_full_table_still_takes_the_only_one_of_a_slot)
{
    struct id near = {0};

    step((struct fingers_event){.kind = FINGERS_TICK, .now_ms = 5, .near_distance = near});
    for (uint32_t slot = 1; slot < FINGER_SLOTS; slot++) {
        struct ring_key start = fingers_slot_start(&fingers.self.position, slot);

        for (uint8_t i = 0; i < FINGER_SLOT_CANDIDATES; i++) {
            struct ring_node node = {.position = start};

            node.position.id.bytes[ID_BYTES - 1] = (uint8_t)(i + 1);
            node.node.id = node.position.id;
            know(node, 10U + i);
        }
    }
    cr_assert_eq(fingers.count, FINGERS_MAX);
    know(at(0x10, 0x01), 0);
    cr_assert(knows(at(0x10, 0x01)));
    cr_assert_eq(fingers.count, FINGERS_MAX);
}
