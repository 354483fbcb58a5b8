// SPDX-License-Identifier: GPL-3.0-or-later
/* A member whose small messages shall make others do much. */
#include "network.h"
#include "overlay/state.h"

enum { COUNT = 6, GREEDY = 1, VICTIM = 0, THIRD = 2, SAID_COUNT = 400 };

static void make_greedy(void)
{
    make_members(COUNT);
    run_for(5000);
    cr_assert(all_agree());
    cr_assert_neq(net.nodes[GREEDY].links[VICTIM], 0, "it has dialled");
}

static uint32_t count_requests(enum request_kind kind)
{
    const struct requests *requests = &net.nodes[VICTIM].overlay->requests;
    uint32_t count = 0;

    for (uint32_t i = 0; i < requests->top; i++) {
        count += requests->list[i].kind == kind;
    }
    return count;
}

static uint64_t incarnation_of(uint32_t node)
{
    return net.nodes[node].overlay->record.incarnation;
}

Test(greedy, accused_without_end_a_node_refutes_at_a_bounded_rate_and_is_believed)
{
    uint64_t before;
    minga_Message message;

    make_greedy();
    before = incarnation_of(VICTIM);
    for (uint32_t i = 0; i < SAID_COUNT; i++) { /* over 4 s */
        message_init(&message, minga_Message_ping_tag);
        message.kind.ping.accused_incarnation = incarnation_of(VICTIM);
        say_to(GREEDY, VICTIM, &message);
        run_for(10);
    }
    cr_assert_leq(incarnation_of(VICTIM) - before, 8 + 4000 / 500 + 1);
    cr_assert_geq(incarnation_of(VICTIM) - before, 8);
    before = incarnation_of(VICTIM);
    say_to(GREEDY, VICTIM, &message);
    message.kind.ping.accused_incarnation = before + 5;
    say_to(GREEDY, VICTIM, &message);
    run_for(1500);
    cr_assert_geq(incarnation_of(VICTIM), before + 6, "refuted a little later");
    cr_assert_eq(net.nodes[VICTIM].overlay->refute_above, 0);
    cr_assert(all_agree());
    end_network();
}

static void tell_death(uint32_t to, uint32_t of, uint64_t incarnation)
{
    minga_Message message;

    message_init(&message, minga_Message_item_tag);
    message.kind.item.kind = minga_ItemKind_ITEM_DEATH;
    message.kind.item.incarnation = incarnation;
    message_put_id(message.kind.item.node, &net.nodes[of].id.id);
    say_to(GREEDY, to, &message);
}

/* Nobody signs a death: each bounded by the one before, two would be out of the victim's reach. */
Test(greedy, deaths_on_top_of_deaths_do_not_get_too_far_ahead_to_be_refuted)
{
    uint64_t own;

    make_greedy();
    own = incarnation_of(VICTIM);
    for (uint32_t to = 0; to < COUNT; to++) {
        if (to != VICTIM && to != GREEDY) {
            tell_death(to, VICTIM, own + INCARNATION_STEP_MAX);
            tell_death(to, VICTIM, own + 2 * (uint64_t)INCARNATION_STEP_MAX);
        }
    }
    run_for(5000);
    cr_assert(all_agree());
    cr_assert_gt(incarnation_of(VICTIM), own + INCARNATION_STEP_MAX, "the nearer one was told");
    end_network();
}

Test(greedy, who_has_just_started_believes_no_death_from_far_ahead_either)
{
    struct membership *membership;
    uint64_t own;
    int index;

    make_greedy();
    kill_node(THIRD, false);
    start_node(THIRD);
    membership = &net.nodes[THIRD].overlay->membership;
    index = membership_find(membership, &net.nodes[VICTIM].id);
    cr_assert_eq(membership->list[index].life, LIFE_UNKNOWN);
    own = membership->list[index].view.record.incarnation;
    cr_assert_not(membership_bury(membership, index, UINT64_MAX));
    cr_assert_not(membership_bury(membership, index, own + INCARNATION_STEP_MAX + 1));
    cr_assert(membership_bury(membership, index, own + INCARNATION_STEP_MAX));
    cr_assert(membership_bury(membership, index, own + INCARNATION_STEP_MAX) == false);
    run_for(5000);
    cr_assert(all_agree());
    end_network();
}

