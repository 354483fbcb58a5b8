// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring.h"

#include <criterion/criterion.h>
#include <string.h>

static struct ring ring;
static struct ring_effects effects;

static struct ring_node at(uint8_t position)
{
    struct ring_node node;

    memset(&node, 0, sizeof(node));
    node.node.id.bytes[0] = position;
    node.position.id.bytes[0] = position;
    return node;
}

static struct ring_key key_at(uint8_t position)
{
    return (struct ring_key){at(position).position.id};
}

static bool answers_for(uint8_t position)
{
    struct ring_key key = key_at(position);

    return ring_responsible(&ring, &key);
}

static bool is_at(const struct ring_node *node, uint8_t position)
{
    struct ring_node other = at(position);

    return id_equal(&node->node.id, &other.node.id);
}

static void step(struct ring_event event)
{
    ring_step(&ring, &event, &effects);
}

static bool sends(enum ring_effect_kind kind, uint8_t to)
{
    struct ring_node node = at(to);

    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.list[i].kind == kind &&
            (kind == RING_ARC || id_equal(&effects.list[i].to.id, &node.node.id))) {
            return true;
        }
    }
    return false;
}

static void begin(uint8_t self, bool alone)
{
    struct ring_node node = at(self);

    ring_init(&ring, &node, 5);
    step((struct ring_event){.kind = RING_BEGIN, .now_ms = 1000, .alone = alone});
}

/* A member of the ring {10, 20, 30} at 20. */
static void be_in_the_middle(void)
{
    begin(20, false);
    step((struct ring_event){.kind = RING_KNOWN, .now_ms = 1000, .node = at(30)});
    step((struct ring_event){.kind = RING_KNOWN, .now_ms = 1000, .node = at(10)});
    step((struct ring_event){.kind = RING_RECTIFIED,
                             .now_ms = 1010,
                             .node = at(30),
                             .accepted = true,
                             .has_other = true,
                             .other = at(10)});
}

Test(ring, the_first_node_answers_for_everything)
{
    begin(20, true);
    cr_assert(sends(RING_ARC, 0));
    cr_assert(answers_for(21));
    cr_assert_eq(ring.epoch, 6);
}

Test(ring, a_newcomer_answers_for_nothing_until_its_successor_hands_over)
{
    struct ring_key own = key_at(20);

    begin(20, false);
    cr_assert(!ring_responsible(&ring, &own));
    step((struct ring_event){.kind = RING_KNOWN, .now_ms = 1000, .node = at(30)});
    cr_assert(sends(RING_SEND_RECTIFY, 30));
    cr_assert(!ring_responsible(&ring, &own));
    step((struct ring_event){.kind = RING_RECTIFIED,
                             .now_ms = 1010,
                             .node = at(30),
                             .accepted = true,
                             .epoch = 40,
                             .has_other = true,
                             .other = at(10)});
    cr_assert(sends(RING_ARC, 0));
    cr_assert_gt(ring.epoch, 40, "the new arc outranks the one it was cut from");
    cr_assert(ring_responsible(&ring, &own));
    cr_assert(!answers_for(10));
    cr_assert(answers_for(11));
    cr_assert(!answers_for(21));
}

Test(ring, nobody_found_in_time_means_alone_and_not_earlier)
{
    begin(20, false);
    step((struct ring_event){.kind = RING_TICK, .now_ms = 1000 + ABSENT_MS - 1});
    cr_assert_eq(ring.phase, RING_JOINING);
    step((struct ring_event){.kind = RING_TICK, .now_ms = 1000 + ABSENT_MS - 1 + RING_JOIN_MS});
    cr_assert_eq(ring.phase, RING_IN);
    cr_assert(sends(RING_ARC, 0));
}

Test(ring, the_successor_gives_its_arc_to_a_nearer_predecessor_and_names_the_old_one)
{
    struct ring_key given = key_at(15);

    be_in_the_middle();
    cr_assert(ring_responsible(&ring, &given));
    step((struct ring_event){
        .kind = RING_ASKED_TO_RECTIFY, .now_ms = 2000, .node = at(15), .epoch = 9});
    cr_assert(effects.accepted);
    cr_assert(effects.has_before);
    cr_assert(is_at(&effects.before, 10));
    cr_assert(sends(RING_ARC, 0));
    cr_assert(!ring_responsible(&ring, &given));
    step((struct ring_event){.kind = RING_ASKED_TO_RECTIFY, .now_ms = 2100, .node = at(15)});
    cr_assert(effects.accepted, "a repeated question gets the same answer");
    cr_assert(is_at(&effects.before, 10));
    cr_assert(!sends(RING_ARC, 0));
}

