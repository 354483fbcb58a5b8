// SPDX-License-Identifier: GPL-3.0-or-later
/* The owner's word: orders, rules and what is contributed, and that replicas are handed over. */
#include "tests/unit/agent/owner_rule.h"
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nrestart: always\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                           "ports:\n  - {name: http, container: 8080}\n";

static uint32_t holder_of(struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("nobody holds a replica");
    return 0;
}

static uint16_t port_of(struct community *community, uint32_t node)
{
    struct overlay_port port;

    cr_assert_eq(executor_published(community->nodes[node].executor, 1, &port), 1);
    return port.number;
}

static struct node_status status_of(struct community *community, uint32_t node)
{
    struct node_status status;
    struct owner_clock clock = {community->now_ms, 1790000000 + community->now_ms / 1000};

    executor_status(community->nodes[node].executor, clock, &status);
    return status;
}

static void pause_node(struct community *community, uint32_t node, struct core_request request)
{
    struct turn turn = fake_turn(community, node);

    executor_pause(community->nodes[node].executor, &turn, &request);
    fake_flush(community, node, &turn);
}

static void sense(struct community *community, uint32_t node, struct owner_senses senses)
{
    struct turn turn = fake_turn(community, node);

    executor_sensed(community->nodes[node].executor, &turn, &senses);
    fake_flush(community, node, &turn);
}

static void configure(struct community *community, uint32_t node)
{
    struct turn turn = fake_turn(community, node);

    executor_configured(community->nodes[node].executor, &turn, &community->nodes[node].config);
    fake_flush(community, node, &turn);
    sense(community, node, (struct owner_senses){0});
}

/* The fake's own bound stays: while they leave, replicas may use what they were promised. */
static void give_memory(struct community *community, uint32_t node, uint64_t memory_bytes)
{
    struct core_config config = community->nodes[node].config;
    struct turn turn = fake_turn(community, node);

    config.contribution.memory_bytes = memory_bytes;
    executor_configured(community->nodes[node].executor, &turn, &config);
    fake_flush(community, node, &turn);
}

static struct owner_rules *rules_of(struct community *community, uint32_t node)
{
    return &community->nodes[node].config.rules;
}

/* At no moment fewer run than wanted. */
static void run_without_loss(struct community *community, uint32_t wanted, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 50) {
        fake_run(community, 50);
        cr_assert_geq(fake_running_count(community), wanted, "after %llu ms",
                      (unsigned long long)i);
    }
}

/* Its node was just told what it does not give any more. */
static void expect_moved(struct community *community, uint32_t holder)
{
    cr_assert(community->nodes[holder].running[0].used, "not before another runs");
    run_without_loss(community, 3, 5000);
    cr_assert_not(community->nodes[holder].running[0].used);
}

/* ------------------------------------------------------------------ orders */

Test(owner, a_pause_hands_over_first_and_then_there_is_nothing_to_freeze)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    pause_node(community, holder, (struct core_request){.duration_ms = 600000});
    cr_assert_str_eq(status_of(community, holder).state, "pausing");
    cr_assert_not(community->nodes[holder].running[0].frozen);
    run_without_loss(community, 3, 5000);
    cr_assert_not(community->nodes[holder].running[0].used, "moved, then ended");
    cr_assert_str_eq(status_of(community, holder).state, "paused");
    cr_assert_str_eq(status_of(community, holder).rule, "node pause");
    cr_assert_eq(status_of(community, holder).rule_left_ms, 595000);
    fake_free(community);
}

Test(owner, a_pause_freezes_at_its_deadline_what_nobody_else_took)
{
    struct community *community = run_wiki(wiki, 3, 3); /* no room for a fourth */
    uint32_t holder = holder_of(community);

    pause_node(community, holder, (struct core_request){.within_ms = 4000});
    fake_run(community, 3900);
    cr_assert_not(community->nodes[holder].running[0].frozen);
    fake_run(community, 200);
    cr_assert(community->nodes[holder].running[0].frozen);
    fake_free(community);
}

Test(owner, a_pause_now_freezes_in_the_same_step)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    pause_node(community, holder, (struct core_request){.at_once = true});
    cr_assert(community->nodes[holder].running[0].frozen);
    cr_assert_str_eq(status_of(community, holder).state, "paused");
    fake_free(community);
}

