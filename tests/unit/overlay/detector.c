// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/detector.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct detector *detector;
static struct detector_verdicts verdicts;

static void begin(void)
{
    detector = calloc(1, sizeof(*detector));
}

static void end(void)
{
    free(detector);
}

static void step(enum detector_event_kind kind, int member, uint64_t now_ms)
{
    detector_step(detector, (struct detector_event){kind, member, now_ms}, &verdicts);
}

static bool pronounced(enum detector_verdict_kind kind)
{
    for (uint32_t i = 0; i < verdicts.count; i++) {
        if (verdicts.list[i].kind == kind) {
            return true;
        }
    }
    return false;
}

/* Ticks every 100 ms, from (not including) one time to (including) another; the first time at
 * which the verdict falls, or 0. */
static uint64_t first_time(enum detector_verdict_kind kind, uint64_t from_ms, uint64_t to_ms)
{
    for (uint64_t now_ms = from_ms + 100; now_ms <= to_ms; now_ms += 100) {
        step(DETECTOR_TICK, 0, now_ms);
        if (pronounced(kind)) {
            return now_ms;
        }
    }
    return 0;
}

TestSuite(detector, .init = begin, .fini = end);

Test(detector, nobody_is_probed_before_a_heartbeat_of_silence)
{
    detector_watch(detector, 3, true, 1000);
    step(DETECTOR_TICK, 0, 1000 + PROBE_MS - 1);
    cr_assert(!pronounced(VERDICT_PROBE));
    step(DETECTOR_TICK, 0, 1000 + PROBE_MS);
    cr_assert(pronounced(VERDICT_PROBE));
    cr_assert_eq(verdicts.list[0].member, 3);
}

Test(detector, whoever_is_heard_is_not_probed)
{
    detector_watch(detector, 3, true, 1000);
    for (uint64_t now_ms = 1100; now_ms < 5000; now_ms += 300) {
        step(DETECTOR_HEARD, 3, now_ms);
        step(DETECTOR_TICK, 0, now_ms + 299);
        cr_assert_eq(verdicts.count, 0);
    }
}

Test(detector, silence_is_suspected_after_two_heartbeats_and_others_are_asked)
{
    detector_watch(detector, 3, true, 1000);
    cr_assert_eq(first_time(VERDICT_SUSPECT, 1000, 4000), 1000 + SUSPECT_MS);
    cr_assert(pronounced(VERDICT_PROBE_VIA));
}

Test(detector, silence_is_death_after_absent_ms_and_not_before)
{
    detector_watch(detector, 3, true, 1000);
    cr_assert_eq(first_time(VERDICT_DEAD, 1000, 9000), 1000 + ABSENT_MS);
    step(DETECTOR_TICK, 0, 1000 + ABSENT_MS + 500);
    cr_assert_eq(verdicts.count, 0, "the dead are no longer watched");
}

Test(detector, a_sign_of_life_takes_the_suspicion_back)
{
    detector_watch(detector, 3, true, 1000);
    cr_assert_neq(first_time(VERDICT_SUSPECT, 1000, 1000 + ABSENT_MS - 100), 0);
    step(DETECTOR_HEARD, 3, 2500);
    cr_assert(pronounced(VERDICT_ALIVE));
    cr_assert_eq(first_time(VERDICT_DEAD, 2500, 2500 + ABSENT_MS - 100), 0);
}

Test(detector, one_broken_link_suspects_but_kills_only_with_silence)
{
    detector_watch(detector, 3, true, 1000);
    step(DETECTOR_HEARD, 3, 1400);
    step(DETECTOR_LINK_LOST, 3, 1500);
    cr_assert(pronounced(VERDICT_SUSPECT));
    cr_assert(pronounced(VERDICT_PROBE));
    cr_assert(pronounced(VERDICT_PROBE_VIA));
    cr_assert_eq(first_time(VERDICT_DEAD, 1500, 9000), 1400 + ABSENT_MS);
}

