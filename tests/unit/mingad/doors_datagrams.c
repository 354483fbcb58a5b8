// SPDX-License-Identifier: GPL-3.0-or-later
/* A door of UDP: one flow a connection, one datagram a frame. */
#include "agent/mingad/doors/doors.h"
#include "agent/mingad/relays/relay_flows.h"
#include "tests/unit/mingad/door_visit.h"

static_assert((int)UDP_MEMBERS_BYTES_MAX == (int)RELAY_DATAGRAM_BYTES_MAX, "one word for both");

enum { TURNS = 200 };

static uint8_t large[UDP_PACKET_BYTES_MAX + 1];

static void send_bytes(struct visit *visit, enum relay_frame type, struct bytes body)
{
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];

    visit_say(visit, frame, relay_seal_frame(&visit->seal, type, body, frame));
}

static int enter(struct fixture *fixture, struct visit *visit)
{
    cr_assert(visit_enters(fixture, visit));
    return accept_inside(fixture);
}

/* The next packet that minga-init gets, without its mark. Returns its length. */
static size_t packet_inside(struct fixture *fixture, int fd, uint8_t *bytes_out)
{
    static uint8_t packet[UDP_PACKET_BYTES_MAX + 2];
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    ssize_t got = -1;

    while (got < 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
    }
    cr_assert_gt(got, 0);
    cr_assert_eq(packet[0], 0);
    memcpy(bytes_out, packet + 1, (size_t)got - 1);
    return (size_t)got - 1;
}

static void must_come_inside(struct fixture *fixture, int fd, const char *expected)
{
    static uint8_t bytes[UDP_MEMBERS_BYTES_MAX + 1];

    cr_assert_eq(packet_inside(fixture, fd, bytes), strlen(expected));
    cr_assert_eq(memcmp(bytes, expected, strlen(expected)), 0);
}

/* Nothing more has come there, and nobody has hung up. */
static bool is_silent(struct fixture *fixture, int fd)
{
    char byte;

    for (int i = 0; i < TURNS; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool is_hung_up_inside(struct fixture *fixture, int fd)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    ssize_t got = -1;
    char byte;

    while (got < 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    return got == 0;
}

Test(doors_datagrams, each_frame_is_a_datagram_empty_ones_too)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct relay_opened opened;
    static struct visit visit;
    int inside = enter(fixture, &visit);

    visit_send(&visit, RELAY_DATAGRAM, "one");
    visit_send(&visit, RELAY_DATAGRAM, "");
    visit_send(&visit, RELAY_DATAGRAM, "three");
    must_come_inside(fixture, inside, "one");
    must_come_inside(fixture, inside, "");
    must_come_inside(fixture, inside, "three");
    cr_assert(is_silent(fixture, inside));
    cr_assert_eq(send(inside, "\0yes", 4, MSG_NOSIGNAL), 4);
    cr_assert_eq(send(inside, "\0", 1, MSG_NOSIGNAL), 1);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_DATAGRAM);
    cr_assert_eq(opened.body_bytes, 3);
    cr_assert_eq(memcmp(relay_body(&opened).data, "yes", 3), 0);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_DATAGRAM);
    cr_assert_eq(opened.body_bytes, 0);
    close(inside);
    cr_assert(!visit_hears(fixture, &visit), "minga-init has ended the flow");
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, it_does_not_matter_how_the_stream_is_cut)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static const char *const texts[] = {"first", "", "the third"};
    static uint8_t stream[256];
    static struct visit visit;
    int inside = enter(fixture, &visit);

    for (size_t cut = 0;; cut++) {
        static uint8_t frame[RELAY_FRAME_BYTES_MAX];
        size_t length = 0;

        for (size_t i = 0; i < 3; i++) {
            size_t frame_bytes =
                relay_seal_frame(&visit.seal, RELAY_DATAGRAM, bytes_of_text(texts[i]), frame);

            memcpy(stream + length, frame, frame_bytes);
            length += frame_bytes;
        }
        if (cut > length) {
            break;
        }
        visit_say(&visit, stream, cut);
        for (int i = 0; i < 5; i++) {
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
        }
        visit_say(&visit, stream + cut, length - cut);
        for (size_t i = 0; i < 3; i++) {
            must_come_inside(fixture, inside, texts[i]);
        }
    }
    cr_assert(is_silent(fixture, inside));
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, the_longest_passes_both_ways)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static uint8_t bytes[UDP_MEMBERS_BYTES_MAX + 1];
    static struct relay_opened opened;
    static struct visit visit;
    int inside = enter(fixture, &visit);

    memset(large + 1, 5, sizeof(large) - 1);
    send_bytes(&visit, RELAY_DATAGRAM, (struct bytes){large + 1, UDP_MEMBERS_BYTES_MAX});
    cr_assert_eq(packet_inside(fixture, inside, bytes), UDP_MEMBERS_BYTES_MAX);
    cr_assert_eq(memcmp(bytes, large + 1, UDP_MEMBERS_BYTES_MAX), 0);
    cr_assert_eq(send(inside, large, UDP_PACKET_BYTES_MAX, MSG_NOSIGNAL), UDP_PACKET_BYTES_MAX);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_DATAGRAM);
    cr_assert_eq(opened.body_bytes, UDP_MEMBERS_BYTES_MAX);
    cr_assert_eq(memcmp(relay_body(&opened).data, large + 1, UDP_MEMBERS_BYTES_MAX), 0);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, what_is_no_datagram_cuts_the_flow_and_reaches_nobody)
{
    const struct {
        enum relay_frame type;
        size_t length_bytes;
    } frames[] = {{RELAY_DATAGRAM, UDP_MEMBERS_BYTES_MAX + 1},
                  {RELAY_DATA, 5},
                  {RELAY_END, 0},
                  {RELAY_FLOWS, 0},
                  {RELAY_OPEN, 2},
                  {RELAY_READY, 0}};
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        int inside = enter(fixture, &visit);

        send_bytes(&visit, frames[i].type, (struct bytes){large, frames[i].length_bytes});
        cr_assert(is_hung_up_inside(fixture, inside), "frame %zu", i);
        cr_assert(!visit_hears(fixture, &visit), "frame %zu", i);
        close(inside);
        close(visit.fd);
    }
    fixture_free(fixture);
}

