// SPDX-License-Identifier: GPL-3.0-or-later
/* Stories of one service in a small community: who places what, and what heals. */
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                           "ports:\n  - {name: http, container: 8080}\n";

static uint32_t holder_other_than(struct community *community, uint32_t not_this)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (i != not_this && community->nodes[i].alive && community->nodes[i].running[0].used) {
            return i;
        }
    }
    cr_assert_fail("no other node holds a replica");
    return 0;
}

Test(manager, three_replicas_of_a_new_service_run_at_once_on_three_nodes)
{
    struct community *community = fake_new(5, wiki);

    fake_want(community, true, 3, false);
    cr_assert_leq(fake_until_running(community, 0, 3, 2000), 200);
    fake_free(community);
}

Test(manager, a_node_alone_runs_what_it_can_and_says_what_binds)
{
    struct community *community = fake_new(1, wiki);
    minga_StatusPage page;

    fake_want(community, true, 3, false);
    fake_run(community, 1500);
    page = fake_status(community, 0);
    cr_assert_eq(page.head.state, SERVICE_DEGRADED);
    cr_assert_eq(page.head.running_count, 1);
    cr_assert_str_eq(page.head.reason, "1/3: only 1 node can run it");
    fake_free(community);
}

Test(manager, a_killed_nodes_replica_is_replaced_after_its_absence)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);

    fake_kill(community, holder_other_than(community, leader));
    fake_look_around(community);
    fake_run(community, ABSENT_MS - HEARTBEAT_MS - 100);
    cr_assert_eq(fake_running_count(community), 2, "it may be back: its mingad was restarted");
    cr_assert_leq(fake_until_running(community, leader, 3, 2000), 1000);
    fake_free(community);
}

Test(manager, a_killed_manager_is_followed_by_a_secondary_that_listens_first)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);
    uint32_t watcher = (leader + 1) % 5;
    uint32_t starts_before = 0;
    uint32_t starts_after = 0;
    bool held;

    held = community->nodes[leader].running[0].used;
    for (uint32_t i = 0; i < 5; i++) {
        starts_before += i == leader ? 0 : community->nodes[i].start_count;
    }
    fake_kill(community, leader);
    fake_look_around(community);
    cr_assert_leq(fake_until_running(community, watcher, 3, 5000), 2000);
    for (uint32_t i = 0; i < 5; i++) {
        starts_after += i == leader ? 0 : community->nodes[i].start_count;
    }
    cr_assert_eq(starts_after - starts_before, held ? 1 : 0, "nothing healthy is started anew");
    cr_assert_eq(fake_status(community, fake_leader(community, watcher)).head.generation, 2);
    fake_free(community);
}

Test(manager, a_service_is_never_called_off_while_its_new_manager_listens)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);
    uint32_t looked_count = 0;

    fake_kill(community, leader);
    fake_look_around(community);
    for (uint32_t i = 0; i < 200; i++) {
        fake_run(community, 10);
        for (uint32_t node = 0; node < 5; node++) {
            minga_StatusPage page;

            if (node == leader) {
                continue;
            }
            page = fake_status(community, node);
            looked_count += page.found ? 1 : 0;
            cr_assert(!page.found || page.head.state != SERVICE_OFF, "node %u after %u ms", node,
                      (i + 1) * 10);
            cr_assert(!page.found || page.head.state == SERVICE_ACTIVE ||
                          page.head.reason[0] != '\0',
                      "node %u after %u ms does not say why", node, (i + 1) * 10);
        }
    }
    cr_assert_gt(looked_count, 200);
    fake_free(community);
}

Test(manager, who_has_not_passed_its_probe_yet_is_named)
{
    struct community *community =
        run_wiki("name: wiki\ncommand: [/bin/wiki]\nreplicas: 1\n"
                 "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n"
                 "ports:\n  - {name: http, container: 8080}\nhealth: {port: http}\n",
                 3, 1);
    minga_StatusPage page = fake_status(community, fake_leader(community, 0));

    cr_assert_eq(page.head.state, SERVICE_ACTIVE);
    cr_assert_eq(page.slots[0].health, HEALTH_UNKNOWN);
    cr_assert_str_eq(page.head.reason, "1/1: wiki/1 has not passed its health probe yet");
    fake_free(community);
}

