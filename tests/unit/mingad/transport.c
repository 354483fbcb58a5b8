// SPDX-License-Identifier: GPL-3.0-or-later
/* Two transports on one loop, over loopback, with CURVE. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "transport_ends.h"

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
    struct transport_data data = {malloc(CHUNK_BYTES_MAX), CHUNK_BYTES_MAX};

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
                       (struct transport_data){malloc(10), 10});
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

static int dial_raw(const struct end *end)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(transport_port(end->transport)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

Test(transport, garbage_on_the_port_changes_nothing_for_others)
{
    struct fixture *fixture = set_up();
    int fds[50];
    uint8_t garbage[4096];

    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (uint8_t)(i * 37 + 11);
    }
    for (int i = 0; i < 50; i++) {
        fds[i] = dial_raw(&fixture->ends[1]);
        garbage[0] = i % 2 == 0 ? 0xff : (uint8_t)i; /* half look like ZMTP at first */
        cr_assert_gt(send(fds[i], garbage, sizeof(garbage), MSG_NOSIGNAL), 0);
    }
    send_text(fixture, "hello");
    wait_for(fixture, &fixture->ends[1].received_count, 1);
    cr_assert_str_eq(fixture->ends[1].message, "hello");
    for (int i = 0; i < 50; i++) {
        close(fds[i]);
    }
    tear_down(fixture);
}

/* A stranger with libzmq and a key of its own, which sends what is against the form. */
static void *stranger(void *context, const struct end *end, const char *routing_id)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    uint8_t server_key[32];
    struct secret_key key;
    struct curve_keypair curve;
    char endpoint[ADDRESS_CHARS_MAX + 8];
    int zero = 0;

    cr_assert_eq(keys_curve_public(&end->peer.key, server_key), 0);
    keys_generate(&key);
    cr_assert_eq(keys_curve(&key, &curve), 0);
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server_key, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, curve.public_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, curve.secret_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_LINGER, &zero, sizeof(zero));
    if (routing_id != NULL) {
        zmq_setsockopt(dealer, ZMQ_ROUTING_ID, routing_id, strlen(routing_id));
    }
    snprintf(endpoint, sizeof(endpoint), "tcp://%s", end->peer.addresses[0]);
    cr_assert_eq(zmq_connect(dealer, endpoint), 0);
    return dealer;
}

