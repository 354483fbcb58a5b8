// SPDX-License-Identifier: GPL-3.0-or-later
/* When the router is asked, and what others hear of it. */
#include "agent/portmap/plan.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct portmap_port own = {false, 7400, 7400};
static const struct portmap_port both[] = {{false, 7400, 7400}, {true, 31000, 31000}};
static struct plan plan;
static struct plan_job job;
static struct portmap_port news;

static void begin(void)
{
    plan_init(&plan, false);
    plan_allow(&plan, true, 1000);
    plan_want(&plan, &own, 1, 1000);
}

/* The router gives what was asked for, `shift` higher. */
static struct portmap_answer given(uint16_t shift, uint32_t lease_s)
{
    struct portmap_answer answer = {
        .method = PORTMAP_NATPMP, .lease_s = lease_s, .port_count = job.port_count};

    memcpy(answer.ports, job.ports, sizeof(answer.ports));
    for (uint32_t i = 0; i < answer.port_count; i++) {
        answer.ports[i].outside = (uint16_t)(answer.ports[i].inside + shift);
    }
    return answer;
}

static void done(struct portmap_answer answer, uint64_t now_ms)
{
    plan_done(&plan, &answer, now_ms);
}

static const struct portmap_answer nobody = {.method = PORTMAP_NONE, .why = "nobody"};

Test(plan, nothing_is_asked_unless_it_is_allowed_and_something_is_wanted)
{
    plan_init(&plan, false);
    plan_want(&plan, &own, 1, 1000);
    cr_assert_not(plan_next(&plan, 1000, &job));
    cr_assert_eq(plan_state_of(&plan), PLAN_OFF);
    plan_allow(&plan, true, 1000);
    cr_assert_eq(plan_state_of(&plan), PLAN_ASKING);
    cr_assert(plan_next(&plan, 1000, &job));
    plan_init(&plan, false);
    plan_allow(&plan, true, 1000);
    cr_assert_not(plan_next(&plan, 1000, &job));
    cr_assert_eq(plan_state_of(&plan), PLAN_IDLE);
}

Test(plan, what_is_given_is_told_once_and_asked_for_again_at_half_of_the_lease)
{
    begin();
    cr_assert(plan_next(&plan, 1000, &job));
    cr_assert_eq(job.kind, PLAN_MAP);
    cr_assert_eq(job.by, PORTMAP_NONE);
    cr_assert_not(plan_next(&plan, 9000, &job), "one at a time");
    done(given(1, 3600), 2000);
    cr_assert(plan_news(&plan, 2000, &news));
    cr_assert_eq(news.inside, 7400);
    cr_assert_eq(news.outside, 7401);
    cr_assert_not(plan_news(&plan, 2000, &news));
    cr_assert_not(plan_next(&plan, 2000 + 1800 * 1000 - 1, &job));
    cr_assert(plan_next(&plan, 2000 + 1800 * 1000, &job));
    cr_assert_eq(job.by, PORTMAP_NATPMP, "the way that has worked");
    cr_assert_eq(job.ports[0].outside, 7401, "and the same port");
}

Test(plan, a_lease_that_is_not_renewed_ends)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 3600), 2000);
    plan_news(&plan, 2000, &news);
    cr_assert(plan_next(&plan, 2000 + 1800 * 1000, &job));
    done(nobody, 2000 + 1800 * 1000);
    cr_assert_not(plan_news(&plan, 2000 + 3600 * 1000 - 1, &news));
    cr_assert(plan_news(&plan, 2000 + 3600 * 1000, &news));
    cr_assert_eq(news.inside, 7400);
    cr_assert_eq(news.outside, 0);
    cr_assert_eq(plan_state_of(&plan), PLAN_NONE);
}

Test(plan, when_the_known_way_fails_all_are_tried_at_once_and_then_ever_more_seldom)
{
    uint64_t now_ms = 10000000;

    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 3600), 2000);
    cr_assert(plan_next(&plan, now_ms, &job));
    done(nobody, now_ms);
    now_ms += PLAN_PAUSE_MS;
    cr_assert(plan_next(&plan, now_ms, &job));
    cr_assert_eq(job.by, PORTMAP_NONE);
    for (uint64_t wait_ms = 2 * PLAN_FAILED_MS; wait_ms <= PLAN_FAILED_MS_MAX; wait_ms *= 2) {
        done(nobody, now_ms);
        cr_assert_not(plan_next(&plan, now_ms + wait_ms - 1, &job), "%lu", (unsigned long)wait_ms);
        now_ms += wait_ms;
        cr_assert(plan_next(&plan, now_ms, &job));
    }
    done(nobody, now_ms);
    cr_assert(plan_next(&plan, now_ms + PLAN_FAILED_MS_MAX, &job));
}