Test(owner, a_pause_ends_by_itself)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);

    pause_node(community, holder, (struct core_request){.at_once = true, .duration_ms = 5000});
    fake_run(community, 4900);
    cr_assert(community->nodes[holder].running[0].frozen);
    fake_run(community, 200);
    cr_assert_not(community->nodes[holder].running[0].frozen);
    cr_assert_str_eq(status_of(community, holder).state, "ready");
    fake_free(community);
}

/* The blob of the owner's order as it was last stored; length 0: deleted. */
static struct overlay_blob kept_order(const struct community *community, uint8_t kept[64])
{
    struct overlay_blob blob = {.kind = BLOB_AGENT};
    bool found = false;

    for (uint32_t i = 0; i < community->out.count; i++) {
        const struct outgoing *out = &community->out.list[i];

        if (out->kind == OUT_STORE && id_is_zero(&out->blob_key) && out->blob_number == 0) {
            cr_assert_leq(out->payload.length_bytes, 64);
            if (out->payload.length_bytes > 0) {
                memcpy(kept, out->payload.data, out->payload.length_bytes);
            }
            blob.bytes = (struct bytes){kept, out->payload.length_bytes};
            found = true;
        }
    }
    cr_assert(found);
    return blob;
}

/* A board without a battery begins in 1970, until the network says what time it is. */
Test(owner, a_pause_ends_in_time_though_the_clock_was_wrong_at_the_start)
{
    struct community *community = fake_new(1, wiki);
    struct executor *next = executor_new(&community->nodes[0].config);
    struct turn turn = fake_turn(community, 0);
    uint64_t paused_unix_s = turn.wall_unix_s;
    struct node_status status;
    struct overlay_blob blob;
    uint8_t kept[64];

    executor_pause(community->nodes[0].executor, &turn,
                   &(struct core_request){.duration_ms = 3600000});
    cr_assert(executor_order_keep(community->nodes[0].executor, &turn, 7));
    blob = kept_order(community, kept);
    cr_assert_eq(executor_load(next, &blob), 0);
    turn.now_ms = 5000;
    turn.wall_unix_s = 100;
    outbox_clear(&community->out);
    executor_start(next, &turn);
    turn.now_ms = 10000; /* ten minutes after it was paused */
    turn.wall_unix_s = paused_unix_s + 600;
    executor_tick(next, &turn);
    executor_status(next, (struct owner_clock){turn.now_ms, turn.wall_unix_s}, &status);
    cr_assert_str_eq(status.state, "paused");
    cr_assert_eq(status.rule_left_ms, 3000000);
    turn.now_ms += 3000000;
    turn.wall_unix_s += 3000;
    executor_tick(next, &turn);
    executor_status(next, (struct owner_clock){turn.now_ms, turn.wall_unix_s}, &status);
    cr_assert_str_eq(status.rule, "");
    executor_free(next);
    fake_free(community);
}

Test(owner, a_pause_survives_a_restart_and_ends_when_it_was_to_end)
{
    struct community *community = fake_new(1, wiki);
    struct executor *next = executor_new(&community->nodes[0].config);
    struct turn turn = fake_turn(community, 0);
    struct node_status status;
    struct overlay_blob blob;
    uint8_t kept[64];

    executor_pause(community->nodes[0].executor, &turn,
                   &(struct core_request){.duration_ms = 3600000});
    cr_assert(executor_order_keep(community->nodes[0].executor, &turn, 7));
    blob = kept_order(community, kept);
    cr_assert_eq(executor_load(next, &blob), 0);
    turn.now_ms = 5000; /* another boot, 10 minutes later */
    turn.wall_unix_s += 600;
    outbox_clear(&community->out);
    executor_start(next, &turn);
    executor_status(next, (struct owner_clock){5000, turn.wall_unix_s}, &status);
    cr_assert_str_eq(status.state, "paused");
    cr_assert_eq(status.rule_left_ms, 3000000);
    turn.now_ms = 5000 + 3000000;
    turn.wall_unix_s += 3000;
    executor_tick(next, &turn);
    executor_status(next, (struct owner_clock){turn.now_ms, turn.wall_unix_s}, &status);
    cr_assert_str_eq(status.rule, "");
    cr_assert_eq(kept_order(community, kept).bytes.length_bytes, 0, "forgotten on disk, too");
    executor_free(next);
    fake_free(community);
}

