// SPDX-License-Identifier: GPL-3.0-or-later
/* The local side of `minga connect` at a UDP port: real sockets of loopback, flows played by hand. */
#include "agent/cli/connect/clients.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attributes.h"

enum { NOW_MS = 1000000, BEGUN_MAX = 4 * CLIENTS_MAX };

static struct clients *clients;
static struct sockaddr_in local;
static int begun[BEGUN_MAX]; /* the flows' other ends */
static uint32_t begun_count;
static bool is_refused;

static int begin(void *context)
{
    int ends[2];

    cr_assert_null(context);
    if (is_refused) {
        return -EAGAIN;
    }
    cr_assert_lt(begun_count, BEGUN_MAX);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    begun[begun_count++] = ends[1];
    return ends[0];
}

static void setup(void)
{
    socklen_t local_bytes = sizeof(local);

    clients = calloc(1, sizeof(*clients));
    clients->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    clients->begin = begin;
    local = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(clients->fd, (struct sockaddr *)&local, local_bytes), 0);
    cr_assert_eq(getsockname(clients->fd, (struct sockaddr *)&local, &local_bytes), 0);
    cr_assert_eq(clients_init(clients, 7), 0);
}

static void teardown(void)
{
    clients_done(clients);
    for (uint32_t i = 0; i < begun_count; i++) {
        close(begun[i]);
    }
    close(clients->fd);
    free(clients);
}

TestSuite(clients, .init = setup, .fini = teardown, .timeout = 60);

static int client(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&local, sizeof(local)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* All that has come is done. */
static void settle(uint64_t now_ms)
{
    struct pollfd pollers[CLIENTS_POLLERS_MAX];
    uint32_t count = clients_pollers(clients, pollers);

    while (poll(pollers, count, 20) > 0) {
        clients_turn(clients, pollers, now_ms);
        count = clients_pollers(clients, pollers);
    }
}

static void must_hear(int fd, const char *expected)
{
    char text[64] = "";

    cr_assert_eq(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), (ssize_t)strlen(expected));
    cr_assert_str_eq(text, expected);
}

static void must_come(int flow_fd, const char *expected)
{
    char packet[64] = "x";

    cr_assert_eq(recv(flow_fd, packet, sizeof(packet) - 1, MSG_DONTWAIT),
                 (ssize_t)strlen(expected) + UDP_PACKET_MARK_BYTES);
    cr_assert_eq(packet[0], 0);
    cr_assert_str_eq(packet + UDP_PACKET_MARK_BYTES, expected);
}

static bool is_over(int flow_fd)
{
    char packet[64];
    ssize_t got;

    do {
        got = recv(flow_fd, packet, sizeof(packet), MSG_DONTWAIT);
    } while (got > 0);
    return got == 0;
}

Test(clients, each_has_a_flow_of_its_own)
{
    int first = client(), second = client();

    say(first, "first");
    settle(NOW_MS);
    say(second, "second");
    say(first, "");
    settle(NOW_MS);
    cr_assert_eq(begun_count, 2);
    must_come(begun[0], "first");
    must_come(begun[0], "");
    must_come(begun[1], "second");
    cr_assert_eq(send(begun[1], "\0two", 4, 0), 4);
    cr_assert_eq(send(begun[0], "\0one", 4, 0), 4);
    cr_assert_eq(send(begun[0], "\0", 1, 0), 1);
    settle(NOW_MS);
    must_hear(first, "one");
    must_hear(first, "");
    must_hear(second, "two");
    close(first);
    close(second);
}