Test(manager, both_sides_of_a_split_serve_and_merge_to_exactly_three)
{
    struct community *community = run_wiki(wiki, 7, 3);

    for (uint32_t i = 0; i < 7; i++) {
        community->nodes[i].side = i < 3 ? 0 : 1;
    }
    fake_look_around(community);
    fake_run(community, 6000);
    cr_assert_eq(fake_running_count(community), 6);
    for (uint32_t i = 0; i < 7; i++) {
        community->nodes[i].side = 0;
    }
    fake_look_around(community);
    (void)fake_until_running(community, 0, 3, 8000);
    fake_run(community, 5000);
    cr_assert_eq(fake_running_count(community), 3);
    fake_free(community);
}

Test(manager, scaling_down_ends_the_highest_slots)
{
    struct community *community = run_wiki(wiki, 5, 4);
    minga_StatusPage page;

    fake_want(community, true, 2, false);
    (void)fake_until_running(community, 0, 2, 1000);
    fake_run(community, 200);
    page = fake_status(community, fake_leader(community, 0));
    cr_assert_eq(page.slots_count, 2);
    cr_assert_eq(page.slots[0].slot, 1);
    cr_assert_eq(page.slots[1].slot, 2);
    fake_free(community);
}

Test(manager, a_stopped_service_ends_and_is_off)
{
    struct community *community = run_wiki(wiki, 5, 3);

    fake_want(community, false, 3, false);
    fake_run(community, 1000);
    cr_assert_eq(fake_running_count(community), 0);
    cr_assert_eq(fake_status(community, fake_leader(community, 0)).head.state, SERVICE_OFF);
    fake_want(community, true, 3, false);
    cr_assert_leq(fake_until_running(community, 0, 3, 2000), 500);
    fake_free(community);
}

static uint32_t first_alive(const struct community *community)
{
    uint32_t i = 0;

    while (!community->nodes[i].alive) {
        i++;
    }
    return i;
}

static uint64_t running_incarnation(const struct community *community)
{
    for (uint32_t i = 0; i < community->node_count; i++) {
        if (community->nodes[i].running[0].used) {
            return community->nodes[i].running[0].key.incarnation;
        }
    }
    return 0;
}

/* The manager's node dies, and the next one leads. */
static void follow_leader(struct community *community)
{
    fake_kill(community, fake_leader(community, first_alive(community)));
    fake_look_around(community);
    fake_run(community, 3000);
}

Test(manager, incarnations_go_on_after_managers_that_have_led_it_only_while_it_was_off)
{
    struct community *community = run_wiki(wiki, 5, 1);
    uint32_t holder = holder_other_than(community, 99);

    fake_want(community, false, 1, false);
    fake_run(community, 1000);
    fake_kill(community, holder); /* who ran it remembers nothing, too */
    fake_node_boot(community, holder);
    fake_look_around(community);
    fake_run(community, 3000);
    follow_leader(community);
    follow_leader(community);
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, first_alive(community), 1, 3000);
    cr_assert_eq(running_incarnation(community), 2);
    fake_free(community);
}

Test(manager, a_secondary_names_what_is_placed_and_no_slot_that_was)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t leader = fake_leader(community, 0);
    uint32_t told_count = 0;

    fake_want(community, false, 3, false);
    fake_run(community, 1000);
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, 0, 1, 1000);
    for (uint32_t i = 0; i < 5; i++) {
        minga_StatusPage page = fake_status(community, i);

        cr_assert_eq(page.hearsay, page.found && i != leader);
        if (i != leader && page.found && page.slots_count > 0) {
            cr_assert_eq(page.slots_count, 1);
            cr_assert_eq(page.head.slot_count, 1);
            cr_assert_eq(page.slots[0].slot, 1);
            told_count++;
        }
    }
    cr_assert_gt(told_count, 0);
    fake_free(community);
}

Test(manager, a_removed_service_ends_and_is_forgotten)
{
    struct community *community = run_wiki(wiki, 5, 3);

    fake_want(community, false, 3, true);
    fake_run(community, 2000);
    cr_assert_eq(fake_running_count(community), 0);
    cr_assert_not(fake_status(community, fake_leader(community, 0)).found);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(manager_count(community->nodes[i].manager), 0);
    }
    fake_free(community);
}

Test(manager, a_draining_nodes_replica_runs_elsewhere_before_it_ends)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_other_than(community, 99);
    uint32_t least = 3;
    struct turn turn = fake_turn(community, holder);

    executor_drain(community->nodes[holder].executor, &turn, DRAIN_MS);
    fake_flush(community, holder, &turn);
    for (uint32_t i = 0; i < 200; i++) {
        fake_run(community, 10);
        least = fake_running_count(community) < least ? fake_running_count(community) : least;
    }
    cr_assert_eq(least, 3);
    cr_assert_eq(fake_running_count(community), 3);
    cr_assert(executor_is_empty(community->nodes[holder].executor));
    fake_free(community);
}

