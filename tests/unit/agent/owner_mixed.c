// SPDX-License-Identifier: GPL-3.0-or-later
/* The owner's words that meet: orders, rules, reloads, sleep and clocks that are set, several at once. */
#include "base/units.h"
#include "tests/unit/agent/owner_rule.h"
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: always\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

enum { HOUR_S = 3600, EVENING_S = 1767650400 /* 2026-01-05 22:00 UTC */ };

static uint32_t holder_of(const struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("nobody holds a replica");
    return 0;
}

static void give(struct community *community, uint32_t node, struct sandbox_limits contribution)
{
    struct core_config config = community->nodes[node].config;
    struct turn turn = fake_turn(community, node);

    config.contribution = contribution;
    executor_configured(community->nodes[node].executor, &turn, &config);
    fake_flush(community, node, &turn);
}

static void drain(struct community *community, uint32_t node, uint64_t within_ms)
{
    struct turn turn = fake_turn(community, node);

    executor_drain(community->nodes[node].executor, &turn, within_ms);
    fake_flush(community, node, &turn);
}

/* Alone, for what is about clocks: no replica, no other member. */
struct alone {
    struct community *community;
    struct executor *executor;
    struct turn turn;
};

static struct alone alone_at(uint64_t wall_unix_s)
{
    struct community *community = fake_new(1, wiki);

    community->wall_begin_s = wall_unix_s - community->now_ms / 1000;
    return (struct alone){community, community->nodes[0].executor, fake_turn(community, 0)};
}

/* So long later, with the wall clock by so much further (or back). */
static const char *rule_after(struct alone *alone, uint64_t ms, int64_t wall_s)
{
    static struct node_status status;

    alone->turn.now_ms += ms;
    alone->turn.wall_unix_s = (uint64_t)((int64_t)alone->turn.wall_unix_s + wall_s);
    outbox_clear(&alone->community->out);
    executor_tick(alone->executor, &alone->turn);
    executor_status(alone->executor,
                    (struct owner_clock){alone->turn.now_ms, alone->turn.wall_unix_s}, &status);
    return status.rule;
}

static void at_night(struct alone *alone, const char *hours)
{
    struct core_config *config = &alone->community->nodes[0].config;
    struct owner_rule *rule;

    config->rules.count = 0;
    rule = rule_add(&config->rules, "quiet", OWNER_FREEZE);
    cr_assert_eq(hours_parse(hours, &rule->when.hours), 0);
    executor_configured(alone->executor, &alone->turn, config);
    executor_sensed(alone->executor, &alone->turn, &(struct owner_senses){0});
}

Test(owner_mixed, giving_nothing_any_more_in_a_drain_leaves_the_drain_its_deadline)
{
    struct community *community = run_wiki(wiki, 3, 3); /* no room for a fourth */
    uint32_t holder = holder_of(community);

    drain(community, holder, 10000);
    fake_run(community, 4000);
    cr_assert(community->nodes[holder].running[0].used, "nobody else takes it, and there is time");
    give(community, holder, (struct sandbox_limits){0});
    fake_run(community, 5000);
    cr_assert(community->nodes[holder].running[0].used);
    fake_run(community, 3000);
    cr_assert_not(community->nodes[holder].running[0].used, "not a minute later");
    fake_free(community);
}

Test(owner_mixed, a_long_drain_does_not_keep_what_is_not_given_any_more)
{
    struct community *community = run_wiki(wiki, 3, 3); /* no room for a fourth */
    uint32_t holder = holder_of(community);

    drain(community, holder, 600000);
    fake_run(community, 1000);
    give(community, holder, (struct sandbox_limits){0});
    fake_run(community, OWNER_WITHIN_MS - 2000);
    cr_assert(community->nodes[holder].running[0].used);
    fake_run(community, 4000);
    cr_assert_not(community->nodes[holder].running[0].used);
    fake_free(community);
}

