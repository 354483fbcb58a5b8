// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/ring/ring_internal.h"
#include "tests/unit/overlay/one_ring.h"

Test(ring, the_first_node_answers_for_everything_and_needs_nobody)
{
    struct ring_event event = tick(900000);

    begin(20, true);
    cr_assert(has_effect(RING_ARC, 0));
    cr_assert(answers_for(21));
    cr_assert_eq(ring.epoch, 6);
    event.alone = true;
    step(event);
    cr_assert(answers_for(21), "nor did it while it slept");
}

Test(ring, a_node_alone_that_slept_answers_for_nothing_until_nobody_was_heard_for_long)
{
    begin(20, true);
    step(tick(2000));
    now_ms = 2000 + RING_SELF_MS - 1;
    cr_assert(answers_for(21));
    now_ms = 2000 + RING_SELF_MS;
    cr_assert(!answers_for(21), "another may have begun the ring");
    for (uint64_t at_ms = 900000; at_ms < 900000 + RING_ALONE_MS; at_ms += RING_JOIN_MS) {
        step(tick(at_ms));
        cr_assert(!answers_for(21));
    }
    step(tick(900000 + RING_ALONE_MS));
    cr_assert(answers_for(21));
}

Test(ring, a_node_alone_that_slept_joins_one_that_was_alone_meanwhile)
{
    begin(20, true);
    step(tick(900000));
    step(asked(30, 900010));
    cr_assert_eq(effects.answer.verdict, RING_IDLE);
    step(handed(30, 30, 900020));
    cr_assert(answers_for(20));
    cr_assert(!answers_for(30));
    now_ms = 900020 + LEASE_MS;
    cr_assert(!answers_for(20));
}

Test(ring, an_epoch_that_is_not_durable_is_not_answered_with)
{
    struct ring_node node = at(20);

    ring_init(&ring, &node, 5);
    step((struct ring_event){.kind = RING_BEGIN, .now_ms = 1000, .alone = true});
    cr_assert(!answers_for(21));
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 1001, .epoch = 5});
    cr_assert(!answers_for(21));
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 1002, .epoch = 6});
    cr_assert(answers_for(21));
}

Test(ring, an_epoch_that_is_only_heard_of_does_not_keep_a_node_from_answering)
{
    struct ring_event event;

    know_what_is_before();
    event = granted(30, 2010);
    event.epoch = 5000; /* of one that was restarted often */
    step(event);
    cr_assert_eq(ring.epoch, 5000);
    cr_assert(answers_for(20));
    step(asked_by_newcomer(15, 2020));
    step(granted(30, 2022)); /* it is told first that somebody comes */
    step(asked_by_newcomer(15, 2024));
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    cr_assert_gt(effects.answer.epoch, 5000, "what is cut from it is above");
    cr_assert(!answers_for(20), "so is the rest, and not durable yet");
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 2030, .epoch = ring.epoch});
    cr_assert(answers_for(20));
}

Test(ring, what_is_handed_over_again_is_answered_for_when_its_epoch_is_durable)
{
    struct ring_event event = {0};

    be_in_the_middle();
    event = handed(30, 10, 2010);
    event.answer.epoch = 5000;
    step(event);
    cr_assert(!answers_for(20));
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 2030, .epoch = ring.epoch});
    cr_assert(answers_for(20));
}

Test(ring, an_arc_that_begins_at_one_that_is_not_known_yet_is_no_lease_on_the_old_one)
{
    struct ring_event event;

    be_in_the_middle();
    step(tick(2000 + LEASE_MS));
    cr_assert(!answers_for(15));
    event = handed(30, 15, 2100 + LEASE_MS); /* to whom 30 has given what was ours */
    event.has_other = false;
    step(event);
    cr_assert(!answers_for(15), "it may answer for that");
    cr_assert(!answers_for(20));
    step(handed(30, 15, 2200 + LEASE_MS));
    step((struct ring_event){.kind = RING_KEPT, .now_ms = 2210 + LEASE_MS, .epoch = ring.epoch});
    cr_assert(!answers_for(15));
    cr_assert(answers_for(16));
}

