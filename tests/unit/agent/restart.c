// SPDX-License-Identifier: GPL-3.0-or-later
/* mingad is started anew over what still runs: nothing is decided by what it does not know yet. */
#include "tests/unit/agent/one_executor.h"
#include "tests/unit/agent/owner_rule.h"

enum { SIX_PM_S = 1767636000 /* 2026-01-05 18:00 UTC, a Monday */ };

/* The first replica as the executor's disk has it. */
struct kept {
    struct overlay_blob blob;
    uint8_t bytes[4096];
};

static void keep(const struct bench *bench, struct kept *kept_out)
{
    kept_out->blob.kind = BLOB_AGENT;
    for (uint32_t i = 0; i < bench->community->out.count; i++) {
        const struct outgoing *out = &bench->community->out.list[i];

        if (out->kind == OUT_STORE) {
            kept_out->blob.key = out->blob_key;
            kept_out->blob.number = out->blob_number;
            kept_out->blob.bytes = (struct bytes){kept_out->bytes, out->payload.length_bytes};
            memcpy(kept_out->bytes, out->payload.data, out->payload.length_bytes);
        }
    }
    cr_assert_gt(kept_out->blob.bytes.length_bytes, 0);
}

static struct owner_rules *rules_of(struct bench *bench)
{
    return &bench->community->nodes[0].config.rules;
}

static void listed(struct bench *bench)
{
    struct sandbox_event event = {.kind = SANDBOX_LISTED, .age_ms = 5000, .port_count = 1};

    event.key = (struct replica_key){bench->community->service, 1, 1};
    event.ports[0].host_port = 31000;
    executor_sandbox_up(bench->executor, &bench->turn);
    executor_sandbox(bench->executor, &bench->turn, &event);
    executor_sandbox_listed(bench->executor, &bench->turn);
}

/* With the configuration that the node has by now. */
static void begin_again(struct bench *bench, const struct kept *kept)
{
    executor_free(bench->executor);
    bench_at(bench, bench->community->now_ms + 3000);
    bench->executor = executor_new(&bench->community->nodes[0].config);
    bench->community->nodes[0].executor = bench->executor;
    cr_assert_eq(executor_load(bench->executor, &kept->blob), 0);
    executor_start(bench->executor, &bench->turn);
}

/* minga-sandboxd names what it runs. */
static void restart(struct bench *bench, const struct kept *kept)
{
    begin_again(bench, kept);
    listed(bench);
    cr_assert_eq(executor_count(bench->executor), 1);
}

static void sense(struct bench *bench, const struct owner_senses *senses)
{
    bench_at(bench, bench->community->now_ms + 20);
    executor_sensed(bench->executor, &bench->turn, senses);
}

/* How many are told to stop until then, in what was said last as well. */
static uint32_t stops_until(struct bench *bench, uint64_t until_ms)
{
    uint32_t count = count_out(bench, OUT_STOP);

    while (bench->community->now_ms + 500 <= until_ms) {
        bench_at(bench, bench->community->now_ms + 500);
        executor_tick(bench->executor, &bench->turn);
        count += count_out(bench, OUT_STOP);
    }
    return count;
}

static enum replica_state state(const struct bench *bench)
{
    return first_replica(bench).status.state;
}

/* ------------------------------------------------------------------ rules */

static struct bench restarted_with_a_game_rule(void)
{
    struct bench bench = bench_running(wiki);
    struct owner_rule *rule = rule_add(rules_of(&bench), "games", OWNER_FREEZE);
    struct kept kept = {0};

    rule->when.programs = (struct owner_words){1, {"supergame"}};
    keep(&bench, &kept);
    restart(&bench, &kept);
    return bench;
}

Test(restart, what_a_rule_has_frozen_stays_frozen_until_it_can_be_judged)
{
    struct bench bench = restarted_with_a_game_rule();
    struct owner_senses senses = {.program_count = 1, .programs = {"supergame"}};

    cr_assert_eq(count_out(&bench, OUT_THAW), 0);
    sense(&bench, &senses);
    cr_assert_eq(count_out(&bench, OUT_THAW), 0);
    cr_assert_eq(count_out(&bench, OUT_FREEZE), 1);
    fake_free(bench.community);
}