Test(greedy, who_names_ever_greater_epochs_keeps_nobody_from_answering_nor_its_disk_busy)
{
    const struct overlay *victim;
    minga_Message message;
    uint32_t before;
    uint64_t epoch;

    make_greedy();
    victim = net.nodes[VICTIM].overlay;
    before = net.epochs_count;
    epoch = victim->ring.epoch;
    for (uint32_t i = 0; i < SAID_COUNT; i++) { /* over 4 s */
        epoch += 1000000;
        message_init(&message, minga_Message_stabilise_tag);
        message.kind.stabilise.lapsed = true;
        message.kind.stabilise.epoch = epoch;
        say_to(GREEDY, VICTIM, &message);
        for (uint32_t ms = 0; ms < 10; ms++) {
            run_for(1);
            cr_assert(overlay_responsible(victim, &victim->place.position, net.now_ms));
        }
    }
    cr_assert_leq(net.epochs_count - before, 4 + 4 + 1);
    run_for(2000);
    cr_assert_geq(victim->ring.epoch, epoch, "when it is durable it is taken over");
    end_network();
}

Test(greedy, what_everyone_knows_is_not_told_to_everyone_again_without_end)
{
    const struct membership *membership;
    minga_Message message;
    minga_Broadcast *broadcast = &message.kind.broadcast;
    uint32_t before;

    make_greedy();
    membership = &net.nodes[VICTIM].overlay->membership;
    before = net.sent_count[minga_Message_broadcast_tag];
    for (uint32_t i = 0; i < 4 * SAID_COUNT; i++) {
        const struct member *known = &membership->list[i % COUNT];

        message_init(&message, minga_Message_broadcast_tag);
        broadcast->has_item = true;
        broadcast->item.kind = minga_ItemKind_ITEM_ADMISSION;
        broadcast->item.flooded = true;
        memcpy(broadcast->item.content.bytes, known->admission, known->admission_bytes);
        broadcast->item.content.size = (pb_size_t)known->admission_bytes;
        broadcast->number = i + 1; /* each a new one */
        message_put_id(broadcast->origin, &net.nodes[GREEDY].id.id);
        message_put_id(broadcast->until, &net.nodes[VICTIM].overlay->place.position.id);
        say_to(GREEDY, VICTIM, &message);
        run_for(1);
    }
    run_for(1000);
    /* What each of them passes on: the first ones, and then 50 a second. */
    cr_assert_leq(net.sent_count[minga_Message_broadcast_tag] - before, 1000 * (COUNT - 1));
    cr_assert(all_agree());
    end_network();
}

Test(greedy, who_has_others_probed_without_end_leaves_room_and_dials_nobody_again_and_again)
{
    minga_Message message;
    uint64_t before;

    make_greedy();
    net.is_cut[VICTIM][THIRD] = true; /* each probe waits */
    net.is_cut[THIRD][VICTIM] = true;
    before = net.link_number;
    for (uint64_t i = 0; i < SAID_COUNT; i++) {
        message_init(&message, minga_Message_probe_via_tag);
        message.request = i + 1;
        message_put_id(message.kind.probe_via.node, &net.nodes[THIRD].id.id);
        say_to(GREEDY, VICTIM, &message);
        run_for(1);
        cr_assert_leq(count_requests(REQUEST_PROBE_FOR), 1 + COUNT);
    }
    cr_assert_leq(net.link_number - before, 40);
    end_network();
}

Test(greedy, one_who_asks_for_much_has_a_quarter_of_the_table_and_all_together_half)
{
    struct requests *requests = calloc(1, sizeof(*requests));
    struct asker askers[3] = {
        {.node.id.bytes = {1}}, {.node.id.bytes = {2}}, {.node.id.bytes = {3}}};
    uint32_t counts[3] = {0};

    for (int who = 0; who < 3; who++) {
        while (requests_may_ask_for(requests, &askers[who])) {
            struct request *request = requests_new(requests, REQUEST_ROUTE_RELAY);

            cr_assert_not_null(request);
            request->asker = askers[who];
            counts[who]++;
        }
    }
    cr_assert_eq(counts[0], REQUESTS_MAX / 4);
    cr_assert_eq(counts[1], REQUESTS_MAX / 4);
    cr_assert_eq(counts[2], 0);
    cr_assert_not_null(requests_new(requests, REQUEST_PING), "for ourselves there is room");
    free(requests);
}
