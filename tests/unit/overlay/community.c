// SPDX-License-Identifier: GPL-3.0-or-later
/* Stories of small communities: joining, failing, leaving, parting, coming back. */
#include "network.h"

static void assert_one_ring(void)
{
    uint32_t least;
    uint32_t most;

    count_responsible(&least, &most);
    cr_assert_eq(least, 1, "some key has nobody");
    cr_assert_eq(most, 1, "some key has two");
}

static uint64_t until_agreed(uint64_t ms_max)
{
    uint64_t start_ms = net.now_ms;

    while (!all_agree() && net.now_ms - start_ms < ms_max) {
        run_for(20);
    }
    cr_assert(all_agree(), "no agreement after %llu ms", (unsigned long long)ms_max);
    return net.now_ms - start_ms;
}

Test(community, five_nodes_form_one_ring_in_which_all_know_all)
{
    make_members(5);
    (void)until_agreed(2000);
    run_for(2000);
    assert_one_ring();
    for (uint32_t i = 0; i < 5; i++) {
        struct overlay_ring_view view;

        cr_assert_eq(overlay_member_count(net.nodes[i].overlay), 5);
        overlay_ring(net.nodes[i].overlay, &view);
        cr_assert_eq(view.successor_count, 4);
        cr_assert_geq(view.predecessor_count, 1);
    }
    end_network();
}

/* The one that counts an invitation's uses may be a newcomer itself, admitted a moment ago. */
Test(community, twenty_nodes_that_join_at_the_same_moment_are_all_let_in)
{
    struct test_invitation invitation;

    make_community();
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < 20; i++) {
        start_node(add_node());
    }
    found_community(0);
    for (uint32_t i = 1; i < 20; i++) {
        join_node(i, 0, &invitation, 1);
        run_for(7);
    }
    run_for(3000);
    for (uint32_t i = 1; i < 20; i++) {
        cr_assert(net.nodes[i].done[1].ended, "node %u did not join", i);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "node %u: %s", i,
                     net.nodes[i].done[1].reason);
    }
    (void)until_agreed(10000);
    end_network();
}

static minga_Reachable reachable_at(uint32_t where, uint32_t node)
{
    return overlay_member_by_id(net.nodes[where].overlay, &net.nodes[node].id)->record.reachable;
}

Test(community, a_node_that_another_has_dialled_is_known_to_all_as_reached_directly)
{
    make_members(3);
    run_for(3000);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            cr_assert_eq(reachable_at(i, k), minga_Reachable_REACHABLE_DIRECT, "%u of %u", k, i);
        }
    }
    end_network();
}

Test(community, how_a_node_is_reached_at_new_addresses_is_unknown_until_one_is_dialled)
{
    struct overlay_event now = {.kind = OVERLAY_TICK};
    minga_NodeRecord description;

    make_members(3);
    run_for(3000);
    description = net.nodes[0].config.description;
    now.now_ms = net.now_ms;
    overlay_describe(net.nodes[0].overlay, &now, &description, &net.nodes[0].effects);
    cr_assert_eq(reachable_at(0, 0), minga_Reachable_REACHABLE_DIRECT, "the same addresses");
    snprintf(description.addresses[0], sizeof(description.addresses[0]), "10.9.9.9:7400");
    now.now_ms = ++net.now_ms;
    overlay_describe(net.nodes[0].overlay, &now, &description, &net.nodes[0].effects);
    cr_assert_eq(reachable_at(0, 0), minga_Reachable_REACHABLE_UNKNOWN);
    end_network();
}

Test(community, a_killed_node_is_known_to_be_dead_by_all_within_a_fifth_of_a_second)
{
    make_members(12);
    run_for(5000);
    kill_node(2, false);
    cr_assert_leq(until_agreed(5000), 200);
    run_for(1000);
    assert_one_ring();
    end_network();
}

Test(community, half_of_all_killed_at_once_are_known_to_be_dead_soon)
{
    make_members(16);
    run_for(5000);
    for (uint32_t i = 1; i < 16; i += 2) {
        kill_node(i, false);
    }
    cr_assert_leq(until_agreed(5000), 1500);
    run_for(3000);
    assert_one_ring();
    end_network();
}

