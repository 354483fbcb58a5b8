// SPDX-License-Identifier: GPL-3.0-or-later
/* Whom a manager asks for offers, and how often. */
#include "agent/manager/internal.h"
#include "tests/unit/agent/wiki.h"

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

/* The fakes ask three of eight at a time. */
Test(discovery, the_only_node_that_could_run_it_is_found_wherever_it_stands)
{
    for (uint32_t only = 0; only < NODES_MAX; only++) {
        struct community *community = fake_new(NODES_MAX, wiki);

        community->window = 3;
        for (uint32_t i = 0; i < NODES_MAX; i++) {
            struct turn turn = fake_turn(community, i);

            community->nodes[i].config.runs = i == only;
            executor_configured(community->nodes[i].executor, &turn, &community->nodes[i].config);
            fake_flush(community, i, &turn);
        }
        fake_want(community, true, 1, false);
        (void)fake_until_running(community, 0, 1, 10000);
        cr_assert(community->nodes[only].running[0].used);
        fake_free(community);
    }
}

static uint64_t rounds_of(struct community *community, uint32_t leader)
{
    return service_by_id(community->nodes[leader].manager, &community->service)->find.round;
}

Test(discovery, who_says_all_the_time_that_it_has_room_is_asked_no_more_often)
{
    struct community *community = fake_new(2, wiki); /* for three replicas */
    uint32_t leader = fake_leader(community, 0);
    uint64_t before;

    fake_want(community, true, 3, false);
    fake_run(community, 3000);
    before = rounds_of(community, leader);
    for (uint32_t i = 0; i < 100; i++) {
        struct turn turn = fake_turn(community, leader);

        manager_free_changed(community->nodes[leader].manager, &turn);
        fake_flush(community, leader, &turn);
        fake_run(community, 10);
    }
    cr_assert_leq(rounds_of(community, leader) - before, 5);
    cr_assert_geq(rounds_of(community, leader) - before, 3, "it is not left unheard either");
    fake_free(community);
}