Test(ring, a_newcomer_answers_for_nothing_until_its_keeper_hands_over)
{
    begin(20, false);
    cr_assert(!answers_for(20));
    step(known(30));
    cr_assert(has_effect(RING_ASK, 30));
    step(granted(30, 1005));
    cr_assert(!answers_for(20), "a lease on nothing");
    step(handed(30, 10, 1010));
    cr_assert(has_effect(RING_ARC, 0));
    cr_assert_gt(ring.epoch, 40, "the new arc outranks the one it was cut from");
    cr_assert(answers_for(20));
    cr_assert(!answers_for(10));
    cr_assert(answers_for(11));
    cr_assert(!answers_for(21));
}

Test(ring, nobody_heard_in_time_means_alone_and_not_earlier)
{
    begin(20, false);
    step(tick(1000 + RING_ALONE_MS / 2));
    step(tick(1000 + RING_ALONE_MS - 1));
    cr_assert_eq(ring.phase, RING_JOINING);
    step(tick(1000 + RING_ALONE_MS - 1 + RING_JOIN_MS));
    cr_assert(answers_for(99));
}

Test(ring, sleep_counts_neither_as_waiting_for_others_nor_as_having_been_told_nothing)
{
    begin(20, false);
    step(tick(900000));
    cr_assert_eq(ring.phase, RING_JOINING);
    be_in_the_middle();
    step(tick(2000 + LEASE_MS));
    step(asked(10, 2000 + LEASE_MS + RING_GIVE_UP_MS - 1));
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    cr_assert(!answers_for(20));
}

/* Others who slept as well would tell it nothing, and one that did not may have all that was theirs. */
Test(ring, who_slept_for_as_long_as_an_arc_is_kept_without_a_lease_has_none)
{
    be_in_the_middle();
    step(asked(10, now_ms + RING_GIVE_UP_MS));
    cr_assert_eq(effects.answer.verdict, RING_IDLE);
    cr_assert_eq(ring.phase, RING_JOINING);
    step(tick(now_ms));
    cr_assert(has_effect(RING_ASK, 30));
    step(handed(30, 15, now_ms + 10));
    cr_assert(answers_for(16));
    cr_assert(!answers_for(15));
}

Test(ring, when_all_wait_to_join_the_first_one_begins)
{
    struct ring_event event = tick(1000 + ABSENT_MS);

    begin(20, false);
    step(known(30));
    step(answer(30, RING_IDLE, 1010));
    step(event);
    cr_assert_eq(ring.phase, RING_JOINING, "30 may be the first");
    event.is_first = true;
    event.now_ms += STABILISE_MS;
    step(event);
    cr_assert(answers_for(99));
}

Test(ring, one_that_is_asked_and_not_on_the_ring_sends_on_to_the_next)
{
    begin(20, false);
    step(known(30));
    step(known(40));
    step(answer(30, RING_IDLE, 1010));
    cr_assert(has_effect(RING_ASK, 40));
    step(handed(40, 10, 1020));
    cr_assert(answers_for(15));
    step(tick(3000));
    cr_assert(has_effect(RING_ASK, 40));
    cr_assert(has_effect(RING_ASK, 30), "it may have joined meanwhile");
}

Test(ring, the_lease_runs_from_when_it_was_asked_for)
{
    struct ring_event event;

    be_in_the_middle();
    event = granted(30, 3300);
    event.sent_ms = 3000;
    step(event);
    now_ms = 3000 + LEASE_MS - 1;
    cr_assert(answers_for(20));
    now_ms = 3000 + LEASE_MS;
    cr_assert(!answers_for(20));
    step(tick(3000 + LEASE_MS));
    cr_assert(!answers_for(20));
    step(granted(30, 3000 + LEASE_MS + 200));
    cr_assert(answers_for(20));
}