Test(clients, a_flow_that_has_ended_is_begun_anew_by_the_next_datagram)
{
    int fd = client();

    say(fd, "one");
    settle(NOW_MS);
    close(begun[0]);
    settle(NOW_MS + CLIENT_FAILED_MS); /* it is noticed */
    cr_assert_eq(clients->flows.count, 0);
    say(fd, "two");
    settle(NOW_MS + CLIENT_FAILED_MS);
    cr_assert_eq(begun_count, 2);
    must_come(begun[1], "two");
    cr_assert_eq(shutdown(begun[1], SHUT_RDWR), 0);
    say(fd, "three"); /* it is not noticed before */
    struct pollfd pollers[CLIENTS_POLLERS_MAX];
    uint32_t count = clients_pollers(clients, pollers);

    cr_assert_gt(poll(pollers, count, 1000), 0);
    for (uint32_t i = 1; i < count; i++) {
        pollers[i].revents = 0;
    }
    clients_turn(clients, pollers, NOW_MS + 2 * CLIENT_FAILED_MS);
    settle(NOW_MS + 2 * CLIENT_FAILED_MS);
    cr_assert_eq(begun_count, 3);
    must_come(begun[2], "three");
    begun[0] = dup(begun[2]); /* something to close */
    close(fd);
}

Test(clients, when_there_are_many_the_one_silent_for_longest_goes)
{
    int fds[CLIENTS_MAX + 1];

    for (uint32_t i = 0; i <= CLIENTS_MAX; i++) {
        fds[i] = client();
    }
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        say(fds[i], "hello");
        settle(NOW_MS + i);
    }
    cr_assert_eq(send(begun[0], "\0answer", 7, 0), 7);
    settle(NOW_MS + CLIENTS_MAX);
    say(fds[CLIENTS_MAX], "too soon");
    settle(NOW_MS + FLOW_YIELDS_MS);
    cr_assert_eq(begun_count, CLIENTS_MAX);
    cr_assert_eq(clients->lost_count, 1);
    say(fds[CLIENTS_MAX], "in time");
    settle(NOW_MS + 1 + FLOW_YIELDS_MS);
    cr_assert_eq(begun_count, CLIENTS_MAX + 1);
    must_come(begun[CLIENTS_MAX], "in time");
    cr_assert(is_over(begun[1]), "the first one was used later");
    cr_assert(!is_over(begun[0]));
    cr_assert_eq(clients->flows.count, CLIENTS_MAX);
    /* One that was answered goes as well. */
    for (uint32_t i = 2; i < CLIENTS_MAX; i++) {
        say(fds[i], "more");
    }
    settle(NOW_MS + 2 * FLOW_YIELDS_MS);
    say(fds[1], "back");
    settle(NOW_MS + 2 * FLOW_YIELDS_MS);
    cr_assert(is_over(begun[0]));
    must_come(begun[CLIENTS_MAX + 1], "back");
    for (uint32_t i = 0; i <= CLIENTS_MAX; i++) {
        close(fds[i]);
    }
}

Test(clients, silent_flows_end)
{
    int mute = client(), answered = client();

    say(mute, "hello");
    say(answered, "hello");
    settle(NOW_MS);
    cr_assert_eq(begun_count, 2);
    cr_assert_eq(send(begun[1], "\0yes", 4, 0), 4);
    settle(NOW_MS);
    cr_assert_eq(clients_tick(clients, NOW_MS), NOW_MS + FLOW_UNANSWERED_MS_MAX);
    (void)clients_tick(clients, NOW_MS + FLOW_UNANSWERED_MS_MAX);
    cr_assert(is_over(begun[0]));
    cr_assert(!is_over(begun[1]));
    cr_assert_eq(clients_tick(clients, NOW_MS + FLOW_ANSWERED_MS_MAX), UINT64_MAX);
    cr_assert(is_over(begun[1]));
    close(mute);
    close(answered);
}

Test(clients, what_finds_no_room_is_lost_and_others_do_not_wait)
{
    enum { SENT = 2000 };
    static const char block[1000];
    int lazy = client(), other = client();

    for (int i = 0; i < SENT; i++) {
        (void)send(lazy, block, sizeof(block), 0);
        if (i % 32 == 0) {
            settle(NOW_MS);
        }
    }
    say(other, "beside");
    settle(NOW_MS);
    cr_assert_gt(clients->lost_count, 0);
    cr_assert_eq(begun_count, 2, "the flow that is full is no ended one");
    must_come(begun[1], "beside");
    close(lazy);
    close(other);
}

