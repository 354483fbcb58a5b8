// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* For tests: a relay and a leaf on one loop, over loopback, a service of the leaf's and a client. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/relays/relays.h"
#include "tests/unit/mingad/free_port.h"

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
    ssize_t client_code; /* of its end */
    bool service_ended;
    bool service_was_reset;
    uint32_t asked_count; /* for the relay's name */
};

static const struct node_id relay_id = {.id.bytes = {1}};
static const struct node_id leaf_id = {.id.bytes = {2}};

static int (*leaf_numeric)(void *, const char *, size_t, char *); /* NULL: it knows no names */

static inline void on_event(void *context, const struct overlay_event *event)
{
    struct fixture *fixture = context;

    fixture->up_count += event->kind == OVERLAY_RELAY_UP;
    fixture->down_count += event->kind == OVERLAY_RELAY_DOWN;
    fixture->refused_count += event->kind == OVERLAY_PORT_REFUSED;
}

static inline void on_late(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->is_late = true;
}

static inline void run_until(struct fixture *fixture, bool (*done)(const struct fixture *))
{
    fixture->is_late = false;
    uv_timer_start(&fixture->timer, on_late, WAIT_MS_MAX, 0);
    while (!done(fixture) && !fixture->is_late) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&fixture->timer);
}

static inline void run_for(struct fixture *fixture, uint64_t for_ms)
{
    fixture->is_late = false;
    uv_timer_start(&fixture->timer, on_late, for_ms, 0);
    while (!fixture->is_late) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
}

/* ------------------------------------------------------------------ the leaf's service */

static inline void on_freed(uv_handle_t *handle)
{
    free(handle);
}

static inline void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    *buffer = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static inline void on_echoed(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
    free(request);
}

/* Whichever meets a reset first, a write or a read, is the only one to hear of it. */
static inline void on_service_echoed(uv_write_t *request, int status)
{
    struct fixture *fixture = request->handle->data;

    fixture->service_was_reset = fixture->service_was_reset || status == UV_ECONNRESET;
    on_echoed(request, status);
}

static inline void on_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    if (!uv_is_closing((uv_handle_t *)request->handle)) {
        uv_close((uv_handle_t *)request->handle, on_freed);
    }
    free(request);
}

static inline void on_service_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    if (count > 0) {
        uv_write_t *request = calloc(1, sizeof(*request));
        uv_buf_t echo = uv_buf_init(buffer->base, (unsigned)count);

        request->data = buffer->base;
        cr_assert_eq(uv_write(request, stream, &echo, 1, on_service_echoed), 0);
        return;
    }
    free(buffer->base);
    if (count < 0) {
        struct fixture *fixture = stream->data;

        fixture->service_ended = true;
        fixture->service_was_reset = fixture->service_was_reset || count == UV_ECONNRESET;
        uv_read_stop(stream);
        uv_shutdown_t *request = calloc(1, sizeof(*request));

        if (uv_shutdown(request, stream, on_shut) < 0) {
            free(request);
            uv_close((uv_handle_t *)stream, on_freed);
        }
    }
}

static inline void on_service(uv_stream_t *stream, int status)
{
    struct fixture *fixture = stream->data;
    uv_tcp_t *tcp = calloc(1, sizeof(*tcp));

    cr_assert_eq(status, 0);
    fixture->service_count++;
    uv_tcp_init(&fixture->loop, tcp);
    tcp->data = fixture;
    cr_assert_eq(uv_accept(stream, (uv_stream_t *)tcp), 0);
    uv_read_start((uv_stream_t *)tcp, on_alloc, on_service_read);
}

/* ------------------------------------------------------------------ the client */

static inline void on_client_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct fixture *fixture = stream->data;

    for (ssize_t i = 0; i < count; i++) {
        fixture->echo_is_wrong = fixture->echo_is_wrong ||
                                 (uint8_t)buffer->base[i] != (uint8_t)(fixture->echoed_bytes * 7);
        fixture->echoed_bytes++;
    }
    fixture->client_ended = fixture->client_ended || count < 0;
    fixture->client_code = count < 0 ? count : fixture->client_code;
    free(buffer->base);
}

static inline void on_client_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static inline void on_connected(uv_connect_t *connect, int status)
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

static inline void connect_client(struct fixture *fixture, uint16_t port)
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

static inline uint16_t open_service(struct fixture *fixture)
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

static inline void begin(struct fixture *fixture, uint64_t bytes_per_s)
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
    fixture->grant.door = free_port(SOCK_STREAM);
    fixture->grant.secret[0] = 5;
    fixture->grant.port_count = 1;
    fixture->grant.ports[0] = (struct overlay_relay_port){.at_relay = free_port(SOCK_STREAM)};
    fixture->peer = (struct overlay_peer){.node = relay_id, .address_count = 1};
    memcpy(fixture->peer.addresses[0], "127.0.0.1:7400", sizeof("127.0.0.1:7400"));
}

static inline void end(struct fixture *fixture)
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

static inline bool is_up(const struct fixture *fixture)
{
    return fixture->up_count > 0;
}

static inline bool has_ended(const struct fixture *fixture)
{
    return fixture->client_ended || fixture->client_failed;
}

static inline bool is_waiting(const struct fixture *fixture)
{
    return relays_counters(fixture->relay).waits;
}

static inline bool is_down(const struct fixture *fixture)
{
    return fixture->down_count > 0;
}
