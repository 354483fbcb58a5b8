// SPDX-License-Identifier: GPL-3.0-or-later
/* Who takes over the arc of one that is gone, from where, and when. */
#include "overlay/ring/ring_internal.h"
#include "tests/unit/overlay/one_ring.h"

Test(ring_takeover, a_silent_predecessor_is_replaced_when_its_lease_has_run_out)
{
    know_what_is_before();
    step(granted(30, 2900));
    step(lost(10, 3000, false));
    cr_assert(!answers_for(5));
    step(tick(2000 + GRANT_MS - 1));
    cr_assert(!answers_for(5));
    step(granted(30, 2000 + GRANT_MS - 1));
    step(tick(2000 + GRANT_MS));
    cr_assert(has_effect(RING_ARC, 0));
    cr_assert(answers_for(5));
    cr_assert(answers_for(201));
    cr_assert(!answers_for(200), "as far as its own arc reached");
}

Test(ring_takeover, a_predecessor_that_is_surely_gone_is_replaced_at_once)
{
    know_what_is_before();
    step(lost(10, 2100, true));
    cr_assert(answers_for(5));
    cr_assert(!answers_for(200));
}

Test(ring_takeover,
     where_the_beginning_of_its_arc_is_not_known_what_it_may_have_granted_is_waited_for)
{
    struct ring_event event = lost(10, 2100, true);

    be_in_the_middle();
    event.has_other = true;
    event.other = at(200);
    step(event);
    cr_assert(!answers_for(5));
    step(granted(30, 3000));
    step(granted(30, 3900));
    event = tick(2100 + GRANT_MS);
    event.has_other = true;
    event.other = at(200);
    step(event);
    cr_assert(answers_for(5));
    cr_assert(!answers_for(200));
}

/* It had said that its arc begins at 200, and has just met a node of another ring in it. */
Test(ring_takeover, a_takeover_ends_at_a_member_that_the_lost_one_did_not_tell_us_of)
{
    struct ring_event event = lost(10, 2100, true);

    know_what_is_before();
    event.has_other = true;
    event.other = at(5);
    step(event);
    cr_assert(answers_for(6));
    cr_assert(!answers_for(5));
    cr_assert(is_at(&ring.predecessors[0], 5));
}

/* Another ring was met: who stands between is the old predecessor's keeper now, and we have not met. */
Test(ring_takeover, nothing_is_taken_over_behind_a_member_that_is_nearer)
{
    struct ring_event event = lost(10, 2100, true);

    know_what_is_before();
    event.has_nearest = true;
    event.nearest = at(14);
    step(event);
    cr_assert(answers_for(15));
    cr_assert(!answers_for(14));
    cr_assert(!answers_for(5));
}

/* Another ring was met: the predecessor has found a nearer keeper there, and the one that ought to
 * tell us of itself does not reach us. */
Test(ring_takeover, a_predecessor_that_lives_and_asks_no_more_has_a_keeper_before_us)
{
    uint64_t silent_ms = 2000 + 2 * GRANT_MS;
    struct ring_event event;

    know_what_is_before();
    for (uint64_t at_ms = 3000; at_ms < silent_ms; at_ms += 500) {
        step(granted(30, at_ms));
    }
    step(granted(30, silent_ms - 1));
    event = tick(silent_ms - 1);
    event.has_nearest = true;
    event.nearest = at(14);
    step(event);
    cr_assert(answers_for(11), "it may ask again yet");
    ring.next_ms = silent_ms;
    event.now_ms = silent_ms;
    event.nearest = at(10);
    step(event);
    cr_assert(answers_for(11), "nobody is nearer");
    ring.next_ms = silent_ms;
    event.nearest = at(14);
    step(event);
    cr_assert(has_effect(RING_ARC, 0));
    cr_assert(answers_for(15));
    cr_assert(!answers_for(14));
}