Test(detector, a_refused_connection_kills_quickly_unless_others_saw_it)
{
    detector_watch(detector, 3, true, 1000);
    step(DETECTOR_HEARD, 3, 1400);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_LINK_LOST, 3, 1501);
    step(DETECTOR_TICK, 0, 1500 + REPLY_MS - 1);
    cr_assert(!pronounced(VERDICT_DEAD));
    step(DETECTOR_TICK, 0, 1500 + REPLY_MS);
    cr_assert(pronounced(VERDICT_DEAD));
}

Test(detector, seen_by_others_in_time_it_lives)
{
    detector_watch(detector, 3, true, 1000);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_LINK_LOST, 3, 1501);
    step(DETECTOR_HEARD, 3, 1600);
    cr_assert(pronounced(VERDICT_ALIVE));
    step(DETECTOR_TICK, 0, 1500 + REPLY_MS);
    cr_assert(!pronounced(VERDICT_DEAD));
}

Test(detector, one_who_slept_accuses_nobody)
{
    detector_watch(detector, 3, true, 1000);
    step(DETECTOR_TICK, 0, 1400);
    step(DETECTOR_TICK, 0, 60000);
    cr_assert(!pronounced(VERDICT_SUSPECT));
    cr_assert(!pronounced(VERDICT_DEAD));
    cr_assert_eq(first_time(VERDICT_DEAD, 60000, 69000), 60000 + ABSENT_MS);
}

Test(detector, one_that_said_it_comes_back_is_given_the_time)
{
    detector_watch(detector, 3, true, 1000);
    detector_excuse(detector, 3, 11000);
    step(DETECTOR_LINK_LOST, 3, 1500);
    cr_assert_eq(verdicts.count, 0);
    cr_assert_eq(first_time(VERDICT_SUSPECT, 1500, 10900), 0);
    cr_assert_neq(first_time(VERDICT_DEAD, 10900, 14000), 0);
}

Test(detector, an_accused_member_is_probed_at_once_and_cleared_when_heard)
{
    detector_accuse(detector, 5, 1000);
    step(DETECTOR_TICK, 0, 1000);
    cr_assert(pronounced(VERDICT_PROBE));
    step(DETECTOR_HEARD, 5, 1010);
    cr_assert_eq(first_time(VERDICT_PROBE, 1010, 5000), 0, "it is watched no longer");
}

Test(detector, who_is_not_watched_is_nobodys_business)
{
    detector_watch(detector, 3, true, 1000);
    detector_watch(detector, 3, false, 1100);
    step(DETECTOR_LINK_LOST, 3, 1500);
    cr_assert_eq(verdicts.count, 0);
    cr_assert_eq(first_time(VERDICT_PROBE, 1500, 5000), 0);
    cr_assert_eq(detector_wake(detector), 0);
}

Test(detector, the_wake_up_is_never_later_than_the_next_verdict)
{
    uint64_t now_ms = 1000;
    uint32_t rounds = 0;

    detector_watch(detector, 3, true, now_ms);
    while (detector_wake(detector) != 0 && rounds++ < 100) {
        cr_assert_gt(detector_wake(detector), now_ms);
        now_ms = detector_wake(detector);
        step(DETECTOR_TICK, 0, now_ms);
        cr_assert_gt(verdicts.count, 0, "woken for nothing at %d", (int)now_ms);
    }
    cr_assert_eq(now_ms, 1000 + ABSENT_MS);
}

Test(detector, many_silent_members_are_all_judged_though_verdicts_are_bounded)
{
    uint32_t dead_count = 0;

    for (int i = 0; i < 200; i++) {
        detector_watch(detector, i, true, 1000);
    }
    for (uint64_t now_ms = 1100; now_ms < 9000; now_ms += 10) {
        step(DETECTOR_TICK, 0, now_ms);
        for (uint32_t i = 0; i < verdicts.count; i++) {
            dead_count += verdicts.list[i].kind == VERDICT_DEAD;
        }
    }
    cr_assert_eq(dead_count, 200);
}