Test(restart, what_no_rule_freezes_any_more_is_thawed_by_the_first_look)
{
    struct bench bench = restarted_with_a_game_rule();
    struct owner_senses senses = {0};

    cr_assert_eq(count_out(&bench, OUT_THAW), 0);
    sense(&bench, &senses);
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    cr_assert_eq(count_out(&bench, OUT_FREEZE), 0);
    sense(&bench, &senses);
    cr_assert_eq(count_out(&bench, OUT_THAW), 0, "once");
    fake_free(bench.community);
}

Test(restart, rules_that_are_gone_before_the_first_look_freeze_nothing)
{
    struct bench bench = restarted_with_a_game_rule();
    struct core_config config = bench.community->nodes[0].config;

    config.rules.count = 0;
    bench_at(&bench, bench.community->now_ms + 20);
    executor_configured(bench.executor, &bench.turn, &config);
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    fake_free(bench.community);
}

Test(restart, without_rules_what_runs_is_thawed_when_it_is_adopted)
{
    struct bench bench = bench_running(wiki);
    struct kept kept = {0};

    keep(&bench, &kept);
    restart(&bench, &kept);
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    fake_free(bench.community);
}

Test(restart, a_pause_that_is_over_before_the_first_look_leaves_it_to_the_rules)
{
    struct bench bench = restarted_with_a_game_rule();

    executor_pause(bench.executor, &bench.turn, &(struct core_request){.at_once = true});
    executor_resume(bench.executor, &bench.turn);
    cr_assert_eq(count_out(&bench, OUT_THAW), 0);
    sense(&bench, &(struct owner_senses){0});
    cr_assert_eq(count_out(&bench, OUT_THAW), 1);
    fake_free(bench.community);
}

Test(restart, nothing_new_comes_before_the_rules_can_be_judged)
{
    struct bench bench = restarted_with_a_game_rule();
    minga_Find find = minga_Find_init_zero;
    minga_Offer offer = minga_Offer_init_zero;

    memcpy(find.service, bench.community->service.id.bytes, ID_BYTES);
    find.service[0] ^= 1;
    cr_assert(executor_find(bench.executor, &bench.turn, &find, &offer));
    cr_assert_eq(offer.refusal, REFUSAL_PAUSED);
    sense(&bench, &(struct owner_senses){0});
    cr_assert(executor_find(bench.executor, &bench.turn, &find, &offer));
    cr_assert_eq(offer.refusal, REFUSAL_NONE);
    fake_free(bench.community);
}

/* At 19:00 in Berlin it is 18:00 in UTC, which no rule has meant. */
Test(restart, hours_are_not_judged_before_the_time_zone_is_known)
{
    struct bench bench = bench_running(wiki);
    struct owner_rule *rule = rule_add(rules_of(&bench), "day", OWNER_RUN);
    struct owner_senses berlin = {.zone.offset_s = 3600};
    struct kept kept = {0};

    cr_assert_eq(hours_parse("08:00-18:30", &rule->when.hours), 0);
    rule->then.memory_bytes = 64 << 20; /* half of what the replica was promised */
    bench.community->wall_begin_s = SIX_PM_S;
    keep(&bench, &kept);
    restart(&bench, &kept);
    cr_assert_eq(state(&bench), REPLICA_RUNNING);
    sense(&bench, &berlin);
    cr_assert_eq(stops_until(&bench, bench.community->now_ms + 1000), 0);
    cr_assert_eq(state(&bench), REPLICA_RUNNING);
    fake_free(bench.community);
}

/* ------------------------------------------------------------------ guests */

/* There is one other member, which is not heard yet. */
static struct bench restarted_denying_the_guest(void)
{
    struct bench bench = bench_running(wiki);
    struct core_config *config = &bench.community->nodes[0].config;
    struct kept kept = {0};

    config->deny_count = 1;
    config->deny[0].id = bench.community->service.id;
    keep(&bench, &kept);
    fake_node_make(bench.community, 1);
    bench.community->nodes[1].side = 1;
    bench.community->node_count = 2;
    restart(&bench, &kept);
    return bench;
}

