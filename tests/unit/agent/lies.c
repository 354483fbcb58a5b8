// SPDX-License-Identifier: GPL-3.0-or-later
/* What a member says of services that are none of its business changes nothing for good. */
#include "overlay/signed.h"
#include "tests/unit/agent/community.h"

enum { NODES = 7, REPLICAS = 3, MINUTE_MS = 60000 };

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

static struct community *running(void)
{
    struct community *community = fake_new(NODES, wiki);

    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 2000);
    fake_run(community, 3000); /* its first manager knew of nothing, and takes in what comes */
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

static uint32_t ranked(struct community *community, uint32_t rank)
{
    struct node_id nodes[NODES];

    cr_assert_gt(fake_candidates(&community->nodes[live_one(community)].seat, &community->service,
                                 NODES, nodes),
                 rank);
    return (uint32_t)fake_index(community, &nodes[rank]);
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

static void sign_record(const struct community *community, uint32_t liar, minga_Manager *record,
                        minga_SaveManager *message_out)
{
    minga_Signed signed_thing;
    int length;

    memcpy(record->service, community->service.id.bytes, ID_BYTES);
    memcpy(record->node, community->nodes[liar].member.node.id.bytes, ID_BYTES);
    cr_assert_eq(signed_make(minga_Manager_fields, record, PURPOSE_MANAGER,
                             &community->nodes[liar].secret, &signed_thing),
                 0);
    length =
        signed_encode(&signed_thing, message_out->record.bytes, sizeof(message_out->record.bytes));
    cr_assert_gt(length, 0);
    message_out->record.size = (pb_size_t)length;
}

static minga_AgentMessage lying_record(const struct community *community, uint32_t liar,
                                       uint64_t incarnation, uint64_t generation)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_save_manager_tag};
    minga_Manager record = {.generation = generation, .revision = 1, .placements_count = 1};

    record.placements[0].slot = 1;
    record.placements[0].given = incarnation;
    sign_record(community, liar, &record, &message.body.save_manager);
    return message;
}

static void save_lie(struct community *community, uint64_t incarnation, uint64_t generation)
{
    uint32_t liar = ranked(community, 1);
    uint32_t leader = fake_leader(community, live_one(community));
    minga_AgentMessage message = lying_record(community, liar, incarnation, generation);

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

/* Else who is asked for its page could not answer for the others of the service. */
Test(lies, a_record_names_each_slot_once_and_in_order)
{
    static const uint8_t slots[][2] = {{2, 1}, {1, 1}, {1, 2}};
    struct community *community = running();
    uint32_t liar = ranked(community, 1);
    uint32_t keeper = ranked(community, 2);

    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        minga_AgentMessage message = {.which_body = minga_AgentMessage_save_manager_tag};
        minga_Manager record = {.generation = 1000 + i, .revision = 1, .placements_count = 2};
        minga_FetchManager fetch;
        minga_FetchReply before;
        minga_FetchReply after;

        record.placements[0].slot = slots[i][0];
        record.placements[1].slot = slots[i][1];
        sign_record(community, liar, &record, &message.body.save_manager);
        memcpy(fetch.service, community->service.id.bytes, ID_BYTES);
        manager_fetch(community->nodes[keeper].manager, &fetch, &before);
        say(community, liar, keeper, &message);
        fake_run(community, 20);
        manager_fetch(community->nodes[keeper].manager, &fetch, &after);
        cr_assert_eq(memcmp(&before, &after, sizeof(before)) != 0, slots[i][0] < slots[i][1],
                     "slots %u and %u", slots[i][0], slots[i][1]);
    }
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

    for (uint32_t i = 0; i < 20; i++) {
        say_report(community, COUNTER_FREE - 1, COUNTER_FREE - 1, REPLICA_ENDED);
        fake_run(community, i % 2 == 0 ? 0 : MINUTE_MS);
    }
    check_goes_on(community);
}

static uint64_t generation(struct community *community)
{
    return fake_status(community, fake_leader(community, live_one(community))).head.generation;
}

