// SPDX-License-Identifier: GPL-3.0-or-later
/* What a member says of services that are none of its business changes nothing for good. */
#include "overlay/signed.h"
#include "tests/unit/agent/community.h"

enum { NODES = 6, REPLICAS = 3 };

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

static struct community *running(void)
{
    struct community *community = fake_new(NODES, wiki);

    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 2000);
    return community;
}

static uint32_t live_one(const struct community *community)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (community->nodes[i].alive) {
            return i;
        }
    }
    cr_assert_fail("all are dead");
    return 0;
}

/* One that neither leads nor runs it. */
static uint32_t bystander(struct community *community)
{
    uint32_t leader = fake_leader(community, live_one(community));

    for (uint32_t i = 0; i < NODES; i++) {
        if (community->nodes[i].alive && i != leader && !community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("everyone is concerned");
    return 0;
}

static void say(struct community *community, uint32_t from, uint32_t to,
                const minga_AgentMessage *message)
{
    struct item *item = fake_add(community, ITEM_MESSAGE, 1);

    item->from = from;
    item->to = to;
    item->ask = (struct ask){
        .kind = ASK_NOTHING, .to = community->nodes[to].member.node, .service = community->service};
    fake_payload(item, message);
}

static void say_report(struct community *community, uint64_t incarnation, uint64_t generation,
                       uint32_t state)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_report_tag};
    minga_ReplicaReport *replica = &message.body.report.replicas[0];
    uint32_t leader = fake_leader(community, live_one(community));

    message.body.report.replicas_count = 1;
    memcpy(replica->service, community->service.id.bytes, ID_BYTES);
    replica->slot = 1;
    replica->incarnation = incarnation;
    replica->has_epoch = true;
    replica->epoch.generation = generation;
    replica->state = state;
    say(community, bystander(community), leader, &message);
    fake_run(community, 100);
}

static void save_lie(struct community *community, uint64_t incarnation, uint64_t generation)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_save_manager_tag};
    minga_Manager record = {.generation = generation, .revision = 1, .placements_count = 1};
    uint32_t liar = bystander(community);
    uint32_t leader = fake_leader(community, live_one(community));
    minga_Signed signed_thing;
    int length;

    memcpy(record.service, community->service.id.bytes, ID_BYTES);
    memcpy(record.node, community->nodes[liar].member.node.id.bytes, ID_BYTES);
    record.placements[0].slot = 1;
    record.placements[0].given = incarnation;
    cr_assert_eq(signed_make(minga_Manager_fields, &record, PURPOSE_MANAGER,
                             &community->nodes[liar].secret, &signed_thing),
                 0);
    length = signed_encode(&signed_thing, message.body.save_manager.record.bytes,
                           sizeof(message.body.save_manager.record.bytes));
    cr_assert_gt(length, 0);
    message.body.save_manager.record.size = (pb_size_t)length;
    for (uint32_t i = 0; i < NODES; i++) {
        if (i != liar && (i == leader || generation < COUNTER_END)) {
            say(community, liar, i, &message);
        }
    }
    fake_run(community, 100);
}

static void stop_and_start(struct community *community)
{
    fake_want(community, false, REPLICAS, false);
    fake_run(community, 5000);
    cr_assert_eq(fake_running_count(community), 0);
    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, live_one(community), REPLICAS, 20000);
}

/* Whoever leads it: all slots are filled anew by the one that was lied to, and by two more. */
static void check_goes_on(struct community *community)
{
    stop_and_start(community);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t leader = fake_leader(community, live_one(community));

        fake_kill(community, leader);
        fake_look_around(community);
        (void)fake_until_running(community, live_one(community), REPLICAS, 20000);
    }
    stop_and_start(community);
    fake_free(community);
}

Test(lies, no_report_uses_up_incarnations)
{
    static const uint64_t named[] = {COUNTER_END - 1, COUNTER_FREE + 1, COUNTER_FREE - 1};

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        struct community *community = running();

        say_report(community, named[i], 1, REPLICA_ENDED);
        check_goes_on(community);
    }
}

Test(lies, no_report_uses_up_generations)
{
    static const uint64_t named[] = {COUNTER_END - 1, COUNTER_FREE + 1, COUNTER_FREE - 1};

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        struct community *community = running();

        say_report(community, 1, named[i], REPLICA_RUNNING);
        say_report(community, 1, named[i], REPLICA_ENDED);
        check_goes_on(community);
    }
}

Test(lies, no_record_uses_up_either)
{
    static const uint64_t named[] = {COUNTER_END - 1, COUNTER_END / 2 - 1, COUNTER_FREE - 1};

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        struct community *community = running();

        save_lie(community, named[i], 1000);
        check_goes_on(community);
        community = running();
        save_lie(community, 1, named[i]);
        check_goes_on(community);
    }
}

/* Secondaries know it from the manager only, which has come up by many steps between two records. */
Test(lies, after_a_walk_up_by_steps_its_secondaries_still_follow)
{
    struct community *community = running();
    uint64_t named = COUNTER_FREE - 1;

    for (uint32_t i = 0; i < 20; i++) {
        say_report(community, named, named, REPLICA_ENDED);
        named += COUNTER_STEP_MAX;
    }
    check_goes_on(community);
}