Test(community, a_silent_node_is_declared_dead_after_two_seconds_and_within_three)
{
    for (uint32_t phase = 0; phase < 5; phase++) {
        uint64_t took_ms;

        make_members(5);
        run_for(3000 + 211 * phase);
        kill_node(2, true);
        net.nodes[2].side = 9; /* as if its cable were cut */
        took_ms = until_agreed(5000);
        cr_assert_geq(took_ms, 1850);
        cr_assert_leq(took_ms, 3000, "phase %u: %d ms", phase, (int)took_ms);
        run_for(3000); /* its arc is on lease */
        assert_one_ring();
        end_network();
    }
}

static uint32_t count_downs(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].down_events;
    }
    return count;
}

Test(community, a_node_stalled_for_almost_two_seconds_is_declared_dead_by_nobody)
{
    make_members(6);
    run_for(5000);
    for (uint32_t i = 0; i < 12; i++) {
        net.nodes[i % 6].stalled_until_ms = net.now_ms + 1000 + 75 * i;
        run_for(5000 + 77 * i);
        cr_assert_eq(count_downs(), 0, "stall %u", i);
    }
    end_network();
}

Test(community, one_that_was_slow_itself_accuses_nobody)
{
    make_members(6);
    run_for(5000);
    for (uint32_t i = 0; i < 30; i++) {
        net.nodes[3].stalled_until_ms = net.now_ms + 900; /* it gets time now and then */
        run_for(930);
    }
    cr_assert_eq(net.nodes[3].down_events, 0);
    net.nodes[3].stalled_until_ms = net.now_ms + 20000; /* and sleeps: the others bury it */
    run_for(20000);
    cr_assert_gt(count_downs(), 0);
    run_for(5000);
    cr_assert_eq(net.nodes[3].down_events, 0);
    cr_assert(all_agree());
    end_network();
}

/* Where node 0 asks whether the other lives, it says that it has died itself. */
static void says_it_is_dead(uint32_t from, minga_Message *message)
{
    minga_Item item = {.kind = minga_ItemKind_ITEM_DEATH, .flooded = true};

    if (from == 0 && message->which_kind == minga_Message_stabilise_tag && !message->reply) {
        memcpy(item.node, net.nodes[0].id.id.bytes, ID_BYTES);
        item.incarnation =
            overlay_member_by_id(net.nodes[0].overlay, &net.nodes[0].id)->record.incarnation;
        message->which_kind = minga_Message_item_tag;
        message->kind.item = item;
        message->request = 0;
    }
}

Test(community, one_that_says_of_itself_that_it_is_dead_lives)
{
    make_members(2);
    run_for(3000);
    net.lie = says_it_is_dead;
    run_for(3000);
    cr_assert_gt(net.sent_count[minga_Message_stabilise_tag], 0);
    net.lie = NULL;
    cr_assert_eq(count_downs(), 0);
    end_network();
}

Test(community, a_node_that_restarts_is_up_again_with_what_it_stored)
{
    make_members(5);
    run_for(3000);
    kill_node(3, false);
    run_for(3000);
    start_node(3);
    cr_assert(overlay_belongs(net.nodes[3].overlay));
    cr_assert_lt(until_agreed(5000), 2000);
    run_for(3000);
    assert_one_ring();
    end_network();
}

Test(community, a_join_is_answered_when_the_membership_is_durable)
{
    struct test_invitation invitation;

    make_members(3);
    invitation = make_invitation(1, net.wall_unix_s + 1000000, 0);
    start_node(add_node());
    net.nodes[3].disk_full = true;
    join_node(3, 0, &invitation, 1);
    run_for(5000);
    cr_assert(overlay_belongs(net.nodes[3].overlay));
    cr_assert_not(net.nodes[3].done[1].ended);
    net.nodes[3].disk_full = false;
    run_for(1500);
    cr_assert(net.nodes[3].done[1].ended);
    cr_assert_eq(net.nodes[3].done[1].outcome, OVERLAY_OK);
    kill_node(3, false);
    start_node(3);
    cr_assert(overlay_belongs(net.nodes[3].overlay));
    cr_assert_eq(overlay_member_count(net.nodes[3].overlay), 4);
    cr_assert_lt(until_agreed(5000), 2000);
    end_network();
}

