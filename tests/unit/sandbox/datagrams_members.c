// SPDX-License-Identifier: GPL-3.0-or-later
/* UDP ports for members only, as minga-init has them: mingad's end is played by hand. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sandbox/init/udp.h"
#include "tests/unit/sandbox/datagrams_world.h"

static struct sockaddr_un published; /* mingad connects to it */
static socklen_t published_bytes;

static int listen_for_mingad(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    published = (struct sockaddr_un){.sun_family = AF_UNIX};
    published_bytes = sizeof(published);
    cr_assert_eq(bind(fd, (struct sockaddr *)&published, sizeof(sa_family_t)), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&published, &published_bytes), 0);
    return fd;
}

static void begin(struct world *world, uint32_t connections_max)
{
    struct sandbox_spec spec = {.port_count = 1, .connections_max = connections_max};
    struct sockaddr_in service = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t service_bytes = sizeof(service);

    world->published_fd = listen_for_mingad();
    world->service_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(world->service_fd, (struct sockaddr *)&service, service_bytes), 0);
    cr_assert_eq(getsockname(world->service_fd, (struct sockaddr *)&service, &service_bytes), 0);
    spec.ports[0] = (struct sandbox_port){ntohs(service.sin_port), 31000, SANDBOX_MEMBERS_UDP};
    world_init(world, &spec);
}

static int call(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (const struct sockaddr *)&published, published_bytes), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    uint8_t packet[64] = {0};

    memcpy(packet + UDP_PACKET_MARK_BYTES, text, strlen(text));
    cr_assert_eq(send(fd, packet, UDP_PACKET_MARK_BYTES + strlen(text), MSG_NOSIGNAL),
                 (ssize_t)(UDP_PACKET_MARK_BYTES + strlen(text)));
}

static void must_hear(int fd, const char *expected)
{
    char packet[64] = "x";

    cr_assert_eq(recv(fd, packet, sizeof(packet) - 1, MSG_DONTWAIT),
                 (ssize_t)(UDP_PACKET_MARK_BYTES + strlen(expected)));
    cr_assert_eq(packet[0], 0);
    cr_assert_str_eq(packet + UDP_PACKET_MARK_BYTES, expected);
}

static bool is_hung_up(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* The service's next datagram, which it sends back with "re:" in front; returns the peer's port. */
static uint16_t serve(const struct world *world, const char *expected)
{
    struct sockaddr_in from = {0};
    socklen_t from_bytes = sizeof(from);
    char text[64] = "re:";
    ssize_t length_bytes = recvfrom(world->service_fd, text + 3, sizeof(text) - 4, MSG_DONTWAIT,
                                    (struct sockaddr *)&from, &from_bytes);

    cr_assert_eq(length_bytes, (ssize_t)strlen(expected));
    cr_assert_str_eq(text + 3, expected);
    cr_assert_eq(sendto(world->service_fd, text, (size_t)length_bytes + 3, 0,
                        (struct sockaddr *)&from, from_bytes),
                 length_bytes + 3);
    return ntohs(from.sin_port);
}

static bool service_hears_nothing(const struct world *world)
{
    char byte;

    return recv(world->service_fd, &byte, 1, MSG_DONTWAIT) < 0;
}

Test(datagrams_members, each_connection_is_a_peer_of_its_own)
{
    struct world world;
    uint16_t ports[3];

    begin(&world, 0);
    int first = call();
    int second = call();
    say(first, "first");
    settle(&world, NOW_MS);
    ports[0] = serve(&world, "first");
    say(second, "second");
    settle(&world, NOW_MS);
    ports[1] = serve(&world, "second");
    settle(&world, NOW_MS);
    must_hear(first, "re:first");
    must_hear(second, "re:second");
    say(first, ""); /* an empty one is one too */
    settle(&world, NOW_MS);
    ports[2] = serve(&world, "");
    settle(&world, NOW_MS);
    must_hear(first, "re:");
    cr_assert_neq(ports[0], ports[1]);
    cr_assert_eq(ports[0], ports[2]);
    cr_assert_eq(world.datagrams->flows.count, 2);
    close(first);
    settle(&world, NOW_MS);
    cr_assert_eq(world.datagrams->flows.count, 1);
    close(second);
    world_done(&world);
}

Test(datagrams_members, the_longest_passes_both_ways_and_a_longer_one_is_lost)
{
    static uint8_t large[UDP_PACKET_BYTES_MAX + 1];
    static uint8_t heard[sizeof(large) + 1];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof(from);
    struct world world;

    memset(large + 1, 7, sizeof(large) - 1);
    begin(&world, 0);
    int fd = call();
    cr_assert_eq(send(fd, large, UDP_PACKET_BYTES_MAX, MSG_NOSIGNAL), UDP_PACKET_BYTES_MAX);
    settle(&world, NOW_MS);
    cr_assert_eq(recvfrom(world.service_fd, heard, sizeof(heard), MSG_DONTWAIT,
                          (struct sockaddr *)&from, &from_bytes),
                 UDP_MEMBERS_BYTES_MAX);
    cr_assert_eq(memcmp(heard, large + 1, UDP_MEMBERS_BYTES_MAX), 0);
    for (size_t more = 0; more < 2; more++) {
        cr_assert_gt(sendto(world.service_fd, large + 1, UDP_MEMBERS_BYTES_MAX + more, 0,
                            (struct sockaddr *)&from, from_bytes),
                     0);
        settle(&world, NOW_MS);
        cr_assert_eq(recv(fd, heard, sizeof(heard), MSG_DONTWAIT),
                     more == 0 ? UDP_PACKET_BYTES_MAX : -1);
    }
    cr_assert_eq(memcmp(heard, large, UDP_PACKET_BYTES_MAX), 0);
    close(fd);
    world_done(&world);
}

/* mingad never does; were it not itself any more, it would gain nothing. */
Test(datagrams_members, what_is_no_packet_ends_the_flow_and_reaches_nobody)
{
    static uint8_t large[UDP_PACKET_BYTES_MAX + 1];
    const struct {
        const void *bytes;
        size_t length_bytes;
    } packets[] = {{"", 0}, {"x", 1}, {"\1text", 5}, {large, sizeof(large)}};
    struct world world;

    begin(&world, 0);
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        int fd = call();

        settle(&world, NOW_MS);
        cr_assert_eq(world.datagrams->flows.count, 1);
        cr_assert_eq(send(fd, packets[i].bytes, packets[i].length_bytes, MSG_NOSIGNAL),
                     (ssize_t)packets[i].length_bytes);
        settle(&world, NOW_MS);
        cr_assert(is_hung_up(fd), "packet %zu", i);
        cr_assert(service_hears_nothing(&world));
        cr_assert_eq(world.datagrams->flows.count, 0);
        close(fd);
    }
    world_done(&world);
}

