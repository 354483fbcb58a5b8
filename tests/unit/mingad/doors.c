// SPDX-License-Identifier: GPL-3.0-or-later
/* Who is let in at a door for members, and who is hung up on. */
#include "agent/mingad/doors/doors.h"

#include "tests/unit/mingad/door_visit.h"

Test(doors, a_member_with_a_pass_talks_to_the_replica)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    visit_send(&visit, RELAY_DATA, "are you there?");
    hear_inside(fixture, inside, "are you there?");
    cr_assert_eq(send(inside, "yes", 3, MSG_NOSIGNAL), 3);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_DATA);
    cr_assert_eq(opened.body_bytes, 3);
    /* One side has said all, the other not yet. */
    visit_send(&visit, RELAY_END, "");
    hear_inside(fixture, inside, "");
    cr_assert_eq(send(inside, "bye", 3, MSG_NOSIGNAL), 3);
    close(inside);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.body_bytes, 3);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_END);
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

static uint8_t much_at(size_t offset_bytes)
{
    return (uint8_t)(offset_bytes * 31 + (offset_bytes >> 14));
}

/* More of what the replica says; returns how much was taken. */
static size_t say_more(int inside, size_t offset_bytes)
{
    static uint8_t bytes[1 << 16];
    ssize_t sent;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = much_at(offset_bytes + i);
    }
    sent = send(inside, bytes, sizeof(bytes), MSG_NOSIGNAL);
    cr_assert(sent > 0 || errno == EAGAIN);
    return sent > 0 ? (size_t)sent : 0;
}

Test(doors, much_waits_for_a_member_that_reads_late_and_comes_whole)
{
    enum { MUCH_BYTES = 48 << 20, IDLE_TURNS = 50 }; /* more than all sockets' buffers */
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;
    size_t said_bytes = 0, heard_bytes = 0;
    bool is_right = true;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    for (uint32_t idle = 0; idle < IDLE_TURNS && said_bytes < MUCH_BYTES; idle++) {
        size_t more_bytes = say_more(inside, said_bytes);

        said_bytes += more_bytes;
        idle = more_bytes > 0 ? 0 : idle;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert_lt(said_bytes, MUCH_BYTES, "it is not kept in between");
    while (heard_bytes < MUCH_BYTES) {
        said_bytes += say_more(inside, said_bytes);
        cr_assert(visit_frame(fixture, &visit, &opened));
        cr_assert_eq(opened.type, RELAY_DATA);
        for (size_t i = 0; i < opened.body_bytes; i++, heard_bytes++) {
            is_right = is_right && relay_body(&opened).data[i] == much_at(heard_bytes);
        }
    }
    cr_assert(is_right);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_member_that_goes_while_much_is_said_is_no_harm)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    signal(SIGPIPE, SIG_IGN); /* as mingad does */
    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    (void)say_more(inside, 0);
    close(visit.fd); /* unread: a reset */
    while (doors_counters(fixture->doors).visit_count > 0 && clock_now_ms() < until_ms) {
        static const uint8_t more[1 << 16];

        (void)send(inside, more, sizeof(more), MSG_NOSIGNAL | MSG_DONTWAIT);
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(doors_counters(fixture->doors).visit_count, 0);
    close(inside);
    fixture_free(fixture);
}

Test(doors, nobody_else_is_answered_at_all)
{
    struct fixture *fixture = fixture_new();
    const struct node_id stranger = {.id.bytes = {8}};
    static const char http[] = "GET / HTTP/1.1\r\nHost: a-name-that-is-long-enough-for-a-greeting."
                               "example.org\r\nUser-Agent: somebody\r\n\r\n";
    uint64_t now_ms = clock_now_ms();
    static struct visit visit;

    static_assert(sizeof(http) > RELAY_HELLO_BYTES, "it is looked at");
    visit_begin(fixture, &visit);
    visit_say(&visit, http, sizeof(http) - 1);
    cr_expect(!visit_hears(fixture, &visit), "no greeting");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &stranger, now_ms + PASS_MS / 2), "no member");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, now_ms - 1), "a pass that is over");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, now_ms + 10 * PASS_MS), "one nobody gave");
    close(visit.fd);
    fixture->is_unwelcome = true;
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2), "expelled");
    close(visit.fd);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, 0);
    fixture_free(fixture);
}

