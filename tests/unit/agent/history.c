// SPDX-License-Identifier: GPL-3.0-or-later
/* The replicas that have ended, as their manager remembers them. */
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 2\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

static minga_StatusPage history_of(struct community *community, uint32_t seen_from)
{
    return fake_ask_status(community, fake_leader(community, seen_from), true);
}

static void expect_ended(const minga_SlotStatus *ended, enum replica_state state,
                         const char *reason)
{
    cr_expect_eq(ended->state, state);
    cr_expect_str_eq(ended->reason, reason);
    cr_expect_eq(ended->node.size, ID_BYTES);
    cr_expect_gt(ended->slot, 0);
    cr_expect_gt(ended->incarnation, 0);
}

Test(history, what_runs_for_the_first_time_has_none)
{
    struct community *community = run_wiki(wiki, 3, 2);
    minga_StatusPage page = history_of(community, 0);

    cr_assert(page.found && page.has_head);
    cr_assert_eq(page.slots_count, 0);
    fake_free(community);
}

Test(history, a_killed_node_is_named_with_what_ran_there)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);
    uint32_t victim = leader;
    minga_StatusPage page;
    struct node_id lost;

    for (uint32_t i = 0; i < 5; i++) {
        victim = i != leader && community->nodes[i].running[0].used ? i : victim;
    }
    lost = community->nodes[victim].member.node;
    fake_kill(community, victim);
    fake_look_around(community);
    (void)fake_until_running(community, leader, 3, 5000);
    page = history_of(community, leader);
    cr_assert_eq(page.slots_count, 1);
    expect_ended(&page.slots[0], REPLICA_FAILED, "its node is down");
    cr_assert_arr_eq(page.slots[0].node.bytes, lost.id.bytes, ID_BYTES);
    cr_assert_eq(page.slots[0].incarnation, 1);
    cr_assert_lt(page.slots[0].age_ms, 5000);
    fake_free(community);
}

Test(history, a_stopped_service_shows_each_replica_once)
{
    struct community *community = run_wiki(wiki, 5, 3);
    minga_StatusPage page;

    fake_want(community, false, 3, false);
    fake_run(community, 3000);
    page = history_of(community, 0);
    cr_assert_eq(page.slots_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        expect_ended(&page.slots[i], REPLICA_ENDED, "stopped by its manager");
    }
    cr_assert_eq(fake_status(community, fake_leader(community, 0)).slots_count, 0);
    fake_free(community);
}

Test(history, what_cannot_be_started_is_named_with_its_reason)
{
    struct community *community = fake_new(2, wiki);
    minga_StatusPage page;

    community->nodes[0].refuse_starts = 3;
    community->nodes[1].refuse_starts = 3;
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, 0, 1, 60000);
    page = history_of(community, 0);
    cr_assert_geq(page.slots_count, 1);
    cr_assert_eq(page.slots[0].state, REPLICA_FAILED);
    cr_assert_not_null(strstr(page.slots[0].reason, "cannot be started"));
    fake_free(community);
}

Test(history, a_replica_that_drained_away_is_named_though_its_slot_runs)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = 0;
    minga_StatusPage page;
    struct turn turn;

    while (!community->nodes[holder].running[0].used) {
        holder++;
    }
    turn = fake_turn(community, holder);
    executor_drain(community->nodes[holder].executor, &turn, DRAIN_MS);
    fake_flush(community, holder, &turn);
    fake_run(community, 2000);
    page = history_of(community, 0);
    cr_assert_eq(page.slots_count, 1);
    cr_assert_eq(page.slots[0].state, REPLICA_ENDED);
    cr_assert_arr_eq(page.slots[0].node.bytes, community->nodes[holder].member.node.id.bytes,
                     ID_BYTES);
    fake_free(community);
}

Test(history, only_the_last_few_are_kept_and_the_newest_comes_first)
{
    struct community *community = run_wiki(wiki, 3, 2);
    minga_StatusPage page;

    for (uint32_t i = 0; i < 6; i++) {
        fake_want(community, false, 2, false);
        fake_run(community, 1500);
        fake_want(community, true, 2, false);
        (void)fake_until_running(community, 0, 2, 2000);
    }
    page = history_of(community, 0);
    cr_assert_eq(page.slots_count, STATUS_PAGE_REPLICAS_MAX);
    for (uint32_t i = 1; i < page.slots_count; i++) {
        cr_assert_leq(page.slots[i - 1].age_ms, page.slots[i].age_ms);
    }
    cr_assert_eq(page.slots[0].incarnation, 6);
    fake_free(community);
}

Test(history, a_secondary_has_none_to_tell)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);
    minga_StatusPage page;

    fake_want(community, false, 3, false);
    fake_run(community, 3000);
    for (uint32_t i = 0; i < 5; i++) {
        page = fake_ask_status(community, i, true);
        cr_assert_eq(page.slots_count, i == leader ? 3 : 0);
    }
    fake_free(community);
}
