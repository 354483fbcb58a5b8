// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A community that no node knows as a whole: each has room for `places` members. */
#include "network.h"
#include "overlay/state.h"

HELPER void make_large(uint32_t count, uint32_t places)
{
    struct test_invitation invitation;

    make_community();
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < count; i++) {
        net.nodes[add_node()].config.full_members_max = 6;
        start_node(i);
        net.nodes[i].overlay->members_max = places;
    }
    found_community(0);
    for (uint32_t i = 1; i < count; i++) {
        join_node(i, i - 1, &invitation, 1);
        run_for(1500);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "node %u: %s", i,
                     net.nodes[i].done[1].reason);
        memset(&net.nodes[i].done[1], 0, sizeof(net.nodes[i].done[1]));
    }
    run_for(20000);
}