Test(datagrams_members, a_silent_flow_ends_and_its_connection_with_it)
{
    struct world world;

    begin(&world, 0);
    int mute = call();
    int answered = call();
    say(answered, "ping");
    settle(&world, NOW_MS);
    (void)serve(&world, "ping");
    settle(&world, NOW_MS);
    must_hear(answered, "re:ping");
    cr_assert_eq(datagrams_tick(world.datagrams, NOW_MS + FLOW_UNANSWERED_MS_MAX - 1),
                 NOW_MS + FLOW_UNANSWERED_MS_MAX);
    cr_assert_not(is_hung_up(mute));
    (void)datagrams_tick(world.datagrams, NOW_MS + FLOW_UNANSWERED_MS_MAX);
    cr_assert(is_hung_up(mute));
    cr_assert_not(is_hung_up(answered));
    cr_assert_eq(datagrams_tick(world.datagrams, NOW_MS + FLOW_ANSWERED_MS_MAX), UINT64_MAX);
    cr_assert(is_hung_up(answered));
    close(mute);
    close(answered);
    world_done(&world);
}

Test(datagrams_members, flows_count_as_connections_do)
{
    struct world world;

    begin(&world, 1);
    int first = call();
    say(first, "first");
    settle(&world, NOW_MS);
    (void)serve(&world, "first");
    settle(&world, NOW_MS);
    int second = call();
    settle(&world, NOW_MS + 2 * FLOW_YIELDS_MS);
    cr_assert(is_hung_up(second), "the first was answered, and stays");
    cr_assert_eq(world.datagrams->refused_count, 1);
    must_hear(first, "re:first");
    close(first);
    settle(&world, NOW_MS);
    int third = call();
    settle(&world, NOW_MS);
    cr_assert_not(is_hung_up(third));
    int fourth = call();
    settle(&world, NOW_MS + FLOW_YIELDS_MS);
    cr_assert(is_hung_up(third), "it was never answered");
    cr_assert_not(is_hung_up(fourth));
    close(second);
    close(third);
    close(fourth);
    world_done(&world);
}

Test(datagrams_members, bytes_count_and_what_the_line_has_no_room_for_is_lost)
{
    struct world world;

    begin(&world, 0);
    atomic_store(&world.line.own[LINE_DOWN].bytes_per_s, 1);
    atomic_store(&world.line.own[LINE_UP].bytes_per_s, 1);
    int fd = call();
    say(fd, "question");
    settle(&world, NOW_MS);
    (void)serve(&world, "question");
    settle(&world, NOW_MS);
    must_hear(fd, "re:question");
    cr_assert_eq(atomic_load(&world.line.own[LINE_DOWN].passed_bytes), 8 + LINE_DATAGRAM_BYTES);
    cr_assert_eq(atomic_load(&world.line.own[LINE_UP].passed_bytes), 11 + LINE_DATAGRAM_BYTES);
    line_passed(&world.line.gates[LINE_UP], LINE_BURST_BYTES_MIN);
    say(fd, "again");
    settle(&world, NOW_MS);
    (void)serve(&world, "again");
    settle(&world, NOW_MS);
    cr_assert_lt(recv(fd, &(char){0}, 1, MSG_DONTWAIT), 0);
    line_passed(&world.line.gates[LINE_DOWN], LINE_BURST_BYTES_MIN);
    say(fd, "lost");
    settle(&world, NOW_MS);
    cr_assert(service_hears_nothing(&world));
    close(fd);
    world_done(&world);
}

