// SPDX-License-Identifier: GPL-3.0-or-later
/* A descriptor that was a member's, and is a stranger's by the time the member's last message is read. */
#include <errno.h>
#include <fcntl.h>

#include "tests/unit/mingad/transport_pair.h"

TestSuite(transport_reused, .timeout = 60);

enum { FDS_MAX = 1024 };

/* The transport's end of a connection? */
static bool is_callers(const struct end *end, int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof(peer);
    uint16_t port = 0;

    if (getsockname(fd, (struct sockaddr *)&name, &length) < 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_length) < 0) {
        return false;
    }
    if (name.ss_family == AF_INET) {
        port = ntohs(((struct sockaddr_in *)&name)->sin_port);
    } else if (name.ss_family == AF_INET6) {
        port = ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
    }
    return port == transport_port(end->transport);
}

static int find_callers(const struct end *end)
{
    for (int fd = 3; fd < FDS_MAX; fd++) {
        if (is_callers(end, fd)) {
            return fd;
        }
    }
    return -1;
}

/* The loop does not run meanwhile: it is late. */
static void await_callers(const struct end *end, int fd, bool is_there)
{
    for (int ms = 0; ms < WAIT_MS_MAX && is_callers(end, fd) != is_there; ms++) {
        usleep(1000);
    }
    cr_assert_eq(is_callers(end, fd), is_there, "not in time");
}

static void await_closed(int fd)
{
    for (int ms = 0; ms < WAIT_MS_MAX && fcntl(fd, F_GETFD) >= 0; ms++) {
        usleep(1000);
    }
    cr_assert(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
}

/* It is the next one that is given out. */
static void make_lowest(int fd)
{
    int next;

    do {
        next = fcntl(0, F_DUPFD_CLOEXEC, 0);
        cr_assert(next >= 0 && next <= fd);
    } while (next < fd);
    close(next);
}

/* A member's link, on which nothing was said yet. */
static void *dial_as_member(struct fixture *fixture, void *context, int *fd_out)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    struct end *end = &fixture->ends[1];
    struct curve_keypair curve;
    uint8_t server_key[32];
    char endpoint[ADDRESS_CHARS_MAX + 8];
    int one = 1;
    int linger_ms = WAIT_MS_MAX;

    cr_assert_eq(keys_curve_public(&end->peer.key, server_key), 0);
    cr_assert_eq(keys_curve(&fixture->ends[0].key, &curve), 0);
    memcpy(end->only_member, curve.public_bytes, 32);
    end->knows_one = true;
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server_key, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, curve.public_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, curve.secret_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_IMMEDIATE, &one, sizeof(one)); /* writable when it is up */
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    snprintf(endpoint, sizeof(endpoint), "tcp://%s", end->peer.addresses[0]);
    cr_assert_eq(zmq_connect(dealer, endpoint), 0);
    for (int ms = 0; ms < WAIT_MS_MAX; ms++) {
        zmq_pollitem_t item = {.socket = dealer, .events = ZMQ_POLLOUT};

        run_for_ms(fixture, 1);
        if (zmq_poll(&item, 1, 0) == 1) {
            break;
        }
    }
    *fd_out = find_callers(end);
    cr_assert_geq(*fd_out, 0);
    return dealer;
}

static struct sockaddr_in address_of(const struct end *end)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(transport_port(end->transport)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void expect_a_stranger(bool is_heard_before)
{
    struct fixture *fixture = set_up();
    struct end *end = &fixture->ends[1];
    struct sockaddr_in address = address_of(end);
    int stranger_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* before it counts */
    void *context = zmq_ctx_new();
    uint32_t count = is_heard_before ? 1 : 0;
    int fd;
    void *member = dial_as_member(fixture, context, &fd);

    if (is_heard_before) {
        zmq_send(member, "hello", 5, 0);
        wait_for(fixture, &end->received_count, 1);
        cr_assert_eq(door_stranger_count(end->transport), 0);
    }
    cr_assert_eq(zmq_send(member, "bye", 3, 0), 3);
    zmq_close(member);
    zmq_ctx_term(context);
    await_closed(fd);
    make_lowest(fd);
    cr_assert_eq(connect(stranger_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    await_callers(end, fd, true);
    watch_mark(&end->transport->door_watch); /* what it tells is seen first */
    (void)transport_settle(end->transport);
    wait_for(fixture, &end->received_count, count + 1);
    run_for_ms(fixture, 20);
    cr_assert_str_eq(end->message, "bye");
    cr_assert_eq(door_stranger_count(end->transport), 1, "a stranger is taken for the member");
    close(stranger_fd);
    tear_down(fixture);
}

Test(transport_reused, a_members_last_message_makes_no_member_of_who_has_its_descriptor)
{
    expect_a_stranger(true);
}

Test(transport_reused, nor_does_its_only_one)
{
    expect_a_stranger(false);
}

/* Who dials while the loop is late is known by its first message all the same. */
Test(transport_reused, a_newcomer_is_known_by_its_first_message)
{
    struct fixture *fixture = set_up();
    struct end *end = &fixture->ends[1];
    void *context = zmq_ctx_new();
    int fd;
    void *member = dial_as_member(fixture, context, &fd);

    cr_assert_eq(door_stranger_count(end->transport), 1);
    zmq_send(member, "hello", 5, 0);
    wait_for(fixture, &end->received_count, 1);
    run_for_ms(fixture, 5);
    cr_assert_eq(door_stranger_count(end->transport), 0);
    zmq_close(member);
    zmq_ctx_term(context);
    tear_down(fixture);
}
