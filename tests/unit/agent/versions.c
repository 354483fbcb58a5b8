// SPDX-License-Identifier: GPL-3.0-or-later
/* An owner's new version runs everywhere, whatever went on while he started it. */
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

enum { APART = 1 };

static uint32_t running_version(const struct community *community, uint64_t version)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < community->node_count; i++) {
        for (uint32_t j = 0; j < REPLICAS_PER_NODE_MAX; j++) {
            const struct fake_sandbox *sandbox = &community->nodes[i].running[j];

            count += sandbox->used && sandbox->tree.id.bytes[0] == 6 + version ? 1 : 0;
        }
    }
    return count;
}

/* minga stop; minga push; minga start */
static void update(struct community *community, uint32_t replicas, uint64_t pause_ms)
{
    fake_want(community, false, replicas, false);
    fake_run(community, pause_ms);
    community->version = fake_version(community) + 1;
    fake_put_version(community);
    fake_want(community, false, replicas, false);
    fake_run(community, pause_ms);
    fake_want(community, true, replicas, false);
}

static void expect_second(struct community *community, uint32_t seen_from)
{
    minga_StatusPage page = fake_status(community, fake_leader(community, seen_from));

    cr_assert_eq(running_version(community, 2), 3);
    cr_assert_eq(running_version(community, 1), 0);
    cr_assert_eq(page.head.version, 2);
    cr_assert_eq(page.head.state, SERVICE_ACTIVE);
    cr_assert_str_eq(page.head.reason, "");
    cr_assert_eq(page.slots_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(page.slots[i].version, 2);
    }
}

/* Its first `count` nodes see nothing of what the others' owners write. */
static void part(struct community *community, uint32_t count)
{
    memcpy(community->old_records, community->records, sizeof(community->records));
    community->old_count = community->record_count;
    community->old_side = APART;
    for (uint32_t i = 0; i < count; i++) {
        community->nodes[i].side = APART;
    }
    fake_look_around(community);
}

static void meet(struct community *community, uint64_t records_ms)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        /* Who was apart goes on with the old records until the ring has brought the new ones. */
        community->nodes[i].side = APART;
    }
    fake_look_around(community);
    fake_run(community, records_ms);
    community->old_side = 0;
    for (uint32_t i = 0; i < community->node_count; i++) {
        struct turn turn = fake_turn(community, i);

        manager_record(community->nodes[i].manager, &turn, &community->service);
        fake_flush(community, i, &turn);
    }
}

Test(versions, an_update_on_one_side_of_a_split_holds_after_the_merge)
{
    for (uint32_t apart = 1; apart < 7; apart++) {
        struct community *community = run_wiki(wiki, 7, 3);

        part(community, apart);
        fake_run(community, 6000);
        update(community, 3, 1000);
        fake_run(community, 8000);
        meet(community, 0);
        fake_run(community, 15000);
        expect_second(community, 0);
        fake_free(community);
    }
}

Test(versions, an_update_while_a_new_manager_listens_holds)
{
    for (uint64_t wait_ms = 0; wait_ms < 2000; wait_ms += 100) {
        struct community *community = run_wiki(wiki, 6, 3);
        uint32_t leader = fake_leader(community, 0);

        fake_kill(community, leader);
        fake_look_around(community);
        fake_run(community, wait_ms);
        update(community, 3, 20);
        fake_run(community, 15000);
        expect_second(community, (leader + 1) % 6);
        fake_free(community);
    }
}

Test(versions, what_is_newer_than_a_managers_own_record_waits_for_that)
{
    for (uint32_t apart = 1; apart < 5; apart++) { /* the others are three at least */
        struct community *community = run_wiki(wiki, 7, 3);

        part(community, apart);
        fake_run(community, 6000);
        update(community, 3, 1000);
        fake_run(community, 8000);
        cr_assert_eq(running_version(community, 2), 3);
        meet(community, 3000);
        for (uint32_t i = 0; i < 100; i++) {
            cr_assert_geq(running_version(community, 2), 3, "%u apart, after %u ms", apart,
                          i * 100);
            fake_run(community, 100);
        }
        expect_second(community, 0);
        fake_free(community);
    }
}

Test(versions, until_the_old_one_has_ended_status_says_that_it_runs)
{
    struct community *community = run_wiki(wiki, 6, 3);
    uint32_t leader = fake_leader(community, 0);
    uint32_t told_count = 0;

    fake_kill(community, leader);
    fake_look_around(community);
    update(community, 3, 0);
    for (uint32_t i = 0; i < 3000; i++) {
        minga_StatusPage page = fake_status(community, fake_leader(community, (leader + 1) % 6));

        fake_run(community, 1);
        for (pb_size_t k = 0; k < page.slots_count && !page.hearsay; k++) {
            if (page.slots[k].version == 1) {
                cr_assert_neq(page.head.state, SERVICE_ACTIVE);
                cr_assert(strstr(page.head.reason, "version 1") != NULL, "%s", page.head.reason);
                told_count++;
                break;
            }
        }
    }
    cr_assert_gt(told_count, 0);
    expect_second(community, (leader + 1) % 6);
    fake_free(community);
}