Test(clients, what_is_too_long_is_lost_and_the_longest_passes)
{
    static char large[UDP_MEMBERS_BYTES_MAX + 1];
    static char packet[sizeof(large) + 2];
    int fd = client();

    memset(large, 'l', sizeof(large));
    cr_assert_eq(send(fd, large, sizeof(large), 0), (ssize_t)sizeof(large));
    cr_assert_eq(send(fd, large, UDP_MEMBERS_BYTES_MAX, 0), UDP_MEMBERS_BYTES_MAX);
    settle(NOW_MS);
    cr_assert_eq(clients->lost_count, 1);
    cr_assert_eq(recv(begun[0], packet, sizeof(packet), MSG_DONTWAIT), UDP_PACKET_BYTES_MAX);
    cr_assert_eq(memcmp(packet + 1, large, UDP_MEMBERS_BYTES_MAX), 0);
    cr_assert(!is_over(begun[0]));
    close(fd);
}

Test(clients, without_a_flow_a_datagram_is_lost_and_the_next_one_tries_again)
{
    int fd = client();

    is_refused = true;
    say(fd, "lost");
    settle(NOW_MS);
    cr_assert_eq(clients->lost_count, 1);
    cr_assert_eq(clients->flows.count, 0);
    is_refused = false;
    say(fd, "found");
    settle(NOW_MS);
    must_come(begun[0], "found");
    close(fd);
}

/* Where flows cannot live, a client that goes on sending begins one now and then only. */
Test(clients, a_flow_that_ends_at_once_is_not_begun_anew_at_once)
{
    static const uint64_t pauses_ms[] = {1000, 2000, 4000, 8000, 10000, 10000};
    uint64_t now_ms = NOW_MS;
    int fd = client(), other = client();

    for (uint32_t i = 0; i < ARRAY_COUNT(pauses_ms); i++) {
        say(fd, "is anybody there?");
        settle(now_ms);
        cr_assert_eq(begun_count, i + 1, "after pause %u", i);
        cr_assert_eq(shutdown(begun[i], SHUT_RDWR), 0);
        settle(now_ms + CLIENT_FAILED_MS - 1);
        now_ms += CLIENT_FAILED_MS - 1;
        say(fd, "lost");
        settle(now_ms + pauses_ms[i] - 1);
        cr_assert_eq(begun_count, i + 1, "pause %u", i);
        now_ms += pauses_ms[i];
        (void)clients_tick(clients, now_ms);
    }
    cr_assert_eq(clients->lost_count, ARRAY_COUNT(pauses_ms));
    say(fd, "once more");
    say(other, "nobody else waits");
    settle(now_ms);
    cr_assert_eq(begun_count, ARRAY_COUNT(pauses_ms) + 2);
    must_come(begun[begun_count - 2], "once more");
    must_come(begun[begun_count - 1], "nobody else waits");
    cr_assert_eq(shutdown(begun[begun_count - 2], SHUT_RDWR), 0);
    settle(now_ms + CLIENT_FAILED_MS);
    say(fd, "it has lived");
    settle(now_ms + CLIENT_FAILED_MS);
    must_come(begun[begun_count - 1], "it has lived");
    close(fd);
    close(other);
}

/* As of a resolver, which asks each question from another port. */
Test(clients, where_there_are_many_the_silent_do_not_stay_long)
{
    int fds[CLIENTS_AT_EASE + 2];

    for (uint32_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = client();
        say(fds[i], "question");
        settle(NOW_MS + i);
        cr_assert_eq(send(begun[i], "\0answer", 7, 0), 7);
        settle(NOW_MS + i);
    }
    cr_assert_eq(clients_tick(clients, NOW_MS + CLIENTS_SILENT_MS_MAX - 1),
                 NOW_MS + CLIENTS_SILENT_MS_MAX);
    cr_assert_not(is_over(begun[0]));
    cr_assert_eq(clients_tick(clients, NOW_MS + 1 + CLIENTS_SILENT_MS_MAX),
                 NOW_MS + 2 + FLOW_ANSWERED_MS_MAX, "the others are at ease");
    cr_assert(is_over(begun[0]));
    cr_assert(is_over(begun[1]));
    cr_assert_eq(clients->flows.count, CLIENTS_AT_EASE);
    for (uint32_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
}