Test(datagrams_members, one_that_does_not_read_loses_its_answers_and_blocks_nobody)
{
    enum { ANSWERS = 4000 };
    static const char block[1000];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof(from);
    struct world world;
    char text[64];

    begin(&world, 0);
    int lazy = call();
    int other = call();
    say(lazy, "question");
    settle(&world, NOW_MS);
    cr_assert_eq(recvfrom(world.service_fd, text, sizeof(text), MSG_DONTWAIT,
                          (struct sockaddr *)&from, &from_bytes),
                 8);
    for (int i = 0; i < ANSWERS; i++) {
        (void)sendto(world.service_fd, block, sizeof(block), MSG_DONTWAIT, (struct sockaddr *)&from,
                     from_bytes);
        if (i % 50 == 0) {
            settle(&world, NOW_MS);
        }
    }
    settle(&world, NOW_MS);
    cr_assert_eq(world.datagrams->flows.count, 2);
    say(other, "there?");
    settle(&world, NOW_MS);
    (void)serve(&world, "there?");
    settle(&world, NOW_MS);
    must_hear(other, "re:there?");
    close(lazy);
    close(other);
    world_done(&world);
}

/* What was said while the sandbox was frozen, by one that has been cut since: nobody stands for it. */
Test(datagrams_members, what_waits_of_one_that_has_gone_is_not_read)
{
    struct world world;

    begin(&world, 0);
    int known = call();
    say(known, "before");
    settle(&world, NOW_MS);
    (void)serve(&world, "before");
    settle(&world, NOW_MS);
    say(known, "late");
    close(known);
    int unknown = call(); /* in the backlog */
    say(unknown, "late");
    close(unknown);
    int other = call();
    say(other, "present");
    settle(&world, NOW_MS);
    (void)serve(&world, "present");
    cr_assert(service_hears_nothing(&world));
    cr_assert_eq(world.datagrams->flows.count, 1);
    settle(&world, NOW_MS);
    must_hear(other, "re:present");
    close(other);
    world_done(&world);
}

Test(datagrams_members, without_descriptors_the_oldest_gives_way)
{
    struct world world;
    struct rlimit few;

    begin(&world, 0);
    int first = call();
    settle(&world, NOW_MS);
    int second = call();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
    const struct rlimit before = few;

    few.rlim_cur = (rlim_t)second + 1; /* none is free: all below are taken */
    for (int fd = 0; fd <= second; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            cr_assert_eq(dup2(first, fd), fd);
        }
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert_lt(settle(&world, NOW_MS + 1), ROUNDS_MAX, "it does not turn for ever");
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert(is_hung_up(first));
    cr_assert_not(is_hung_up(second));
    cr_assert_eq(world.datagrams->flows.count, 1);
    close(second);
    world_done(&world);
}

/* There is no flow that could give way: others have all descriptors. */
Test(datagrams_members, without_descriptors_and_flows_who_waits_is_asked_again_later)
{
    struct world world;
    struct rlimit before;

    begin(&world, 0);
    int first = call();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int fd = 0; fd <= first; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            cr_assert_eq(dup2(first, fd), fd);
        }
    }
    const struct rlimit few = {(rlim_t)first + 1, before.rlim_max};

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert_lt(settle(&world, NOW_MS), ROUNDS_MAX, "it does not turn for ever");
    cr_assert_eq(datagrams_tick(world.datagrams, NOW_MS), NOW_MS + DATAGRAMS_AGAIN_MS);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    settle(&world, NOW_MS);
    cr_assert_eq(world.datagrams->flows.count, 0);
    (void)datagrams_tick(world.datagrams, NOW_MS + DATAGRAMS_AGAIN_MS);
    settle(&world, NOW_MS + DATAGRAMS_AGAIN_MS);
    cr_assert_eq(world.datagrams->flows.count, 1);
    close(first);
    world_done(&world);
}

Test(datagrams_members, a_port_that_is_shut_down_by_another_is_left_alone)
{
    struct world world;

    begin(&world, 4);
    cr_assert_eq(shutdown(world.published_fd, SHUT_RDWR), 0);
    cr_assert_lt(settle(&world, NOW_MS), ROUNDS_MAX);
    world_done(&world);
}
