// SPDX-License-Identifier: GPL-3.0-or-later
/* Who gets a place in a manager's table, and who loses it. */
#include "overlay/signed.h"
#include "tests/unit/agent/community.h"

enum { NODES = 8, REPLICAS = 3, HOUR_MS = 3600000 };

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

static struct service_id invented(uint32_t number)
{
    struct service_id id = {{{(uint8_t)(number * 101)}}}; /* all around the ring */

    for (uint32_t i = 0; i < sizeof(number); i++) {
        id.id.bytes[i + 1] = (uint8_t)(number >> 8 * i);
    }
    return id;
}

static uint32_t ranked(const struct community *community, const struct service_id *service,
                       uint32_t rank)
{
    struct node_id nodes[NODES];
    uint32_t count = fake_candidates(&community->nodes[0].seat, service, NODES, nodes);

    cr_assert_gt(count, rank);
    return (uint32_t)fake_index(community, &nodes[rank]);
}

static minga_SaveReply save_record(struct community *community, uint32_t from, uint32_t to,
                                   minga_Manager *record)
{
    minga_SaveManager message = minga_SaveManager_init_zero;
    minga_Signed signed_thing;
    minga_SaveReply reply;
    struct turn turn = fake_turn(community, to);
    struct manager_saving saving = {&community->nodes[from].member.node, &message,
                                    ++community->last_token};
    int length;

    memcpy(record->node, community->nodes[from].member.node.id.bytes, ID_BYTES);
    cr_assert_eq(signed_make(minga_Manager_fields, record, PURPOSE_MANAGER,
                             &community->nodes[from].secret, &signed_thing),
                 0);
    length = signed_encode(&signed_thing, message.record.bytes, sizeof(message.record.bytes));
    cr_assert_gt(length, 0);
    message.record.size = (pb_size_t)length;
    (void)manager_save(community->nodes[to].manager, &turn, &saving, &reply);
    manager_stored(community->nodes[to].manager, saving.token, false);
    fake_flush(community, to, &turn);
    return reply;
}

/* A record of `service` by `from`, which has given out so many incarnations of slot 1. */
static minga_SaveReply save(struct community *community, uint32_t from, uint32_t to,
                            const struct service_id *service, uint64_t given)
{
    minga_Manager record = {.generation = 1, .revision = 1, .placements_count = 1};

    memcpy(record.service, service->id.bytes, ID_BYTES);
    record.placements[0].slot = 1;
    record.placements[0].given = given;
    return save_record(community, from, to, &record);
}

/* The same, with `from` running the first of slot 1. */
static void save_placed(struct community *community, uint32_t from, uint32_t to,
                        const struct service_id *service)
{
    minga_Manager record = {.generation = 1, .revision = 1, .placements_count = 1};

    memcpy(record.service, service->id.bytes, ID_BYTES);
    record.placements[0].slot = 1;
    record.placements[0].given = 1;
    record.placements[0].incarnation = 1;
    memcpy(record.placements[0].node, community->nodes[from].member.node.id.bytes, ID_BYTES);
    (void)save_record(community, from, to, &record);
}

static uint32_t entries(const struct community *community, uint32_t index)
{
    return manager_count(community->nodes[index].manager);
}

Test(room, a_record_is_kept_of_the_fifth_behind_a_service_and_not_of_the_sixth)
{
    struct community *community = fake_new(NODES, wiki);
    struct service_id id = invented(1);
    uint32_t second = ranked(community, &id, 1);

    cr_assert_not(save(community, ranked(community, &id, MANAGERS_MAX), second, &id, 1).saved);
    cr_assert_eq(entries(community, second), 0);
    (void)save(community, ranked(community, &id, MANAGERS_MAX - 1), second, &id, 1);
    cr_assert_eq(entries(community, second), 1);
    fake_free(community);
}

Test(room, the_fifth_behind_a_service_keeps_its_record_and_the_sixth_does_not)
{
    struct community *community = fake_new(NODES, wiki);
    struct service_id id = invented(1);
    uint32_t fifth = ranked(community, &id, MANAGERS_MAX - 1);
    uint32_t sixth = ranked(community, &id, MANAGERS_MAX);
    uint32_t first = ranked(community, &id, 0);

    (void)save(community, first, sixth, &id, 1);
    cr_assert_eq(entries(community, sixth), 0);
    (void)save(community, first, fifth, &id, 1);
    cr_assert_eq(entries(community, fifth), 1);
    fake_free(community);
}

