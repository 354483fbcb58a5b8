// SPDX-License-Identifier: GPL-3.0-or-later
/* A relay and a leaf on one loop, over loopback: what is passed on, and what is not. */
#include "agent/mingad/relays/relays.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/relays/relays_internal.h"

enum { WAIT_MS_MAX = 8000, LARGE_BYTES = 3 << 20 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t timer;
    bool is_late;
    struct relays *relay;
    struct relays *leaf;
    uint32_t up_count;
    uint32_t down_count;
    uint32_t refused_count;
    struct overlay_relay grant;
    struct overlay_peer peer; /* the relay, for the leaf */
    uv_tcp_t service;         /* the leaf's own port: echoes */
    uint32_t service_count;
    uv_tcp_t client;
    uv_connect_t connect;
    bool client_failed;
    size_t echoed_bytes;
    bool echo_is_wrong;
    bool client_ended;
    uint32_t asked_count; /* for the relay's name */
};

static const struct node_id relay_id = {.id.bytes = {1}};
static const struct node_id leaf_id = {.id.bytes = {2}};

static int (*leaf_numeric)(void *, const char *, size_t, char *); /* NULL: it knows no names */

static void on_event(void *context, const struct overlay_event *event)
{
    struct fixture *fixture = context;

    fixture->up_count += event->kind == OVERLAY_RELAY_UP;
    fixture->down_count += event->kind == OVERLAY_RELAY_DOWN;
    fixture->refused_count += event->kind == OVERLAY_PORT_REFUSED;
}

static void on_late(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->is_late = true;
}

static void run_until(struct fixture *fixture, bool (*done)(const struct fixture *))
{
    fixture->is_late = false;
    uv_timer_start(&fixture->timer, on_late, WAIT_MS_MAX, 0);
    while (!done(fixture) && !fixture->is_late) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&fixture->timer);
}

static void run_for(struct fixture *fixture, uint64_t for_ms)
{
    fixture->is_late = false;
    uv_timer_start(&fixture->timer, on_late, for_ms, 0);
    while (!fixture->is_late) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
}

/* ------------------------------------------------------------------ the leaf's service */

static void on_freed(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    *buffer = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_echoed(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
    free(request);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    if (!uv_is_closing((uv_handle_t *)request->handle)) {
        uv_close((uv_handle_t *)request->handle, on_freed);
    }
    free(request);
}

static void on_service_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    if (count > 0) {
        uv_write_t *request = calloc(1, sizeof(*request));
        uv_buf_t echo = uv_buf_init(buffer->base, (unsigned)count);

        request->data = buffer->base;
        cr_assert_eq(uv_write(request, stream, &echo, 1, on_echoed), 0);
        return;
    }
    free(buffer->base);
    if (count < 0) {
        uv_read_stop(stream);
        uv_shutdown_t *request = calloc(1, sizeof(*request));

        if (uv_shutdown(request, stream, on_shut) < 0) {
            free(request);
            uv_close((uv_handle_t *)stream, on_freed);
        }
    }
}

static void on_service(uv_stream_t *stream, int status)
{
    struct fixture *fixture = stream->data;
    uv_tcp_t *tcp = calloc(1, sizeof(*tcp));

    cr_assert_eq(status, 0);
    fixture->service_count++;
    uv_tcp_init(&fixture->loop, tcp);
    cr_assert_eq(uv_accept(stream, (uv_stream_t *)tcp), 0);
    uv_read_start((uv_stream_t *)tcp, on_alloc, on_service_read);
}

/* ------------------------------------------------------------------ the client */

static void on_client_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct fixture *fixture = stream->data;

    for (ssize_t i = 0; i < count; i++) {
        fixture->echo_is_wrong = fixture->echo_is_wrong ||
                                 (uint8_t)buffer->base[i] != (uint8_t)(fixture->echoed_bytes * 7);
        fixture->echoed_bytes++;
    }
    fixture->client_ended = fixture->client_ended || count < 0;
    free(buffer->base);
}

static void on_client_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct fixture *fixture = connect->data;
    uint8_t *bytes = malloc(LARGE_BYTES);
    uv_write_t *request = calloc(1, sizeof(*request));
    uv_buf_t buffer = uv_buf_init((char *)bytes, LARGE_BYTES);

    fixture->client_failed = status < 0;
    request->data = bytes;
    if (status < 0) {
        free(bytes);
        free(request);
        return;
    }
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    cr_assert_eq(uv_write(request, connect->handle, &buffer, 1, on_echoed), 0);
    uv_shutdown(calloc(1, sizeof(uv_shutdown_t)), connect->handle, on_client_shut);
    uv_read_start(connect->handle, on_alloc, on_client_read);
}

static void connect_client(struct fixture *fixture, uint16_t port)
{
    struct sockaddr_in address;

    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(&fixture->loop, &fixture->client);
    fixture->client.data = fixture;
    fixture->connect.data = fixture;
    cr_assert_eq(uv_tcp_connect(&fixture->connect, &fixture->client,
                                (const struct sockaddr *)&address, on_connected),
                 0);
}

