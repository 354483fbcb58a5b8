// SPDX-License-Identifier: GPL-3.0-or-later
/* Many newcomers at the same moment: what it costs them and the others. */
#include "network.h"

enum { NODES = 20 };

static void join_at_once(void)
{
    struct test_invitation invitation;

    make_community();
    net.finds_reach = true;
    invitation = start_with_founder(NODES);
    for (uint32_t i = 1; i < NODES; i++) {
        join_node(i, 0, &invitation, 1);
    }
}

static bool is_one_ring(void)
{
    uint32_t least;
    uint32_t most;

    for (uint32_t i = 0; i < NODES; i++) {
        struct overlay_ring_view view;

        overlay_ring(net.nodes[i].overlay, &view);
        if (!view.has_arc) {
            return false;
        }
    }
    count_responsible(&least, &most);
    return least == 1 && most == 1 && all_agree();
}

/* Returns how long it took. */
static uint64_t run_until_one_ring(void)
{
    uint64_t start_ms = net.now_ms;

    while (!is_one_ring() && net.now_ms - start_ms < 5000) {
        run_for(10);
    }
    cr_assert(is_one_ring());
    return net.now_ms - start_ms;
}

static const struct overlay_member *seen_at(uint32_t where, uint32_t node)
{
    return overlay_member_by_id(net.nodes[where].overlay, &net.nodes[node].id);
}

Test(joining_many, a_newcomer_hears_its_own_word_from_others_and_does_not_contradict_it)
{
    join_at_once();
    (void)run_until_one_ring();
    for (uint32_t i = 1; i < NODES; i++) {
        cr_assert_eq(seen_at(0, i)->record.incarnation, 2,
                     "node %u: one for the start, one for the join", i);
    }
    end_network();
}

/* Nothing is waited for but answers: those who ask too early are told so. */
Test(joining_many, they_are_one_ring_in_a_quarter_of_a_second)
{
    uint64_t needed_ms;

    join_at_once();
    needed_ms = run_until_one_ring();
    cr_assert_leq(needed_ms, 250, "%llu ms", (unsigned long long)needed_ms);
    end_network();
}

/* A connection costs more than all that is said on it: a newcomer tells everyone through its sponsor. */
Test(joining_many, few_links_are_built_before_the_ring_is_one)
{
    join_at_once();
    (void)run_until_one_ring();
    cr_assert_leq(net.sent_count[minga_Message_hello_tag], 6 * NODES, "%u greetings",
                  net.sent_count[minga_Message_hello_tag]);
    cr_assert_leq(net.sent_count[minga_Message_broadcast_tag], 3 * NODES * NODES / 2,
                  "%u broadcasts", net.sent_count[minga_Message_broadcast_tag]);
    end_network();
}

/* Only a link of one's own shows its end at once. */
Test(joining_many, a_second_later_neighbours_have_dialled_each_other)
{
    join_at_once();
    (void)run_until_one_ring();
    run_for(2500);
    for (uint32_t i = 0; i < NODES; i++) {
        struct overlay_ring_view view;

        overlay_ring(net.nodes[i].overlay, &view);
        for (uint32_t k = 0; k < NODES; k++) {
            cr_assert(net.nodes[i].links[k] != 0 ||
                          (!id_equal(&net.nodes[k].id.id, &view.predecessors[0].id) &&
                           !id_equal(&net.nodes[k].id.id, &view.successors[0].id)),
                      "node %u has not dialled its neighbour %u", i, k);
        }
    }
    end_network();
}