/* What is above is left to the managers that follow: their replicas' reports have to be believed. */
Test(lies, reports_raise_a_generation_to_the_middle_of_what_is_believed_and_then_step_by_step)
{
    struct community *community = running();
    uint64_t raised = COUNTER_TOLD + 1;

    say_report(community, 1, COUNTER_FREE - 1, REPLICA_RUNNING);
    cr_assert_eq(generation(community), raised);
    for (uint32_t minute = 0; minute < 3; minute++) {
        raised += COUNTER_STEP_MAX + 1;
        for (uint32_t i = 0; i < 5; i++) {
            say_report(community, 1, COUNTER_FREE - 1, REPLICA_RUNNING);
            cr_assert_eq(generation(community), raised);
        }
        community->now_ms += MINUTE_MS - 600;
        say_report(community, 1, COUNTER_FREE - 1, REPLICA_RUNNING);
        cr_assert_eq(generation(community), raised, "not before the minute is over");
    }
    check_goes_on(community);
}

static uint64_t incarnation_of_slot_1(const struct community *community)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (community->nodes[i].running[0].used && community->nodes[i].running[0].key.slot == 1) {
            return community->nodes[i].running[0].key.incarnation;
        }
    }
    cr_assert_fail("slot 1 is empty");
    return 0;
}

Test(lies, reports_raise_incarnations_to_the_middle_of_what_is_believed_and_then_by_a_step)
{
    struct community *community = running();

    say_report(community, COUNTER_FREE - 1, 1, REPLICA_ENDED);
    stop_and_start(community);
    cr_assert_eq(incarnation_of_slot_1(community), COUNTER_TOLD + 1);
    for (uint32_t i = 0; i < 5; i++) {
        say_report(community, COUNTER_FREE - 1, 1, REPLICA_ENDED);
    }
    stop_and_start(community);
    cr_assert_eq(incarnation_of_slot_1(community), COUNTER_TOLD + 1 + COUNTER_STEP_MAX + 1);
    check_goes_on(community);
}

/* By anybody, that is: nobody keeps it, but what it says was given out is not given out again. */
Test(lies, records_of_anybody_raise_incarnations_to_the_middle_of_what_is_believed)
{
    struct community *community = running();
    uint32_t liar = ranked(community, MANAGERS_MAX);
    minga_AgentMessage message = lying_record(community, liar, COUNTER_FREE - 1, 1);

    say(community, liar, ranked(community, 0), &message);
    stop_and_start(community);
    cr_assert_eq(incarnation_of_slot_1(community), COUNTER_TOLD + 1);
    fake_free(community);
}

/* Led so once already, by those who were lied to. */
static struct community *running_far_up(uint64_t number, uint32_t replicas)
{
    struct community *community = running();
    uint32_t second = ranked(community, 1);
    minga_AgentMessage message = lying_record(community, second, number, number);

    say(community, second, ranked(community, 0), &message);
    fake_run(community, 2000);
    cr_assert_eq(generation(community), number + 1);
    stop_and_start(community);
    fake_want(community, true, replicas, false);
    (void)fake_until_running(community, 0, replicas, 5000);
    cr_assert_gt(incarnation_of_slot_1(community), number);
    return community;
}

/* Those who knew the numbers are gone: what runs by them is still nobody else's. */
Test(lies, who_knows_of_nothing_leads_what_runs_whatever_its_numbers_are)
{
    static const uint32_t replicas[] = {NODES, NODES - 2};

    for (uint32_t k = 0; k < 2; k++) {
        struct community *community = running_far_up(COUNTER_FREE * 1000, replicas[k]);
        uint32_t gone[] = {ranked(community, 0), ranked(community, 1), ranked(community, 2)};

        for (uint32_t i = 0; i < 3; i++) {
            fake_kill(community, gone[i]);
        }
        fake_look_around(community);
        fake_want(community, true, 2, false); /* where two are free it has begun to fill them */
        (void)fake_until_running(community, live_one(community), 2, 5000);
        stop_and_start(community);
        fake_free(community);
    }
}