/* ------------------------------------------------------------------ the whole */

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static uint16_t open_service(struct fixture *fixture)
{
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int length = sizeof(bound);

    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&fixture->loop, &fixture->service);
    fixture->service.data = fixture;
    cr_assert_eq(uv_tcp_bind(&fixture->service, (const struct sockaddr *)&address, 0), 0);
    cr_assert_eq(uv_listen((uv_stream_t *)&fixture->service, 16, on_service), 0);
    uv_tcp_getsockname(&fixture->service, (struct sockaddr *)&bound, &length);
    return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

static void begin(struct fixture *fixture, uint64_t bytes_per_s)
{
    struct relays_config config = {.loop = &fixture->loop,
                                   .node = relay_id,
                                   .listen_host = "127.0.0.1",
                                   .bind = "127.0.0.1",
                                   .bytes_per_s = bytes_per_s,
                                   .event = on_event,
                                   .context = fixture};

    memset(fixture, 0, sizeof(*fixture));
    signal(SIGPIPE, SIG_IGN); /* as mingad does */
    uv_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop, &fixture->timer);
    fixture->timer.data = fixture;
    fixture->relay = relays_new(&config);
    config.node = leaf_id;
    config.numeric = leaf_numeric;
    config.listen_port = open_service(fixture);
    fixture->leaf = relays_new(&config);
    fixture->grant.door = free_port();
    fixture->grant.secret[0] = 5;
    fixture->grant.port_count = 1;
    fixture->grant.ports[0] = (struct overlay_relay_port){.at_relay = free_port()};
    fixture->peer = (struct overlay_peer){.node = relay_id, .address_count = 1};
    memcpy(fixture->peer.addresses[0], "127.0.0.1:7400", sizeof("127.0.0.1:7400"));
}

static void end(struct fixture *fixture)
{
    relays_close(fixture->relay);
    relays_close(fixture->leaf);
    uv_close((uv_handle_t *)&fixture->timer, NULL);
    uv_close((uv_handle_t *)&fixture->service, NULL);
    if (fixture->client.data != NULL) {
        uv_close((uv_handle_t *)&fixture->client, NULL);
    }
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    relays_free(fixture->relay);
    relays_free(fixture->leaf);
    cr_assert_eq(uv_loop_close(&fixture->loop), 0, "a handle was forgotten");
}

static bool is_up(const struct fixture *fixture)
{
    return fixture->up_count > 0;
}

static bool has_ended(const struct fixture *fixture)
{
    return fixture->client_ended || fixture->client_failed;
}

static bool is_waiting(const struct fixture *fixture)
{
    return relays_counters(fixture->relay).waits;
}

static bool is_down(const struct fixture *fixture)
{
    return fixture->down_count > 0;
}

Test(relays, what_is_said_to_the_relays_port_reaches_the_leafs_and_back_to_the_last_byte)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    cr_assert_not(fixture.echo_is_wrong);
    cr_assert_geq(relays_counters(fixture.relay).passed_bytes, 2UL * LARGE_BYTES);
    end(&fixture);
}

Test(relays, one_that_does_not_answer_at_its_first_address_is_reached_at_the_second)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    strcpy(fixture.peer.addresses[0], "127.0.0.2:7400");
    strcpy(fixture.peer.addresses[1], "127.0.0.1:7400");
    fixture.peer.address_count = 2;
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    end(&fixture);
}

/* The second host of the name, and only when it has been asked for some times. */
static int numeric(void *context, const char *address, size_t which,
                   char address_out[TRANSPORT_ADDRESS_BYTES_MAX])
{
    struct fixture *fixture = context;

    cr_assert_str_eq(address, "relay.example:7400");
    if (++fixture->asked_count < 5) {
        return -EAGAIN;
    }
    strcpy(address_out, which == 0 ? "[::1]:7400" : "127.0.0.1:7400");
    return 0;
}

Test(relays, one_that_is_known_by_a_name_is_found)
{
    static struct fixture fixture;

    leaf_numeric = numeric;
    begin(&fixture, 1U << 30);
    strcpy(fixture.peer.addresses[0], "relay.example:7400");
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

Test(relays, one_who_comes_before_the_leaf_waits_for_it)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 100);
    cr_assert_eq(fixture.echoed_bytes, 0);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

/* Of 1 MiB/s since then: 1 MiB saved up, half of one on its way in buffers. A machine may be slow. */
static uint64_t passed_max(uint64_t since_ns)
{
    uint64_t ms = (uv_hrtime() - since_ns) / 1000000;

    return (3 << 19) + ms * (1 << 20) / 1000;
}

Test(relays, the_relay_takes_no_more_than_its_volunteer_allows)
{
    static struct fixture fixture;
    uint64_t since_ns = uv_hrtime();

    begin(&fixture, 1 << 20);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 1500);
    cr_assert_gt(fixture.echoed_bytes, 100 << 10, "some passes");
    cr_assert_leq(relays_counters(fixture.relay).passed_bytes, passed_max(since_ns), "both ways");
    end(&fixture);
}

