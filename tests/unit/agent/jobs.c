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
static void save_all_done(struct community *community, bool on_one_node, uint64_t version)
{
    uint32_t leader = fake_leader(community, 0);
    const struct fake_node *liar = &community->nodes[leader];
    minga_StatusPage page = fake_status(community, leader);
    minga_Manager record = {
        .generation = page.head.generation, .revision = 1000, .version = version};
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
    save_all_done(community, false, 1);
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

    save_all_done(community, false, 1);
    for (uint32_t i = 0; i < NODES; i++) {
        if (i == leader || community->nodes[i].running[0].used) {
            fake_kill(community, i);
        }
    }
    fake_look_around(community);
    (void)fake_until_running(community, alive(community), REPLICAS, 5000);
    fake_free(community);
}

/* Records of before a manager without the service record kept the version. */
Test(jobs, what_is_done_of_no_version_is_not_done)
{
    for (uint64_t version = 0; version < 2; version++) {
        struct community *community = begin();
        uint32_t leader = fake_leader(community, 0);

        save_all_done(community, false, version);
        for (uint32_t i = 0; i < NODES; i++) {
            if (i == leader || community->nodes[i].running[0].used) {
                fake_kill(community, i);
            }
        }
        fake_look_around(community);
        fake_run(community, 2500);
        cr_assert_eq(fake_running_count(community), version == 0 ? REPLICAS : 0);
        fake_free(community);
    }
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
    save_all_done(community, true, 1);
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

static struct bytes nothing(const void *self, const struct service_id *service,
                            minga_RecordKind kind, uint64_t number)
{
    (void)self;
    (void)service;
    (void)kind;
    (void)number;
    return (struct bytes){0};
}

/* Those who keep it died as well, and what is looked up takes its time. */
Test(jobs, who_does_not_know_the_service_record_passes_on_what_is_done)
{
    struct community *community = begin();
    uint32_t leader;

    fake_run(community, WORKS_MS + 2000);
    (void)kill_leader(community);
    leader = fake_leader(community, alive(community));
    community->nodes[leader].around.record = nothing;
    fake_run(community, 5000);
    (void)kill_leader(community);
    fake_run(community, 5000);
    expect_done(community);
    fake_free(community);
}

Test(jobs, what_was_passed_on_so_does_not_stand_for_the_next_version)
{
    struct community *community = begin();
    uint32_t leader;

    fake_run(community, WORKS_MS + 2000);
    (void)kill_leader(community);
    leader = fake_leader(community, alive(community));
    community->nodes[leader].around.record = nothing;
    fake_run(community, 5000);
    community->version = 2;
    fake_put_version(community);
    (void)kill_leader(community);
    fake_want(community, true, REPLICAS, false);
    fake_run(community, 8000);
    cr_assert_eq(start_count(community), 2 * REPLICAS);
    fake_free(community);
}

/* No record under way says that `version` is done. */
static void expect_none_done(const struct community *community, uint64_t version)
{
    for (uint32_t i = 0; i < community->item_count; i++) {
        const struct item *item = &community->items[i];
        minga_AgentMessage message;
        minga_Manager record;

        if (item->kind != ITEM_MESSAGE ||
            agent_message_decode((struct bytes){item->payload, item->length_bytes}, &message) < 0 ||
            message.which_body != minga_AgentMessage_save_manager_tag) {
            continue;
        }
        cr_assert(fake_open_record(message.body.save_manager.record.bytes,
                                   message.body.save_manager.record.size, &record));
        for (pb_size_t j = 0; record.version == version && j < record.placements_count; j++) {
            cr_assert_not(record.placements[j].done);
        }
    }
}

Test(jobs, who_takes_over_while_another_version_comes_does_not_call_it_done)
{
    struct community *community = begin();
    uint32_t started;

    fake_run(community, WORKS_MS + 2000);
    started = start_count(community);
    (void)kill_leader(community);
    community->version = 2;
    fake_put_version(community);
    fake_want(community, true, REPLICAS, false);
    for (uint32_t ms = 0; ms < 3000 && start_count(community) == started; ms++) {
        fake_run(community, 1);
        expect_none_done(community, 2);
    }
    cr_assert_gt(start_count(community), started);
    fake_free(community);
}

/* What the next version wants of one that has ended is not in this one's manifest. */
Test(jobs, the_end_of_a_version_that_its_manager_does_not_know_yet_waits_for_its_record)
{
    struct community *community = begin();
    uint32_t leader = fake_leader(community, 0);
    minga_StatusPage page = fake_status(community, leader);
    minga_Report report = {.mood = MOOD_NORMAL, .replicas_count = 1};
    minga_ReplicaReport *replica = &report.replicas[0];
    struct node_id node;
    minga_ReportReply reply;
    struct turn turn;

    *replica = (minga_ReplicaReport){.slot = 1, .incarnation = 1, .version = 2};
    memcpy(replica->service, community->service.id.bytes, ID_BYTES);
    memcpy(node.id.bytes, page.slots[0].node.bytes, ID_BYTES);
    replica->state = REPLICA_ENDED;
    for (uint32_t i = 0; i < 2; i++) {
        turn = fake_turn(community, leader);
        manager_report(community->nodes[leader].manager, &turn, &node, &report, &reply);
        cr_assert_eq(reply.verdicts[0].verdict, i == 0 ? VERDICT_KEEP : VERDICT_END);
        cr_assert_eq(fake_status(community, leader).slots[0].state,
                     i == 0 ? REPLICA_ENDED : REPLICA_WAITING);
        expect_none_done(community, 1);
        fake_flush(community, leader, &turn);
        expect_none_done(community, 1);
        community->now_ms += 5000;
    }
    fake_free(community);
}