Test(owner, a_kept_order_that_is_garbage_is_refused)
{
    struct community *community = fake_new(1, wiki);
    static const uint8_t garbage[] = {0x08, 0x63};
    struct overlay_blob blob = {.kind = BLOB_AGENT, .bytes = {garbage, sizeof(garbage)}};

    cr_assert_neq(executor_load(community->nodes[0].executor, &blob), 0, "order 99");
    blob.number = 7;
    cr_assert_neq(executor_load(community->nodes[0].executor, &blob), 0);
    fake_free(community);
}

Test(owner, shutting_down_is_not_remembered_as_an_order)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);
    struct turn turn = fake_turn(community, holder);

    executor_shut_down(community->nodes[holder].executor, &turn, 3500);
    for (uint32_t i = 0; i < community->out.count; i++) {
        cr_assert_neq(community->out.list[i].kind, OUT_STORE);
    }
    fake_flush(community, holder, &turn);
    run_without_loss(community, 3, 3000);
    fake_free(community);
}

/* ------------------------------------------------------------------ sleep */

static bool step_aside(struct community *community, uint32_t node, bool is_aside)
{
    struct turn turn = fake_turn(community, node);
    bool waits = executor_step_aside(community->nodes[node].executor, &turn, is_aside);

    for (uint32_t i = 0; i < community->out.count; i++) {
        cr_assert_neq(community->out.list[i].kind, OUT_STORE, "it is not remembered");
    }
    fake_flush(community, node, &turn);
    return waits;
}

Test(owner, a_machine_that_is_about_to_sleep_hands_over_and_takes_again_when_it_wakes)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    cr_assert(step_aside(community, holder, true));
    cr_assert_str_eq(status_of(community, holder).state, "draining");
    cr_assert_str_eq(status_of(community, holder).rule, "sleep or shutdown");
    cr_assert(executor_is_aside(community->nodes[holder].executor));
    run_without_loss(community, 3, 4500); /* logind's patience is 5 s */
    cr_assert_not(community->nodes[holder].running[0].used, "started elsewhere, then ended");
    cr_assert_not(executor_is_aside(community->nodes[holder].executor));
    cr_assert_not(step_aside(community, holder, false));
    cr_assert_str_eq(status_of(community, holder).state, "ready");
    cr_assert_str_eq(status_of(community, holder).rule, "");
    fake_free(community);
}

Test(owner, what_nobody_takes_before_the_machine_sleeps_sleeps_with_it)
{
    struct community *community = run_wiki(wiki, 3, 3); /* no room for a fourth */
    uint32_t holder = holder_of(community);

    cr_assert(step_aside(community, holder, true));
    run_without_loss(community, 3, 20000);
    cr_assert(community->nodes[holder].running[0].used);
    cr_assert_not(community->nodes[holder].running[0].frozen);
    cr_assert_not(step_aside(community, holder, false));
    cr_assert_not(executor_is_aside(community->nodes[holder].executor));
    run_without_loss(community, 3, 2000);
    fake_free(community);
}

Test(owner, a_machine_without_replicas_need_not_wait)
{
    struct community *community = run_wiki(wiki, 5, 3);

    for (uint32_t i = 0; i < community->node_count; i++) {
        if (!community->nodes[i].running[0].used) {
            cr_assert_not(step_aside(community, i, true));
            cr_assert_str_eq(status_of(community, i).state, "draining", "it takes none either");
        }
    }
    fake_free(community);
}

/* ------------------------------------------------------------------ rules */

Test(owner, a_rule_that_freezes_acts_in_the_step_that_senses_it_and_is_named)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    rule_add(rules_of(community, holder), "games", OWNER_FREEZE)->when.programs =
        (struct owner_words){1, {"steam"}};
    configure(community, holder);
    cr_assert_not(community->nodes[holder].running[0].frozen);
    sense(community, holder, (struct owner_senses){.program_count = 1, .programs = {"steam"}});
    cr_assert(community->nodes[holder].running[0].frozen);
    cr_assert_str_eq(status_of(community, holder).rule, "games");
    cr_assert_str_eq(status_of(community, holder).state, "paused");
    fake_free(community);
}