Test(doors_datagrams, at_a_door_of_tcp_a_datagram_is_none)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    int inside = enter(fixture, &visit);

    visit_send(&visit, RELAY_DATAGRAM, "one");
    cr_assert(is_hung_up_inside(fixture, inside));
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

/* It has lost hold of itself; the member sees that the flow is over, and no nonsense. */
Test(doors_datagrams, what_is_no_packet_of_the_replica_s_end_cuts_the_flow)
{
    const struct {
        const void *bytes;
        size_t length_bytes;
    } packets[] = {{"\1no", 3}, {large, sizeof(large)}, {"", 0}};
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;

    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        int inside = enter(fixture, &visit);

        cr_assert_eq(send(inside, packets[i].bytes, packets[i].length_bytes, MSG_NOSIGNAL),
                     (ssize_t)packets[i].length_bytes);
        cr_assert(!visit_hears(fixture, &visit), "packet %zu", i);
        close(inside);
        close(visit.fd);
    }
    fixture_free(fixture);
}

Test(doors_datagrams, two_flows_do_not_mix)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct relay_opened opened;
    static struct visit visits[2];
    int inside[2] = {enter(fixture, &visits[0]), -1};

    inside[1] = enter(fixture, &visits[1]);
    visit_send(&visits[1], RELAY_DATAGRAM, "second");
    visit_send(&visits[0], RELAY_DATAGRAM, "first");
    must_come_inside(fixture, inside[0], "first");
    must_come_inside(fixture, inside[1], "second");
    cr_assert_eq(send(inside[1], "\0to two", 7, MSG_NOSIGNAL), 7);
    cr_assert(visit_frame(fixture, &visits[1], &opened));
    cr_assert_eq(opened.body_bytes, 6);
    cr_assert(is_silent(fixture, visits[0].fd));
    for (int i = 0; i < 2; i++) {
        close(inside[i]);
        close(visits[i].fd);
    }
    fixture_free(fixture);
}

/* What nobody takes is lost; neither kept here, nor waited for. */
Test(doors_datagrams, what_finds_no_room_inside_is_lost_and_the_rest_passes)
{
    enum { SENT = 3000, LENGTH = 1000 };
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static uint8_t bytes[UDP_MEMBERS_BYTES_MAX + 1];
    static struct visit visits[2];
    int inside[2] = {enter(fixture, &visits[0]), -1};
    uint32_t taken_count = 0;

    inside[1] = enter(fixture, &visits[1]);
    for (int i = 0; i < SENT; i++) {
        send_bytes(&visits[0], RELAY_DATAGRAM, (struct bytes){large, LENGTH});
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    visit_send(&visits[1], RELAY_DATAGRAM, "beside");
    must_come_inside(fixture, inside[1], "beside");
    while (!is_silent(fixture, inside[0])) { /* which has taken one */
        taken_count++;
    }
    visit_send(&visits[0], RELAY_DATAGRAM, "again");
    while (packet_inside(fixture, inside[0], bytes) == LENGTH) { /* some were on their way still */
        taken_count++;
    }
    cr_assert_gt(taken_count, 0);
    cr_assert_lt(taken_count, SENT);
    cr_assert_eq(memcmp(bytes, "again", 5), 0);
    for (int i = 0; i < 2; i++) {
        close(inside[i]);
        close(visits[i].fd);
    }
    fixture_free(fixture);
}

Test(doors_datagrams, who_does_not_know_the_secret_reaches_nothing)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit.seal.send_key[0] ^= 1;
    visit_send(&visit, RELAY_READY, "");
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_lt(accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC), 0);
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit_send(&visit, RELAY_DATAGRAM, "before it is let in");
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_lt(accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC), 0);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, who_is_expelled_is_cut)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;
    int inside = enter(fixture, &visit);
    uint64_t at_ms = clock_now_ms();

    fixture->is_unwelcome = true;
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_lt(clock_now_ms() - at_ms, 5 * DOORS_TICK_MS);
    cr_assert(is_hung_up_inside(fixture, inside));
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, a_replica_that_is_paused_has_no_flows)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;
    int inside = enter(fixture, &visit);

    fixture->place.is_running = false;
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_eq(doors_counters(fixture->doors).door_count, 1, "the door stays");
    close(inside);
    close(visit.fd);
    fixture->place.is_running = true;
    doors_review(fixture->doors);
    inside = enter(fixture, &visit);
    visit_send(&visit, RELAY_DATAGRAM, "again");
    must_come_inside(fixture, inside, "again");
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

/* Nobody would take what it says, and it could go to another one. */
Test(doors_datagrams, one_that_does_not_run_takes_no_new_flow)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + 2 * (uint64_t)DOORS_TICK_MS;

    fixture->place.is_running = false;
    while (clock_now_ms() < until_ms) { /* it is looked at */
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert(!visit_enters(fixture, &visit));
    cr_assert_lt(accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), 0);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, they_go_with_their_replica)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;
    int inside = enter(fixture, &visit);

    fixture->place_count = 0;
    doors_review(fixture->doors);
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_eq(doors_counters(fixture->doors).door_count, 0);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors_datagrams, a_replica_that_does_not_run_is_no_flow)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;

    ports_close(&fixture->ports);
    cr_assert(!visit_enters(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}
