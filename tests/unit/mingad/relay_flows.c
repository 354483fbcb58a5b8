// SPDX-License-Identifier: GPL-3.0-or-later
/* Datagrams for a leaf's UDP port, over loopback: which pass, which do not, and to whom answers go. */
#include "agent/mingad/relays/relay_flows.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/relays/relays.h"
#include "tests/unit/mingad/free_port.h"

enum { WAIT_MS_MAX = 8000, STEP_MS = 5 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t timer;
    bool is_late;
    struct relays *relay;
    struct relays *leaf;
    uint32_t up_count;
    struct overlay_relay grant;
    struct overlay_peer peer;
    int service_fd; /* the leaf's own port */
};

static struct fixture fixture;
static const struct node_id relay_id = {.id.bytes = {1}};
static const struct node_id leaf_id = {.id.bytes = {2}};

static void on_event(void *context, const struct overlay_event *event)
{
    (void)context;
    fixture.up_count += event->kind == OVERLAY_RELAY_UP;
}

static void on_late(uv_timer_t *timer)
{
    (void)timer;
    fixture.is_late = true;
}

static void run_for(uint64_t for_ms)
{
    fixture.is_late = false;
    uv_timer_start(&fixture.timer, on_late, for_ms, 0);
    while (!fixture.is_late) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
}

static int bind_udp(uint16_t *port_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

static void begin(uint64_t bytes_per_s)
{
    struct relays_config config = {.loop = &fixture.loop,
                                   .node = relay_id,
                                   .listen_host = "127.0.0.1",
                                   .bind = "127.0.0.1",
                                   .bytes_per_s = bytes_per_s,
                                   .event = on_event};
    uint16_t service = 0;

    memset(&fixture, 0, sizeof(fixture));
    signal(SIGPIPE, SIG_IGN); /* as mingad does */
    uv_loop_init(&fixture.loop);
    uv_timer_init(&fixture.loop, &fixture.timer);
    fixture.service_fd = bind_udp(&service);
    fixture.relay = relays_new(&config);
    config.node = leaf_id;
    fixture.leaf = relays_new(&config);
    fixture.grant.door = free_port(SOCK_STREAM);
    fixture.grant.secret[0] = 5;
    fixture.grant.port_count = 2;
    fixture.grant.ports[0] = (struct overlay_relay_port){.at_relay = free_port(SOCK_STREAM)};
    fixture.grant.ports[1] = (struct overlay_relay_port){free_port(SOCK_DGRAM), service, true};
    fixture.peer = (struct overlay_peer){.node = relay_id, .address_count = 1};
    memcpy(fixture.peer.addresses[0], "127.0.0.1:7400", sizeof("127.0.0.1:7400"));
}

static void meet(void)
{
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    for (int i = 0; i < WAIT_MS_MAX / STEP_MS && fixture.up_count == 0; i++) {
        run_for(STEP_MS);
    }
    cr_assert_eq(fixture.up_count, 1);
    run_for(50); /* several connections wait by now */
}

static void end(void)
{
    relays_close(fixture.relay);
    relays_close(fixture.leaf);
    uv_close((uv_handle_t *)&fixture.timer, NULL);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    relays_free(fixture.relay);
    relays_free(fixture.leaf);
    close(fixture.service_fd);
    cr_assert_eq(uv_loop_close(&fixture.loop), 0, "a handle was forgotten");
}

static int client_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* What comes within a while; -1: nothing. */
static ssize_t hear(int fd, char *text_out, size_t capacity, struct sockaddr_in *from_out)
{
    for (int i = 0; i < 400; i++) {
        socklen_t length = sizeof(*from_out);
        ssize_t count = recvfrom(fd, text_out, capacity, 0, (struct sockaddr *)from_out, &length);

        if (count >= 0) {
            return count;
        }
        run_for(STEP_MS);
    }
    return -1;
}

Test(relay_flows, a_flows_number_is_written_and_read)
{
    struct relay_flow_id id = {31000, 8191, 0xfedcba98};
    uint8_t body[RELAY_FLOW_HEADER_BYTES + 1] = {0};
    struct relay_flow_id read = {0};
    struct bytes datagram;

    relay_flow_write(id, body);
    cr_assert(relay_flow_read((struct bytes){body, sizeof(body)}, &read, &datagram));
    cr_assert_eq(read.port_at_leaf, id.port_at_leaf);
    cr_assert_eq(read.index, id.index);
    cr_assert_eq(read.version, id.version);
    cr_assert_eq(datagram.length_bytes, 1);
    cr_assert(relay_flow_read((struct bytes){body, sizeof(body) - 1}, &read, &datagram));
    cr_assert_eq(datagram.length_bytes, 0, "an empty datagram is one");
    cr_assert_not(relay_flow_read((struct bytes){body, sizeof(body) - 2}, &read, &datagram));
    cr_assert_not(relay_flow_read((struct bytes){body, 0}, &read, &datagram));
}

Test(relay_flows, two_clients_are_told_apart_and_each_gets_its_answer)
{
    struct sockaddr_in first_from;
    struct sockaddr_in second_from;
    struct sockaddr_in from;
    char text[64];
    int first;
    int second;

    begin(1U << 30);
    meet();
    first = client_to(fixture.grant.ports[1].at_relay);
    second = client_to(fixture.grant.ports[1].at_relay);
    cr_assert_eq(send(first, "first", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &first_from), 5);
    cr_assert_eq(memcmp(text, "first", 5), 0);
    cr_assert_eq(send(second, "two", 3, 0), 3);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &second_from), 3);
    cr_assert_neq(first_from.sin_port, second_from.sin_port);
    sendto(fixture.service_fd, "for two", 7, 0, (struct sockaddr *)&second_from,
           sizeof(second_from));
    sendto(fixture.service_fd, "for first", 9, 0, (struct sockaddr *)&first_from,
           sizeof(first_from));
    cr_assert_eq(hear(first, text, sizeof(text), &from), 9);
    cr_assert_eq(hear(second, text, sizeof(text), &from), 7);
    cr_assert_eq(send(first, "again", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &from), 5);
    cr_assert_eq(from.sin_port, first_from.sin_port, "the same flow");
    close(first);
    close(second);
    end();
}