Test(owner, a_rule_that_drains_loses_no_replica)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    rule_add(rules_of(community, holder), "battery", OWNER_DRAIN)->when.on_battery = OWNER_YES;
    configure(community, holder);
    sense(community, holder, (struct owner_senses){.on_battery = OWNER_YES});
    cr_assert_str_eq(status_of(community, holder).state, "keeping");
    run_without_loss(community, 3, OWNER_SETTLE_MS - 1000);
    cr_assert(community->nodes[holder].running[0].used, "it may be a loose plug");
    run_without_loss(community, 3, 5000);
    cr_assert_not(community->nodes[holder].running[0].used);
    cr_assert_str_eq(status_of(community, holder).state, "draining");
    fake_free(community);
}

Test(owner, a_cap_of_the_processor_is_told_at_once_and_moves_nobody)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);
    struct owner_rule *rule = rule_add(rules_of(community, holder), "typing", OWNER_RUN);

    rule->when.in_use_ms = 60000;
    rule->then.cpu_permille = 100;
    rule->then.upload_bytes_per_s = 1000;
    configure(community, holder);
    cr_assert_eq(community->nodes[holder].allowed.cpu_permille, 2000);
    sense(community, holder, (struct owner_senses){.input_ms = community->now_ms});
    cr_assert_eq(community->nodes[holder].allowed.cpu_permille, 100);
    cr_assert_eq(community->nodes[holder].allowed.upload_bytes_per_s, 1000);
    cr_assert_eq(community->nodes[holder].allowed.download_bytes_per_s, OWNER_NO_LIMIT);
    run_without_loss(community, 3, 20000);
    cr_assert(community->nodes[holder].running[0].used, "squeezed, not moved");
    cr_assert_eq(executor_free_limits(community->nodes[holder].executor).cpu_permille, 0);
    fake_run(community, 41000);
    cr_assert_eq(community->nodes[holder].allowed.cpu_permille, 2000);
    fake_free(community);
}

/* ------------------------------------------------------------------ what is contributed */

Test(owner, what_does_not_fit_any_more_is_started_elsewhere_first)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    give_memory(community, holder, 64 << 20);
    cr_assert_geq(community->nodes[holder].allowed.memory_bytes, 128 << 20);
    expect_moved(community, holder);
    cr_assert_eq(community->nodes[holder].allowed.memory_bytes, 64 << 20);
    fake_free(community);
}

Test(owner, what_nobody_else_takes_is_ended_by_force_at_the_deadline)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);

    give_memory(community, holder, 64 << 20);
    fake_run(community, OWNER_WITHIN_MS - 1000);
    cr_assert(community->nodes[holder].running[0].used);
    fake_run(community, 3000);
    cr_assert_not(community->nodes[holder].running[0].used);
    cr_assert_eq(community->nodes[holder].allowed.memory_bytes, 64 << 20);
    fake_free(community);
}

/* The fake's own bound is the contribution: rules lower what is allowed of it. */
Test(owner, a_rule_that_gives_less_memory_has_its_own_time)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);
    struct owner_then *then = &rule_add(rules_of(community, holder), "small", OWNER_RUN)->then;

    then->memory_bytes = 64 << 20;
    then->within_ms = 5000;
    configure(community, holder);
    fake_run(community, 4500);
    cr_assert(community->nodes[holder].running[0].used);
    fake_run(community, 1500);
    cr_assert_not(community->nodes[holder].running[0].used, "not a minute, as by default");
    fake_free(community);
}

Test(owner, of_two_rules_that_give_less_memory_the_shorter_time_counts)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);
    struct owner_then *patient = &rule_add(rules_of(community, holder), "patient", OWNER_RUN)->then;
    struct owner_then *hasty = &rule_add(rules_of(community, holder), "hasty", OWNER_RUN)->then;

    patient->memory_bytes = 32 << 20;
    hasty->memory_bytes = 64 << 20;
    hasty->within_ms = 5000;
    configure(community, holder);
    fake_run(community, 6000);
    cr_assert_not(community->nodes[holder].running[0].used);
    fake_free(community);
}

Test(owner, a_shorter_time_that_begins_later_counts_too)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);
    struct owner_then *patient = &rule_add(rules_of(community, holder), "patient", OWNER_RUN)->then;
    struct owner_rule *hasty = rule_add(rules_of(community, holder), "hasty", OWNER_RUN);

    patient->memory_bytes = 64 << 20;
    hasty->when.in_use_ms = 3600000;
    hasty->then.memory_bytes = 32 << 20;
    hasty->then.within_ms = 5000;
    configure(community, holder);
    fake_run(community, 2000);
    sense(community, holder, (struct owner_senses){.input_ms = community->now_ms});
    fake_run(community, 6000);
    cr_assert_not(community->nodes[holder].running[0].used);
    fake_free(community);
}

