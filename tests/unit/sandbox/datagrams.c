// SPDX-License-Identifier: GPL-3.0-or-later
/* Real sockets on this machine's loopback, ports chosen by the kernel; one thread drives all. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/sandbox/datagrams_world.h"

static struct sockaddr_in published; /* clients send to it */

static int bind_somewhere(int family, bool any, uint16_t *port_out)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK)};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *address =
        family == AF_INET ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6;
    socklen_t address_bytes = family == AF_INET ? sizeof(ipv4) : sizeof(ipv6);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (any) {
        ipv6.sin6_addr = in6addr_any;
    }
    if (fd < 0 || bind(fd, address, address_bytes) < 0) {
        cr_skip_test("no loopback of that family");
    }
    cr_assert_eq(getsockname(fd, address, &address_bytes), 0);
    *port_out = ntohs(family == AF_INET ? ipv4.sin_port : ipv6.sin6_port);
    return fd;
}

static void begin(struct world *world, int published_family, int service_family,
                  uint32_t connections_max)
{
    struct sandbox_spec spec = {.port_count = 1, .connections_max = connections_max};
    uint16_t port;

    world->published_fd = bind_somewhere(published_family, true, &port);
    published = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    world->service_fd = bind_somewhere(service_family, false, &spec.ports[0].container_port);
    spec.ports[0].protocol = SANDBOX_UDP;
    world_init(world, &spec);
}

static int call(const char *text)
{
    struct timeval patience = {.tv_sec = 1};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    /* Connected: only an answer from the very address that was asked is taken. */
    cr_assert_eq(connect(fd, (const struct sockaddr *)&published, sizeof(published)), 0);
    cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

/* The service sends every datagram back, with "re:" in front. Returns how many there were. */
static unsigned serve(const struct world *world)
{
    struct sockaddr_storage from;
    unsigned count = 0;

    for (;;) {
        char text[64] = "re:";
        socklen_t from_bytes = sizeof(from);
        ssize_t length_bytes = recvfrom(world->service_fd, text + 3, sizeof(text) - 3, MSG_DONTWAIT,
                                        (struct sockaddr *)&from, &from_bytes);

        if (length_bytes < 0) {
            return count;
        }
        count++;
        cr_assert_eq(sendto(world->service_fd, text, (size_t)length_bytes + 3, 0,
                            (struct sockaddr *)&from, from_bytes),
                     length_bytes + 3);
    }
}

static void must_hear(int fd, const char *expected)
{
    char text[64] = "";

    cr_assert_eq(recv(fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(expected));
    cr_assert_str_eq(text, expected);
}

static void check_clients(int published_family, int service_family)
{
    struct world world;

    begin(&world, published_family, service_family, 0);
    int first = call("first");
    int second = call("second");
    settle(&world, NOW_MS);
    cr_assert_eq(world.datagrams->flows.count, 2);
    cr_assert_eq(serve(&world), 2);
    settle(&world, NOW_MS);
    must_hear(first, "re:first");
    must_hear(second, "re:second");
    cr_assert_eq(send(first, "", 0, 0), 0); /* an empty one is one too */
    settle(&world, NOW_MS);
    cr_assert_eq(serve(&world), 1);
    settle(&world, NOW_MS);
    must_hear(first, "re:");
    cr_assert_eq(world.datagrams->flows.count, 2);
    close(first);
    close(second);
    world_done(&world);
}

/* Whoever gave the socket away may have kept one of its own. */
Test(datagrams, a_port_that_is_shut_down_by_another_is_left_alone)
{
    struct world world;
    struct epoll_event events[16];

    begin(&world, AF_INET, AF_INET, 4);
    (void)shutdown(world.published_fd, SHUT_RDWR); /* which says ENOTCONN, and does it */
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 1000), 1);
    datagrams_event(world.datagrams, events[0].data.u64, 1);
    cr_assert_eq(epoll_wait(world.epoll_fd, events, 16, 0), 0, "it is not ready for ever");
    world_done(&world);
}

Test(datagrams, each_client_gets_its_own_answers)
{
    check_clients(AF_INET, AF_INET);
}

Test(datagrams, a_socket_of_both_families_answers_ipv4_clients)
{
    check_clients(AF_INET6, AF_INET);
}

Test(datagrams, a_service_on_the_ipv6_loopback_only_is_found)
{
    check_clients(AF_INET, AF_INET6);
}

