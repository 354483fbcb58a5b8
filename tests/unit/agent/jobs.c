// SPDX-License-Identifier: GPL-3.0-or-later
/* What has done its work is not started again, whoever manages it. */
#include "tests/unit/agent/wiki.h"

static const char job[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 2\nrestart: never\n"
                          "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

enum { NODES = 6, REPLICAS = 2, WORKS_MS = 3000 };

static uint32_t start_count(const struct community *community)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < community->node_count; i++) {
        count += community->nodes[i].start_count;
    }
    return count;
}

static struct community *begin(void)
{
    struct community *community = fake_new(NODES, job);

    for (uint32_t i = 0; i < NODES; i++) {
        community->nodes[i].live_ms = WORKS_MS;
    }
    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 2000);
    return community;
}

static uint32_t alive(const struct community *community)
{
    uint32_t i = 0;

    while (!community->nodes[i].alive) {
        i++;
    }
    return i;
}

static uint32_t kill_leader(struct community *community)
{
    uint32_t leader = fake_leader(community, alive(community));

    fake_kill(community, leader);
    fake_look_around(community);
    return leader;
}

static void expect_done(struct community *community)
{
    minga_StatusPage page = fake_status(community, fake_leader(community, alive(community)));

    cr_assert_eq(fake_running_count(community), 0);
    cr_assert_eq(start_count(community), REPLICAS);
    cr_assert_eq(page.slots_count, REPLICAS);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        cr_assert_eq(page.slots[i].state, REPLICA_ENDED);
        cr_assert_eq(page.slots[i].node.size, ID_BYTES);
        cr_assert_eq(page.slots[i].version, 1);
    }
    cr_assert(strstr(page.head.reason, "wiki/1 has ended") != NULL, "%s", page.head.reason);
}

Test(jobs, the_next_managers_do_not_start_again_what_has_ended)
{
    struct community *community = begin();

    fake_run(community, WORKS_MS + 2000);
    expect_done(community);
    for (uint32_t i = 0; i < 3; i++) {
        (void)kill_leader(community);
        fake_run(community, 5000);
        expect_done(community);
    }
    fake_free(community);
}

Test(jobs, a_manager_that_comes_back_and_takes_over_does_not_either)
{
    struct community *community = begin();
    uint32_t leader;

    fake_run(community, WORKS_MS + 2000);
    leader = kill_leader(community);
    fake_run(community, 5000);
    fake_node_boot(community, leader);
    fake_look_around(community);
    fake_run(community, 5000);
    cr_assert_eq(fake_leader(community, 0), leader);
    expect_done(community);
    fake_free(community);
}

Test(jobs, one_that_ends_while_managers_change_is_done)
{
    for (uint64_t before_ms = 0; before_ms < 2500; before_ms += 100) {
        struct community *community = begin();
        uint32_t leader = fake_leader(community, 0);

        /* Else it would end with the manager's node, and another be started. */
        cr_assert_not(community->nodes[leader].running[0].used);
        fake_run(community, WORKS_MS - before_ms);
        (void)kill_leader(community);
        fake_run(community, 8000);
        expect_done(community);
        fake_free(community);
    }
}

Test(jobs, its_end_is_told_until_a_secondary_knows_it)
{
    struct community *community = begin();

    community->loses_saves = true;
    fake_run(community, WORKS_MS + 2000);
    (void)kill_leader(community);
    community->loses_saves = false;
    fake_run(community, 8000);
    expect_done(community);
    fake_free(community);
}

Test(jobs, what_a_manager_told_to_end_is_not_done_for_the_next_one)
{
    struct community *community = fake_new(NODES, job);
    uint32_t leader;

    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 2000);
    leader = fake_leader(community, 0);
    cr_assert_not(community->nodes[leader].running[0].used);
    community->stop_ms = 4000;
    fake_want(community, false, REPLICAS, false);
    fake_run(community, 500);
    (void)kill_leader(community);
    fake_want(community, true, REPLICAS, false);
    fake_run(community, 12000);
    cr_assert_eq(fake_running_count(community), REPLICAS);
    cr_assert_eq(start_count(community), 2 * REPLICAS);
    fake_free(community);
}

Test(jobs, an_owner_who_starts_it_again_has_it_done_again)
{
    struct community *community = begin();

    fake_run(community, WORKS_MS + 2000);
    fake_want(community, false, REPLICAS, false);
    fake_run(community, 100);
    (void)kill_leader(community);
    fake_want(community, true, REPLICAS, false);
    fake_run(community, 8000);
    cr_assert_eq(start_count(community), 2 * REPLICAS);
    fake_free(community);
}