Test(ring, an_answer_to_an_older_question_does_not_shorten_the_lease)
{
    struct ring_event late;

    be_in_the_middle();
    late = granted(30, 2500);
    step(granted(30, 3000));
    late.now_ms = 3100;
    step(late);
    now_ms = 3000 + LEASE_MS - 1;
    cr_assert(answers_for(20));
}

Test(ring, a_newcomer_is_handed_its_arc_when_the_keeper_knows_of_it)
{
    be_in_the_middle();
    step(granted(30, 2100));
    step(asked_by_newcomer(15, 2200));
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    cr_assert(has_effect(RING_ASK, 30), "which is told at once");
    cr_assert(answers_for(15));
    step(asked_by_newcomer(15, 2210));
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    step(granted(30, 2220));
    cr_assert(answers_for(15), "until it asks again");
    step(asked_by_newcomer(15, 2300));
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    cr_assert(effects.answer.is_handed);
    cr_assert(is_at(&effects.answer.other, 10));
    cr_assert_geq(effects.answer.epoch, ring.epoch);
    cr_assert(has_effect(RING_ARC, 0));
    cr_assert(!answers_for(15));
    cr_assert(answers_for(16));
    step(asked_by_newcomer(15, 2400));
    cr_assert(effects.answer.is_handed, "a repeated question gets the same answer");
    cr_assert(is_at(&effects.answer.other, 10));
}

/* It slept, we took its arc over, and the answer that hands a part of it back is lost. */
Test(ring, one_that_has_an_arc_from_before_is_handed_it_until_it_has_a_lease_on_it)
{
    struct ring_event event = asked(15, 2200);

    event.leased = false;
    be_in_the_middle();
    step(granted(30, 2100));
    step(event);
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    step(granted(30, 2250));
    event.now_ms = 2300;
    step(event);
    cr_assert(effects.answer.is_handed);
    event.now_ms = 2600;
    step(event);
    cr_assert(effects.answer.is_handed, "or it would take what it had for what it has");
    cr_assert(is_at(&effects.answer.other, 10));
    event.leased = true;
    event.now_ms = 2700;
    step(event);
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    cr_assert(!effects.answer.is_handed);
}

Test(ring, an_arc_is_not_handed_over_again_by_one_whose_own_lease_has_run_out)
{
    be_in_the_middle();
    step(asked_by_newcomer(15, 2100));
    step(granted(30, 2150));
    step(asked_by_newcomer(15, 2200));
    cr_assert(effects.answer.is_handed);
    step(asked_by_newcomer(15, 2150 + LEASE_MS));
    cr_assert_eq(effects.answer.verdict, RING_BUSY, "who keeps its own arc may be another by now");
    step(granted(30, 2200 + LEASE_MS));
    step(asked_by_newcomer(15, 2250 + LEASE_MS));
    cr_assert(effects.answer.is_handed);
}

Test(ring, a_node_alone_hands_over_at_once_and_then_has_its_lease_from_the_newcomer)
{
    begin(20, true);
    step(asked_by_newcomer(15, 2000));
    cr_assert(effects.answer.is_handed);
    cr_assert(is_at(&effects.answer.other, 20));
    cr_assert(answers_for(20));
    cr_assert(!answers_for(21));
    now_ms = 2000 + LEASE_MS;
    cr_assert(!answers_for(20));
}

Test(ring, a_farther_node_is_sent_to_our_predecessor)
{
    be_in_the_middle();
    step(asked(5, 2100));
    cr_assert_eq(effects.answer.verdict, RING_OTHER);
    cr_assert(is_at(&effects.answer.other, 10));
    cr_assert(!has_effect(RING_ARC, 0));
}

Test(ring, a_node_that_is_farther_still_is_sent_as_far_as_is_known)
{
    know_what_is_before();
    step(asked(150, 2100));
    cr_assert(is_at(&effects.answer.other, 200));
    step(asked(230, 2100));
    cr_assert(is_at(&effects.answer.other, 10));
}