Test(ring_takeover, after_a_takeover_the_next_one_has_the_time_that_its_old_keeper_may_have_granted)
{
    know_what_is_before();
    step(lost(10, 2100, true));
    step(granted(30, 3000));
    cr_assert_geq(ring.granted_ms, (uint64_t)2100 + GRANT_MS);
    step(lost(200, 2200, false));
    step(tick(2100 + GRANT_MS - 1));
    cr_assert(!answers_for(199));
}

Test(ring_takeover, a_predecessor_that_is_heard_again_is_not_replaced)
{
    know_what_is_before();
    step(lost(10, 3000, false));
    step(known(10));
    step(tick(9000));
    cr_assert_eq(ring.predecessor_count, 2);
    cr_assert(is_at(&ring.predecessors[0], 10));
}

Test(ring_takeover, a_predecessor_that_restarted_is_handed_its_arc_anew_after_its_old_lease)
{
    know_what_is_before();
    step(granted(30, 2500));
    step(asked_by_newcomer(10, 2600));
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    step(granted(30, 3500));
    step(tick(2000 + GRANT_MS));
    cr_assert(answers_for(5), "what it had comes to us first");
    step(asked_by_newcomer(10, 4000));
    step(granted(30, 4010));
    step(asked_by_newcomer(10, 4100));
    cr_assert(effects.answer.is_handed);
    cr_assert(is_at(&effects.answer.other, 200));
}

Test(ring_takeover, a_leaving_predecessor_hands_its_arc_over)
{
    struct ring_event event = {
        .kind = RING_HANDED, .now_ms = 2100, .epoch = 90, .has_list = true, .list_count = 1};

    be_in_the_middle();
    event.node = at(10);
    event.list[0] = at(150);
    step(event);
    cr_assert(answers_for(5));
    cr_assert(answers_for(151));
    cr_assert(!answers_for(150));
    cr_assert_gt(ring.epoch, 90);
    event.node = at(77);
    event.list[0] = at(60);
    step(event);
    cr_assert(!answers_for(77), "only the predecessor's is ours to take");
}

Test(ring_takeover, the_last_one_left_answers_for_everything)
{
    be_in_the_middle();
    step(lost(30, 2100, true));
    step(lost(10, 2100, true));
    step(tick(2100 + GRANT_MS));
    cr_assert_eq(ring.successor_count, 0);
    cr_assert(answers_for(99));
}

Test(ring_takeover, the_last_one_that_slept_waits_for_others_who_may_have_begun_the_ring_anew)
{
    struct ring_event event = asked(10, 2100);
    uint64_t woke_ms;

    begin(20, false);
    step(known(10));
    step(handed(10, 10, 2000));
    event.has_list = true;
    event.list_count = 1;
    event.list[0] = at(20);
    step(event);
    step(lost(10, 2200, true));
    cr_assert(answers_for(99), "it was the only other one");
    begin(20, false);
    step(known(10));
    step(handed(10, 10, 2000));
    step(event);
    step(lost(10, 2200, false));
    woke_ms = now_ms + RING_GIVE_UP_MS - 1;
    for (uint64_t at_ms = woke_ms; at_ms < woke_ms + RING_ALONE_MS; at_ms += RING_JOIN_MS) {
        step(tick(at_ms));
        cr_assert(!answers_for(99));
    }
    cr_assert_eq(keeper_extend_ms(&ring), woke_ms + RING_ALONE_MS);
    step(tick(woke_ms + RING_ALONE_MS));
    cr_assert(answers_for(99));
}

Test(ring_takeover,
     a_node_with_successors_never_takes_the_whole_ring_because_it_knows_nobody_before_it)
{
    struct ring_event event = tick(2200 + 2 * GRANT_MS);

    be_in_the_middle();
    step(lost(10, 2100, false));
    for (uint64_t at_ms = 3000; at_ms < event.now_ms - 100; at_ms += 1000) {
        step(granted(30, at_ms));
    }
    step(granted(30, event.now_ms - 100));
    step(event);
    cr_assert(!answers_for(99));
    event = tick(2300 + 2 * GRANT_MS);
    event.has_other = true;
    event.other = at(200);
    step(event);
    cr_assert(answers_for(5), "somebody before it has asked");
    cr_assert(!answers_for(99));
}