Test(jobs, another_version_is_done_too_whoever_has_heard_of_the_stop)
{
    struct community *community = begin();

    fake_run(community, WORKS_MS + 2000);
    (void)kill_leader(community);
    community->version = 2;
    fake_put_version(community);
    fake_want(community, true, REPLICAS, false);
    fake_run(community, 8000);
    cr_assert_eq(start_count(community), 2 * REPLICAS);
    fake_free(community);
}

/* Its last manager was mistaken, or lied: all slots are done, of which a replica runs in each. */
static void save_all_done(struct community *community, bool on_one_node)
{
    uint32_t leader = fake_leader(community, 0);
    const struct fake_node *liar = &community->nodes[leader];
    minga_StatusPage page = fake_status(community, leader);
    minga_Manager record = {.generation = page.head.generation, .revision = 1000, .version = 1};
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    minga_SaveManager *save = &message.body.save_manager;
    minga_Signed sealed;
    int length;

    memcpy(record.service, community->service.id.bytes, ID_BYTES);
    memcpy(record.node, liar->member.node.id.bytes, ID_BYTES);
    for (pb_size_t i = 0; i < page.slots_count; i++) {
        minga_Placement *placement = &record.placements[record.placements_count++];

        placement->slot = page.slots[i].slot;
        placement->incarnation = page.slots[i].incarnation;
        placement->given = page.slots[i].incarnation;
        placement->done = true;
        memcpy(placement->node, page.slots[on_one_node ? 0 : i].node.bytes, ID_BYTES);
    }
    cr_assert_eq(
        signed_make(minga_Manager_fields, &record, PURPOSE_MANAGER, &liar->secret, &sealed), 0);
    length = signed_encode(&sealed, save->record.bytes, sizeof(save->record.bytes));
    cr_assert_gt(length, 0);
    save->record.size = (pb_size_t)length;
    message.which_body = minga_AgentMessage_save_manager_tag;
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (i != leader) {
            struct item *item = fake_add(community, ITEM_MESSAGE, 0);

            item->from = leader;
            item->to = i;
            item->ask.service = community->service;
            fake_payload(item, &message);
        }
    }
    fake_run(community, 10);
}

Test(jobs, what_runs_is_not_done_whatever_a_record_says)
{
    struct community *community = begin();

    fake_run(community, 100);
    cr_assert_not(community->nodes[fake_leader(community, 0)].running[0].used);
    save_all_done(community, false);
    (void)kill_leader(community);
    fake_run(community, 2000);
    cr_assert_eq(fake_running_count(community), REPLICAS);
    cr_assert_eq(
        fake_status(community, fake_leader(community, alive(community))).head.running_count,
        REPLICAS);
    fake_free(community);
}

Test(jobs, a_service_that_is_always_to_run_is_never_done)
{
    struct community *community =
        run_wiki("name: wiki\ncommand: [/bin/wiki]\nreplicas: 2\n"
                 "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n",
                 NODES, REPLICAS);
    uint32_t leader = fake_leader(community, 0);

    save_all_done(community, false);
    for (uint32_t i = 0; i < NODES; i++) {
        if (i == leader || community->nodes[i].running[0].used) {
            fake_kill(community, i);
        }
    }
    fake_look_around(community);
    (void)fake_until_running(community, alive(community), REPLICAS, 5000);
    fake_free(community);
}

Test(jobs, one_node_reports_two_replicas_that_were_called_done_there)
{
    struct community *community = begin();
    uint32_t holder = 0;
    minga_Report report = {.mood = MOOD_NORMAL, .replicas_count = REPLICAS};
    minga_ReportReply reply;
    struct turn turn;
    uint32_t leader;

    while (!community->nodes[holder].running[0].used ||
           community->nodes[holder].running[0].key.slot != 1) {
        holder++;
    }
    save_all_done(community, true);
    (void)kill_leader(community);
    leader = fake_leader(community, holder);
    fake_run(community, 100);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        minga_ReplicaReport *replica = &report.replicas[i];

        *replica = (minga_ReplicaReport){.slot = i + 1, .incarnation = 1, .version = 1};
        memcpy(replica->service, community->service.id.bytes, ID_BYTES);
        replica->state = REPLICA_RUNNING;
    }
    turn = fake_turn(community, leader);
    manager_report(community->nodes[leader].manager, &turn, &community->nodes[holder].member.node,
                   &report, &reply);
    fake_flush(community, leader, &turn);
    fake_run(community, 5000);
    cr_assert_leq(fake_running_count(community), REPLICAS);
    fake_free(community);
}
