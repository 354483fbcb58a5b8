// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/members/detector.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* From the last sign of life to death, where answers come soon. */
enum { TIMEOUT_MS = 20, DEATH_MS = PROBE_MS + TIMEOUT_MS + GONE_MS };

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

static void watch(int member, uint64_t now_ms)
{
    detector_watch(detector, member, true, now_ms);
    detector_pace(detector, member, TIMEOUT_MS);
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

/* How many are asked to look in this step: 0, a few (1) or many (2)? */
static int asked(void)
{
    for (uint32_t i = 0; i < verdicts.count; i++) {
        if (verdicts.list[i].kind == VERDICT_PROBE_VIA) {
            return verdicts.list[i].is_few ? 1 : 2;
        }
    }
    return 0;
}

static bool is_surely_gone(void)
{
    for (uint32_t i = 0; i < verdicts.count; i++) {
        if (verdicts.list[i].kind == VERDICT_DEAD) {
            return verdicts.list[i].is_gone;
        }
    }
    return false;
}

/* Ticks whenever it wants to be woken, from (not including) one time to (including) another; the
 * first time at which the verdict falls, or 0. */
static uint64_t first_time(enum detector_verdict_kind kind, uint64_t from_ms, uint64_t to_ms)
{
    uint64_t now_ms = from_ms;

    while (detector_wake(detector) != 0 && detector_wake(detector) <= to_ms) {
        now_ms = detector_wake(detector) > now_ms ? detector_wake(detector) : now_ms + 1;
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
    watch(3, 1000);
    step(DETECTOR_TICK, 0, 1000 + PROBE_MS - 1);
    cr_assert(!pronounced(VERDICT_PROBE));
    step(DETECTOR_TICK, 0, 1000 + PROBE_MS);
    cr_assert(pronounced(VERDICT_PROBE));
    cr_assert_eq(verdicts.list[0].member, 3);
}

Test(detector, whoever_is_heard_is_not_probed)
{
    watch(3, 1000);
    for (uint64_t now_ms = 1100; now_ms < 5000; now_ms += 300) {
        step(DETECTOR_HEARD, 3, now_ms);
        step(DETECTOR_TICK, 0, now_ms + 299);
        cr_assert_eq(verdicts.count, 0);
    }
}

Test(detector, silence_is_suspected_after_two_missed_answers_and_a_few_others_are_asked)
{
    watch(3, 1000);
    cr_assert_eq(first_time(VERDICT_SUSPECT, 1000, 4000), 1000 + SUSPECT_MS);
    cr_assert_eq(asked(), 1);
}

Test(detector, many_are_asked_when_the_few_have_not_brought_it_back)
{
    watch(3, 1000);
    (void)first_time(VERDICT_SUSPECT, 1000, 4000);
    cr_assert_eq(first_time(VERDICT_PROBE_VIA, 1000 + SUSPECT_MS, 4000),
                 1000 + SUSPECT_MS + FEW_MS);
    cr_assert_eq(asked(), 2);
    cr_assert_eq(first_time(VERDICT_PROBE_VIA, 1000 + SUSPECT_MS + FEW_MS, 9000), 0);
}

Test(detector, nobody_is_dead_whom_only_a_few_were_asked_after)
{
    uint64_t asked_ms = 0;
    uint64_t now_ms = 1000;

    watch(3, 1000);
    step(DETECTOR_SENT, 3, now_ms); /* answered by nobody from the very first on */
    while (!pronounced(VERDICT_DEAD)) {
        now_ms = detector_wake(detector);
        step(DETECTOR_TICK, 0, now_ms);
        asked_ms = asked() == 2 ? now_ms : asked_ms;
    }
    cr_assert_neq(asked_ms, 0);
    cr_assert_geq(now_ms, asked_ms + REPLY_MS);
}

Test(detector, a_broken_link_of_a_suspect_is_looked_into_by_many_at_once)
{
    watch(3, 1000);
    (void)first_time(VERDICT_SUSPECT, 1000, 4000);
    step(DETECTOR_LINK_LOST, 3, 1010 + SUSPECT_MS);
    cr_assert_eq(asked(), 2);
}

Test(detector, who_is_heard_after_a_few_were_asked_is_asked_after_by_nobody_else)
{
    watch(3, 1000);
    (void)first_time(VERDICT_SUSPECT, 1000, 4000);
    step(DETECTOR_HEARD, 3, 1010 + SUSPECT_MS);
    cr_assert_eq(first_time(VERDICT_PROBE_VIA, 1010 + SUSPECT_MS, 2000 + SUSPECT_MS), 0);
}

Test(detector, a_slow_member_is_not_suspected_before_it_could_have_answered_twice)
{
    watch(3, 1000);
    detector_pace(detector, 3, 400);
    cr_assert_eq(first_time(VERDICT_SUSPECT, 1000, 4000), 1000 + PROBE_MS + 400 + 500);
}

Test(detector, probes_follow_each_other_further_and_further_apart)
{
    static const uint64_t apart_ms[] = {20, 40, 80, 160, 320, HEARTBEAT_MS, HEARTBEAT_MS};
    uint64_t before_ms;

    watch(3, 1000);
    before_ms = first_time(VERDICT_PROBE, 1000, 9000);
    for (size_t i = 0; i < sizeof(apart_ms) / sizeof(apart_ms[0]); i++) {
        uint64_t now_ms = first_time(VERDICT_PROBE, before_ms, 9000);

        cr_assert_eq(now_ms - before_ms, apart_ms[i], "probe %d", (int)i);
        before_ms = now_ms;
    }
}

Test(detector, silence_is_death_two_seconds_after_a_question_was_repeated)
{
    watch(3, 1000);
    cr_assert_eq(first_time(VERDICT_DEAD, 1000, 9000), 1000 + DEATH_MS);
    cr_assert_leq(DEATH_MS, 3000);
    step(DETECTOR_TICK, 0, 9000);
    cr_assert_eq(verdicts.count, 0, "the dead are no longer watched");
}

Test(detector, the_first_question_without_an_answer_counts_whatever_it_was)
{
    watch(3, 1000);
    step(DETECTOR_SENT, 3, 1010);
    cr_assert_eq(first_time(VERDICT_DEAD, 1010, 9000), 1010 + TIMEOUT_MS + GONE_MS);
}

/* For stalls that begin at any moment between two heartbeats: one that begins just before a question
 * may last GONE_MS. */
Test(detector, a_member_that_gets_no_time_for_almost_two_seconds_is_not_declared_dead)
{
    for (uint64_t begin_ms = 0; begin_ms <= PROBE_MS; begin_ms += 10) {
        for (uint64_t stall_ms = 1000; stall_ms <= 1850; stall_ms += 170) {
            uint64_t wake_ms = 1000 + begin_ms + stall_ms + 5;

            memset(detector, 0, sizeof(*detector));
            watch(3, 1000);
            uint64_t dead_ms = first_time(VERDICT_DEAD, 1000, wake_ms);

            cr_assert_eq(dead_ms, 0, "%d for %d: %d", (int)begin_ms, (int)stall_ms, (int)dead_ms);
            step(DETECTOR_HEARD, 3, wake_ms);
            cr_assert_eq(first_time(VERDICT_DEAD, wake_ms, wake_ms + PROBE_MS), 0);
        }
    }
}

Test(detector, the_way_there_and_back_does_not_count_as_silence)
{
    watch(3, 1000);
    detector_pace(detector, 3, 300);
    step(DETECTOR_SENT, 3, 1100);
    cr_assert_eq(first_time(VERDICT_DEAD, 1100, 9000), 1400 + GONE_MS - GONE_WAY_MS + 300);
}

/* Each question or its answer is lost with 10 %: that is loss of 5 % each way. */
Test(detector, lost_messages_kill_nobody_in_a_day)
{
    struct random random;
    uint64_t now_ms = 1000;

    random_init(&random, 3, "loss");
    watch(3, now_ms);
    detector_pace(detector, 3, 40);
    while (now_ms < 86400000) {
        now_ms = detector_wake(detector);
        step(DETECTOR_TICK, 0, now_ms);
        cr_assert(!pronounced(VERDICT_DEAD), "after %d ms", (int)now_ms);
        if (pronounced(VERDICT_PROBE) && random_below(&random, 100) >= 10) {
            step(DETECTOR_HEARD, 3, now_ms + 5);
        }
    }
}

Test(detector, a_sign_of_life_takes_the_suspicion_back)
{
    watch(3, 1000);
    cr_assert_neq(first_time(VERDICT_SUSPECT, 1000, 3000), 0);
    step(DETECTOR_HEARD, 3, 2910);
    cr_assert(pronounced(VERDICT_ALIVE));
    cr_assert_eq(first_time(VERDICT_DEAD, 2910, 2910 + GONE_MS), 0);
}

Test(detector, one_broken_link_suspects_but_kills_only_with_silence)
{
    watch(3, 1000);
    step(DETECTOR_HEARD, 3, 1400);
    step(DETECTOR_LINK_LOST, 3, 1500);
    cr_assert(pronounced(VERDICT_SUSPECT));
    cr_assert(pronounced(VERDICT_REDIAL));
    cr_assert(pronounced(VERDICT_PROBE_VIA));
    cr_assert_eq(first_time(VERDICT_DEAD, 1500, 9000), 1500 + TIMEOUT_MS + GONE_MS);
}

Test(detector, links_that_break_again_and_again_are_no_refusal)
{
    watch(3, 1000);
    for (uint64_t now_ms = 1500; now_ms < 1700; now_ms += 20) {
        step(DETECTOR_LINK_LOST, 3, now_ms);
    }
    cr_assert_geq(first_time(VERDICT_DEAD, 1700, 9000), 1500 + TIMEOUT_MS + GONE_MS);
}

Test(detector, a_killed_process_is_dead_within_a_tenth_of_a_second)
{
    watch(3, 1000);
    step(DETECTOR_HEARD, 3, 1400);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_REFUSED, 3, 1501);
    step(DETECTOR_TICK, 0, 1500 + REFUSED_WAIT_MS - 1);
    cr_assert(!pronounced(VERDICT_DEAD));
    step(DETECTOR_TICK, 0, 1500 + REFUSED_WAIT_MS);
    cr_assert(pronounced(VERDICT_DEAD));
}

Test(detector, a_helper_that_is_refused_too_ends_the_waiting)
{
    watch(3, 1000);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_DENIED, 3, 1502);
    step(DETECTOR_TICK, 0, 1503);
    cr_assert(!pronounced(VERDICT_DEAD), "it was not refused here");
    step(DETECTOR_REFUSED, 3, 1504);
    step(DETECTOR_TICK, 0, 1504);
    cr_assert(pronounced(VERDICT_DEAD));
}