Test(plan, another_network_is_asked_at_once)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(nobody, 2000);
    cr_assert_str_eq(plan.why, "nobody");
    cr_assert_not(plan_next(&plan, 5000, &job));
    plan_look_again(&plan, 5000);
    cr_assert(plan_next(&plan, 5000, &job));
}

Test(plan, in_another_network_every_method_is_tried_and_what_is_open_keeps_its_name)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 3600), 2000);
    plan_look_again(&plan, 5000);
    cr_assert_eq(plan.method, given(0, 3600).method);
    cr_assert(plan_next(&plan, 5000, &job));
    cr_assert_eq(job.by, PORTMAP_NONE);
    cr_assert_eq(plan.method, given(0, 3600).method);
}

Test(plan, a_new_replicas_port_is_asked_for_at_once_and_an_ended_ones_closed)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 3600), 2000);
    while (plan_news(&plan, 2000, &news)) {
    }
    plan_want(&plan, both, 2, 5000);
    cr_assert(plan_next(&plan, 5000, &job));
    cr_assert_eq(job.port_count, 2);
    done(given(0, 3600), 6000);
    cr_assert(plan_news(&plan, 6000, &news));
    cr_assert(news.is_udp);
    plan_want(&plan, &own, 1, 9000);
    cr_assert(plan_next(&plan, 9000, &job));
    cr_assert_eq(job.kind, PLAN_UNMAP);
    cr_assert_eq(job.port_count, 1);
    cr_assert_eq(job.ports[0].inside, 31000);
    done(given(0, 0), 9500);
    cr_assert(plan_news(&plan, 9500, &news));
    cr_assert_eq(news.inside, 31000);
    cr_assert_eq(news.outside, 0);
    cr_assert_not(plan_next(&plan, 20000, &job));
}

/* Found by a replica that started faster than a router answers. */
Test(plan, a_port_that_is_wanted_while_the_router_is_being_asked_is_asked_for_next)
{
    begin();
    cr_assert(plan_next(&plan, 1000, &job));
    plan_want(&plan, both, 2, 1500);
    done(given(0, 3600), 2000);
    cr_assert(plan_next(&plan, 2000 + PLAN_PAUSE_MS, &job));
    cr_assert_eq(job.port_count, 2);
    done(given(0, 3600), 5000);
    cr_assert_not(plan_next(&plan, 5000 + PLAN_PAUSE_MS, &job));
}

Test(plan, what_is_no_longer_allowed_is_closed)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(given(5, 3600), 2000);
    plan_allow(&plan, false, 9000);
    cr_assert(plan_next(&plan, 9000, &job));
    cr_assert_eq(job.kind, PLAN_UNMAP);
    cr_assert_eq(job.ports[0].outside, 7405);
    done(nobody, 9500);
    cr_assert_not(plan_next(&plan, 99000, &job));
    cr_assert_eq(plan_state_of(&plan), PLAN_OFF);
}

Test(plan, at_the_end_all_that_is_or_may_be_open_is_closed)
{
    begin();
    cr_assert_not(plan_farewell(&plan, &job));
    plan_next(&plan, 1000, &job);
    cr_assert(plan_farewell(&plan, &job), "it is just being asked for");
    cr_assert_eq(job.kind, PLAN_UNMAP);
    cr_assert_eq(job.port_count, 1);
    plan_init(&plan, false);
    begin();
    plan_next(&plan, 1000, &job);
    done(given(1, 3600), 2000);
    cr_assert(plan_farewell(&plan, &job));
    cr_assert_eq(job.ports[0].outside, 7401);
    cr_assert_eq(job.by, PORTMAP_NATPMP);
}

Test(plan, a_refused_port_is_not_told)
{
    struct portmap_answer answer;

    begin();
    plan_want(&plan, both, 2, 1000);
    plan_next(&plan, 1000, &job);
    answer = given(0, 3600);
    answer.ports[0].outside = 0;
    done(answer, 2000);
    cr_assert(plan_news(&plan, 2000, &news));
    cr_assert_eq(news.inside, 31000);
    cr_assert_not(plan_news(&plan, 2000, &news));
}

Test(plan, a_port_that_the_router_was_silent_about_is_not_open_and_is_asked_for_again_soon)
{
    struct portmap_answer answer;

    begin();
    plan_want(&plan, both, 2, 1000);
    plan_next(&plan, 1000, &job);
    answer = given(0, 3600);
    answer.port_count = 1;
    done(answer, 2000);
    cr_assert(plan_news(&plan, 2000, &news));
    cr_assert_eq(news.inside, 7400);
    cr_assert_not(plan_news(&plan, 2000, &news));
    cr_assert_not(plan_next(&plan, 2000 + PLAN_SILENT_MS - 1, &job));
    cr_assert(plan_next(&plan, 2000 + PLAN_SILENT_MS, &job));
    cr_assert_eq(job.port_count, 2);
    done(given(0, 3600), 70000);
    cr_assert(plan_news(&plan, 70000, &news));
    cr_assert_eq(news.inside, 31000);
    cr_assert_not(plan_next(&plan, 70000 + PLAN_SILENT_MS, &job));
}

