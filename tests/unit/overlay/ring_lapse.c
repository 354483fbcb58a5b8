// SPDX-License-Identifier: GPL-3.0-or-later
/* A node whose lease has run out, and may have been replaced without knowing. */
#include "tests/unit/overlay/one_ring.h"

enum { LAPSED_MS = 2000 + LEASE_MS };

static enum ring_verdict verdict_at(uint64_t at_ms)
{
    step(asked(10, at_ms));
    return effects.answer.verdict;
}

Test(ring_lapse, a_node_without_a_lease_grants_none_until_it_would_have_been_told)
{
    be_in_the_middle();
    step(tick(LAPSED_MS));
    step(answer(30, RING_BUSY, LAPSED_MS + 1));
    cr_assert_eq(verdict_at(LAPSED_MS + RECLAIM_MS - 1), RING_BUSY);
    cr_assert_eq(verdict_at(LAPSED_MS + RECLAIM_MS), RING_GRANTED);
    cr_assert(!answers_for(20));
}

/* Its keeper may have died, and another one, whom it has not asked yet, have its arc. */
Test(ring_lapse, a_keeper_that_does_not_answer_tells_nothing)
{
    be_in_the_middle();
    step(tick(LAPSED_MS));
    for (uint64_t at_ms = LAPSED_MS; at_ms < LAPSED_MS + RING_SILENT_TIMES * RECLAIM_MS;
         at_ms += 100) {
        cr_assert_eq(verdict_at(at_ms), RING_BUSY);
    }
    cr_assert_eq(verdict_at(LAPSED_MS + RING_SILENT_TIMES * RECLAIM_MS), RING_GRANTED,
                 "all may wait for each other");
}

/* Nobody of them has an arc that ours could be a part of. */
Test(ring_lapse, where_no_successor_is_on_the_ring_none_could_have_told)
{
    be_in_the_middle();
    step(tick(LAPSED_MS));
    step(answer(30, RING_IDLE, LAPSED_MS + 1));
    step(answer(10, RING_IDLE, LAPSED_MS + 2));
    cr_assert_neq(ring.idle_ms, 0);
    cr_assert_eq(verdict_at(LAPSED_MS + RECLAIM_MS - 1), RING_BUSY);
    cr_assert_eq(verdict_at(LAPSED_MS + RECLAIM_MS), RING_GRANTED);
}

Test(ring_lapse, what_was_answered_before_does_not_count)
{
    be_in_the_middle();
    step(tick(LAPSED_MS));
    step(answer(30, RING_BUSY, LAPSED_MS + 1));
    step(granted(30, LAPSED_MS + 100));
    step(tick(LAPSED_MS + 100 + LEASE_MS));
    cr_assert_eq(verdict_at(LAPSED_MS + 100 + LEASE_MS + RECLAIM_MS), RING_BUSY);
}