/* Two sides that met again may differ by more ranks: nothing of it is kept but what only grows. */
Test(room, incarnations_given_out_are_learned_of_anybody)
{
    struct community *community = fake_new(NODES, wiki);
    uint32_t leader = ranked(community, &community->service, 0);
    uint32_t far = ranked(community, &community->service, MANAGERS_MAX);
    uint64_t incarnation = 0;

    fake_want(community, false, 1, false);
    fake_run(community, 2000);
    cr_assert_not(save(community, far, leader, &community->service, 50).saved);
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, 0, 1, 3000);
    for (uint32_t i = 0; i < NODES; i++) {
        if (community->nodes[i].running[0].used) {
            incarnation = community->nodes[i].running[0].key.incarnation;
        }
    }
    cr_assert_eq(incarnation, 51);
    cr_assert_eq(fake_status(community, leader).head.generation, 1, "and no epoch");
    fake_free(community);
}

Test(room, invented_records_do_not_keep_a_service_down)
{
    struct community *community = fake_new(4, wiki); /* each is a candidate for everything */
    uint32_t leader = fake_leader(community, 0);

    for (uint32_t i = 0; i < SERVICES_MAX + 10; i++) {
        struct service_id id = invented(i);

        (void)save(community, (leader + 1) % 4, leader, &id, 1);
    }
    cr_assert_eq(entries(community, leader), SERVICES_MAX);
    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 3000);
    fake_free(community);
}

Test(room, invented_reports_do_not_keep_a_service_down)
{
    struct community *community = fake_new(NODES, wiki);
    uint32_t leader = fake_leader(community, 0);
    uint32_t count = 0;

    for (uint32_t i = 0; count < SERVICES_MAX + 10; i++) {
        struct service_id id = invented(i);
        minga_Report report = {.replicas_count = 1};
        minga_ReportReply reply;
        struct turn turn = fake_turn(community, leader);

        if (ranked(community, &id, 0) != leader) {
            continue;
        }
        count++;
        memcpy(report.replicas[0].service, id.id.bytes, ID_BYTES);
        report.replicas[0].slot = 1;
        report.replicas[0].incarnation = 1;
        report.replicas[0].state = REPLICA_RUNNING;
        manager_report(community->nodes[leader].manager, &turn,
                       &community->nodes[(leader + 1) % NODES].member.node, &report, &reply);
        outbox_clear(&community->out);
    }
    cr_assert_eq(entries(community, leader), SERVICES_MAX);
    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 5000);
    fake_free(community);
}

Test(room, services_that_exist_yield_to_none)
{
    struct community *community = fake_new(4, wiki);
    uint32_t leader = fake_leader(community, 0);
    uint32_t other = (leader + 1) % 4;

    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 3000);
    for (uint32_t i = 0; i < 2 * SERVICES_MAX; i++) {
        struct service_id id = invented(i);

        (void)save(community, leader, other, &id, 1);
        (void)save(community, other, leader, &id, 1);
    }
    for (uint32_t i = 0; i < 2; i++) {
        minga_FetchManager fetch = minga_FetchManager_init_zero;
        minga_FetchReply reply;

        memcpy(fetch.service, community->service.id.bytes, ID_BYTES);
        manager_fetch(community->nodes[i == 0 ? leader : other].manager, &fetch, &reply);
        cr_assert_eq(reply.record.size > 0,
                     i == 0 || other == ranked(community, &community->service, 1) ||
                         other == ranked(community, &community->service, 2));
    }
    cr_assert_eq(fake_status(community, leader).head.running_count, REPLICAS);
    fake_free(community);
}

static uint32_t deleted_count(const struct community *community)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < community->out.count; i++) {
        const struct outgoing *out = &community->out.list[i];

        count += out->kind == OUT_STORE && out->blob_kind == BLOB_MANAGER &&
                         out->payload.length_bytes == 0
                     ? 1
                     : 0;
    }
    return count;
}

