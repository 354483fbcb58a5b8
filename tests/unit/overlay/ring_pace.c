// SPDX-License-Identifier: GPL-3.0-or-later
/* Slow where nothing changes, and what is waited for then; beliefs that have grown old. */
#include "tests/unit/overlay/one_ring.h"

/* Asks and is granted what it wants until `until_ms`; returns how often it asked. */
static uint32_t live(uint64_t until_ms)
{
    uint32_t asked_count = 0;

    for (uint64_t at_ms = now_ms + 100; at_ms < until_ms; at_ms += 100) {
        step(tick(at_ms));
        for (uint32_t i = 0; i < effects.count; i++) {
            struct ring_event event = granted(30, at_ms);

            event.pace = ring.pace;
            asked_count++;
            step(event);
        }
        cr_assert(answers_for(20));
    }
    return asked_count;
}

Test(ring_pace, a_node_of_a_large_community_slows_down_where_nothing_changes_and_keeps_its_lease)
{
    be_in_the_middle();
    ring_set_pace_max(&ring, RING_PACE_MAX);
    (void)live(2000 + RING_PACE_MAX * RING_CALM_MS + 5000);
    cr_assert_eq(ring.pace, RING_PACE_MAX);
    cr_assert_leq(live(now_ms + 20 * RING_PACE_MAX * STABILISE_MS), 20);
    /* A nearer successor that is on the ring: at once as fast as ever. */
    step(known(25));
    step(granted(25, now_ms));
    cr_assert_eq(ring.pace, 1);
    cr_assert_leq(ring.next_ms, now_ms + STABILISE_MS);
}

Test(ring_pace, a_community_that_has_become_small_asks_often_again_before_its_short_lease_ends)
{
    be_in_the_middle();
    ring_set_pace_max(&ring, RING_PACE_MAX);
    (void)live(2000 + RING_PACE_MAX * RING_CALM_MS + 5000);
    cr_assert_eq(ring.pace, RING_PACE_MAX);
    step(tick(ring.next_ms - 1));
    ring_set_pace_max(&ring, 1);
    step(tick(ring.next_ms));
    cr_assert(has_effect(RING_ASK, 30));
    cr_assert_lt(ring.next_ms, now_ms + LEASE_MS);
}

Test(ring_pace, who_asks_seldom_is_waited_for_as_long_as_its_lease_lasts_even_if_it_then_asks_often)
{
    struct ring_event event = asked(10, 3000);

    know_what_is_before();
    event.pace = RING_PACE_MAX;
    step(event);
    step(asked(10, 3500));
    step(granted(30, 3600));
    step(lost(10, 3700, false));
    for (uint64_t at_ms = 3700; at_ms < 3000 + RING_PACE_MAX * GRANT_MS; at_ms += 100) {
        step(granted(30, at_ms));
        step(tick(at_ms));
        cr_assert(!answers_for(5));
    }
    step(granted(30, 3000 + RING_PACE_MAX * GRANT_MS));
    step(tick(3000 + RING_PACE_MAX * GRANT_MS));
    cr_assert(answers_for(5));
}

Test(ring_pace, of_a_stranger_the_longest_lease_is_feared_that_was_ever_heard_of)
{
    struct ring_event event = asked(10, 2000);

    know_what_is_before();
    event.paces = RING_PACE_MAX;
    step(event);
    step(granted(30, 2900));
    step(lost(10, 3000, false));
    step(granted(30, 2000 + GRANT_MS));
    step(tick(2000 + GRANT_MS));
    cr_assert(answers_for(5), "its own lease was a short one");
    step(lost(200, now_ms, false));
    for (uint64_t at_ms = now_ms; at_ms < 2000 + (1 + RING_PACE_MAX) * GRANT_MS; at_ms += 100) {
        step(granted(30, at_ms));
        step(tick(at_ms));
        cr_assert(!answers_for(199), "but it may have granted 200 a long one");
    }
}

Test(ring_pace, an_absurd_pace_is_cut)
{
    struct ring_event event = asked(10, 2000);

    know_what_is_before();
    event.pace = UINT32_MAX;
    event.paces = UINT32_MAX;
    step(event);
    cr_assert_eq(ring.paces, RING_PACE_MAX);
    cr_assert_leq(ring.granted_ms, 2000 + RING_PACE_MAX * GRANT_MS);
}

Test(ring_pace, what_was_known_of_a_member_before_it_was_named_as_the_beginning_says_nothing)
{
    be_in_the_middle(); /* 30 has just named 10 */
    step((struct ring_event){
        .kind = RING_LOST, .now_ms = 2100, .lost_ms = 500, .node = at(10), .is_gone = true});
    step(granted(30, 2000 + GRANT_MS - 1));
    step(tick(2000 + GRANT_MS - 1));
    cr_assert(!answers_for(5));
}