Test(manager, with_nowhere_else_to_go_a_drained_replica_ends_by_the_deadline)
{
    struct community *community = run_wiki(wiki, 2, 2);
    struct turn turn = fake_turn(community, 0);

    executor_drain(community->nodes[0].executor, &turn, DRAIN_MS);
    fake_flush(community, 0, &turn);
    fake_run(community, DRAIN_MS - 100);
    cr_assert_eq(fake_running_count(community), 2);
    fake_run(community, 500);
    cr_assert_eq(fake_running_count(community), 1);
    fake_free(community);
}

Test(manager, a_paused_nodes_replica_moves_and_the_surplus_ends_on_resume)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_other_than(community, 99);
    struct turn turn = fake_turn(community, holder);

    executor_pause(community->nodes[holder].executor, &turn,
                   &(struct core_request){.at_once = true});
    fake_flush(community, holder, &turn);
    cr_assert(community->nodes[holder].running[0].frozen);
    fake_run(community, 1000);
    cr_assert_eq(fake_running_count(community), 4, "three serve, one is frozen");
    turn = fake_turn(community, holder);
    executor_resume(community->nodes[holder].executor, &turn);
    fake_flush(community, holder, &turn);
    (void)fake_until_running(community, 0, 3, 2000);
    cr_assert_not(community->nodes[holder].running[0].used);
    fake_free(community);
}

Test(manager, nothing_is_asked_of_an_executor_before_a_secondary_has_the_placement)
{
    struct community *community = fake_new(5, wiki);

    community->loses_saves = true;
    fake_want(community, true, 3, false);
    fake_run(community, 3000);
    cr_assert_eq(fake_running_count(community), 0);
    community->loses_saves = false;
    (void)fake_until_running(community, 0, 3, 2000);
    fake_free(community);
}

static uint64_t first_start_ms(struct community *community, uint64_t within_ms)
{
    uint64_t start_ms = community->now_ms;

    while (fake_running_count(community) == 0 && community->now_ms < start_ms + within_ms) {
        fake_run(community, 1);
    }
    return community->now_ms - start_ms;
}

Test(manager, an_executor_is_asked_only_after_a_secondarys_disk_write)
{
    struct community *community = fake_new(5, wiki);

    community->disk_ms = 800;
    fake_want(community, true, 3, false);
    cr_assert_geq(first_start_ms(community, 5000), 800);
    (void)fake_until_running(community, 0, 3, 3000);
    fake_free(community);
}

Test(manager, a_secondary_that_dies_before_its_write_has_acknowledged_nothing)
{
    struct community *community = fake_new(4, wiki);
    uint32_t leader = fake_leader(community, 0);

    community->disk_ms = 1500;
    fake_want(community, true, 1, false);
    fake_run(community, 700);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != leader) {
            fake_kill(community, i);
            fake_node_boot(community, i);
        }
    }
    fake_run(community, 1200); /* the writes of their earlier lives would be done by now */
    cr_assert_eq(fake_running_count(community), 0);
    (void)fake_until_running(community, leader, 1, 4000);
    fake_free(community);
}

Test(manager, secondaries_without_room_do_not_keep_a_service_down)
{
    struct community *community = fake_new(5, wiki);

    community->disks_full = true;
    fake_want(community, true, 3, false);
    (void)fake_until_running(community, 0, 3, 3000);
    fake_free(community);
}

Test(manager, a_node_that_cannot_start_it_is_left_and_another_found)
{
    struct community *community = fake_new(2, wiki);

    community->nodes[0].refuse_starts = 3;
    community->nodes[1].refuse_starts = 3;
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, 0, 1, 60000);
    fake_free(community);
}

Test(manager, an_owner_who_starts_it_again_need_not_wait_for_nodes_that_failed)
{
    struct community *community = fake_new(2, wiki);

    community->nodes[0].refuse_starts = 3;
    community->nodes[1].refuse_starts = 3;
    fake_want(community, true, 1, false);
    fake_run(community, 8000);
    cr_assert_eq(fake_running_count(community), 0);
    fake_run(community, 2000);
    cr_assert_eq(fake_running_count(community), 0, "both are left alone for a while");
    fake_want(community, true, 1, false);
    (void)fake_until_running(community, 0, 1, 1000);
    fake_free(community);
}