Test(detector, only_who_is_refused_is_surely_gone_however_short_the_silence)
{
    watch(3, 1000);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_REFUSED, 3, 1501);
    step(DETECTOR_TICK, 0, 1500 + REFUSED_WAIT_MS);
    cr_assert(pronounced(VERDICT_DEAD));
    cr_assert(is_surely_gone());

    /* Asked twice right after it was heard: dead by silence, in less than ABSENT_MS of it. */
    watch(4, 1700);
    step(DETECTOR_HEARD, 4, 2000);
    step(DETECTOR_SENT, 4, 2001);
    step(DETECTOR_SENT, 4, 2002);
    cr_assert_lt(first_time(VERDICT_DEAD, 2002, 9000), 2000 + ABSENT_MS);
    cr_assert(pronounced(VERDICT_DEAD));
    cr_assert(!is_surely_gone());
}

Test(detector, one_refusal_alone_is_tried_again)
{
    watch(3, 1000);
    step(DETECTOR_REFUSED, 3, 1500);
    cr_assert(pronounced(VERDICT_REDIAL));
    step(DETECTOR_TICK, 0, 1500 + REFUSED_WAIT_MS);
    cr_assert(!pronounced(VERDICT_DEAD));
    step(DETECTOR_REFUSED, 3, 1601);
    step(DETECTOR_TICK, 0, 1601);
    cr_assert(pronounced(VERDICT_DEAD));
}

