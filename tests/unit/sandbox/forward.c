// SPDX-License-Identifier: GPL-3.0-or-later
/* Real sockets on this machine's loopback, ports chosen by the kernel; one thread drives all. */
#include "sandbox/init/forward.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct world {
    int epoll_fd;
    int published_fd; /* what forward accepts on */
    int service_fd;   /* what the service listens on */
    struct sockaddr_in published;
    struct forward *forward;
    struct line line;
};

static int listen_somewhere(int family, uint16_t *port_out)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *address =
        family == AF_INET ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6;
    socklen_t address_bytes = family == AF_INET ? sizeof(ipv4) : sizeof(ipv6);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, address, address_bytes) < 0 || listen(fd, 1024) < 0) {
        cr_skip_test("no loopback of that family");
    }
    cr_assert_eq(getsockname(fd, address, &address_bytes), 0);
    *port_out = ntohs(family == AF_INET ? ipv4.sin_port : ipv6.sin6_port);
    return fd;
}

static void world_begin(struct world *world, int family)
{
    struct sandbox_spec spec = {.port_count = 1};

    world->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    world->service_fd = listen_somewhere(family, &spec.ports[0].container_port);
    world->forward = calloc(1, sizeof(*world->forward));
    line_init(&world->line);
    world->forward->line = &world->line;
    cr_assert_eq(forward_init(world->forward, world->epoll_fd, (uint64_t)7 << 56, &spec,
                              &world->published_fd),
                 0);
}

static void world_init(struct world *world, int family)
{
    uint16_t port;

    world->published_fd = listen_somewhere(AF_INET, &port);
    world->published = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    world_begin(world, family);
}

/* A port for members only: mingad comes through a unix socket. Returns its end. */
static int world_init_for_members(struct world *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t address_bytes = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    world->published_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(world->published_fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    cr_assert_eq(listen(world->published_fd, 16), 0);
    cr_assert_eq(getsockname(world->published_fd, (struct sockaddr *)&address, &address_bytes), 0);
    world_begin(world, AF_INET);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, address_bytes), 0);
    return fd;
}

static void world_done(struct world *world)
{
    forward_done(world->forward);
    for (uint32_t i = 0; i < world->forward->fresh_count; i++) {
        cr_assert_eq(world->forward->connections[i].fds[0], -1);
    }
    free(world->forward);
    close(world->epoll_fd);
    close(world->published_fd);
    close(world->service_fd);
}

/* Lets the forwarder work until nothing happens for a moment. */
static void settle(struct world *world)
{
    struct epoll_event events[16];
    int count;

    do {
        bool more = forward_turn(world->forward);

        count = epoll_wait(world->epoll_fd, events, 16, more ? 0 : 20);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(events[i].data.u64 >> 56, 7);
            forward_event(world->forward, events[i].data.u64, events[i].events);
        }
        count += more ? 1 : 0;
    } while (count > 0);
}

static int call(struct world *world)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&world->published, sizeof(world->published)), 0);
    return fd;
}

/* The other end of what was called. */
static int accepted(struct world *world)
{
    settle(world);
    return accept(world->service_fd, NULL, NULL);
}

/* What the service still says after it has heard the client's end, and that all is over then. */
static void must_answer_and_end(struct world *world, int server, int client)
{
    char text[16] = "";

    cr_assert_eq(recv(server, text, sizeof(text), 0), 0);
    cr_assert_eq(send(server, "answer", 6, 0), 6);
    close(server);
    settle(world);
    cr_assert_eq(recv(client, text, sizeof(text), 0), 6);
    cr_assert_eq(recv(client, text, sizeof(text), 0), 0);
    cr_assert_eq(world->forward->ports[0].connection_count, 0);
    close(client);
    world_done(world);
}

static void check_congestion(int fd)
{
    char name[16] = "";
    socklen_t name_bytes = sizeof(name);

    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_bytes), 0);
    cr_assert_str_eq(name, "reno");
}

/* Whoever gave the socket away may have kept one of its own. */
Test(forward, a_port_that_is_shut_down_by_another_is_left_alone)
{
    struct world world;
    struct epoll_event events[16];

    world_init(&world, AF_INET);
    cr_assert_eq(shutdown(world.published_fd, SHUT_RDWR), 0);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 1000), 1);
    forward_event(world.forward, events[0].data.u64, events[0].events);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 0), 0, "it is not ready for ever");
    world_done(&world);
}