Test(owner, a_node_that_gives_enough_again_is_not_blamed_for_what_it_ended)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_of(community);

    give_memory(community, holder, 64 << 20);
    fake_run(community, OWNER_WITHIN_MS + 2000);
    cr_assert_not(community->nodes[holder].running[0].used);
    give_memory(community, holder, (uint64_t)1 << 30);
    cr_assert_leq(fake_until_running(community, (holder + 1) % 3, 3, 5000), 5000);
    fake_free(community);
}

Test(owner, a_guest_who_is_not_welcome_any_more_is_started_elsewhere_first)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);

    community->nodes[holder].config.deny_count = 1;
    community->nodes[holder].config.deny[0].id = community->service.id;
    configure(community, holder);
    expect_moved(community, holder);
    fake_free(community);
}

Test(owner, a_replica_whose_port_is_not_given_any_more_is_started_elsewhere_first)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);
    struct core_config *config = &community->nodes[holder].config;
    uint16_t before = port_of(community, holder);

    cr_assert(before >= config->port_first && before <= config->port_last);
    config->port_first = 20000;
    config->port_last = 20100;
    configure(community, holder);
    expect_moved(community, holder);
    fake_free(community);
}

Test(owner, a_replica_whose_port_is_still_given_stays)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);
    uint16_t port = port_of(community, holder);

    community->nodes[holder].config.port_first = port;
    community->nodes[holder].config.port_last = port;
    configure(community, holder);
    fake_run(community, 70000);
    cr_assert(community->nodes[holder].running[0].used);
    cr_assert_eq(port_of(community, holder), port);
    fake_free(community);
}

Test(owner, what_has_the_internet_goes_where_there_still_is_one)
{
    static const char crawler[] = "name: wiki\ncommand: [/bin/wiki]\negress: internet\n"
                                  "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";
    struct community *community = fake_new(5, crawler);
    uint32_t holder;

    for (uint32_t i = 0; i < 5; i++) {
        community->nodes[i].config.egress = true;
        configure(community, i);
    }
    fake_want(community, true, 3, false);
    (void)fake_until_running(community, 0, 3, 4000);
    holder = holder_of(community);
    community->nodes[holder].config.egress = false;
    configure(community, holder);
    expect_moved(community, holder);
    fake_free(community);
}

Test(owner, who_runs_nothing_any_more_hands_over_first_and_takes_again_when_told)
{
    struct community *community = run_wiki(wiki, 4, 3);
    uint32_t holder = holder_of(community);

    community->nodes[holder].config.runs = false;
    configure(community, holder);
    run_without_loss(community, 3, 5000);
    cr_assert_not(community->nodes[holder].running[0].used);
    community->nodes[holder].config.runs = true;
    configure(community, holder);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != holder && community->nodes[i].running[0].used) {
            pause_node(community, i, (struct core_request){.within_ms = 60000});
            break;
        }
    }
    run_without_loss(community, 3, 5000);
    cr_assert(community->nodes[holder].running[0].used, "it is the only one left");
    fake_free(community);
}

Test(owner, giving_more_is_taken_at_once)
{
    struct community *community = fake_new(1, wiki);

    give_memory(community, 0, (uint64_t)8 << 30);
    cr_assert_eq(executor_free_limits(community->nodes[0].executor).memory_bytes,
                 (uint64_t)8 << 30);
    fake_free(community);
}

/* ------------------------------------------------------------------ what ran here */

Test(owner, what_ran_here_is_remembered_newest_first)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_of(community);
    struct executor *executor = community->nodes[holder].executor;
    struct core_ended ended;

    cr_assert_eq(executor_ended_count(executor), 0);
    pause_node(community, holder, (struct core_request){0});
    fake_run(community, 5000);
    cr_assert_eq(executor_ended_count(executor), 1);
    executor_ended(executor, 0, &ended);
    cr_assert_str_eq(ended.service_name, "wiki");
    cr_assert_geq(ended.began_unix_s, 1790000000);
    cr_assert_geq(ended.ended_unix_s, ended.began_unix_s);
    fake_free(community);
}
