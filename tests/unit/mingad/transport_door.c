// SPDX-License-Identifier: GPL-3.0-or-later
/* Who stands at the door: garbage, strangers, and links that are closed to relieve the memory. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/mingad/transport_pair.h"

TestSuite(transport_door, .timeout = 60);

Test(transport_door, garbage_on_the_port_changes_nothing_for_others)
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

Test(transport_door, messages_against_the_form_are_dropped_and_counted)
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

Test(transport_door, after_its_memory_was_relieved_members_get_through_on_the_same_port)
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

Test(transport_door, a_link_of_before_its_memory_was_relieved_is_nobodys)
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

Test(transport_door, after_its_memory_was_relieved_strangers_wait)
{
    struct fixture *fixture = set_up();

    cr_assert(gets_through(fixture));
    fixture->ends[1].knows_nobody = true;
    guard_relieve(fixture->ends[1].transport);
    cr_assert(!gets_through(fixture));
    tear_down(fixture);
}

Test(transport_door, it_can_be_closed_while_it_binds_again)
{
    struct fixture *fixture = set_up();

    cr_assert(gets_through(fixture));
    guard_relieve(fixture->ends[1].transport);
    tear_down(fixture);
}

/* A machine may be slow: what is to come is waited for, and not for how long it takes elsewhere. */
#define RUN_UNTIL(fixture, condition)                                                       \
    do {                                                                                    \
        for (int waited_ms = 0; !(condition) && waited_ms < WAIT_MS_MAX; waited_ms += 10) { \
            run_for_ms(fixture, 10);                                                        \
        }                                                                                   \
    } while (0)

static bool has_bytes(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/* Behind all that was said to it. */
static bool is_ended(int fd)
{
    char byte;
    ssize_t count;

    while ((count = recv(fd, &byte, 1, MSG_DONTWAIT)) == 1) {
    }
    return count == 0;
}

Test(transport_door, of_many_who_never_greet_the_oldest_go_and_members_get_through)
{
    struct fixture *fixture = set_up();
    struct transport *b = fixture->ends[1].transport;
    int fds[300];

    for (size_t i = 0; i < 300; i++) {
        fds[i] = dial_raw(&fixture->ends[1]);
        run_for_ms(fixture, 1);
    }
    RUN_UNTIL(fixture, door_turned_away(b) >= 300 - 256 && door_stranger_count(b) <= 256);
    cr_assert_geq(door_turned_away(b), 300 - 256);
    cr_assert_leq(door_stranger_count(b), 256);
    /* Behind ZeroMQ's own greeting there is an end for the first, and none for the last. */
    RUN_UNTIL(fixture, has_bytes(fds[299]));
    cr_assert(has_bytes(fds[299]));
    RUN_UNTIL(fixture, is_ended(fds[0]));
    cr_assert(is_ended(fds[0]), "the first was turned away");
    cr_assert(gets_through(fixture));
    for (size_t i = 0; i < 300; i++) {
        close(fds[i]);
    }
    tear_down(fixture);
}

static void say_much(struct fixture *fixture, void *talker)
{
    static const uint8_t words[2048];

    for (int i = 0; i < 100; i++) {
        zmq_send(talker, words, sizeof(words), ZMQ_DONTWAIT);
        run_for_ms(fixture, 2);
    }
}

Test(transport_door, a_stranger_who_says_much_is_turned_away_and_a_member_is_not)
{
    struct fixture *fixture = set_up();
    struct end *b = &fixture->ends[1];
    void *context = zmq_ctx_new();
    void *talker = stranger(context, b, NULL);

    say_much(fixture, talker); /* known for a member */
    wait_for(fixture, &b->received_count, 100);
    cr_assert_eq(door_turned_away(b->transport), 0);
    cr_assert_eq(door_stranger_count(b->transport), 0);
    b->knows_nobody = true;
    RUN_UNTIL(fixture,
              door_stranger_count(b->transport) == 1); /* a calm door looks twice a second */
    cr_assert_eq(door_stranger_count(b->transport), 1);
    say_much(fixture, talker);
    RUN_UNTIL(fixture, door_turned_away(b->transport) > 0);
    cr_assert_gt(door_turned_away(b->transport), 0);
    zmq_close(talker);
    zmq_ctx_term(context);
    tear_down(fixture);
}