Test(ring, a_farther_node_is_not_taken_as_predecessor)
{
    be_in_the_middle();
    step((struct ring_event){.kind = RING_ASKED_TO_RECTIFY, .now_ms = 2000, .node = at(5)});
    cr_assert(!effects.accepted);
    cr_assert(effects.has_before);
    cr_assert(is_at(&effects.before, 10));
    cr_assert(!sends(RING_ARC, 0));
}

Test(ring, a_refused_node_turns_to_who_lies_between)
{
    begin(10, false);
    step((struct ring_event){.kind = RING_KNOWN, .now_ms = 1000, .node = at(30)});
    step((struct ring_event){.kind = RING_RECTIFIED,
                             .now_ms = 1010,
                             .node = at(30),
                             .accepted = false,
                             .has_other = true,
                             .other = at(20)});
    cr_assert(sends(RING_SEND_STABILISE, 20));
    cr_assert(is_at(&ring.successors[0], 20));
    cr_assert_eq(ring.phase, RING_JOINING);
}

Test(ring, a_dead_predecessor_is_followed_by_the_nearest_member_before)
{
    be_in_the_middle();
    step((struct ring_event){
        .kind = RING_LOST, .now_ms = 2000, .node = at(10), .has_other = true, .other = at(200)});
    cr_assert(sends(RING_ARC, 0));
    cr_assert(answers_for(5));
    cr_assert(answers_for(201));
    cr_assert(!answers_for(200));
}

Test(ring, the_last_one_left_answers_for_everything)
{
    be_in_the_middle();
    step((struct ring_event){.kind = RING_LOST, .now_ms = 2000, .node = at(30)});
    step((struct ring_event){.kind = RING_LOST, .now_ms = 2000, .node = at(10)});
    cr_assert(sends(RING_ARC, 0));
    cr_assert_eq(ring.successor_count, 0);
    cr_assert(answers_for(99));
}

Test(ring, stabilise_finds_who_slipped_in_between)
{
    be_in_the_middle();
    step((struct ring_event){.kind = RING_STABILISED,
                             .now_ms = 2000,
                             .node = at(30),
                             .has_other = true,
                             .other = at(25)});
    cr_assert(is_at(&ring.successors[0], 25));
    cr_assert(sends(RING_SEND_STABILISE, 25));
    step((struct ring_event){.kind = RING_STABILISED,
                             .now_ms = 2010,
                             .node = at(25),
                             .has_other = true,
                             .other = at(10)});
    cr_assert(sends(RING_SEND_RECTIFY, 25), "it must learn that we come before it");
    step((struct ring_event){.kind = RING_STABILISED,
                             .now_ms = 3010,
                             .node = at(25),
                             .has_other = true,
                             .other = at(20)});
    cr_assert_eq(effects.count, 0, "then the ring is quiet");
}

Test(ring, a_leaving_node_answers_for_nothing)
{
    be_in_the_middle();
    step((struct ring_event){.kind = RING_LEAVE, .now_ms = 2000});
    cr_assert(!answers_for(20));
    step((struct ring_event){.kind = RING_TICK, .now_ms = 9000});
    cr_assert_eq(effects.count, 0);
}

Test(ring, the_successor_list_is_sorted_bounded_and_without_repetition)
{
    begin(100, false);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 40; i++) {
            step((struct ring_event){
                .kind = RING_KNOWN, .now_ms = 1000, .node = at((uint8_t)(i * 77 % 200))});
        }
    }
    cr_assert_eq(ring.successor_count, SUCCESSORS_MAX);
    for (uint32_t i = 1; i < ring.successor_count; i++) {
        struct id a = id_distance(&ring.self.position.id, &ring.successors[i - 1].position.id);
        struct id b = id_distance(&ring.self.position.id, &ring.successors[i].position.id);

        cr_assert_lt(id_compare(&a, &b), 0);
    }
}

Test(ring, an_absurd_epoch_is_not_taken_over)
{
    be_in_the_middle();
    step((struct ring_event){
        .kind = RING_ASKED_TO_RECTIFY, .now_ms = 2000, .node = at(15), .epoch = UINT64_MAX});
    cr_assert_lt(ring.epoch, 1000);
}