Test(doors, who_does_not_know_the_secret_reaches_nothing)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit.seal.send_key[0] ^= 1;
    visit_send(&visit, RELAY_READY, "");
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_lt(accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), 0);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, who_speaks_before_it_is_let_in_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit_send(&visit, RELAY_DATA, "hello");
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_replica_that_does_not_run_is_no_open_connection)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    ports_close(&fixture->ports);
    cr_assert(!visit_enters(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

/* Its minga-init closes what the service has reset, and is gone itself when the replica is ended. */
Test(doors, one_that_is_cut_behind_the_door_is_no_end)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(send(inside, "half", 4, MSG_NOSIGNAL), 4);
    close(inside);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.body_bytes, 4);
    cr_assert(!visit_frame(fixture, &visit, &opened), "it is told of an end");
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_replica_that_has_said_all_is_an_end)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(shutdown(inside, SHUT_WR), 0);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_END);
    visit_send(&visit, RELAY_DATA, "go on");
    hear_inside(fixture, inside, "go on");
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, who_is_expelled_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(doors_counters(fixture->doors).visit_count, 1);
    fixture->is_unwelcome = true;
    cr_assert(!visit_hears(fixture, &visit));
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, they_go_with_their_replica)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    cr_assert(visit_enters(fixture, &visit));
    fixture->place_count = 0;
    doors_review(fixture->doors);
    cr_assert(!visit_hears(fixture, &visit));
    while (doors_counters(fixture->doors).door_count > 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(doors_counters(fixture->doors).door_count, 0);
    close(visit.fd);
    fixture_free(fixture);
}

static void talk(struct fixture *fixture, struct visit *visit, int inside, uint64_t for_ms)
{
    uint64_t until_ms = clock_now_ms() + for_ms;

    do {
        visit_send(visit, RELAY_DATA, "still there?");
        hear_inside(fixture, inside, "still there?");
    } while (clock_now_ms() < until_ms);
}

/* The earlier one is told of for a while yet. */
Test(doors, who_had_the_port_before_does_not_shut_the_door_of_who_has_it)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    fixture->has_earlier = true;
    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    doors_review(fixture->doors);
    talk(fixture, &visit, inside, 3 * DOORS_TICK_MS / 2);
    cr_assert_eq(doors_counters(fixture->doors).door_count, 1);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_port_that_is_public_now_is_free)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    int fd;

    cr_assert(visit_enters(fixture, &visit));
    cr_assert_eq(ports_listen("127.0.0.1", fixture->place.host_port, SOCK_STREAM), -EADDRINUSE);
    doors_leave(fixture->doors, fixture->place.host_port);
    fd = ports_listen("127.0.0.1", fixture->place.host_port, SOCK_STREAM);
    cr_assert_geq(fd, 0);
    cr_assert_eq(doors_counters(fixture->doors).door_count, 0);
    cr_assert(!visit_hears(fixture, &visit));
    close(fd);
    close(visit.fd);
    fixture->place_count = 0;
    fixture_free(fixture);
}

/* An earlier mingad has left the replica, and something else has the port by now. */
Test(doors, one_that_cannot_be_opened_again_is_told)
{
    struct fixture *fixture = fixture_new();
    uint64_t until_ms = clock_now_ms() + DOORS_LOST_MS + WAIT_MS_MAX;
    uint64_t since_ms = clock_now_ms();
    int fd;

    doors_leave(fixture->doors, fixture->place.host_port);
    fd = ports_listen("127.0.0.1", fixture->place.host_port, SOCK_STREAM);
    cr_assert_geq(fd, 0);
    doors_review(fixture->doors);
    while (fixture->lost_count == 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    cr_assert_eq(fixture->lost_count, 1);
    cr_assert_geq(clock_now_ms() - since_ms, DOORS_LOST_MS);
    close(fd);
    fixture->place_count = 0;
    fixture_free(fixture);
}

Test(doors, one_that_an_earlier_mingad_has_left_is_opened_again)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    fixture->place.replica.incarnation = 5; /* another one, which nobody has opened */
    doors_review(fixture->doors);
    while (!visit_enters(fixture, &visit) && clock_now_ms() < until_ms) {
        close(visit.fd);
    }
    cr_assert_eq(doors_counters(fixture->doors).door_count, 1);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, 1);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, who_says_nothing_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, the_folder_is_for_mingad_alone)
{
    struct fixture *fixture = fixture_new();
    struct stat status;

    cr_assert_eq(stat(fixture->folder, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    fixture_free(fixture);
}