/* Executors may be heard only after the first is placed. Nothing else is left to be believed so. */
Test(lies, who_began_with_nothing_takes_in_any_numbers_for_two_seconds)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct community *community = fake_new(NODES, wiki);
        uint64_t begin_ms = community->now_ms;

        fake_want(community, true, REPLICAS, false);
        (void)fake_until_running(community, 0, REPLICAS, 1500);
        fake_run(community, begin_ms + 1900 + 200 * i - community->now_ms);
        say_report(community, 1, COUNTER_END / 4 - 1, REPLICA_RUNNING);
        cr_assert_eq(generation(community), i == 0 ? COUNTER_END / 4 : 1);
        check_goes_on(community);
    }
}

/* It has not heard what a secondary knows, which is one of those that may lead, too. */
Test(lies, a_secondary_that_knows_of_far_more_is_believed)
{
    struct community *community = running();
    uint32_t third = ranked(community, 2);
    minga_AgentMessage message = lying_record(community, third, 1, COUNTER_FREE * 1000);

    say(community, third, ranked(community, 1), &message);
    fake_run(community, 100);
    fake_want(community, true, REPLICAS + 1, false);
    (void)fake_until_running(community, 0, REPLICAS + 1, 5000);
    cr_assert_eq(generation(community), COUNTER_FREE * 1000 + 1);
    check_goes_on(community);
}

/* ------------------------------------------------------------------ commands */

static minga_Epoch epoch_in_own_name(const struct community *community, uint32_t index)
{
    struct epoch epoch = {99, community->nodes[index].member.node};

    return epoch_to_wire(&epoch);
}

static minga_AskStop stop_of(const struct community *community, uint32_t from,
                             const struct replica_key *key)
{
    minga_AskStop stop = {.slot = key->slot, .incarnation = key->incarnation, .has_epoch = true};

    memcpy(stop.service, key->service.id.bytes, ID_BYTES);
    stop.epoch = epoch_in_own_name(community, from);
    return stop;
}

static minga_AskStart start_of(const struct community *community, uint32_t from)
{
    const struct fake_record *record = &community->records[0];
    minga_AskStart start = {.slot = 1, .incarnation = 1000, .has_epoch = true};

    memcpy(start.service, community->service.id.bytes, ID_BYTES);
    start.epoch = epoch_in_own_name(community, from);
    start.version_record.size = (pb_size_t)record->length_bytes;
    memcpy(start.version_record.bytes, record->bytes, record->length_bytes);
    return start;
}

/* Any that runs it. */
static uint32_t holder(const struct community *community)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("nobody runs it");
    return 0;
}

Test(lies, who_cannot_be_its_manager_stops_nothing)
{
    struct community *community = running();
    uint32_t liar = ranked(community, MANAGERS_MAX);
    minga_AgentMessage message = {.which_body = minga_AgentMessage_ask_stop_tag};
    struct replica_key keys[NODES];

    for (uint32_t i = 0; i < NODES; i++) {
        keys[i] = community->nodes[i].running[0].key;
        if (community->nodes[i].running[0].used) {
            message.body.ask_stop = stop_of(community, liar, &keys[i]);
            say(community, liar, i, &message);
        }
    }
    for (uint32_t k = 0; k < 100; k++) {
        fake_run(community, 50);
        cr_assert_eq(fake_running_count(community), REPLICAS);
    }
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert_eq(community->nodes[i].running[0].key.incarnation, keys[i].incarnation);
    }
    check_goes_on(community);
}

Test(lies, who_cannot_be_its_manager_starts_nothing)
{
    struct community *community = running();
    uint32_t liar = ranked(community, MANAGERS_MAX);
    minga_AgentMessage message = {.which_body = minga_AgentMessage_ask_start_tag};

    fake_want(community, false, REPLICAS, false);
    fake_run(community, 3000);
    message.body.ask_start = start_of(community, liar);
    for (uint32_t i = 0; i < NODES; i++) {
        say(community, liar, i, &message);
    }
    for (uint32_t k = 0; k < 100; k++) {
        fake_run(community, 50);
        cr_assert_eq(fake_running_count(community), 0);
    }
    fake_free(community);
}

