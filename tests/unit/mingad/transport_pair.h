// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Two transports on one loop, over loopback, with CURVE; and strangers who dial one of them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "agent/mingad/transport/transport_internal.h"

enum { WAIT_MS_MAX = 20000 };

struct end {
    struct transport *transport;
    struct secret_key key;
    struct overlay_peer peer; /* as others dial it */
    uint32_t received_count;
    uint32_t up_count;
    uint32_t lost_count;
    uint32_t refused_count; /* of those */
    uint32_t caller_lost_count;
    uint64_t lost_link;             /* the last caller's */
    uint32_t received_before_count; /* when it was told */
    struct overlay_source source;   /* of the last message */
    char message[64];
    size_t data_bytes;
    uint8_t data_last;
    bool echoes;
    bool knows_nobody;
    bool knows_one;
    uint8_t only_member[32];
};

struct fixture {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_timer_t timer;
    struct end ends[2];
    bool is_late;
};

static inline void on_event(void *context, const struct overlay_event *event)
{
    struct end *end = context;

    if (event->kind == OVERLAY_LINK_UP) {
        end->up_count++;
    } else if (event->kind == OVERLAY_LINK_LOST) {
        end->lost_count++;
        end->refused_count += event->refused;
    } else if (event->kind == OVERLAY_CALLER_LOST) {
        end->caller_lost_count++;
        end->lost_link = event->source.link;
        end->received_before_count = end->received_count;
    } else {
        size_t length = event->message.length_bytes < 63 ? event->message.length_bytes : 63;

        end->received_count++;
        end->source = event->source;
        memcpy(end->message, event->message.data, length);
        end->message[length] = '\0';
        end->data_bytes = event->data.length_bytes;
        end->data_last = end->data_bytes > 0 ? event->data.data[end->data_bytes - 1] : 0;
        if (end->echoes) {
            transport_reply(end->transport, event->source.link, event->message,
                            (struct transport_data){0});
        }
    }
}

static inline bool is_member(void *context, const uint8_t curve_key[32])
{
    const struct end *end = context;

    if (end->knows_one) {
        return memcmp(end->only_member, curve_key, sizeof(end->only_member)) == 0;
    }
    return !end->knows_nobody;
}

static inline void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static inline void on_prepare(uv_prepare_t *prepare)
{
    struct fixture *fixture = prepare->data;
    bool more = false;

    for (int i = 0; i < 2; i++) {
        if (fixture->ends[i].transport != NULL) {
            more = transport_settle(fixture->ends[i].transport) || more;
        }
    }
    if (more) {
        uv_idle_start(&fixture->idle, on_idle);
    } else {
        uv_idle_stop(&fixture->idle);
    }
}

static inline void on_timer(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->is_late = true;
}

static inline void open_end(struct fixture *fixture, int index, uint16_t port)
{
    struct end *end = &fixture->ends[index];
    uint8_t seed[KEY_SEED_BYTES] = {(uint8_t)(index + 1)};
    struct err err = {0};

    keys_from_seed(seed, &end->key);
    struct transport_config config = {.loop = &fixture->loop,
                                      .node_key = &end->key,
                                      .listen_host = "127.0.0.1",
                                      .listen_port = port,
                                      .event = on_event,
                                      .is_member = is_member,
                                      .context = end};

    cr_assert_eq(transport_open(&config, &end->transport, &err), 0, "%s", err.text);
    end->peer.key = keys_public(&end->key);
    end->peer.node = keys_node_id(&end->peer.key);
    end->peer.address_count = 1;
    snprintf(end->peer.addresses[0], sizeof(end->peer.addresses[0]), "127.0.0.1:%u",
             transport_port(end->transport));
}

static inline void close_end(struct end *end, uv_loop_t *loop)
{
    struct transport *transport = end->transport;

    end->transport = NULL;
    transport_close(transport);
    uv_run(loop, UV_RUN_NOWAIT);
    uv_run(loop, UV_RUN_NOWAIT);
    transport_free(transport);
}

static inline struct fixture *set_up(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    uv_loop_init(&fixture->loop);
    uv_prepare_init(&fixture->loop, &fixture->prepare);
    uv_idle_init(&fixture->loop, &fixture->idle);
    uv_timer_init(&fixture->loop, &fixture->timer);
    fixture->prepare.data = fixture;
    fixture->timer.data = fixture;
    uv_prepare_start(&fixture->prepare, on_prepare);
    open_end(fixture, 0, 0);
    open_end(fixture, 1, 0);
    return fixture;
}

static inline void tear_down(struct fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        if (fixture->ends[i].transport != NULL) {
            close_end(&fixture->ends[i], &fixture->loop);
        }
    }
    uv_close((uv_handle_t *)&fixture->prepare, NULL);
    uv_close((uv_handle_t *)&fixture->idle, NULL);
    uv_close((uv_handle_t *)&fixture->timer, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&fixture->loop), 0, "a handle was left open");
    free(fixture);
}

/* Runs the loop until *counter reaches `count`. */
static inline void wait_for(struct fixture *fixture, const uint32_t *counter, uint32_t count)
{
    fixture->is_late = false;
    uv_timer_start(&fixture->timer, on_timer, WAIT_MS_MAX, 0);
    while (*counter < count && !fixture->is_late) {
        /* Settling happens before the loop blocks: let it not block on what was awaited. */
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        usleep(100);
    }
    uv_timer_stop(&fixture->timer);
    cr_assert_geq(*counter, count, "not in time");
}

static inline void send_text(struct fixture *fixture, const char *text)
{
    transport_send(fixture->ends[0].transport, &fixture->ends[1].peer, bytes_of_text(text),
                   (struct transport_data){0});
}

static inline int dial_raw(const struct end *end)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(transport_port(end->transport)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* A stranger with libzmq and a key of its own, which sends what is against the form. */
static inline void *stranger(void *context, const struct end *end, const char *routing_id)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    uint8_t server_key[32];
    struct secret_key key;
    struct curve_keypair curve;
    char endpoint[ADDRESS_CHARS_MAX + 8];
    int zero = 0;

    cr_assert_eq(keys_curve_public(&end->peer.key, server_key), 0);
    keys_generate(&key);
    cr_assert_eq(keys_curve(&key, &curve), 0);
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server_key, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, curve.public_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, curve.secret_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_LINGER, &zero, sizeof(zero));
    if (routing_id != NULL) {
        zmq_setsockopt(dealer, ZMQ_ROUTING_ID, routing_id, strlen(routing_id));
    }
    snprintf(endpoint, sizeof(endpoint), "tcp://%s", end->peer.addresses[0]);
    cr_assert_eq(zmq_connect(dealer, endpoint), 0);
    return dealer;
}

/* Sends until one arrives, or for two seconds. */
static inline bool gets_through(struct fixture *fixture)
{
    uint32_t before = fixture->ends[1].received_count;

    for (int i = 0; i < 200 && fixture->ends[1].received_count == before; i++) {
        send_text(fixture, "again");
        for (int turn = 0; turn < 10; turn++) {
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
            usleep(1000);
        }
    }
    return fixture->ends[1].received_count > before;
}

static inline void run_for_ms(struct fixture *fixture, int ms)
{
    for (int i = 0; i < ms; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}
