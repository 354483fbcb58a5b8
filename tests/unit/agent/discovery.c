// SPDX-License-Identifier: GPL-3.0-or-later
/* Whom a manager asks for offers. */
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
