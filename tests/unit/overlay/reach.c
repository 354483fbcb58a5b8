// SPDX-License-Identifier: GPL-3.0-or-later
/* Who can be dialled, and through whom the others are reached. */
#include "network.h"

static minga_NodeRecord record_of(uint32_t where, uint32_t node)
{
    return overlay_member_by_id(net.nodes[where].overlay, &net.nodes[node].id)->record;
}

static minga_Reachable reachable_at(uint32_t where, uint32_t node)
{
    return record_of(where, node).reachable;
}

static bool has_arc(uint32_t node)
{
    struct overlay_ring_view view;

    overlay_ring(net.nodes[node].overlay, &view);
    return view.has_arc;
}

/* `count` members, of which the last `closed_count` cannot be dialled. */
static void make_reachable(uint32_t count, uint32_t closed_count)
{
    struct test_invitation invitation;

    make_community();
    net.finds_reach = true;
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = add_node();

        net.nodes[node].is_closed = i >= count - closed_count;
        start_node(node);
    }
    found_community(0);
    for (uint32_t i = 1; i < count; i++) {
        join_node(i, 0, &invitation, 1);
        run_for(400);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "node %u", i);
    }
}

static void describe(uint32_t node, const char *address)
{
    struct overlay_event now = now_event();
    minga_NodeRecord description = net.nodes[node].config.description;

    snprintf(description.addresses[0], sizeof(description.addresses[0]), "%s", address);
    net.nodes[node].config.description = description;
    overlay_describe(net.nodes[node].overlay, &now, &description, &net.nodes[node].effects);
    perform(node);
}

Test(reach, those_whom_others_can_dial_say_so_and_stand_on_the_ring)
{
    make_reachable(4, 0);
    run_for(6000);
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t k = 0; k < 4; k++) {
            cr_assert_eq(reachable_at(i, k), minga_Reachable_REACHABLE_DIRECT, "%u of %u", i, k);
        }
        cr_assert(has_arc(i));
    }
    end_network();
}

Test(reach, one_whom_nobody_can_dial_is_known_to_all_through_two_relays_and_has_no_arc)
{
    make_reachable(5, 1);
    run_for(15000);
    for (uint32_t i = 0; i < 5; i++) {
        minga_NodeRecord record = record_of(i, 4);

        cr_assert_eq(record.reachable, minga_Reachable_REACHABLE_RELAYED, "at %u", i);
        cr_assert_eq(record.addresses_count, 2);
        cr_assert(leads_to(record.addresses[0], 4));
        cr_assert(leads_to(record.addresses[1], 4));
        cr_assert_eq(state_at(i, 4), MEMBER_UP);
    }
    cr_assert_not(has_arc(4));
    end_network();
}

Test(reach, a_leaf_is_asked_and_asks_like_anybody)
{
    struct overlay_event now;
    struct overlay_question question = {2, {(const uint8_t *)"beans?", 6}};

    make_reachable(5, 2);
    run_for(15000);
    now = now_event();
    overlay_ask(net.nodes[3].overlay, &now, &net.nodes[4].id, question, &net.nodes[3].effects);
    perform(3);
    run_for(500);
    cr_assert_eq(net.nodes[4].delivered_count, 1, "%s", net.nodes[4].delivered);
    end_network();
}

static bool is_called_absent(uint32_t by, uint32_t whom)
{
    struct overlay_absence absence;
    uint32_t cursor = 0;

    while (overlay_absence_next(net.nodes[by].overlay, &cursor, &absence)) {
        if (id_equal(&absence.node.id, &net.nodes[whom].id.id)) {
            return true;
        }
    }
    return false;
}

Test(reach, a_leaf_that_is_up_is_not_called_absent_and_one_that_is_down_is)
{
    make_reachable(5, 1);
    run_for(90000);
    cr_assert_eq(state_at(0, 4), MEMBER_UP);
    cr_assert_not(is_called_absent(0, 4));
    kill_node(4, false);
    run_for(90000);
    cr_assert(is_called_absent(0, 4));
    end_network();
}

Test(reach, when_a_relay_dies_the_leaf_takes_another_and_stays)
{
    uint32_t passing_count = 0;

    make_reachable(5, 1);
    run_for(15000);
    for (uint32_t i = 0; i < 4 && passing_count == 0; i++) {
        if (net.nodes[i].passing.port_count > 0) {
            passing_count++;
            kill_node(i, false);
        }
    }
    run_for(12000);
    for (uint32_t i = 0; i < 5; i++) {
        if (net.nodes[i].running) {
            cr_assert_eq(state_at(i, 4), MEMBER_UP, "at %u", i);
            cr_assert_eq(record_of(i, 4).addresses_count, 2, "at %u", i);
            cr_assert(leads_to(record_of(i, 4).addresses[0], 4));
        }
    }
    end_network();
}

