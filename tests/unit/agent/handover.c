// SPDX-License-Identifier: GPL-3.0-or-later
/* Make before break: what ends on a node that drains runs elsewhere, really, or its time is over. */
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";
static const char probed[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                             "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                             "ports:\n  - {name: http, container: 8080}\n"
                             "health: {port: http}\n";

enum { NODES = 6, NOBODY = 99, OWNER_MS = 60000 };

static uint32_t holder_besides(const struct community *community, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (i != a && i != b && community->nodes[i].alive && community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("no other node holds a replica");
    return 0;
}

static void drain(struct community *community, uint32_t index)
{
    struct turn turn = fake_turn(community, index);

    executor_drain(community->nodes[index].executor, &turn, OWNER_MS);
    fake_flush(community, index, &turn);
}

static void resume(struct community *community, uint32_t index)
{
    struct turn turn = fake_turn(community, index);

    executor_resume(community->nodes[index].executor, &turn);
    fake_flush(community, index, &turn);
}

static void fetch_slowly(struct community *community, uint64_t scan_ms)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        community->nodes[i].scan_ms = scan_ms;
    }
}

/* The node that fetches the replacement; NOBODY: none does. */
static uint32_t fetching(const struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        const struct fake_node *node = &community->nodes[i];

        if (node->alive && !node->running[0].used && !executor_is_empty(node->executor)) {
            return i;
        }
    }
    return NOBODY;
}

static bool holds(const struct community *community, uint32_t index)
{
    return community->nodes[index].running[0].used;
}

/* For so long never fewer than three run. */
static void expect_three(struct community *community, uint64_t duration_ms)
{
    uint64_t start_ms = community->now_ms;

    while (community->now_ms < start_ms + duration_ms) {
        fake_run(community, 10);
        cr_assert_geq(fake_running_count(community), 3, "after %llu ms",
                      (unsigned long long)(community->now_ms - start_ms));
    }
}

static struct community *run_and_drain(const char *manifest, uint64_t scan_ms, uint32_t *holder_out)
{
    struct community *community = run_wiki(manifest, NODES, 3);

    *holder_out = holder_besides(community, fake_leader(community, 0), NOBODY);
    fetch_slowly(community, scan_ms);
    drain(community, *holder_out);
    return community;
}