Test(community, a_join_ends_though_the_disk_takes_nothing)
{
    struct test_invitation invitation;

    make_members(2);
    invitation = make_invitation(1, net.wall_unix_s + 1000000, 0);
    start_node(add_node());
    net.nodes[2].disk_full = true;
    join_node(2, 0, &invitation, 1);
    run_for(18000);
    cr_assert(net.nodes[2].done[1].ended);
    cr_assert_eq(net.nodes[2].done[1].outcome, OVERLAY_FAILED);
    cr_assert(overlay_belongs(net.nodes[2].overlay));
    end_network();
}

static bool answers_for_any(uint32_t node)
{
    struct ring_key key = {0};
    bool is_any = false;

    for (uint32_t i = 0; i < 256; i++) {
        key.id.bytes[0] = (uint8_t)i;
        is_any |= overlay_responsible(net.nodes[node].overlay, &key, net.now_ms);
    }
    return is_any;
}

/* Started again, it would use the same epochs for another arc. */
Test(community, nothing_is_answered_with_an_epoch_that_the_disk_did_not_take)
{
    struct test_invitation invitation;

    make_members(2);
    invitation = make_invitation(1, net.wall_unix_s + 1000000, 0);
    start_node(add_node());
    net.nodes[2].disk_full = true;
    join_node(2, 0, &invitation, 1);
    for (uint32_t i = 0; i < 80; i++) {
        run_for(100);
        cr_assert(!answers_for_any(2));
    }
    net.nodes[2].disk_full = false;
    run_for(3000);
    cr_assert(answers_for_any(2));
    end_network();
}

Test(community, all_killed_and_started_again_find_each_other)
{
    make_members(5);
    run_for(3000);
    for (uint32_t i = 0; i < 5; i++) {
        kill_node(i, false);
    }
    run_for(1000);
    for (uint32_t i = 0; i < 5; i++) {
        start_node(i);
    }
    cr_assert_lt(until_agreed(10000), 3000);
    run_for(3000);
    assert_one_ring();
    end_network();
}

Test(community, two_sides_of_a_partition_merge_into_one_ring)
{
    make_members(6);
    run_for(3000);
    for (uint32_t i = 0; i < 3; i++) {
        net.nodes[i].side = 1;
    }
    run_for(10000);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 3; k < 6; k++) {
            cr_assert_eq(state_at(i, k), MEMBER_DOWN);
            cr_assert_eq(state_at(k, i), MEMBER_DOWN);
        }
        cr_assert(!overlay_isolated(net.nodes[i].overlay, net.now_ms));
    }
    for (uint32_t i = 0; i < 3; i++) {
        net.nodes[i].side = 0;
    }
    cr_assert_lt(until_agreed(15000), 8000);
    run_for(3000);
    cr_assert(all_agree());
    assert_one_ring();
    end_network();
}

Test(community, a_node_cut_off_knows_after_fifteen_seconds_and_a_lone_one_never_is)
{
    make_members(1);
    run_for(60000);
    cr_assert(!overlay_isolated(net.nodes[0].overlay, net.now_ms));
    end_network();
    make_members(3);
    run_for(2000);
    net.nodes[1].side = 1;
    run_for(ISOLATED_MS - 1500);
    cr_assert(!overlay_isolated(net.nodes[1].overlay, net.now_ms));
    run_for(2000);
    cr_assert(overlay_isolated(net.nodes[1].overlay, net.now_ms));
    cr_assert(!overlay_isolated(net.nodes[0].overlay, net.now_ms));
    net.nodes[1].side = 0;
    (void)until_agreed(10000);
    cr_assert(!overlay_isolated(net.nodes[1].overlay, net.now_ms));
    end_network();
}