Test(ring_takeover, the_last_one_whose_lease_ran_out_begins_the_ring_anew_but_not_early)
{
    be_in_the_middle();
    step(lost(10, 2200, true));
    step(answer(30, RING_IDLE, 2300));
    step(tick(2000 + LEASE_MS));
    step(tick(now_ms + RECLAIM_MS - 1));
    cr_assert(!answers_for(99));
    step(answer(30, RING_BUSY, now_ms));
    step(tick(ring.next_ms));
    cr_assert(!answers_for(99), "30 is on the ring");
    step(answer(30, RING_IDLE, now_ms));
    step(tick(ring.next_ms));
    cr_assert(answers_for(99));
}

/* Taking over behind one that has begun to join is waiting for what that one may have granted, each
 * time anew, though nobody has had an arc for long. */
Test(ring_takeover, the_last_one_waits_for_no_lease_when_all_have_been_joining_for_as_long)
{
    uint64_t idle_ms = 2000 + LEASE_MS + 200;
    uint64_t over_ms = idle_ms + 500 + 2 * GRANT_MS;

    be_in_the_middle();
    step(tick(2000 + LEASE_MS));
    step(answer(30, RING_IDLE, idle_ms - 100));
    step(answer(10, RING_IDLE, idle_ms));
    cr_assert_eq(ring.idle_ms, idle_ms);
    step(asked(5, idle_ms + 500)); /* it has an arc, and stands behind sixteen others: */
    step(lost(5, idle_ms + 500, false));
    ring.idle_ms = idle_ms;
    ring.paces = 2;
    ring.granted_ms = idle_ms + 9 * GRANT_MS;
    for (uint64_t at_ms = idle_ms + 600; at_ms < over_ms - 1; at_ms += 500) {
        step(tick(at_ms));
        step(answer(30, RING_IDLE, at_ms));
        step(answer(10, RING_IDLE, at_ms));
    }
    cr_assert_eq(ring.idle_ms, idle_ms, "they still are");
    ring.next_ms = over_ms - 1;
    step(tick(over_ms - 1));
    cr_assert(!answers_for(99), "it may have had a lease when it asked");
    ring.next_ms = over_ms;
    step(tick(over_ms));
    cr_assert(answers_for(99));
}

/* It stands behind the sixteen that are known, and has a ring of its own perhaps. */
Test(ring_takeover, the_ring_is_not_begun_anew_while_one_asks_that_has_an_arc)
{
    be_in_the_middle();
    step(lost(10, 2200, true));
    step(tick(2000 + LEASE_MS));
    step(asked(5, now_ms + RECLAIM_MS - 100));
    ring.successor_count = 1; /* as if 5 stood behind sixteen others */
    step(answer(30, RING_IDLE, now_ms));
    cr_assert_neq(ring.idle_ms, 0);
    step(tick(now_ms + 100 + RING_IDLE_MS));
    cr_assert(!answers_for(99));
    step(tick(now_ms + RECLAIM_MS - 1));
    step(tick(now_ms + RING_IDLE_MS));
    cr_assert(answers_for(99), "it asks no more");
}

Test(ring_takeover, one_of_another_ring_is_waited_for_as_if_we_had_granted_its_lease)
{
    struct ring_event event = asked(15, 3000);

    be_in_the_middle();
    step(granted(30, 2900));
    event.has_list = true;
    event.list_count = 1;
    event.list[0] = at(10);
    step(event);
    step(lost(15, 3010, false));
    step(granted(30, 4000));
    step(tick(3000 + GRANT_MS - 1));
    cr_assert(!answers_for(15), "its own keeper may have granted it a lease just before");
    step(tick(3000 + GRANT_MS));
    cr_assert(answers_for(15));
}