Test(reach, who_can_be_dialled_at_last_joins_the_ring_and_needs_no_relay)
{
    make_reachable(4, 1);
    run_for(15000);
    cr_assert_eq(reachable_at(0, 3), minga_Reachable_REACHABLE_RELAYED);
    net.nodes[3].is_closed = false;
    run_for(70000);
    cr_assert_eq(reachable_at(0, 3), minga_Reachable_REACHABLE_DIRECT);
    cr_assert(has_arc(3));
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(net.nodes[i].passing.port_count, 0, "node %u", i);
    }
    end_network();
}

Test(reach, who_cannot_be_dialled_any_more_gives_its_arc_up)
{
    uint32_t least;
    uint32_t most;

    make_reachable(5, 0);
    run_for(10000);
    net.nodes[2].is_closed = true;
    describe(2, "10.9.9.9:7400");
    run_for(20000);
    cr_assert_eq(reachable_at(0, 2), minga_Reachable_REACHABLE_RELAYED);
    cr_assert_not(has_arc(2));
    count_responsible(&least, &most);
    cr_assert_eq(least, 1);
    cr_assert_eq(most, 1);
    end_network();
}

Test(reach, one_helper_who_says_no_takes_nobody_off_the_ring)
{
    make_reachable(5, 0);
    run_for(10000);
    for (uint32_t i = 0; i < 5; i++) {
        net.is_cut[i][2] = i == 0; /* nothing gets from node 0 to node 2 */
    }
    describe(2, "10.0.0.3:7400");
    run_for(20000);
    cr_assert_eq(reachable_at(1, 2), minga_Reachable_REACHABLE_DIRECT);
    cr_assert(has_arc(2));
    end_network();
}

Test(reach, a_new_address_needs_no_new_join)
{
    make_reachable(4, 0);
    run_for(8000);
    describe(2, "10.0.0.33:7400");
    run_for(8000);
    cr_assert_str_eq(record_of(0, 2).addresses[0], "10.0.0.33:7400");
    cr_assert_eq(reachable_at(0, 2), minga_Reachable_REACHABLE_DIRECT);
    cr_assert_eq(state_at(0, 2), MEMBER_UP);
    end_network();
}

static void publish(uint32_t node, const struct overlay_port *ports, uint32_t count)
{
    struct overlay_event now = now_event();

    overlay_publish(net.nodes[node].overlay, &now, ports, count, &net.nodes[node].effects);
    perform(node);
}

Test(reach, one_number_of_a_leaf_for_both_protocols_is_two_ports_at_its_relay)
{
    const struct overlay_port both[] = {{31000, false}, {31000, true}};
    const struct overlay *overlay;
    uint16_t tcp;
    uint16_t udp;

    make_reachable(4, 1);
    run_for(15000);
    overlay = net.nodes[3].overlay;
    publish(3, both, 2);
    run_for(2000);
    tcp = overlay_port_outside(overlay, 31000, false);
    udp = overlay_port_outside(overlay, 31000, true);
    cr_assert_neq(tcp, 0);
    cr_assert_neq(udp, 0);
    cr_assert_neq(tcp, udp);
    for (uint32_t i = 0; i < 3; i++) {
        const struct overlay_relay *passing = &net.nodes[i].passing;

        for (uint32_t k = 0; k < passing->port_count; k++) {
            cr_assert(passing->ports[k].at_relay != udp || passing->ports[k].is_udp);
            cr_assert(passing->ports[k].at_relay != tcp || !passing->ports[k].is_udp);
        }
    }
    publish(3, &both[1], 1);
    run_for(2000);
    cr_assert_eq(overlay_port_outside(overlay, 31000, false), 0, "no more");
    cr_assert_eq(overlay_port_outside(overlay, 31000, true), udp, "the same");
    end_network();
}

/* ------------------------------------------------------------------ what members can do */

static void name_elsewhere(uint32_t from, minga_Message *message)
{
    if (from == 1 && message->which_kind == minga_Message_dial_back_reply_tag) {
        strcpy(message->kind.dial_back_reply.address, "6.6.6.6:7400");
    }
}

static bool is_named_elsewhere(uint32_t node)
{
    minga_NodeRecord record = record_of(0, node);

    for (pb_size_t i = 0; i < record.addresses_count; i++) {
        if (strcmp(record.addresses[i], "6.6.6.6:7400") == 0) {
            return true;
        }
    }
    return false;
}

Test(reach, one_helpers_word_sends_nobody_elsewhere)
{
    make_reachable(4, 0);
    net.lie = name_elsewhere;
    for (uint32_t i = 0; i < 4; i++) {
        char address[ADDRESS_CHARS_MAX + 1];

        snprintf(address, sizeof(address), "10.0.1.%u:7400", i + 1);
        describe(i, address); /* all look for who can dial them anew */
    }
    run_for(30000);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(!is_named_elsewhere(i), "node %u", i);
        cr_assert_eq(reachable_at(0, i), minga_Reachable_REACHABLE_DIRECT, "node %u", i);
    }
    end_network();
}