Test(datagrams, clients_beyond_the_limit_are_not_heard_and_are_counted)
{
    struct world world;

    begin(&world, AF_INET, AF_INET, 1);
    int first = call("first");
    settle(&world, NOW_MS);
    int second = call("second");
    settle(&world, NOW_MS);
    cr_assert_eq(serve(&world), 1);
    settle(&world, NOW_MS);
    must_hear(first, "re:first");
    cr_assert_eq(world.datagrams->refused_count, 1);
    cr_assert_eq(datagrams_tick(world.datagrams, NOW_MS + FLOW_ANSWERED_MS_MAX - 1),
                 NOW_MS + FLOW_ANSWERED_MS_MAX);
    cr_assert_eq(datagrams_tick(world.datagrams, NOW_MS + FLOW_ANSWERED_MS_MAX), UINT64_MAX);
    cr_assert_eq(send(second, "again", 5, 0), 5);
    settle(&world, NOW_MS + FLOW_ANSWERED_MS_MAX);
    cr_assert_eq(serve(&world), 1);
    settle(&world, NOW_MS + FLOW_ANSWERED_MS_MAX);
    must_hear(second, "re:again");
    close(first);
    close(second);
    world_done(&world);
}

Test(datagrams, nobody_listening_is_nobody_answering_until_somebody_does)
{
    struct world world;
    struct sockaddr_in service;
    socklen_t service_bytes = sizeof(service);
    char byte;

    begin(&world, AF_INET, AF_INET, 0);
    cr_assert_eq(getsockname(world.service_fd, (struct sockaddr *)&service, &service_bytes), 0);
    close(world.service_fd);
    int client = call("lost");
    settle(&world, NOW_MS);
    cr_assert_eq(send(client, "lost", 4, 0), 4);
    settle(&world, NOW_MS);
    cr_assert_lt(recv(client, &byte, 1, MSG_DONTWAIT), 0);
    world.service_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(world.service_fd, (struct sockaddr *)&service, sizeof(service)), 0);
    for (unsigned tries = 0; tries < 3 && recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
         tries++) {
        cr_assert_eq(send(client, "found", 5, 0), 5);
        settle(&world, NOW_MS);
        serve(&world);
        settle(&world, NOW_MS);
    }
    must_hear(client, "re:found");
    close(client);
    world_done(&world);
}

Test(datagrams, a_spec_without_udp_touches_nothing)
{
    struct sandbox_spec spec = {.port_count = 1, .ports = {{80, 31000, SANDBOX_TCP}}};
    struct datagrams *datagrams = calloc(1, sizeof(*datagrams));
    struct line line;
    int none = -1;

    line_init(&line);
    datagrams->line = &line;
    cr_assert_eq(datagrams_init(datagrams, -1, 0, &spec, &none), 0);
    cr_assert_eq(datagrams_tick(datagrams, NOW_MS), UINT64_MAX);
    datagrams_event(datagrams, 0, NOW_MS);
    datagrams_done(datagrams);
    free(datagrams);
}

Test(datagrams, what_the_line_has_no_room_for_is_lost_and_the_rest_comes_whole)
{
    enum {
        SENT = 40,
        LENGTH = 1000,
        PASS = LINE_BURST_BYTES_MIN / (LENGTH + LINE_DATAGRAM_BYTES) + 1
    };
    static const char text[LENGTH + 1] = "x";
    struct world world;
    unsigned count = 0;

    begin(&world, AF_INET, AF_INET, 0);
    atomic_store(&world.line.own[LINE_DOWN].bytes_per_s, 1);
    int client = call("begin");
    for (int i = 0; i < SENT; i++) {
        cr_assert_eq(send(client, text, LENGTH, 0), LENGTH);
        settle(&world, NOW_MS);
    }
    while (true) {
        char block[2 * LENGTH];
        ssize_t length_bytes = recv(world.service_fd, block, sizeof(block), MSG_DONTWAIT);

        if (length_bytes < 0) {
            break;
        }
        cr_assert(length_bytes == LENGTH || length_bytes == 5);
        count++;
    }
    cr_assert_eq(count, PASS + 1);
    cr_assert_eq(atomic_load(&world.line.own[LINE_DOWN].passed_bytes),
                 PASS * (LENGTH + LINE_DATAGRAM_BYTES) + 5 + LINE_DATAGRAM_BYTES);
    cr_assert_eq(atomic_load(&world.line.own[LINE_DOWN].held_count), SENT - PASS);
    close(client);
    world_done(&world);
}

Test(datagrams, answers_count_against_what_is_sent)
{
    struct world world;
    char text[64];

    begin(&world, AF_INET, AF_INET, 0);
    atomic_store(&world.line.own[LINE_UP].bytes_per_s, 1);
    int client = call("question");
    settle(&world, NOW_MS);
    cr_assert_eq(serve(&world), 1);
    settle(&world, NOW_MS);
    cr_assert_eq(recv(client, text, sizeof(text), 0), 11);
    cr_assert_eq(atomic_load(&world.line.own[LINE_UP].passed_bytes), 11 + LINE_DATAGRAM_BYTES);
    line_passed(&world.line.gates[LINE_UP], LINE_BURST_BYTES_MIN);
    cr_assert_eq(send(client, "again", 5, 0), 5);
    settle(&world, NOW_MS);
    cr_assert_eq(serve(&world), 1);
    settle(&world, NOW_MS);
    cr_assert_lt(recv(client, text, sizeof(text), MSG_DONTWAIT), 0);
    close(client);
    world_done(&world);
}