Test(owner_mixed, who_gives_nothing_takes_nothing_when_a_drain_is_over_and_again_when_it_gives)
{
    struct community *community = run_wiki(wiki, 3, 3); /* no room for a fourth */
    uint32_t holder = holder_of(community);
    struct sandbox_limits given = community->nodes[holder].config.contribution;
    struct turn turn;

    drain(community, holder, 1000);
    give(community, holder, (struct sandbox_limits){0});
    fake_run(community, 3000);
    cr_assert_not(community->nodes[holder].running[0].used);
    turn = fake_turn(community, holder);
    executor_resume(community->nodes[holder].executor, &turn);
    fake_flush(community, holder, &turn);
    fake_run(community, 20000);
    cr_assert_not(community->nodes[holder].running[0].used);
    give(community, holder, given);
    fake_run(community, 60000);
    cr_assert(community->nodes[holder].running[0].used);
    fake_free(community);
}

Test(owner_mixed, a_pause_that_ended_while_the_machine_slept_is_over_when_it_wakes)
{
    struct alone alone = alone_at(EVENING_S);

    executor_pause(alone.executor, &alone.turn,
                   &(struct core_request){.at_once = true, .duration_ms = HOUR_S * 1000});
    cr_assert_str_eq(rule_after(&alone, 1000, 1), "node pause");
    cr_assert_str_eq(rule_after(&alone, 8ULL * HOUR_S * 1000, 8LL * HOUR_S), "");
    fake_free(alone.community);
}

Test(owner_mixed, a_pause_goes_on_though_the_clock_is_set_back_or_ahead)
{
    struct alone alone = alone_at(EVENING_S);

    executor_pause(alone.executor, &alone.turn,
                   &(struct core_request){.at_once = true, .duration_ms = HOUR_S * 1000});
    cr_assert_str_eq(rule_after(&alone, 600000, 600 - 24LL * HOUR_S), "node pause");
    cr_assert_str_eq(rule_after(&alone, 600000, 600 + 48LL * HOUR_S), "node pause");
    cr_assert_str_eq(rule_after(&alone, 2399000, 2399), "node pause");
    cr_assert_str_eq(rule_after(&alone, 1000, 1), "", "an hour by the clock that nobody sets");
    fake_free(alone.community);
}

Test(owner_mixed, hours_follow_a_clock_that_is_set_back_and_again_ahead)
{
    struct alone alone = alone_at(EVENING_S - 600);

    at_night(&alone, "22:00-06:00");
    cr_assert_str_eq(rule_after(&alone, 1000, 1), "");
    cr_assert_str_eq(rule_after(&alone, 600000, 600), "quiet");
    cr_assert_str_eq(rule_after(&alone, 1000, 1 - 2LL * HOUR_S), "", "ten past eight again");
    cr_assert_str_eq(rule_after(&alone, 2ULL * HOUR_S * 1000, 2LL * HOUR_S), "quiet");
    cr_assert_str_eq(rule_after(&alone, 1000, 1 + 9LL * HOUR_S), "", "past six");
    fake_free(alone.community);
}

Test(owner_mixed, hours_that_overlap_over_midnight_end_with_the_last_of_them)
{
    struct alone alone = alone_at(EVENING_S);

    at_night(&alone, "Mon 21:00-02:00, 23:00-01:00, Tue 00:30-03:00");
    cr_assert_str_eq(rule_after(&alone, 1000, 1), "quiet");
    for (uint32_t half = 1; half < 10; half++) { /* 22:30 ... 02:30 */
        cr_assert_str_eq(rule_after(&alone, HOUR_S * 500, HOUR_S / 2), "quiet", "%u", half);
    }
    cr_assert_str_eq(rule_after(&alone, HOUR_S * 500, HOUR_S / 2), "", "three");
    fake_free(alone.community);
}

Test(owner_mixed, a_pause_that_ends_in_quiet_hours_gives_way_to_them)
{
    struct alone alone = alone_at(EVENING_S - 60);

    at_night(&alone, "22:00-06:00");
    executor_pause(alone.executor, &alone.turn,
                   &(struct core_request){.at_once = true, .duration_ms = 600000});
    cr_assert_str_eq(rule_after(&alone, 1000, 1), "node pause");
    cr_assert_str_eq(rule_after(&alone, 600000, 600), "quiet", "it slept over both edges");
    cr_assert_str_eq(rule_after(&alone, 8ULL * HOUR_S * 1000, 8LL * HOUR_S), "");
    fake_free(alone.community);
}