Test(lies, of_those_behind_a_service_the_fifth_is_obeyed_and_the_sixth_is_not)
{
    static const enum refusal refusals[] = {
        [MANAGERS_MAX - 1] = REFUSAL_NONE, [MANAGERS_MAX] = REFUSAL_MANAGER};

    for (uint32_t rank = MANAGERS_MAX - 1; rank <= MANAGERS_MAX; rank++) {
        struct community *community = running();
        uint32_t from = ranked(community, rank);
        uint32_t to = holder(community);
        struct turn turn = fake_turn(community, to);
        struct executor *executor = community->nodes[to].executor;
        minga_AskStop stop = stop_of(community, from, &community->nodes[to].running[0].key);
        minga_AskReply reply;

        executor_ask_stop(executor, &turn, &community->nodes[from].member.node, &stop, &reply);
        cr_assert_eq(reply.refusal, refusals[rank], "rank %u", rank);
        cr_assert_eq(executor_is_empty(executor), false);
        fake_free(community);
    }
}

Test(lies, a_verdict_of_who_cannot_be_its_manager_ends_nothing)
{
    struct community *community = running();
    uint32_t from = ranked(community, MANAGERS_MAX);
    uint32_t to = holder(community);
    struct replica_key key = community->nodes[to].running[0].key;
    struct turn turn = fake_turn(community, to);
    minga_ReportReply reply = {.verdicts_count = 1};

    memcpy(reply.verdicts[0].service, key.service.id.bytes, ID_BYTES);
    reply.verdicts[0].slot = key.slot;
    reply.verdicts[0].incarnation = key.incarnation;
    reply.verdicts[0].has_epoch = true;
    reply.verdicts[0].epoch = epoch_in_own_name(community, from);
    reply.verdicts[0].verdict = VERDICT_END;
    executor_verdicts(community->nodes[to].executor, &turn, &community->nodes[from].member.node,
                      &reply);
    fake_flush(community, to, &turn);
    fake_run(community, 1000);
    cr_assert(community->nodes[to].running[0].used);
    cr_assert_eq(community->nodes[to].running[0].key.incarnation, key.incarnation);
    fake_free(community);
}

static uint32_t nobody_is_known(const void *self, const struct service_id *service,
                                uint32_t count_max, struct node_id *nodes_out)
{
    (void)self;
    (void)service;
    (void)count_max;
    (void)nodes_out;
    return 0;
}

/* As in a large community, where they look it up first. */
Test(lies, a_node_that_does_not_know_its_manager_yet_is_asked_again)
{
    struct community *community = fake_new(NODES, wiki);
    uint32_t leader = fake_leader(community, 0);

    for (uint32_t i = 0; i < NODES; i++) {
        if (i != leader) {
            community->nodes[i].around.candidates = nobody_is_known;
        }
    }
    fake_want(community, true, REPLICAS, false);
    fake_run(community, 800);
    cr_assert_leq(fake_running_count(community), 1, "the leader's own");
    for (uint32_t i = 0; i < NODES; i++) {
        community->nodes[i].around.candidates = fake_candidates;
    }
    (void)fake_until_running(community, 0, REPLICAS, 1000);
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert_leq(community->nodes[i].running[0].key.incarnation, 1, "chosen once each");
    }
    fake_free(community);
}

static uint32_t holder_of(const struct community *community, uint32_t slot)
{
    for (uint32_t i = 0; i < NODES; i++) {
        const struct fake_sandbox *sandbox = &community->nodes[i].running[0];

        if (sandbox->used && sandbox->key.slot == slot) {
            return i;
        }
    }
    cr_assert_fail("nobody runs it");
    return 0;
}

/* Each time it would listen anew, for a second where one of those it knows is not heard. */
Test(lies, who_names_a_higher_generation_again_and_again_does_not_keep_anything_from_starting)
{
    struct community *community = running();
    uint64_t generation = 1000;

    fake_kill(community, holder_of(community, 2)); /* it lies of slot 1 */
    for (uint32_t k = 0; k < 50; k++) {
        say_report(community, 1, generation += 1000, REPLICA_RUNNING);
    }
    cr_assert_eq(fake_running_count(community), REPLICAS);
    stop_and_start(community); /* it leads above all of it */
    fake_free(community);
}