/* A unix socket that was shut down says EAGAIN, as if nobody were there. */
Test(forward, a_members_port_that_is_shut_down_is_left_alone_for_good)
{
    struct world world;
    struct epoll_event events[16];
    char byte;

    int mingad = world_init_for_members(&world);
    settle(&world);
    cr_assert_eq(world.forward->connection_count, 1);
    cr_assert_eq(shutdown(world.published_fd, SHUT_RDWR), 0);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 1000), 1);
    forward_event(world.forward, events[0].data.u64, events[0].events);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 0), 0, "it is not ready for ever");
    int served = accept(world.service_fd, NULL, NULL);
    cr_assert_geq(served, 0);
    close(served);
    cr_assert_eq(shutdown(mingad, SHUT_WR), 0);
    settle(&world);
    cr_assert_eq(recv(mingad, &byte, 1, MSG_DONTWAIT), 0);
    cr_assert_eq(world.forward->connection_count, 0);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 0), 0, "nor when a connection has ended");
    close(mingad);
    world_done(&world);
}

/* None is free below `limit`. */
static struct rlimit take_all_descriptors(int limit)
{
    struct rlimit before;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int fd = 0; fd < limit; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            cr_assert_eq(dup2(STDERR_FILENO, fd), fd);
        }
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)limit, before.rlim_max}), 0);
    return before;
}

Test(forward, without_descriptors_it_neither_turns_for_ever_nor_forgets_who_waits)
{
    const struct timespec again = {.tv_nsec = (FORWARD_AGAIN_MS + 10) * 1000000L};
    struct world world;
    struct epoll_event events[16];

    world_init(&world, AF_INET);
    int client = call(&world);
    struct rlimit before = take_all_descriptors(client + 1);

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 1000), 1);
        forward_event(world.forward, events[0].data.u64, events[0].events);
        cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 0), 0, "nobody's end would be told");
        cr_assert_leq(forward_release(world.forward), FORWARD_AGAIN_MS);
        nanosleep(&again, NULL);
        cr_assert_eq(forward_release(world.forward), UINT64_MAX);
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    settle(&world);
    cr_assert_eq(world.forward->connection_count, 1);
    close(client);
    world_done(&world);
}

Test(forward, what_stays_on_this_host_is_not_paced)
{
    struct world world;

    world_init(&world, AF_INET);
    int client = call(&world);
    settle(&world);
    check_congestion(world.forward->connections[0].fds[FORWARD_OUTSIDE]);
    check_congestion(world.forward->connections[0].fds[FORWARD_INSIDE]);
    close(client);
    world_done(&world);
}

static void check_both_ways(int family)
{
    struct world world;
    char text[16] = "";

    world_init(&world, family);
    int client = call(&world);
    int server = accepted(&world);
    cr_assert_eq(send(client, "question", 8, 0), 8);
    settle(&world);
    cr_assert_eq(recv(server, text, sizeof(text), 0), 8);
    cr_assert_eq(memcmp(text, "question", 8), 0);
    shutdown(client, SHUT_WR); /* half-closed: the answer still comes */
    settle(&world);
    must_answer_and_end(&world, server, client);
}

Test(forward, bytes_and_ends_pass_both_ways)
{
    check_both_ways(AF_INET);
}

Test(forward, a_service_on_ipv6_alone_is_found)
{
    check_both_ways(AF_INET6);
}

Test(forward, a_service_that_refuses_closes_the_connection)
{
    struct world world;
    char byte;

    world_init(&world, AF_INET);
    close(world.service_fd);
    world.service_fd = -1;
    int client = call(&world);
    settle(&world);
    cr_assert_leq(recv(client, &byte, 1, 0), 0);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    close(client);
    world_done(&world);
}

Test(forward, a_reader_that_stands_still_stops_the_writer_and_nothing_is_lost)
{
    enum { TOTAL_BYTES = 192 << 20 }; /* more than four sockets' buffers at the kernel's largest */
    struct world world;
    static uint8_t block[65536];
    size_t sent_bytes = 0;
    size_t received_bytes = 0;
    size_t stalled_bytes;

    world_init(&world, AF_INET);
    int client = call(&world);
    int server = accepted(&world);
    for (;;) { /* nobody reads */
        ssize_t count = send(client, block, sizeof(block), MSG_DONTWAIT);

        if (count < 0) {
            stalled_bytes = sent_bytes;
            settle(&world);
            count = send(client, block, sizeof(block), MSG_DONTWAIT);
            if (count < 0 && sent_bytes == stalled_bytes) {
                break;
            }
        }
        sent_bytes += (size_t)count;
        cr_assert_lt(sent_bytes, TOTAL_BYTES, "no backpressure");
    }
    shutdown(client, SHUT_WR);
    for (;;) {
        ssize_t count = recv(server, block, sizeof(block), MSG_DONTWAIT);

        if (count == 0) {
            break;
        }
        if (count < 0) {
            settle(&world);
            continue;
        }
        received_bytes += (size_t)count;
    }
    cr_assert_eq(received_bytes, sent_bytes);
    close(server);
    close(client);
    world_done(&world);
}

