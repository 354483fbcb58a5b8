// SPDX-License-Identifier: GPL-3.0-or-later
/* Many join at once: one after the other, and nobody begins a second ring meanwhile. */
#include "one_ring.h"

/* 15 was handed its arc at 2300; whether it has it is not known. */
static void hand_to_15(void)
{
    be_in_the_middle();
    step(granted(30, 2100));
    step(asked_by_newcomer(15, 2200));
    step(granted(30, 2250));
    step(asked_by_newcomer(15, 2300));
    cr_assert(effects.answer.is_handed);
    step(granted(30, 2305));
}

Test(ring_newcomers, the_next_one_waits_until_the_last_one_has_its_arc)
{
    hand_to_15();
    step(asked_by_newcomer(17, 2310));
    cr_assert(has_effect(RING_ASK, 30), "the keeper may know of it meanwhile");
    step(granted(30, 2320));
    step(asked_by_newcomer(17, 2330));
    cr_assert_eq(effects.answer.verdict, RING_BUSY);
    cr_assert(answers_for(17));
    step(asked_by_newcomer(15, 2340));
    cr_assert(effects.answer.is_handed, "the answer was lost");
    step(asked(15, 2350));
    cr_assert_eq(effects.answer.verdict, RING_GRANTED);
    cr_assert_not(effects.answer.is_handed);
    step(granted(30, 2355));
    step(asked_by_newcomer(17, 2360));
    cr_assert(effects.answer.is_handed);
    cr_assert(is_at(&effects.answer.other, 15));
}

Test(ring_newcomers, one_that_never_comes_for_its_arc_does_not_keep_the_others_out)
{
    hand_to_15();
    for (uint64_t at_ms = 2310; at_ms < 2300 + RING_HANDED_MS; at_ms += 50) {
        step(asked_by_newcomer(17, at_ms));
        cr_assert_eq(effects.answer.verdict, RING_BUSY);
        step(granted(30, at_ms + 10));
    }
    step(asked_by_newcomer(17, 2300 + RING_HANDED_MS));
    cr_assert(effects.answer.is_handed);
    cr_assert(is_at(&effects.answer.other, 15));
}

/* Asks all it knows in turn, who all wait to join, until it begins the ring or that time comes. */
static uint64_t begun_by(uint64_t until_ms)
{
    struct ring_event event = {.kind = RING_TICK, .is_first = true};

    while (now_ms < until_ms && ring.phase == RING_JOINING) {
        event.now_ms = now_ms + 100;
        step(event);
        step(answer(30, RING_IDLE, now_ms));
    }
    return now_ms;
}

Test(ring_newcomers, the_first_of_a_large_community_waits_for_the_longest_lease_before_it_begins)
{
    begin(20, false);
    step(known(30));
    cr_assert_lt(begun_by(1000 + 10 * ABSENT_MS), 1000 + ABSENT_MS + RING_IDLE_MS);
    cr_assert_eq(ring.phase, RING_IN);
    begin(20, false);
    ring_set_pace_max(&ring, RING_PACE_MAX);
    step(known(30));
    cr_assert_geq(begun_by(1000 + 10 * ABSENT_MS), 1000 + (uint64_t)ABSENT_MS * RING_PACE_MAX);
    cr_assert_eq(ring.phase, RING_IN);
}

/* It stands before us, and is none of our sixteen successors. */
Test(ring_newcomers, nobody_begins_the_ring_while_one_asks_that_has_an_arc)
{
    struct ring_event event = tick(1000 + ABSENT_MS);

    begin(20, false);
    step(known(30));
    step(answer(30, RING_IDLE, 1010));
    event.is_first = true;
    step(asked(10, 1500));
    ring.successor_count = 1; /* as if 10 stood behind sixteen others */
    ring.idle_ms = 1500;
    step(event);
    cr_assert_eq(ring.phase, RING_JOINING);
    event.now_ms = 1500 + ABSENT_MS + STABILISE_MS;
    step(event);
    cr_assert(answers_for(99), "it has given up");
}