Test(manager, a_silent_executor_whose_node_is_up_is_replaced_after_its_absence)
{
    struct community *community = run_wiki(wiki, 5, 3);
    uint32_t holder = holder_other_than(community, fake_leader(community, 0));
    struct turn turn;

    /* Its mingad was started anew and knows of nothing; the sandbox is empty. */
    fake_kill(community, holder);
    fake_node_boot(community, holder);
    turn = fake_turn(community, holder);
    manager_look_around(community->nodes[holder].manager, &turn);
    fake_flush(community, holder, &turn);
    cr_assert_leq(fake_until_running(community, fake_leader(community, 0), 3, 6000), 3000);
    fake_free(community);
}

/* As a newcomer that comes to lead more services than it can ask about in one step. */
Test(manager, who_could_ask_nobody_for_the_last_record_listens_before_it_leads)
{
    struct community *community = fake_new(4, wiki);
    uint32_t newcomer = fake_leader(community, 0);
    struct core_manager_view view;
    struct turn turn;
    struct ask ask = {.service = community->service};

    fake_kill(community, newcomer);
    fake_want(community, true, 3, false);
    (void)fake_until_running(community, (newcomer + 1) % 4, 3, 2000);
    fake_node_boot(community, newcomer);
    turn = fake_turn(community, newcomer);
    while (community->out.count < OUTBOX_MESSAGES_MAX) {
        outbox_get_record(&turn, &ask);
    }
    manager_look_around(community->nodes[newcomer].manager, &turn);
    manager_view(community->nodes[newcomer].manager, 0, &view);
    cr_assert_not(view.leading);
    fake_flush(community, newcomer, &turn);
    fake_look_around(community);
    (void)fake_until_running(community, newcomer, 3, 4000);
    fake_free(community);
}

/* ------------------------------------------------------------------ secondaries that see it late */

static struct node_id unseen;

/* From the other end: whoever asks does not lead. */
static uint32_t candidates_but_one(const void *self, const struct service_id *service,
                                   uint32_t count_max, struct node_id *nodes_out)
{
    struct node_id nodes[NODES_MAX];
    uint32_t count = fake_candidates(self, service, NODES_MAX, nodes);
    uint32_t kept_count = 0;

    for (uint32_t i = count; i > 0 && kept_count < count_max; i--) {
        if (!id_equal(&nodes[i - 1].id, &unseen.id)) {
            nodes_out[kept_count++] = nodes[i - 1];
        }
    }
    return kept_count;
}

/* A community whose first two secondaries do not see their manager. */
static struct community *seen_late(uint32_t seconds[2])
{
    struct community *community = fake_new(NODES_MAX, wiki);
    struct node_id nodes[3];

    cr_assert_eq(fake_candidates(&community->nodes[0].seat, &community->service, 3, nodes), 3);
    unseen = nodes[0];
    for (uint32_t i = 0; i < 2; i++) {
        seconds[i] = (uint32_t)fake_index(community, &nodes[i + 1]);
        community->nodes[seconds[i]].around.candidates = candidates_but_one;
    }
    return community;
}

static bool keeps_record_of(const struct community *community, uint32_t index)
{
    minga_FetchManager fetch = minga_FetchManager_init_zero;
    minga_FetchReply reply;
    minga_Manager record;

    memcpy(fetch.service, community->service.id.bytes, ID_BYTES);
    manager_fetch(community->nodes[index].manager, &fetch, &reply);
    return reply.record.size > 0 &&
           fake_open_record(reply.record.bytes, reply.record.size, &record) &&
           memcmp(record.node, unseen.id.bytes, ID_BYTES) == 0;
}

Test(manager, secondaries_that_see_their_manager_late_have_its_record_before_anything_starts)
{
    uint32_t seconds[2];
    struct community *community = seen_late(seconds);

    fake_want(community, true, 1, false);
    fake_run(community, 2000);
    cr_assert_eq(fake_running_count(community), 0);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_not(keeps_record_of(community, seconds[i]));
        community->nodes[seconds[i]].around.candidates = fake_candidates;
    }
    fake_run(community, 400);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(keeps_record_of(community, seconds[i]));
    }
    (void)fake_until_running(community, 0, 1, 1000);
    fake_free(community);
}

Test(manager, a_service_does_not_wait_for_secondaries_that_never_see_its_manager)
{
    uint32_t seconds[2];
    struct community *community = seen_late(seconds);

    fake_want(community, true, 1, false);
    (void)fake_until_running(community, (uint32_t)fake_index(community, &unseen), 1, 4000);
    fake_run(community, 15000);
    for (uint32_t i = 0; i < 2; i++) {
        community->nodes[seconds[i]].around.candidates = fake_candidates;
    }
    fake_run(community, 10100);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(keeps_record_of(community, seconds[i]), "it is sent to them again");
    }
    fake_free(community);
}