Test(relay_flows, a_datagram_of_the_largest_size_passes_and_a_larger_one_is_lost)
{
    static char large[RELAY_DATAGRAM_BYTES_MAX + 1];
    static char heard[sizeof(large)];
    struct sockaddr_in from;
    int client;

    begin(1U << 30);
    meet();
    client = client_to(fixture.grant.ports[1].at_relay);
    memset(large, 7, sizeof(large));
    cr_assert_eq(send(client, large, sizeof(large), 0), (ssize_t)sizeof(large));
    cr_assert_eq(send(client, large, RELAY_DATAGRAM_BYTES_MAX, 0), RELAY_DATAGRAM_BYTES_MAX);
    cr_assert_eq(hear(fixture.service_fd, heard, sizeof(heard), &from), RELAY_DATAGRAM_BYTES_MAX);
    cr_assert_eq(memcmp(heard, large, RELAY_DATAGRAM_BYTES_MAX), 0);
    cr_assert_eq(relays_counters(fixture.relay).refused_count, 1);
    close(client);
    end();
}

Test(relay_flows, the_relay_takes_no_more_than_its_volunteer_allows)
{
    static char bytes[1000];
    struct sockaddr_in from;
    uint32_t heard_count = 0;
    int client;

    begin(100000);
    meet();
    client = client_to(fixture.grant.ports[1].at_relay);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(send(client, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
        if (i % 20 == 0) {
            run_for(1);
        }
    }
    while (hear(fixture.service_fd, bytes, sizeof(bytes), &from) > 0) {
        heard_count++;
    }
    cr_assert_gt(heard_count, 3, "%u", heard_count);
    cr_assert_lt(heard_count, 300, "%u of 1000", heard_count);
    cr_assert_gt(relays_counters(fixture.relay).refused_count, 400);
    close(client);
    end();
}

Test(relay_flows, a_relay_cannot_send_to_a_port_that_the_leaf_did_not_ask_for)
{
    struct overlay_relay lying;
    struct sockaddr_in from;
    char text[64];
    int client;

    begin(1U << 30);
    lying = fixture.grant;
    fixture.grant.port_count = 1; /* all that the leaf knows of */
    relays_pass_on(fixture.relay, &leaf_id, &lying);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    for (int i = 0; i < WAIT_MS_MAX / STEP_MS && fixture.up_count == 0; i++) {
        run_for(STEP_MS);
    }
    run_for(50);
    client = client_to(lying.ports[1].at_relay);
    cr_assert_eq(send(client, "knock", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &from), -1);
    cr_assert_eq(relays_counters(fixture.leaf).refused_count, 1);
    close(client);
    end();
}

Test(relay_flows, a_tcp_port_of_the_same_number_is_not_a_udp_port)
{
    struct overlay_relay lying;
    struct sockaddr_in from;
    char text[64];
    int client;

    begin(1U << 30);
    lying = fixture.grant;
    fixture.grant.ports[1].is_udp = false;
    relays_pass_on(fixture.relay, &leaf_id, &lying);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    for (int i = 0; i < WAIT_MS_MAX / STEP_MS && fixture.up_count == 0; i++) {
        run_for(STEP_MS);
    }
    run_for(50);
    client = client_to(lying.ports[1].at_relay);
    cr_assert_eq(send(client, "knock", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &from), -1);
    close(client);
    end();
}

Test(relay_flows, a_flood_of_senders_is_bounded_and_drives_no_answered_one_out)
{
    enum { SENDERS = 3 * RELAY_FLOWS_OF_PORT_MAX };
    struct sockaddr_in first_from;
    struct sockaddr_in from;
    char text[64];
    int fds[SENDERS];
    int first;

    begin(1U << 30);
    meet();
    first = client_to(fixture.grant.ports[1].at_relay);
    cr_assert_eq(send(first, "first", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &first_from), 5);
    sendto(fixture.service_fd, "well", 4, 0, (struct sockaddr *)&first_from, sizeof(first_from));
    cr_assert_eq(hear(first, text, sizeof(text), &from), 4);
    for (int i = 0; i < SENDERS; i++) {
        fds[i] = client_to(fixture.grant.ports[1].at_relay);
        cr_assert_eq(send(fds[i], "x", 1, 0), 1);
        if (i % 10 == 0) {
            run_for(1);
        }
    }
    run_for(100);
    cr_assert_geq(relays_counters(fixture.relay).refused_count, SENDERS - RELAY_FLOWS_OF_PORT_MAX);
    while (recv(fixture.service_fd, text, sizeof(text), 0) > 0) {
    }
    cr_assert_eq(send(first, "still", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &from), 5);
    cr_assert_eq(from.sin_port, first_from.sin_port);
    for (int i = 0; i < SENDERS; i++) {
        close(fds[i]);
    }
    close(first);
    end();
}

Test(relay_flows, answers_that_nobody_has_asked_for_go_nowhere)
{
    struct overlay_relay none = {0};
    struct sockaddr_in service_from;
    struct sockaddr_in from;
    char text[64];
    int client;

    begin(1U << 30);
    meet();
    client = client_to(fixture.grant.ports[1].at_relay);
    cr_assert_eq(send(client, "hello", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &service_from), 5);
    /* The relay forgets the flow, and is asked to pass on anew. */
    relays_pass_on(fixture.relay, &leaf_id, &none);
    run_for(50);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    run_for(1500);
    sendto(fixture.service_fd, "late", 4, 0, (struct sockaddr *)&service_from,
           sizeof(service_from));
    cr_assert_eq(hear(client, text, sizeof(text), &from), -1);
    close(client);
    client = client_to(fixture.grant.ports[1].at_relay);
    cr_assert_eq(send(client, "hello", 5, 0), 5);
    cr_assert_eq(hear(fixture.service_fd, text, sizeof(text), &service_from), 5, "a new one is");
    close(client);
    end();
}