Test(forward, connections_beyond_the_limit_are_reset_and_counted_and_there_is_room_again)
{
    enum { LIMIT = CONNECTIONS_PER_PORT_DEFAULT };
    struct world world;
    static int clients[LIMIT + 1];
    char byte;

    world_init(&world, AF_INET);
    for (unsigned i = 0; i < LIMIT + 1; i++) {
        clients[i] = call(&world);
        if (i % 64 == 0) {
            settle(&world);
        }
    }
    settle(&world);
    cr_assert_eq(world.forward->ports[0].connection_count, LIMIT);
    cr_assert_eq(world.forward->refused_count, 1);
    cr_assert_eq(recv(clients[LIMIT], &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    int server = accept(world.service_fd, NULL, NULL);
    close(clients[0]);
    close(server);
    settle(&world);
    cr_assert_eq(world.forward->ports[0].connection_count, LIMIT - 1);
    clients[0] = call(&world);
    settle(&world);
    cr_assert_eq(world.forward->ports[0].connection_count, LIMIT);
    cr_assert_eq(world.forward->connection_count, LIMIT);
    cr_assert_eq(world.forward->refused_count, 1);
    for (unsigned i = 0; i < LIMIT + 1; i++) {
        close(clients[i]);
    }
    world_done(&world);
}

Test(forward, a_reset_is_passed_on)
{
    const struct linger linger = {1, 0};
    struct world world;
    char byte;

    world_init(&world, AF_INET);
    int client = call(&world);
    int server = accepted(&world);
    cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(client);
    settle(&world);
    cr_assert_eq(recv(server, &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    close(server);
    world_done(&world);
}

/* mingad closes what was cut outside: there is no other way to say so with a unix socket. */
Test(forward, one_of_a_member_s_that_is_cut_is_reset)
{
    struct world world;
    char text[8];
    int client = world_init_for_members(&world);

    int server = accepted(&world);
    cr_assert_eq(send(client, "half", 4, 0), 4);
    settle(&world);
    cr_assert_eq(recv(server, text, sizeof(text), 0), 4);
    close(client);
    settle(&world);
    cr_assert_eq(recv(server, text, sizeof(text), 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    close(server);
    world_done(&world);
}

Test(forward, one_of_a_member_s_ends_as_any)
{
    struct world world;
    char text[8];
    int client = world_init_for_members(&world);

    int server = accepted(&world);
    cr_assert_eq(send(client, "all", 3, 0), 3);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    settle(&world);
    cr_assert_eq(recv(server, text, sizeof(text), 0), 3);
    must_answer_and_end(&world, server, client);
}

/* The service first, then the member: nothing was cut. */
Test(forward, a_member_s_close_after_the_service_s_end_is_an_end)
{
    struct world world;
    char text[8];
    int client = world_init_for_members(&world);

    int server = accepted(&world);
    cr_assert_eq(shutdown(server, SHUT_WR), 0);
    settle(&world);
    cr_assert_eq(recv(client, text, sizeof(text), 0), 0);
    cr_assert_eq(send(client, "thanks", 6, 0), 6);
    close(client);
    settle(&world);
    cr_assert_eq(recv(server, text, sizeof(text), 0), 6);
    cr_assert_eq(recv(server, text, sizeof(text), 0), 0);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    close(server);
    world_done(&world);
}

/* --- the line --- */

enum { TRICKLE = 1, FIRST_BYTES = LINE_BURST_BYTES_MIN, BLOCK_BYTES = 1 << 17 };

static void limit(struct world *world, enum line_direction direction, uint64_t bytes_per_s)
{
    atomic_store(&world->line.own[direction].bytes_per_s, bytes_per_s);
}

static size_t drain(int fd)
{
    static uint8_t block[65536];
    size_t total_bytes = 0;
    ssize_t count;

    while ((count = recv(fd, block, sizeof(block), MSG_DONTWAIT)) > 0) {
        total_bytes += (size_t)count;
    }
    return total_bytes;
}

static size_t fill(int fd)
{
    static const uint8_t block[BLOCK_BYTES];
    ssize_t count = send(fd, block, sizeof(block), MSG_DONTWAIT);

    return count > 0 ? (size_t)count : 0;
}

static void check_one_way_is_limited(enum line_direction direction)
{
    struct world world;

    world_init(&world, AF_INET);
    limit(&world, direction, TRICKLE);
    int client = call(&world);
    int server = accepted(&world);
    int from = direction == LINE_DOWN ? client : server;
    int to = direction == LINE_DOWN ? server : client;

    size_t sent_bytes = fill(from);
    cr_assert_gt(sent_bytes, FIRST_BYTES);
    settle(&world);
    size_t passed_bytes = drain(to);
    cr_assert_geq(passed_bytes, FIRST_BYTES);
    cr_assert_lt(passed_bytes, FIRST_BYTES + LINE_PIECE_BYTES_MIN);
    cr_assert_eq(forward_release(world.forward), LINE_LOOK_MS);
    cr_assert_eq(atomic_load(&world.line.own[direction].passed_bytes), passed_bytes);
    cr_assert_gt(atomic_load(&world.line.own[direction].held_count), 0);

    size_t back_bytes = fill(to); /* the other way there is none */
    settle(&world);
    cr_assert_eq(drain(from), back_bytes);

    limit(&world, direction, 0);
    cr_assert_eq(forward_release(world.forward), UINT64_MAX);
    settle(&world);
    cr_assert_eq(passed_bytes + drain(to), sent_bytes, "nothing is lost");
    close(client);
    close(server);
    settle(&world);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    world_done(&world);
}

Test(forward, no_more_is_received_than_the_line_allows)
{
    check_one_way_is_limited(LINE_DOWN);
}

Test(forward, no_more_is_sent_than_the_line_allows)
{
    check_one_way_is_limited(LINE_UP);
}

Test(forward, connections_that_wait_for_the_line_may_end)
{
    enum { COUNT = 6 };
    struct world world;
    int clients[COUNT];
    int servers[COUNT];

    (void)signal(SIGPIPE, SIG_IGN); /* minga-init has all signals blocked */
    world_init(&world, AF_INET);
    limit(&world, LINE_DOWN, TRICKLE);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = call(&world);
        servers[i] = accepted(&world);
        (void)fill(clients[i]);
        settle(&world);
    }
    static const int order[COUNT] = {2, 0, 5, 3, 1, 4};
    for (int i = 0; i < COUNT; i++) { /* the service hangs up with data unread: reset */
        close(servers[order[i]]);
        close(clients[order[i]]);
        settle(&world);
        (void)forward_release(world.forward);
    }
    limit(&world, LINE_DOWN, 0);
    (void)forward_release(world.forward);
    settle(&world);
    cr_assert_eq(world.forward->ports[0].connection_count, 0);
    cr_assert_eq(forward_release(world.forward), UINT64_MAX);
    world_done(&world);
}

Test(forward, connections_have_equal_parts_of_the_line_and_together_all_of_it)
{
    enum { COUNT = 3, RATE = 4 << 20, MS = 400 };
    struct world world;
    int clients[COUNT];
    int servers[COUNT];
    size_t passed_bytes[COUNT] = {0};
    size_t total_bytes = 0;

    world_init(&world, AF_INET);
    limit(&world, LINE_DOWN, RATE);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = call(&world);
        servers[i] = accepted(&world);
    }
    uint64_t began_ms = line_now_ms();
    while (line_now_ms() - began_ms < MS) {
        struct epoll_event events[16];
        int count = epoll_wait(world.epoll_fd, events, 16, 1);

        for (int i = 0; i < count; i++) {
            forward_event(world.forward, events[i].data.u64, events[i].events);
        }
        (void)forward_turn(world.forward);
        (void)forward_release(world.forward);
        for (int i = 0; i < COUNT; i++) {
            (void)fill(clients[i]);
            passed_bytes[i] += drain(servers[i]);
        }
    }
    uint64_t allowed_bytes = RATE / 8 + RATE * (line_now_ms() - began_ms) / 1000;
    for (int i = 0; i < COUNT; i++) {
        total_bytes += passed_bytes[i];
    }
    cr_assert_leq(total_bytes, allowed_bytes + RATE / 64);
    cr_assert_gt(total_bytes, allowed_bytes * 7 / 10);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_gt(passed_bytes[i], total_bytes / COUNT * 7 / 10);
        close(clients[i]);
        close(servers[i]);
    }
    world_done(&world);
}