Test(plan, a_lease_for_ever_does_not_end_and_one_of_no_time_is_not_asked_for_all_the_time)
{
    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 0), 2000);
    plan_news(&plan, 2000, &news);
    cr_assert_not(plan_news(&plan, (uint64_t)1 << 40, &news));
    begin();
    plan_next(&plan, 1000, &job);
    done(given(0, 1), 2000);
    cr_assert_not(plan_next(&plan, 2000 + PLAN_AGAIN_MS_MIN - 1, &job));
    cr_assert(plan_next(&plan, 2000 + PLAN_AGAIN_MS_MIN, &job));
}

Test(plan, all_ports_that_there_is_room_for_are_told)
{
    struct portmap_port ports[PORTMAP_PORTS_MAX + 1];
    uint32_t count = 0;

    for (uint16_t i = 0; i <= PORTMAP_PORTS_MAX; i++) {
        ports[i] = (struct portmap_port){false, (uint16_t)(31000 + i), 0};
    }
    begin();
    plan_want(&plan, ports, PORTMAP_PORTS_MAX + 1, 1000);
    plan_next(&plan, 1000, &job);
    cr_assert_eq(job.port_count, PORTMAP_PORTS_MAX);
    done(given(0, 3600), 2000);
    while (plan_news(&plan, 2000, &news)) {
        count++;
    }
    cr_assert_eq(count, PORTMAP_PORTS_MAX);
}

/* ------------------------------------------------------------------ a router that forgets */

static struct portmap_answer at_epoch(uint32_t epoch_s)
{
    struct portmap_answer answer = given(0, 3600);

    answer.has_epoch = true;
    answer.epoch_s = epoch_s;
    return answer;
}

static void open_at_epoch(uint32_t epoch_s)
{
    begin();
    cr_assert(plan_next(&plan, 1000, &job));
    done(at_epoch(epoch_s), 1000);
    cr_assert_eq(plan_state_of(&plan), PLAN_OPEN);
}

Test(plan, a_router_whose_epoch_fell_is_asked_for_everything_again_at_once)
{
    uint64_t half_ms = 1000 + 1800000;

    open_at_epoch(5000);
    cr_assert(plan_next(&plan, half_ms, &job));
    done(at_epoch(12), half_ms);
    cr_assert_not(plan_next(&plan, half_ms + 1000, &job), "a moment for the router");
    cr_assert(plan_next(&plan, half_ms + PLAN_PAUSE_MS, &job));
    cr_assert_eq(job.kind, PLAN_MAP);
    done(at_epoch(14), half_ms + PLAN_PAUSE_MS);
    cr_assert_not(plan_next(&plan, half_ms + 60000, &job), "once");
}

Test(plan, a_router_whose_epoch_goes_on_is_asked_at_half_of_the_lease_only)
{
    open_at_epoch(5000);
    cr_assert(plan_next(&plan, 1801000, &job));
    done(at_epoch(6800), 1801000);
    cr_assert_not(plan_next(&plan, 1801000 + 1000000, &job));
}

Test(plan, a_clock_that_runs_wild_is_not_asked_without_end)
{
    uint32_t asked_count = 0;
    uint32_t epoch_s = 1000000;

    open_at_epoch(epoch_s);
    plan_announced(&plan, 3, 2000);
    for (uint64_t now_ms = 3000; now_ms < 1800000; now_ms += 1000) {
        if (plan_next(&plan, now_ms, &job)) {
            epoch_s -= 1000;
            done(at_epoch(epoch_s), now_ms);
            asked_count++;
        }
    }
    cr_assert_leq(asked_count, 1800000 / PLAN_LOST_MS + 1, "%u", asked_count);
}

Test(plan, an_announcement_of_a_router_that_forgot_is_heeded_and_no_other)
{
    open_at_epoch(5000);
    plan_announced(&plan, 5060, 61000);
    cr_assert_not(plan_next(&plan, 61000, &job), "it goes on");
    plan_announced(&plan, 0, 61000);
    cr_assert(plan_next(&plan, 61000, &job));
    done(at_epoch(3), 64000);
    plan_announced(&plan, 4, 65000);
    cr_assert_not(plan_next(&plan, 70000, &job), "it says so several times");
}

Test(plan, a_router_that_comes_up_after_this_machine_is_asked_when_it_says_so)
{
    begin();
    cr_assert(plan_next(&plan, 1000, &job));
    done(nobody, 1000);
    cr_assert_not(plan_next(&plan, 30000, &job));
    plan_announced(&plan, 0, 30000);
    cr_assert(plan_next(&plan, 30000, &job));
}
