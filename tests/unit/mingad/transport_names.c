// SPDX-License-Identifier: GPL-3.0-or-later
/* Names in addresses: a transport that dials itself. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/mingad/transport/transport_internal.h"

enum { WAIT_MS_MAX = 20000 };

struct node {
    uv_loop_t loop;
    struct transport *transport;
    struct overlay_peer self;
    uint32_t received_count;
    uint32_t lost_count;
    uint32_t refused_count;
};

static void on_event(void *context, const struct overlay_event *event)
{
    struct node *node = context;

    node->received_count += event->kind == OVERLAY_RECEIVED;
    node->lost_count += event->kind == OVERLAY_LINK_LOST;
    node->refused_count += event->kind == OVERLAY_LINK_LOST && event->refused;
}

static struct node *set_up(void)
{
    struct node *node = calloc(1, sizeof(*node));
    struct secret_key key;
    struct err err = {0};

    uv_loop_init(&node->loop);
    keys_generate(&key);
    const struct transport_config config = {.loop = &node->loop,
                                            .node_key = &key,
                                            .listen_host = "127.0.0.1",
                                            .event = on_event,
                                            .context = node};

    cr_assert_eq(transport_open(&config, &node->transport, &err), 0, "%s", err.text);
    node->self.key = keys_public(&key);
    node->self.node = keys_node_id(&node->self.key);
    return node;
}

static void tear_down(struct node *node)
{
    transport_close(node->transport);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    transport_free(node->transport);
    cr_assert_eq(uv_loop_close(&node->loop), 0);
    free(node);
}

static void wait_for(struct node *node, const uint32_t *counter)
{
    for (int i = 0; i < WAIT_MS_MAX && *counter == 0; i++) {
        (void)transport_settle(node->transport);
        uv_run(&node->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    cr_assert_gt(*counter, 0, "not in time");
}

static void add_address(struct node *node, const char *host, unsigned port)
{
    size_t index = node->self.address_count++;

    snprintf(node->self.addresses[index], sizeof(node->self.addresses[0]), "%s:%u", host, port);
}

static void send_text(struct node *node)
{
    transport_send(node->transport, &node->self, bytes_of_text("hello"),
                   (struct transport_data){0});
}

static uint32_t link_count(const struct node *node)
{
    return transport_counters(node->transport).link_count;
}

TestSuite(transport_names, .timeout = 60);

Test(transport_names, a_name_is_looked_up_and_dialled)
{
    struct node *node = set_up();

    add_address(node, "localhost", transport_port(node->transport));
    send_text(node);
    wait_for(node, &node->received_count);
    cr_assert_eq(node->lost_count, 0);
    tear_down(node);
}

Test(transport_names, while_a_name_is_looked_up_the_other_address_is_dialled)
{
    struct node *node = set_up();

    add_address(node, "nobody.invalid", 7400);
    add_address(node, "127.0.0.1", transport_port(node->transport));
    send_text(node);
    wait_for(node, &node->received_count);
    tear_down(node);
}

Test(transport_names, a_name_that_nobody_has_is_a_lost_link_and_not_asked_for_again_at_once)
{
    struct node *node = set_up();

    add_address(node, "nobody.invalid", 7400);
    send_text(node);
    cr_assert_eq(link_count(node), 1, "it waits for the name");
    wait_for(node, &node->lost_count);
    cr_assert_eq(node->refused_count, 0);
    cr_assert_eq(link_count(node), 0);
    send_text(node);
    cr_assert_eq(link_count(node), 0);
    tear_down(node);
}

/* ZeroMQ takes the brackets off and would look it up. */
Test(transport_names, a_name_in_brackets_is_no_address)
{
    struct node *node = set_up();

    add_address(node, "[nobody.invalid]", 7400);
    send_text(node);
    cr_assert_eq(link_count(node), 0);
    tear_down(node);
}

Test(transport_names, a_link_that_waits_for_its_name_can_be_hung_up)
{
    struct node *node = set_up();

    add_address(node, "nobody.invalid", 7400);
    send_text(node);
    transport_hang_up(node->transport, &node->self.node);
    cr_assert_eq(link_count(node), 0);
    node->self.address_count = 0;
    add_address(node, "127.0.0.1", transport_port(node->transport));
    send_text(node);
    wait_for(node, &node->received_count);
    cr_assert_eq(node->lost_count, 0);
    tear_down(node);
}

Test(transport_names, it_can_be_closed_while_it_looks_many_up)
{
    struct node *node = set_up();
    struct node_id own = node->self.node;

    for (uint8_t i = 0; i < 100; i++) { /* more than are remembered */
        char host[32];

        snprintf(host, sizeof(host), "nobody%u.invalid", i);
        node->self.address_count = 0;
        node->self.node.id.bytes[0] = (uint8_t)(own.id.bytes[0] + i);
        add_address(node, host, 7400);
        send_text(node);
    }
    cr_assert_leq(link_count(node), 64);
    cr_assert_geq(link_count(node), 16);
    tear_down(node);
}

/* Addresses come from strangers, and not by links alone: leaves look up their relays'. */
Test(transport_names, what_is_no_host_and_port_is_never_looked_up)
{
    static const char *const odd[] = {"",          "host",  ":7400", "a b:7400",
                                      "host:port", "host:", "a/b:1"};
    struct node *node = set_up();
    char numeric[TRANSPORT_ADDRESS_BYTES_MAX];

    for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
        cr_assert_eq(transport_numeric(node->transport, odd[i], 0, numeric), -EHOSTUNREACH, "%s",
                     odd[i]);
    }
    cr_assert_eq(transport_numeric(node->transport, "[::1]:7400", 0, numeric), 0);
    cr_assert_str_eq(numeric, "[::1]:7400");
    tear_down(node);
}