Test(restart, a_guest_who_was_denied_meanwhile_is_handed_over_once_others_are_heard)
{
    struct bench bench = restarted_denying_the_guest();
    uint64_t started_ms = bench.community->now_ms;

    cr_assert_eq(stops_until(&bench, started_ms + 2000), 0, "nobody can have been heard yet");
    bench.community->nodes[1].side = 0;
    bench_at(&bench, started_ms + 2100);
    executor_look_around(bench.executor, &bench.turn);
    bench.community->nodes[1].side = 1; /* not heard for a while */
    cr_assert_eq(stops_until(&bench, started_ms + 59000), 0, "it is handed over");
    cr_assert_eq(stops_until(&bench, started_ms + 61000), 1);
    fake_free(bench.community);
}

Test(restart, where_nobody_is_heard_a_guest_who_was_denied_meanwhile_is_ended)
{
    struct bench bench = restarted_denying_the_guest();
    uint64_t started_ms = bench.community->now_ms;

    cr_assert_eq(stops_until(&bench, started_ms + ISOLATED_MS - 100), 0);
    cr_assert_eq(stops_until(&bench, started_ms + ISOLATED_MS + 1000), 1);
    fake_free(bench.community);
}

/* ------------------------------------------------------------------ what nobody heard */

/* Of a replica that ended while no mingad was there; minga-sandboxd says so as soon as one is. */
static struct bench restarted_after_its_end(const char *restart, enum sandbox_end end, int status)
{
    struct sandbox_event event = {.kind = SANDBOX_ENDED, .end = end, .status = status};
    struct kept kept = {0};
    struct bench bench;
    char yaml[128];

    (void)snprintf(yaml, sizeof(yaml), "name: wiki\ncommand: [/bin/wiki]\nrestart: %s\n", restart);
    bench = bench_running(yaml);
    event.key = (struct replica_key){bench.community->service, 1, 1};
    keep(&bench, &kept);
    begin_again(&bench, &kept);
    executor_sandbox_up(bench.executor, &bench.turn);
    executor_sandbox(bench.executor, &bench.turn, &event);
    executor_sandbox_listed(bench.executor, &bench.turn);
    cr_assert_eq(count_out(&bench, OUT_START), 0);
    return bench;
}

/* So that its manager does not have it run again. */
static uint32_t reported_ends(struct bench *bench)
{
    minga_Report report;
    uint32_t place = 0;
    uint32_t count = 0;

    executor_flush(bench->executor, &bench->turn);
    while (next_report(bench, &place, &report)) {
        for (uint32_t j = 0; j < report.replicas_count; j++) {
            count += report.replicas[j].state == REPLICA_ENDED ? 1 : 0;
        }
    }
    return count;
}

Test(restart, a_job_that_ended_meanwhile_is_reported_as_ended)
{
    struct bench bench = restarted_after_its_end("never", SANDBOX_END_EXITED, 3);

    cr_assert_eq(state(&bench), REPLICA_ENDED);
    cr_assert_str_eq(first_replica(&bench).status.reason, "exit status 3");
    cr_assert_eq(reported_ends(&bench), 1);
    fake_free(bench.community);
}

Test(restart, what_succeeded_meanwhile_is_reported_as_ended)
{
    struct bench bench = restarted_after_its_end("on-failure", SANDBOX_END_EXITED, 0);

    cr_assert_eq(reported_ends(&bench), 1);
    fake_free(bench.community);
}

/* By now it may run elsewhere. */
Test(restart, what_is_to_run_again_is_left_to_its_manager)
{
    struct bench failed = restarted_after_its_end("on-failure", SANDBOX_END_EXITED, 3);
    struct bench lost = restarted_after_its_end("never", SANDBOX_END_LOST, 0);
    struct bench stopped = restarted_after_its_end("never", SANDBOX_END_STOPPED, 0);

    cr_assert_eq(executor_count(failed.executor), 0);
    cr_assert_eq(executor_count(lost.executor), 0);
    cr_assert_eq(executor_count(stopped.executor), 0);
    fake_free(failed.community);
    fake_free(lost.community);
    fake_free(stopped.community);
}