Test(community, leaving_on_purpose_is_known_at_once)
{
    struct overlay_event now;

    make_members(4);
    run_for(3000);
    now = now_event();
    overlay_goodbye(net.nodes[1].overlay, &now, 5, true, &net.nodes[1].effects);
    perform(1);
    run_for(50);
    cr_assert(net.nodes[1].done[5].ended);
    cr_assert_eq(state_at(0, 1), MEMBER_LEFT);
    cr_assert_eq(state_at(2, 1), MEMBER_LEFT);
    cr_assert_eq(state_at(3, 1), MEMBER_LEFT);
    kill_node(1, false);
    run_for(2000);
    assert_one_ring();
    cr_assert_eq(state_at(0, 1), MEMBER_LEFT);
    start_node(1);
    cr_assert_lt(until_agreed(5000), 2000);
    end_network();
}

Test(community, back_soon_keeps_a_node_up_while_it_restarts)
{
    struct overlay_event now;

    make_members(4);
    run_for(3000);
    now = now_event();
    overlay_goodbye(net.nodes[1].overlay, &now, 5, false, &net.nodes[1].effects);
    perform(1);
    run_for(50);
    cr_assert(net.nodes[1].done[5].ended);
    kill_node(1, false);
    run_for(5000);
    cr_assert_eq(state_at(0, 1), MEMBER_UP);
    cr_assert_eq(state_at(2, 1), MEMBER_UP);
    start_node(1);
    run_for(500);
    cr_assert(all_agree());
    kill_node(1, false);
    run_for(3000);
    cr_assert_eq(state_at(0, 1), MEMBER_DOWN);
    end_network();
}

Test(community, lost_messages_kill_nobody)
{
    make_members(6);
    run_for(3000);
    net.loss_percent = 5;
    for (uint32_t i = 0; i < 600; i++) {
        run_for(1000);
    }
    net.loss_percent = 0;
    cr_assert_eq(count_downs(), 0);
    (void)until_agreed(10000);
    run_for(3000);
    assert_one_ring();
    end_network();
}

Test(community, a_question_reaches_one_member_or_the_responsible_one_and_is_answered)
{
    struct overlay_event now;
    struct ring_key key;
    uint32_t delivered_count = 0;

    make_members(5);
    run_for(3000);
    now = now_event();
    overlay_ask(net.nodes[1].overlay, &now, &net.nodes[3].id,
                (struct overlay_question){7, bytes_of_text("hello")}, &net.nodes[1].effects);
    perform(1);
    run_for(20);
    cr_assert(net.nodes[1].done[7].ended);
    cr_assert_eq(memcmp(net.nodes[1].done[7].bytes, "re: hello", 9), 0);
    overlay_ask(net.nodes[1].overlay, &now, &net.nodes[1].id,
                (struct overlay_question){8, bytes_of_text("self")}, &net.nodes[1].effects);
    perform(1);
    cr_assert(net.nodes[1].done[8].ended);
    for (uint32_t i = 0; i < 20; i++) {
        seed_of("routed", i, key.id.bytes);
        overlay_route(net.nodes[1].overlay, &now, &key,
                      (struct overlay_question){20 + i, bytes_of_text("to a key")},
                      &net.nodes[1].effects);
        perform(1);
        overlay_lookup(net.nodes[1].overlay, &now, 60 + i, &key, &net.nodes[1].effects);
        perform(1);
        run_for(20);
        now = now_event();
        cr_assert(net.nodes[1].done[20 + i].ended);
        cr_assert_eq(net.nodes[1].done[20 + i].outcome, OVERLAY_OK);
        cr_assert(net.nodes[1].done[60 + i].ended);
        cr_assert(overlay_responsible(
            net.nodes[find_node(&net.nodes[1].done[60 + i].lookup.responsible)].overlay, &key,
            net.now_ms));
        cr_assert_eq(net.nodes[1].done[60 + i].lookup.holder_count, 5);
    }
    for (uint32_t i = 0; i < 5; i++) {
        delivered_count += net.nodes[i].delivered_count;
    }
    cr_assert_eq(delivered_count, 22);
    end_network();
}

/* How long a lookup takes whose responsible node has just fallen silent. */
static uint64_t lookup_ms(uint32_t who, const struct ring_key *key, uint64_t token)
{
    struct overlay_event now = now_event();
    uint64_t start_ms = net.now_ms;

    overlay_lookup(net.nodes[who].overlay, &now, token, key, &net.nodes[who].effects);
    perform(who);
    while (!net.nodes[who].done[token].ended && net.now_ms - start_ms < 10000) {
        run_for(5);
    }
    return net.now_ms - start_ms;
}