Test(ring, in_a_large_community_none_is_sent_to_one_of_whose_death_nobody_would_tell)
{
    know_what_is_before();
    ring_set_pace_max(&ring, 3);
    step(asked(150, 2100));
    cr_assert(is_at(&effects.answer.other, 10));
}

Test(ring, a_node_that_is_sent_on_asks_the_other_one)
{
    struct ring_event event = answer(30, RING_OTHER, 1010);

    begin(10, false);
    step(known(30));
    event.answer.other = at(20);
    event.has_other = true;
    step(event);
    cr_assert(has_effect(RING_ASK, 20));
    cr_assert(is_at(&ring.successors[0], 20));
    step(answer(20, RING_IDLE, 1020));
    step(event);
    cr_assert_not(has_effect(RING_ASK, 20), "as fast as they answer, for ever");
    step(tick(1020 + RING_JOIN_MS));
    cr_assert(has_effect(RING_ASK, 20), "by now it may be on the ring");
    cr_assert_eq(ring.phase, RING_JOINING);
}

Test(ring, a_newcomer_asks_those_before_a_busy_one_too_and_waits_for_the_nearest_on_the_ring)
{
    begin(20, false);
    step(known(50));
    step(known(40));
    step(known(30));
    cr_assert_eq(ring.keeper, 2);
    step(tick(ring.next_ms));
    cr_assert(has_effect(RING_ASK, 50) && has_effect(RING_ASK, 30));
    step(tick(ring.next_ms));
    cr_assert(has_effect(RING_ASK, 50) && has_effect(RING_ASK, 40));
    step(answer(40, RING_BUSY, now_ms));
    cr_assert_eq(ring.keeper, 1);
    step(answer(50, RING_BUSY, now_ms));
    cr_assert_eq(ring.keeper, 1, "50 is farther");
    step(handed(40, 10, now_ms));
    step(answer(30, RING_BUSY, now_ms));
    cr_assert_eq(ring.keeper, 1, "which gave us a lease");
}

Test(ring, two_rings_that_meet_withdraw_from_each_others_arcs_at_once)
{
    be_in_the_middle();
    step(granted(30, 2100));
    step(asked(15, 2200));
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    cr_assert(!effects.answer.is_handed);
    cr_assert(!answers_for(15));
    step(handed(30, 12, 2300));
    cr_assert(!answers_for(14), "an arc that has its lease is not enlarged");
    step(handed(30, 18, 2300));
    cr_assert(!answers_for(17));
    cr_assert(answers_for(19));
}

Test(ring, a_handed_arc_does_not_cover_whom_we_granted_a_lease)
{
    know_what_is_before();
    step(tick(2000 + LEASE_MS));
    step(answer(30, RING_BUSY, 2000 + LEASE_MS));
    step(asked(10, 2000 + LEASE_MS + RECLAIM_MS));
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    step(handed(30, 200, 2000 + LEASE_MS + RECLAIM_MS + 100));
    cr_assert(answers_for(15));
    cr_assert(!answers_for(10));
}

/* It slept; its keeper had taken its arc, granted 10 a lease, and told it who comes before that one. */
Test(ring, an_arc_that_is_handed_back_has_a_beginning_that_was_granted_a_lease_meanwhile)
{
    const uint64_t handed_ms[] = {60000, 2000 + LEASE_MS + 200};

    for (uint32_t i = 0; i < 2; i++) {
        know_what_is_before();
        step(tick(handed_ms[i] - 100));
        cr_assert(!answers_for(15));
        step(handed(30, 10, handed_ms[i]));
        cr_assert(answers_for(15));
        step(lost(10, handed_ms[i] + 100, false));
        step(granted(30, handed_ms[i] + GRANT_MS - 1));
        step(tick(handed_ms[i] + GRANT_MS - 1));
        cr_assert(!answers_for(5), "its lease may last");
        step(lost(10, handed_ms[i] + GRANT_MS, true));
        cr_assert(!answers_for(5), "it may have let somebody in");
    }
}