/* ------------------------------------------------------------------ what strangers can do */

Test(reach, a_member_is_dialled_only_where_its_question_comes_from_and_not_often)
{
    minga_Message message;

    make_reachable(3, 0);
    run_for(8000);
    net.nodes[0].dial_back_count = 0;
    message_init(&message, minga_Message_dial_back_tag);
    message.kind.dial_back.port = 22;
    for (int i = 0; i < 50; i++) {
        say_to(1, 0, &message);
    }
    run_for(20);
    cr_assert_eq(net.nodes[0].dial_back_count, 8, "%u", net.nodes[0].dial_back_count);
    cr_assert_str_eq(net.nodes[0].dialled.addresses[0], "10.0.0.2:22");
    cr_assert(id_equal(&net.nodes[0].dialled.node.id, &net.nodes[1].id.id));
    end_network();
}

/* Does node `to` dial the other one, whose question seems to come from there? */
static bool dials(uint32_t to, uint32_t from, const char *host)
{
    struct network_event *event = new_event(to, OVERLAY_RECEIVED, 1);
    minga_Message message;
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length;

    net.nodes[to].dial_back_count = 0;
    message_init(&message, minga_Message_dial_back_tag);
    message.kind.dial_back.port = 22;
    length = message_encode(&message, bytes, sizeof(bytes));
    event->from = from;
    event->event.message = copy_bytes((struct bytes){bytes, (size_t)length});
    event->event.source.inbound = true;
    event->event.source.link = net.nodes[from].links[to];
    memcpy(event->event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    snprintf(event->event.source.host, sizeof(event->event.source.host), "%s", host);
    push_event(event);
    run_for(20);
    return net.nodes[to].dial_back_count > 0;
}

Test(reach, no_member_is_dialled_on_the_own_machine)
{
    make_reachable(3, 0);
    run_for(8000);
    cr_assert_not(dials(0, 1, "127.0.0.1"));
    cr_assert(dials(0, 1, "10.0.0.2"));
    end_network();
}

Test(reach, a_leaf_does_not_dial_its_own_address_from_which_its_relays_connections_come)
{
    struct overlay_question question = {2, {(const uint8_t *)"beans?", 6}};
    struct overlay_event now;

    make_reachable(5, 2);
    run_for(15000);
    now = now_event();
    overlay_ask(net.nodes[3].overlay, &now, &net.nodes[4].id, question, &net.nodes[3].effects);
    perform(3);
    run_for(500);
    cr_assert(net.nodes[3].links[4] != 0);
    cr_assert_not(dials(4, 3, "10.0.0.5"));
    cr_assert(dials(4, 3, "10.0.0.4"), "which came in without a relay");
    cr_assert(dials(0, 1, "10.0.0.1"), "may be another agent of the same machine");
    end_network();
}

Test(reach, a_relay_without_a_port_left_refuses_and_the_leaf_stays_a_member)
{
    uint32_t passed_on_count = 0;

    make_reachable(8, 6); /* two relays with four ports each: a door, and three leaves */
    run_for(40000);
    for (uint32_t i = 2; i < 8; i++) {
        cr_assert_eq(state_at(0, i), MEMBER_UP, "node %u", i);
        cr_assert_not(has_arc(i));
        if (reachable_at(0, i) == minga_Reachable_REACHABLE_RELAYED) {
            passed_on_count += record_of(0, i).addresses_count;
        }
    }
    cr_assert_eq(passed_on_count, 6, "%u", passed_on_count);
    end_network();
}

Test(reach, a_relay_with_other_ports_passes_on_at_those_only)
{
    const struct overlay_relay *passing = &net.nodes[0].passing;
    struct overlay_event now;

    make_reachable(3, 1);
    run_for(40000);
    cr_assert_eq(reachable_at(1, 2), minga_Reachable_REACHABLE_RELAYED);
    cr_assert_gt(passing->port_count, 0);
    now = now_event();
    overlay_set_relay_ports(net.nodes[0].overlay, &now, 40000, 8, &net.nodes[0].effects);
    perform(0);
    cr_assert_eq(passing->port_count, 0, "what was on the old ports has ended");
    run_for(60000);
    cr_assert_eq(reachable_at(1, 2), minga_Reachable_REACHABLE_RELAYED);
    cr_assert_gt(passing->port_count, 0, "the leaf has asked again");
    for (uint32_t i = 0; i < passing->port_count; i++) {
        cr_assert_geq(passing->ports[i].at_relay, 40000);
        cr_assert_lt(passing->ports[i].at_relay, 40008);
    }
    cr_assert_geq(passing->door, 40000);
    end_network();
}