static uint32_t responsible_for(const struct ring_key *key)
{
    for (uint32_t i = 0; i < 400 * net.node_count; i++) {
        const struct overlay *overlay = net.nodes[i % net.node_count].overlay;

        if (overlay != NULL && overlay_responsible(overlay, key, net.now_ms)) {
            return i % net.node_count;
        }
        run_for(1); /* while messages are lost, a lease runs out now and then */
    }
    cr_assert_fail("nobody is responsible");
    return 0;
}

Test(community, a_routed_question_that_is_not_answered_goes_another_way_as_well)
{
    struct ring_key key;
    struct overlay_event now;
    uint32_t owner;
    uint32_t who;

    make_members(6);
    run_for(10000);
    seed_of("routed", 1, key.id.bytes);
    owner = responsible_for(&key);
    who = (owner + 1) % 6;
    cr_assert_leq(lookup_ms(who, &key, 5), 5);
    net.is_cut[who][owner] = true;
    net.is_cut[owner][who] = true;
    cr_assert_leq(lookup_ms(who, &key, 6), 2 * REPLY_MS);
    cr_assert_eq(net.nodes[who].done[6].outcome, OVERLAY_OK);
    cr_assert(id_equal(&net.nodes[who].done[6].lookup.responsible.id, &net.nodes[owner].id.id));
    net.is_cut[who][owner] = false; /* now only the answers are lost: it comes twice */
    now = now_event();
    overlay_route(net.nodes[who].overlay, &now, &key,
                  (struct overlay_question){7, bytes_of_text("once")}, &net.nodes[who].effects);
    perform(who);
    run_for(1500);
    cr_assert(net.nodes[who].done[7].ended);
    cr_assert_eq(net.nodes[who].done[7].outcome, OVERLAY_OK);
    cr_assert_eq(net.nodes[owner].delivered_count, 1);
    end_network();
}

Test(community, a_lost_question_is_asked_again_soon_where_answers_come_soon)
{
    struct ring_key key;
    uint32_t late_count = 0;

    make_members(4);
    run_for(20000);
    net.loss_percent = 20;
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t owner;

        seed_of("looked up", i, key.id.bytes);
        owner = responsible_for(&key);
        late_count += lookup_ms((owner + 1) % 4, &key, 10 + i) > 150;
        run_for(50);
    }
    cr_assert_leq(late_count, 6);
    end_network();
}

Test(community, repeated_questions_reach_the_agent_once)
{
    struct overlay_event now;

    make_members(3);
    run_for(3000);
    net.loss_percent = 30;
    for (uint32_t i = 0; i < 40; i++) {
        now = now_event();
        overlay_ask(net.nodes[1].overlay, &now, &net.nodes[2].id,
                    (struct overlay_question){10 + i, bytes_of_text("once")},
                    &net.nodes[1].effects);
        perform(1);
        run_for(100);
    }
    run_for(5000);
    cr_assert_leq(net.nodes[2].delivered_count, 40);
    cr_assert_gt(net.nodes[2].delivered_count, 20);
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert(net.nodes[1].done[10 + i].ended);
    }
    end_network();
}

Test(community, who_is_only_silent_is_asked_after_by_a_few_and_by_many_later)
{
    uint32_t asked_count = 0;
    uint32_t ms = 0;

    make_members(20);
    run_for(3000);
    for (uint32_t other = 0; other < 20; other++) {
        net.is_cut[7][other] = net.is_cut[other][7] = other != 7;
    }
    memset(net.sent_count, 0, sizeof(net.sent_count));
    for (; net.sent_count[minga_Message_probe_via_tag] == 0 && ms < 3000; ms++) {
        run_for(1);
    }
    asked_count = net.sent_count[minga_Message_probe_via_tag];
    cr_assert(asked_count > 0 && asked_count <= 3, "%u were asked at once", asked_count);
    run_for(1000);
    cr_assert_geq(net.sent_count[minga_Message_probe_via_tag], 16);
    end_network();
}