Test(transport, messages_against_the_form_are_dropped_and_counted)
{
    struct fixture *fixture = set_up();
    struct end *b = &fixture->ends[1];
    void *context = zmq_ctx_new();
    void *plain = stranger(context, b, NULL);
    void *claiming = stranger(context, b, "me");
    static uint8_t big[MESSAGE_BYTES_MAX + 1];

    zmq_send(plain, "", 0, 0);            /* empty */
    zmq_send(plain, big, sizeof(big), 0); /* too long a message */
    zmq_send(plain, "a", 1, ZMQ_SNDMORE);
    zmq_send(plain, "b", 1, ZMQ_SNDMORE);
    zmq_send(plain, "c", 1, 0); /* three frames */
    zmq_send(plain, "a", 1, ZMQ_SNDMORE);
    zmq_send(plain, "b", 1, ZMQ_SNDMORE);
    zmq_send(plain, "c", 1, ZMQ_SNDMORE);
    zmq_send(plain, "d", 1, ZMQ_SNDMORE);
    zmq_send(plain, "e", 1, 0); /* five */
    zmq_send(plain, "fine", 4, 0);
    wait_for(fixture, &b->received_count, 1);
    cr_assert_str_eq(b->message, "fine");
    cr_assert_eq(transport_counters(b->transport).dropped_inbound, 4);
    zmq_send(claiming, "x", 1, 0); /* claims a name */
    zmq_send(plain, big, MESSAGE_BYTES_MAX, 0);
    wait_for(fixture, &b->received_count, 2);
    send_text(fixture, "hello");
    wait_for(fixture, &b->received_count, 3);
    cr_assert_eq(transport_counters(b->transport).dropped_inbound, 5);
    zmq_close(plain);
    zmq_close(claiming);
    zmq_ctx_term(context);
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

/* Sends until one arrives, or for two seconds. */
static bool gets_through(struct fixture *fixture)
{
    uint32_t before = fixture->ends[1].received_count;

    for (int i = 0; i < 200 && fixture->ends[1].received_count == before; i++) {
        send_text(fixture, "again");
        for (int turn = 0; turn < 10; turn++) {
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
            usleep(1000);
        }
    }
    return fixture->ends[1].received_count > before;
}

Test(transport, after_its_memory_was_relieved_members_get_through_on_the_same_port)
{
    struct fixture *fixture = set_up();
    uint16_t port = transport_port(fixture->ends[1].transport);

    cr_assert(gets_through(fixture));
    for (int i = 0; i < 3; i++) {
        guard_relieve(fixture->ends[1].transport);
        cr_assert(gets_through(fixture), "round %d", i);
    }
    cr_assert_eq(transport_port(fixture->ends[1].transport), port);
    tear_down(fixture);
}

Test(transport, a_link_of_before_its_memory_was_relieved_is_nobodys)
{
    struct fixture *fixture = set_up();
    struct end *end = &fixture->ends[1];

    cr_assert(gets_through(fixture));
    uint64_t old_link = end->source.link;
    guard_relieve(end->transport);
    cr_assert(gets_through(fixture));
    /* The number of now, with the router of before. */
    transport_reply(end->transport, (old_link >> 32 << 32) | (end->source.link & UINT32_MAX),
                    bytes_of_text("secret"), (struct transport_data){0});
    end->echoes = true;
    send_text(fixture, "again");
    wait_for(fixture, &fixture->ends[0].received_count, 1);
    cr_assert_str_eq(fixture->ends[0].message, "again");
    tear_down(fixture);
}

Test(transport, after_its_memory_was_relieved_strangers_wait)
{
    struct fixture *fixture = set_up();

    cr_assert(gets_through(fixture));
    fixture->ends[1].knows_nobody = true;
    guard_relieve(fixture->ends[1].transport);
    cr_assert(!gets_through(fixture));
    tear_down(fixture);
}

Test(transport, it_can_be_closed_while_it_binds_again)
{
    struct fixture *fixture = set_up();

    cr_assert(gets_through(fixture));
    guard_relieve(fixture->ends[1].transport);
    tear_down(fixture);
}

/* ------------------------------------------------------------------ the door */

static void run_for_ms(struct fixture *fixture, int ms)
{
    for (int i = 0; i < ms; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

Test(transport, of_many_who_never_greet_the_oldest_go_and_members_get_through)
{
    struct fixture *fixture = set_up();
    struct transport *b = fixture->ends[1].transport;
    int fds[300];
    char byte;

    for (size_t i = 0; i < 300; i++) {
        fds[i] = dial_raw(&fixture->ends[1]);
        run_for_ms(fixture, 1);
    }
    run_for_ms(fixture, 200);
    cr_assert_leq(door_stranger_count(b), 256);
    cr_assert_geq(door_turned_away(b), 300 - 256);
    /* Behind ZeroMQ's own greeting there is an end for the first, and none for the last. */
    cr_assert_eq(recv(fds[299], &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
    while (recv(fds[0], &byte, 1, MSG_DONTWAIT) == 1) {
    }
    cr_assert_eq(recv(fds[0], &byte, 1, MSG_DONTWAIT), 0, "the first was turned away");
    cr_assert(gets_through(fixture));
    for (size_t i = 0; i < 300; i++) {
        close(fds[i]);
    }
    tear_down(fixture);
}

Test(transport, a_stranger_who_says_much_is_turned_away_and_a_member_is_not)
{
    struct fixture *fixture = set_up();
    struct end *b = &fixture->ends[1];
    void *context = zmq_ctx_new();
    void *talker = stranger(context, b, NULL);
    static uint8_t words[2048];

    for (int i = 0; i < 100; i++) { /* known for a member */
        zmq_send(talker, words, sizeof(words), ZMQ_DONTWAIT);
        run_for_ms(fixture, 2);
    }
    wait_for(fixture, &b->received_count, 100);
    cr_assert_eq(door_turned_away(b->transport), 0);
    cr_assert_eq(door_stranger_count(b->transport), 0);
    b->knows_nobody = true;
    for (int i = 0; i < 100; i++) {
        zmq_send(talker, words, sizeof(words), ZMQ_DONTWAIT);
        run_for_ms(fixture, 2);
    }
    run_for_ms(fixture, 200);
    cr_assert_gt(door_turned_away(b->transport), 0);
    zmq_close(talker);
    zmq_ctx_term(context);
    tear_down(fixture);
}
