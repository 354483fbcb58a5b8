// SPDX-License-Identifier: GPL-3.0-or-later
/* Links and messages between two transports. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/mingad/transport_pair.h"

TestSuite(transport, .timeout = 60);

Test(transport, a_message_arrives_with_the_key_that_curve_proved_and_is_answered_on_its_link)
{
    struct fixture *fixture = set_up();
    struct end *a = &fixture->ends[0];
    struct end *b = &fixture->ends[1];
    struct curve_keypair curve;

    b->echoes = true;
    send_text(fixture, "hello");
    wait_for(fixture, &a->received_count, 1);
    cr_assert_eq(b->received_count, 1);
    cr_assert_str_eq(b->message, "hello");
    cr_assert(b->source.inbound);
    cr_assert_eq(keys_curve(&a->key, &curve), 0);
    cr_assert_eq(memcmp(b->source.curve_key, curve.public_bytes, 32), 0);
    cr_assert_str_eq(a->message, "hello");
    cr_assert(!a->source.inbound);
    cr_assert(id_equal(&a->source.node.id, &b->peer.node.id));
    wait_for(fixture, &a->up_count, 1);
    cr_assert_eq(a->lost_count, 0);
    tear_down(fixture);
}

Test(transport, a_chunk_travels_as_second_frame)
{
    struct fixture *fixture = set_up();
    struct transport_data data = {malloc(CHUNK_BYTES_MAX), CHUNK_BYTES_MAX, NULL};

    memset(data.data, 0x5a, data.length_bytes);
    transport_send(fixture->ends[0].transport, &fixture->ends[1].peer, bytes_of_text("take"), data);
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    cr_assert_eq(fixture->ends[1].data_bytes, CHUNK_BYTES_MAX);
    cr_assert_eq(fixture->ends[1].data_last, 0x5a);
    tear_down(fixture);
}

Test(transport, a_burst_below_the_queue_arrives_whole)
{
    struct fixture *fixture = set_up();

    send_text(fixture, "first");
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    for (int i = 0; i < 100; i++) {
        send_text(fixture, "more");
    }
    wait_for(fixture, &fixture->ends[1].received_count, 101);
    tear_down(fixture);
}

Test(transport, a_full_queue_drops_and_counts_and_never_blocks)
{
    struct fixture *fixture = set_up();
    struct overlay_peer nobody = fixture->ends[1].peer;

    snprintf(nobody.addresses[0], sizeof(nobody.addresses[0]), "127.0.0.1:1");
    for (int i = 0; i < 1000; i++) {
        transport_send(fixture->ends[0].transport, &nobody, bytes_of_text("x"),
                       (struct transport_data){malloc(10), 10, NULL});
    }
    cr_assert_gt(transport_counters(fixture->ends[0].transport).dropped_outbound, 500);
    tear_down(fixture);
}

Test(transport, a_refused_connection_is_a_lost_link_at_once)
{
    struct fixture *fixture = set_up();
    struct overlay_peer nobody = fixture->ends[1].peer;

    snprintf(nobody.addresses[0], sizeof(nobody.addresses[0]), "127.0.0.1:1");
    transport_send(fixture->ends[0].transport, &nobody, bytes_of_text("x"),
                   (struct transport_data){0});
    uint64_t begin_ms = uv_hrtime() / 1000000;

    wait_for(fixture, &fixture->ends[0].lost_count, 1);
    cr_assert_lt(uv_hrtime() / 1000000 - begin_ms, 200);
    cr_assert_eq(fixture->ends[0].refused_count, 1);
    tear_down(fixture);
}

Test(transport, the_next_address_is_tried_when_one_fails)
{
    struct fixture *fixture = set_up();
    struct overlay_peer peer = fixture->ends[1].peer;

    snprintf(peer.addresses[1], sizeof(peer.addresses[1]), "%s", peer.addresses[0]);
    snprintf(peer.addresses[0], sizeof(peer.addresses[0]), "127.0.0.1:1");
    peer.address_count = 2;
    transport_send(fixture->ends[0].transport, &peer, bytes_of_text("x"),
                   (struct transport_data){0});
    wait_for(fixture, &fixture->ends[0].up_count, 1);
    cr_assert_eq(fixture->ends[0].lost_count, 1);
    cr_assert_eq(fixture->ends[0].refused_count, 0, "it listens at its other address");
    transport_send(fixture->ends[0].transport, &peer, bytes_of_text("y"),
                   (struct transport_data){0});
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    tear_down(fixture);
}

Test(transport, a_peer_that_ends_is_a_lost_link_and_is_found_again_when_it_is_back)
{
    struct fixture *fixture = set_up();
    uint16_t port = transport_port(fixture->ends[1].transport);

    send_text(fixture, "hello");
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    close_end(&fixture->ends[1], &fixture->loop);
    uint64_t begin_ms = uv_hrtime() / 1000000;

    wait_for(fixture, &fixture->ends[0].lost_count, 1);
    cr_assert_lt(uv_hrtime() / 1000000 - begin_ms, 200);
    cr_assert_eq(fixture->ends[0].refused_count, 0, "a link may break by itself");
    transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
    send_text(fixture, "there?");
    wait_for(fixture, &fixture->ends[0].refused_count, 1);
    cr_assert_lt(uv_hrtime() / 1000000 - begin_ms, 200, "a new connection shows it at once");
    open_end(fixture, 1, port);
    wait_for(fixture, &fixture->ends[0].up_count, 2);
    send_text(fixture, "again");
    wait_for(fixture, &fixture->ends[1].received_count, 2);
    tear_down(fixture);
}

Test(transport, another_key_than_the_dialled_one_is_no_link)
{
    struct fixture *fixture = set_up();
    struct overlay_peer impostor = fixture->ends[1].peer;

    impostor.key = fixture->ends[0].peer.key;
    transport_send(fixture->ends[0].transport, &impostor, bytes_of_text("x"),
                   (struct transport_data){0});
    wait_for(fixture, &fixture->ends[0].lost_count, 1);
    cr_assert_eq(fixture->ends[0].up_count, 0);
    cr_assert_eq(fixture->ends[0].refused_count, 0);
    cr_assert_eq(fixture->ends[1].received_count, 0);
    tear_down(fixture);
}

Test(transport, hanging_up_twice_and_dialling_again_is_fine)
{
    struct fixture *fixture = set_up();

    for (uint32_t i = 1; i <= 20; i++) {
        send_text(fixture, "hello");
        wait_for(fixture, &fixture->ends[1].received_count, i);
        transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
        transport_hang_up(fixture->ends[0].transport, &fixture->ends[1].peer.node);
        cr_assert_eq(transport_counters(fixture->ends[0].transport).link_count, 0);
    }
    tear_down(fixture);
}

Test(transport, addresses_that_are_no_host_and_port_are_not_dialled)
{
    struct fixture *fixture = set_up();
    static const char *const addresses[] = {
        "", "oak", ":7400", "inproc://x", "127.0.0.1:*", "eth0;127.0.0.1:7400", "a b:1"};

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct overlay_peer peer = fixture->ends[1].peer;

        snprintf(peer.addresses[0], sizeof(peer.addresses[0]), "%s", addresses[i]);
        transport_send(fixture->ends[0].transport, &peer, bytes_of_text("x"),
                       (struct transport_data){0});
        cr_assert_eq(transport_counters(fixture->ends[0].transport).link_count, 0, "%s",
                     addresses[i]);
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    tear_down(fixture);
}

Test(transport, a_taken_port_is_an_error_that_says_so)
{
    struct fixture *fixture = set_up();
    struct transport *another = NULL;
    struct err err = {0};
    struct transport_config config = {.loop = &fixture->loop,
                                      .node_key = &fixture->ends[0].key,
                                      .listen_host = "127.0.0.1",
                                      .listen_port = transport_port(fixture->ends[1].transport),
                                      .event = on_event,
                                      .context = &fixture->ends[0]};

    cr_assert_eq(transport_open(&config, &another, &err), -EADDRINUSE);
    cr_assert_neq(err.hint[0], '\0');
    tear_down(fixture);
}