Test(relays, nor_more_than_is_left_of_its_line_and_all_again_when_that_is_over)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    run_for(&fixture, 200); /* what it saves up meanwhile, it must not spend */
    uint64_t since_ns = uv_hrtime();

    relays_limit(fixture.relay, 1 << 20);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 1500);
    cr_assert_gt(fixture.echoed_bytes, 100 << 10, "some passes");
    cr_assert_leq(relays_counters(fixture.relay).relayed_bytes, passed_max(since_ns));
    run_until(&fixture, is_waiting);
    cr_assert(is_waiting(&fixture));
    cr_assert_eq(relays_counters(fixture.leaf).relayed_bytes, 0, "it passes on for nobody");
    relays_limit(fixture.relay, 0);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

Test(relays, who_does_not_know_the_secret_gets_nothing_passed_on)
{
    static struct fixture fixture;
    struct overlay_relay other;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    other = fixture.grant;
    other.secret[0] ^= 1;
    relays_be_passed_on(fixture.leaf, &fixture.peer, &other);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 500);
    cr_assert_eq(fixture.service_count, 0);
    cr_assert_eq(fixture.echoed_bytes, 0);
    end(&fixture);
}

Test(relays, a_relay_cannot_have_the_leaf_open_a_port_that_it_did_not_ask_for)
{
    static struct fixture fixture;
    struct overlay_relay lying;

    begin(&fixture, 1U << 30);
    lying = fixture.grant;
    lying.ports[1] = (struct overlay_relay_port){free_port(), 22, false};
    lying.port_count = 2;
    relays_pass_on(fixture.relay, &leaf_id, &lying);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, lying.ports[1].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, 0);
    cr_assert_eq(relays_counters(fixture.leaf).refused_count, 1);
    end(&fixture);
}

Test(relays, when_the_relay_ends_the_leaf_hears_of_it)
{
    static struct fixture fixture;
    struct overlay_relay none = {0};

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    relays_pass_on(fixture.relay, &leaf_id, &none);
    run_until(&fixture, is_down);
    cr_assert_eq(fixture.down_count, 1);
    end(&fixture);
}

Test(relays, a_port_that_something_else_has_is_told)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    begin(&fixture, 1U << 30);
    uv_ip4_addr("127.0.0.1", fixture.grant.ports[0].at_relay, &address);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    cr_assert_eq(fixture.refused_count, 1);
    close(fd);
    end(&fixture);
}

Test(relays, who_floods_the_door_does_not_keep_the_leaf_out)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fds[200];

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    uv_ip4_addr("127.0.0.1", fixture.grant.door, &address);
    for (int i = 0; i < 200; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_for(&fixture, 1000);
    cr_assert_eq(fixture.up_count, 1);
    for (int i = 0; i < 200; i++) {
        close(fds[i]);
    }
    end(&fixture);
}

/* What is not accepted is told no more: the door would be dead. */
Test(relays, a_door_that_had_no_place_left_opens_again)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    uv_ip4_addr("127.0.0.1", fixture.grant.door, &address);
    fixture.relay->pipe_count += PIPES_MAX;
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    run_for(&fixture, 200);
    cr_expect_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "who is refused is told so");
    fixture.relay->pipe_count -= PIPES_MAX;
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    close(fd);
    end(&fixture);
}

static void have_open_pipes(struct fixture *fixture, struct pipe *pipes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pipes[i].phase = PIPE_OPEN;
        pipes[i].other = leaf_id;
        pipes[i].next = fixture->relay->pipes;
        fixture->relay->pipes = &pipes[i];
    }
}

static void forget_pipes(struct fixture *fixture, const struct pipe *pipes, uint32_t count)
{
    struct pipe **place = &fixture->relay->pipes;

    while (*place != NULL) {
        bool is_one = *place >= pipes && *place < pipes + count;

        if (is_one) {
            *place = (*place)->next;
        } else {
            place = &(*place)->next;
        }
    }
}

static void check_connections_of_one_leaf(uint32_t open_count, bool is_let_in)
{
    static struct fixture fixture;
    static struct pipe pipes[PIPES_PER_LEAF_MAX];

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    have_open_pipes(&fixture, pipes, open_count);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 100); /* it waits before the leaf is there */
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, has_ended);
    forget_pipes(&fixture, pipes, open_count);
    cr_assert(has_ended(&fixture));
    cr_assert_eq(fixture.echoed_bytes, is_let_in ? LARGE_BYTES : 0);
    end(&fixture);
}

Test(relays, one_leaf_takes_no_more_than_its_part_also_of_those_who_wait)
{
    check_connections_of_one_leaf(PIPES_PER_LEAF_MAX - 1, true);
    check_connections_of_one_leaf(PIPES_PER_LEAF_MAX, false);
}