Test(handover, a_replacement_that_is_long_in_fetching_is_waited_for)
{
    uint32_t holder;
    struct community *community = run_and_drain(wiki, 25000, &holder);

    expect_three(community, 24000);
    cr_assert(holds(community, holder));
    expect_three(community, 5000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

static minga_SlotStatus status_of_slot(struct community *community, uint32_t slot)
{
    minga_StatusPage page = fake_status(community, fake_leader(community, 0));

    cr_assert_leq(slot, page.slots_count);
    return page.slots[slot - 1];
}

static bool is_on(const struct community *community, const minga_SlotStatus *status, uint32_t node)
{
    return memcmp(status->node.bytes, community->nodes[node].member.node.id.bytes, ID_BYTES) == 0;
}

Test(handover, who_asks_is_sent_to_the_one_that_serves)
{
    struct community *community = run_wiki(probed, NODES, 3);
    uint32_t holder = holder_besides(community, fake_leader(community, 0), NOBODY);
    uint32_t slot = community->nodes[holder].running[0].key.slot;
    minga_SlotStatus before;
    minga_SlotStatus status;

    fake_run(community, 1000);
    before = status_of_slot(community, slot);
    cr_assert(is_on(community, &before, holder));
    fetch_slowly(community, 10000);
    drain(community, holder);
    fake_run(community, 5000);
    status = status_of_slot(community, slot);
    cr_assert(is_on(community, &status, holder));
    cr_expect_eq(status.incarnation, before.incarnation);
    cr_expect_eq(status.state, REPLICA_RUNNING);
    cr_expect_eq(status.host_ports_count, 1);
    cr_expect_eq(status.host_ports[0], before.host_ports[0]);
    cr_expect_str_eq(status.reason, "until it runs elsewhere");
    fake_free(community);
}

Test(handover, a_replacement_that_ends_at_once_relieves_nobody)
{
    struct community *community = run_wiki(wiki, NODES, 3);
    uint32_t holder = holder_besides(community, fake_leader(community, 0), NOBODY);

    for (uint32_t i = 0; i < NODES; i++) {
        community->nodes[i].live_ms = 600;
    }
    drain(community, holder);
    expect_three(community, 20000);
    cr_assert(holds(community, holder));
    for (uint32_t i = 0; i < NODES; i++) {
        community->nodes[i].live_ms = 0;
    }
    expect_three(community, 39000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(handover, the_owners_deadline_counts_though_no_replacement_lasts)
{
    struct community *community = run_wiki(wiki, NODES, 3);
    uint32_t holder = holder_besides(community, fake_leader(community, 0), NOBODY);

    for (uint32_t i = 0; i < NODES; i++) {
        community->nodes[i].live_ms = 600;
    }
    drain(community, holder);
    expect_three(community, OWNER_MS - 100);
    fake_run(community, 500);
    cr_assert_not(holds(community, holder));
    fake_free(community);
}

Test(handover, a_replacement_with_a_probe_relieves_once_it_is_healthy)
{
    uint32_t holder;
    struct community *community = run_and_drain(probed, 0, &holder);
    uint32_t fresh = NOBODY;
    struct sandbox_event event = {.kind = SANDBOX_HEALTH, .healthy = 1};
    struct turn turn;

    expect_three(community, 10000);
    cr_assert(holds(community, holder));
    for (uint32_t i = 0; i < NODES; i++) {
        fresh =
            holds(community, i) && community->nodes[i].running[0].key.incarnation == 2 ? i : fresh;
    }
    cr_assert_neq(fresh, NOBODY);
    event.key = community->nodes[fresh].running[0].key;
    turn = fake_turn(community, fresh);
    executor_sandbox(community->nodes[fresh].executor, &turn, &event);
    fake_flush(community, fresh, &turn);
    expect_three(community, 1000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(handover, it_outlives_its_manager)
{
    uint32_t holder;
    struct community *community = run_and_drain(wiki, 15000, &holder);
    uint32_t leader = fake_leader(community, 0);
    uint32_t other = holder_besides(community, holder, leader);

    fake_run(community, 2000);
    cr_assert_neq(fetching(community), NOBODY);
    cr_assert_neq(fetching(community), leader, "the story needs another");
    fake_kill(community, leader);
    fake_look_around(community);
    fake_run(community, 12000);
    cr_assert(holds(community, holder), "its replacement is still fetched");
    cr_assert(holds(community, other));
    fake_run(community, 1500);
    expect_three(community, 6000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(handover, it_outlives_the_node_that_was_to_take_over)
{
    uint32_t holder;
    struct community *community = run_and_drain(wiki, 15000, &holder);

    fake_run(community, 2000);
    cr_assert_neq(fetching(community), NOBODY);
    fake_kill(community, fetching(community));
    fake_look_around(community);
    expect_three(community, 14000);
    cr_assert(holds(community, holder));
    expect_three(community, 10000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(handover, it_goes_on_when_the_node_that_was_to_take_over_drains_too)
{
    uint32_t holder;
    struct community *community = run_and_drain(wiki, 15000, &holder);

    fake_run(community, 2000);
    cr_assert_neq(fetching(community), NOBODY);
    drain(community, fetching(community));
    expect_three(community, 14000);
    cr_assert(holds(community, holder));
    expect_three(community, 10000);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(handover, an_owner_who_changes_his_mind_keeps_what_still_runs)
{
    uint32_t holder;
    struct community *community = run_and_drain(wiki, 15000, &holder);

    fake_run(community, 4000);
    resume(community, holder);
    expect_three(community, 30000);
    cr_assert(holds(community, holder));
    cr_assert_eq(fake_running_count(community), 3);
    cr_assert_eq(fetching(community), NOBODY, "nobody fetches it any more");
    fake_free(community);
}

/* Three nodes: nobody else can take it, and each is needed. */
Test(handover, a_node_that_ended_it_by_its_owners_word_is_not_blamed_when_it_takes_again)
{
    struct community *community = run_wiki(wiki, 3, 3);
    uint32_t holder = holder_besides(community, fake_leader(community, 0), NOBODY);

    drain(community, holder);
    fake_run(community, OWNER_MS - 100);
    cr_assert(holds(community, holder));
    while (holds(community, holder)) {
        fake_run(community, 1);
    }
    resume(community, holder); /* before anybody has heard of the end */
    cr_assert_leq(fake_until_running(community, 0, 3, 5000), 5000);
    fake_free(community);
}

Test(handover, nor_one_that_was_paused_while_it_fetched)
{
    struct core_request now = {.at_once = true};
    struct community *community = run_wiki(wiki, 3, 2);
    uint32_t fetcher = NOBODY;
    struct turn turn;

    fetch_slowly(community, 3000);
    fake_want(community, true, 3, false);
    fake_run(community, 1000);
    fetcher = fetching(community);
    cr_assert_neq(fetcher, NOBODY);
    turn = fake_turn(community, fetcher);
    executor_pause(community->nodes[fetcher].executor, &turn, &now);
    executor_resume(community->nodes[fetcher].executor, &turn);
    fake_flush(community, fetcher, &turn);
    cr_assert_leq(fake_until_running(community, 0, 3, 10000), 10000);
    fake_free(community);
}
