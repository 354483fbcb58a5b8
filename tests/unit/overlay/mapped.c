// SPDX-License-Identifier: GPL-3.0-or-later
/* A router that opens ports for one behind it, or says that it does. */
#include "network.h"

static minga_NodeRecord record_of(uint32_t where, uint32_t node)
{
    return overlay_member_by_id(net.nodes[where].overlay, &net.nodes[node].id)->record;
}

/* Four members; the last one stands behind a router, which leads nobody to it. */
static void make_home(void)
{
    struct test_invitation invitation;

    make_community();
    net.finds_reach = true;
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t node = add_node();

        if (i == 3) {
            net.nodes[node].is_closed = true;
            net.nodes[node].router = "10.9.0.201";
            strcpy(net.nodes[node].config.description.addresses[0], "192.168.1.10:7400");
        }
        start_node(node);
    }
    found_community(0);
    for (uint32_t i = 1; i < 4; i++) {
        join_node(i, 0, &invitation, 1);
        run_for(400);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "node %u", i);
    }
    run_for(15000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_RELAYED);
}

static void say_mapped(uint16_t port, uint16_t outside, bool is_udp)
{
    struct overlay_event event = now_event();

    event.kind = OVERLAY_PORT_MAPPED;
    event.port = port;
    event.outside_port = outside;
    event.is_udp = is_udp;
    overlay_step(net.nodes[3].overlay, &event, &net.nodes[3].effects);
    perform(3);
}

static void open_at_router(uint16_t port)
{
    net.nodes[3].router_port = port;
    say_mapped(0, port, false);
}

Test(mapped, when_a_firewall_opens_others_are_asked_to_dial_at_once)
{
    struct overlay_event event;

    make_home();
    run_for(100000); /* a leaf looks again once a minute by now */
    net.nodes[3].router_port = 7400;
    event = now_event();
    event.kind = OVERLAY_PORT_MAPPED;
    event.outside_port = 7400;
    event.is_ipv6 = true;
    overlay_step(net.nodes[3].overlay, &event, &net.nodes[3].effects);
    perform(3);
    run_for(5000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_DIRECT);
    end_network();
}

Test(mapped, a_port_that_the_router_opens_makes_the_node_direct_at_the_routers_address)
{
    make_home();
    open_at_router(7400);
    run_for(6000);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(record_of(i, 3).reachable, minga_Reachable_REACHABLE_DIRECT, "at %u", i);
        cr_assert_str_eq(record_of(i, 3).addresses[0], "10.9.0.201:7400");
    }
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(net.nodes[i].passing.port_count, 0, "node %u", i);
    }
    end_network();
}

Test(mapped, a_port_other_than_the_own_one_is_the_one_that_others_are_told)
{
    make_home();
    open_at_router(40123);
    run_for(6000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_DIRECT);
    cr_assert_str_eq(record_of(0, 3).addresses[0], "10.9.0.201:40123");
    end_network();
}

Test(mapped, a_router_that_only_says_so_changes_nothing)
{
    make_home();
    say_mapped(0, 7400, false);
    run_for(40000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_RELAYED);
    cr_assert_eq(record_of(0, 3).addresses_count, 2);
    say_mapped(0, 9, false);
    run_for(40000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_RELAYED);
    cr_assert_eq(record_of(0, 3).addresses_count, 2);
    end_network();
}

Test(mapped, relays_stay_until_others_have_come_in_by_the_routers_port)
{
    uint32_t passing_count = 0;

    make_home();
    say_mapped(0, 7400, false);
    run_for(1000);
    for (uint32_t i = 0; i < 3; i++) {
        passing_count += net.nodes[i].passing.port_count > 0;
    }
    cr_assert_eq(passing_count, 2, "%u", passing_count);
    end_network();
}

Test(mapped, a_port_opened_by_hand_is_found_though_the_router_names_another)
{
    make_home();
    net.nodes[3].router_port = 7400;
    say_mapped(0, 40123, false);
    run_for(80000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_DIRECT);
    cr_assert_str_eq(record_of(0, 3).addresses[0], "10.9.0.201:7400");
    end_network();
}

Test(mapped, when_the_router_closes_the_port_the_node_is_a_leaf_again)
{
    make_home();
    open_at_router(40123);
    run_for(6000);
    open_at_router(0);
    run_for(40000);
    cr_assert_eq(record_of(0, 3).reachable, minga_Reachable_REACHABLE_RELAYED);
    cr_assert_eq(record_of(0, 3).addresses_count, 2);
    end_network();
}

Test(mapped, ports_of_replicas_are_told_as_the_router_opens_them)
{
    const struct overlay *overlay;

    make_home();
    overlay = net.nodes[3].overlay;
    open_at_router(7400);
    say_mapped(31000, 40500, false);
    say_mapped(31001, 31001, false);
    run_for(6000);
    cr_assert_eq(overlay_port_outside(overlay, 31000, false), 40500);
    cr_assert_eq(overlay_port_outside(overlay, 31000, true), 31000, "another protocol");
    cr_assert_eq(overlay_port_outside(overlay, 31001, false), 31001);
    say_mapped(31000, 0, false);
    cr_assert_eq(overlay_port_outside(overlay, 31000, false), 31000);
    end_network();
}

Test(mapped, more_ports_than_there_is_room_for_are_told_as_they_are)
{
    const struct overlay *overlay;

    make_home();
    overlay = net.nodes[3].overlay;
    open_at_router(7400);
    run_for(6000);
    for (uint16_t i = 0; i <= MAPPED_PORTS_MAX; i++) {
        say_mapped((uint16_t)(31000 + i), (uint16_t)(40000 + i), false);
    }
    cr_assert_eq(overlay_port_outside(overlay, 31000 + MAPPED_PORTS_MAX - 1, false),
                 40000 + MAPPED_PORTS_MAX - 1);
    cr_assert_eq(overlay_port_outside(overlay, 31000 + MAPPED_PORTS_MAX, false),
                 31000 + MAPPED_PORTS_MAX);
    end_network();
}