static uint32_t look_around(struct community *community, uint32_t index)
{
    struct turn turn = fake_turn(community, index);

    manager_look_around(community->nodes[index].manager, &turn);
    return deleted_count(community);
}

Test(room, what_is_nothing_to_a_node_any_more_goes_after_an_hour_with_its_record)
{
    struct community *community = fake_new(NODES, wiki);
    uint32_t second = ranked(community, &community->service, 1);

    fake_want(community, true, REPLICAS, false);
    (void)fake_until_running(community, 0, REPLICAS, 3000);
    cr_assert_eq(entries(community, second), 1);
    community->nodes[second].member.record.manages = false;
    cr_assert_eq(look_around(community, second), 0);
    community->now_ms += HOUR_MS - 1;
    cr_assert_eq(look_around(community, second), 0);
    community->nodes[second].member.record.manages = true;
    cr_assert_eq(look_around(community, second), 0, "it is one again");
    community->nodes[second].member.record.manages = false;
    community->now_ms += 1;
    cr_assert_eq(look_around(community, second), 0, "the hour begins anew");
    community->now_ms += HOUR_MS - 1;
    cr_assert_eq(look_around(community, second), 0);
    cr_assert_eq(entries(community, second), 1);
    community->now_ms += 1;
    cr_assert_eq(look_around(community, second), 1);
    cr_assert_eq(entries(community, second), 0);
    fake_free(community);
}

static uint32_t look_ups(const struct community *community)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < community->out.count; i++) {
        count += community->out.list[i].kind == OUT_RECORD ? 1 : 0;
    }
    return count;
}

static void report(struct community *community, uint32_t from, uint32_t to,
                   const struct service_id *service, uint32_t state)
{
    minga_Report report = {.replicas_count = 1};
    minga_ReportReply reply;
    struct turn turn = fake_turn(community, to);

    memcpy(report.replicas[0].service, service->id.bytes, ID_BYTES);
    report.replicas[0].slot = 1;
    report.replicas[0].incarnation = 1;
    report.replicas[0].state = state;
    manager_report(community->nodes[to].manager, &turn, &community->nodes[from].member.node,
                   &report, &reply);
}

/* In so many ms; says how often its record was looked up. */
static uint32_t tick(struct community *community, uint32_t index, uint32_t duration_ms)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < duration_ms / 100; i++) {
        struct turn turn = fake_turn(community, index);

        manager_tick(community->nodes[index].manager, &turn);
        count += look_ups(community);
        outbox_clear(&community->out);
        community->now_ms += 100;
    }
    return count;
}

Test(room, what_nobody_knows_a_record_of_is_led_for_a_minute_and_seldom_looked_up)
{
    struct community *community = fake_new(NODES, wiki);
    struct service_id id = invented(1);
    uint32_t first = ranked(community, &id, 0);

    report(community, ranked(community, &id, 1), first, &id, REPLICA_RUNNING);
    outbox_clear(&community->out);
    cr_assert_eq(tick(community, first, 15000), 4, "at once, then after 1, 2 and 4 s");
    cr_assert_eq(tick(community, first, 46000), 2);
    cr_assert_eq(entries(community, first), 1);
    (void)tick(community, first, 2000);
    cr_assert_eq(entries(community, first), 0);
    fake_free(community);
}

/* It may exist: its record is somewhere, where nobody can ask for it now. */
Test(room, what_runs_is_led_on_without_a_record)
{
    struct community *community = fake_new(NODES, wiki);
    struct service_id id = invented(1);
    uint32_t first = ranked(community, &id, 0);
    uint32_t second = ranked(community, &id, 1);

    save_placed(community, second, first, &id);
    report(community, second, first, &id, REPLICA_RUNNING);
    for (uint32_t i = 0; i < 100; i++) {
        (void)tick(community, first, 1000);
        report(community, second, first, &id, REPLICA_RUNNING);
        outbox_clear(&community->out);
    }
    cr_assert_eq(entries(community, first), 1);
    report(community, second, first, &id, REPLICA_FAILED);
    cr_assert_eq(entries(community, first), 1);
    (void)tick(community, first, 1000);
    cr_assert_eq(entries(community, first), 0, "nothing is left of it");
    fake_free(community);
}