Test(ring, an_arc_without_a_lease_for_long_is_given_up_and_its_node_joins_anew)
{
    uint64_t lapsed_ms = 2000 + LEASE_MS;
    uint64_t at_ms = lapsed_ms;

    know_what_is_before();
    for (; at_ms < lapsed_ms + RING_GIVE_UP_MS; at_ms += 100) {
        step(tick(at_ms));
        step(answer(30, RING_BUSY, at_ms));
        cr_assert_eq(ring.phase, RING_IN);
    }
    step(tick(at_ms));
    step(asked(10, at_ms));
    cr_assert_eq(effects.answer.verdict, RING_IDLE);
    step(handed(30, 15, at_ms + 100));
    cr_assert(answers_for(16));
    cr_assert(!answers_for(15));
    step(tick(at_ms + 300 + LEASE_MS));
    cr_assert_eq(ring.phase, RING_IN, "its time begins anew");
}

Test(ring, a_quiet_ring_asks_its_keeper_once_in_each_period)
{
    uint32_t asked_count = 0;

    be_in_the_middle();
    for (uint64_t at_ms = 3000; at_ms < 13000; at_ms += 100) {
        step(tick(at_ms));
        for (uint32_t i = 0; i < effects.count; i++) {
            cr_assert_eq(effects.list[i].kind, RING_ASK);
            asked_count++;
            step(granted(30, at_ms));
            cr_assert_eq(effects.count, 0);
        }
        cr_assert(answers_for(20));
    }
    cr_assert_eq(asked_count, 10);
}

Test(ring, a_leaving_node_answers_for_nothing)
{
    be_in_the_middle();
    step((struct ring_event){.kind = RING_LEAVE, .now_ms = 2100});
    cr_assert(!answers_for(20));
    step(tick(9000));
    cr_assert_eq(effects.count, 0);
}

Test(ring, the_successor_list_is_sorted_bounded_and_without_repetition)
{
    begin(100, false);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 40; i++) {
            step(known((uint8_t)(i * 77 % 200)));
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
    struct ring_event event = asked(10, 2100);

    be_in_the_middle();
    event.epoch = UINT64_MAX;
    step(event);
    cr_assert_lt(ring.epoch, 1000);
}

Test(ring, a_list_that_begins_behind_its_own_node_is_not_believed)
{
    struct ring_event event = asked(10, 2100);

    be_in_the_middle();
    event.has_list = true;
    event.list_count = 1;
    event.list[0] = at(15);
    step(event);
    step(lost(10, 2200, true));
    step(tick(2200 + GRANT_MS));
    cr_assert(!is_at(&ring.predecessors[0], 15));
}

Test(ring, a_lease_that_comes_after_the_last_one_ran_out_lets_it_take_nothing_over_at_once)
{
    struct ring_event late;

    know_what_is_before();
    step(granted(30, 3000));
    late = granted(30, 3000 + LEASE_MS + 100);
    step(late);
    cr_assert(answers_for(15));
    cr_assert_geq(ring.granted_ms, late.now_ms + GRANT_MS);
    step(lost(10, late.now_ms + 10, false));
    step(tick(late.now_ms + GRANT_MS - 1));
    cr_assert(!answers_for(5));
}

/* A partition was healed while it had no lease: those of the other side have parts of its arc. */
Test(ring, a_lease_that_comes_late_does_not_cover_members_that_are_up_in_the_arc)
{
    struct ring_event late;

    know_what_is_before();
    step(granted(30, 3000));
    late = granted(30, 3000 + RING_GIVE_UP_MS - 1);
    late.has_nearest = true;
    late.nearest = at(14);
    step(late);
    cr_assert(answers_for(15));
    cr_assert(!answers_for(14));
    step(lost(14, late.now_ms + 10, false));
    step(tick(late.now_ms + GRANT_MS - 1));
    cr_assert(!answers_for(14));
}