Test(detector, seen_by_others_in_time_it_lives)
{
    watch(3, 1000);
    step(DETECTOR_LINK_LOST, 3, 1500);
    step(DETECTOR_REFUSED, 3, 1501);
    step(DETECTOR_HEARD, 3, 1550);
    cr_assert(pronounced(VERDICT_ALIVE));
    step(DETECTOR_TICK, 0, 1500 + REPLY_MS);
    cr_assert(!pronounced(VERDICT_DEAD));
}

Test(detector, one_who_slept_accuses_nobody)
{
    watch(3, 1000);
    step(DETECTOR_TICK, 0, 1400);
    step(DETECTOR_TICK, 0, 60000);
    cr_assert(!pronounced(VERDICT_SUSPECT));
    cr_assert(!pronounced(VERDICT_DEAD));
    cr_assert_eq(first_time(VERDICT_DEAD, 60000, 69000), 60000 + DEATH_MS);
}

/* The observer gets time only now and then: what it heard waits to be read. */
Test(detector, one_that_gets_little_time_itself_does_not_count_what_it_missed)
{
    uint64_t now_ms = 1000;
    uint32_t rounds = 0;

    watch(3, now_ms);
    step(DETECTOR_TICK, 0, now_ms);
    while (!pronounced(VERDICT_DEAD) && rounds++ < 500) {
        uint64_t wake_ms = detector_wake(detector);

        now_ms = (wake_ms > now_ms ? wake_ms : now_ms) + 900; /* each time late */
        step(DETECTOR_TICK, 0, now_ms);
    }
    cr_assert_gt(now_ms, 1000 + DEATH_MS + 3000);
    cr_assert_lt(rounds, 500, "it never does");
}

