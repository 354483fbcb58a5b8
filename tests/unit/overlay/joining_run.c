// SPDX-License-Identifier: GPL-3.0-or-later
/* Many neighbours on the ring that start anew at the same moment. */
#include "network.h"

enum { NODES = 16, STAY = 2, JOINED_MS = 9000 };

/* The nodes in ring order. */
static void sort_by_position(uint32_t order_out[NODES])
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct ring_key position = keys_position(&net.nodes[i].key, 0);
        uint32_t place = i;

        while (place > 0) {
            struct ring_key before = keys_position(&net.nodes[order_out[place - 1]].key, 0);

            if (id_compare(&before.id, &position.id) < 0) {
                break;
            }
            order_out[place] = order_out[place - 1];
            place--;
        }
        order_out[place] = i;
    }
}

/* Whoever is left takes over from one after the other of them, and each might hold a lease: but all
 * of them have been asking for an arc for as long as a lease lasts. */
Test(joining_run, members_that_start_again_side_by_side_are_waited_for_once)
{
    uint32_t order[NODES];
    uint32_t least;
    uint32_t most;

    make_members(NODES);
    run_for(20000);
    sort_by_position(order);
    for (uint32_t i = STAY; i < NODES; i++) {
        kill_node(order[i], true); /* as a host does whose power is cut */
        start_node(order[i]);
    }
    run_for(JOINED_MS);
    count_responsible(&least, &most);
    cr_assert_eq(least, 1, "some key has nobody");
    cr_assert_eq(most, 1, "some key has two");
    end_network();
}