Test(detector, just_before_its_verdict_a_stalled_observer_reads_what_came)
{
    watch(3, 1000);
    cr_assert_eq(first_time(VERDICT_DEAD, 1000, 1000 + DEATH_MS - 1), 0);
    step(DETECTOR_TICK, 0, 1000 + DEATH_MS + 800);
    cr_assert(!pronounced(VERDICT_DEAD));
    step(DETECTOR_HEARD, 3, 1000 + DEATH_MS + 801);
    cr_assert_eq(first_time(VERDICT_DEAD, 4400, 4400 + GONE_MS), 0);
}

Test(detector, who_hears_nobody_at_all_suspects_itself_and_waits_longer)
{
    for (int member = 3; member < 6; member++) {
        watch(member, 1000);
    }
    cr_assert_eq(first_time(VERDICT_DEAD, 1000, 9000), 1000 + DEATH_MS + DEAF_MS);
    memset(detector, 0, sizeof(*detector));
    for (int member = 3; member < 6; member++) {
        watch(member, 1000);
    }
    cr_assert_eq(first_time(VERDICT_DEAD, 1000, 2500), 0);
    step(DETECTOR_HEARD, 9, 2500);
    cr_assert_eq(first_time(VERDICT_DEAD, 2500, 9000), 1000 + DEATH_MS);
}

Test(detector, one_that_said_it_comes_back_is_given_the_time)
{
    watch(3, 1000);
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
    watch(3, 1000);
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

    watch(3, now_ms);
    while (detector_wake(detector) != 0 && rounds++ < 100) {
        cr_assert_gt(detector_wake(detector), now_ms);
        now_ms = detector_wake(detector);
        step(DETECTOR_TICK, 0, now_ms);
        cr_assert_gt(verdicts.count, 0, "woken for nothing at %d", (int)now_ms);
    }
    cr_assert_eq(now_ms, 1000 + DEATH_MS);
}

Test(detector, many_silent_members_are_all_judged_though_verdicts_are_bounded)
{
    uint32_t dead_count = 0;

    for (int i = 0; i < 200; i++) {
        watch(i, 1000);
    }
    for (uint64_t now_ms = 1100; now_ms < 9000; now_ms += 10) {
        step(DETECTOR_TICK, 0, now_ms);
        for (uint32_t i = 0; i < verdicts.count; i++) {
            dead_count += verdicts.list[i].kind == VERDICT_DEAD;
        }
    }
    cr_assert_eq(dead_count, 200);
}
