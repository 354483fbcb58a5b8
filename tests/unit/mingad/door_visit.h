// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* For tests: a door for members on one loop, over loopback, its replica's end, and callers. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/doors/doors.h"
#include "agent/mingad/doors/pace.h"
#include "agent/mingad/relays/relay_seal.h"
#include "agent/mingad/replicas/ports.h"
#include "base/wire.h"
#include "tests/unit/mingad/free_port.h"

enum { WAIT_MS_MAX = 20000, VISITS_MAX = DOORS_VISITS_PER_MEMBER_MAX + 1 };

struct fixture {
    uv_loop_t loop;
    struct doors *doors;
    struct ports ports; /* the replica's end: what minga-init has */
    char folder[64];
    struct door_place place;
    enum sandbox_protocol protocol; /* of the port */
    uint32_t place_count;
    bool has_earlier; /* a replica that is over had its port before */
    bool is_unwelcome;
    uint32_t lost_count;
    bool has_many_members; /* all whose id begins as `member`'s */
};

struct visit {
    int fd;
    size_t in_bytes;
    uint8_t in[2 * RELAY_FRAME_BYTES_MAX];
    struct relay_seal seal;
    uint8_t nonce[RELAY_NONCE_BYTES];
};

static const struct node_id member = {.id.bytes = {7}};

/* ------------------------------------------------------------------ the door's side */

static inline uint32_t on_places(void *context, uint32_t count_max, struct door_place *places_out)
{
    const struct fixture *fixture = context;

    cr_assert_gt(count_max, 0);
    places_out[0] = fixture->place;
    if (fixture->has_earlier) {
        places_out[0].replica.incarnation++;
        places_out[0].is_running = false;
        places_out[1] = fixture->place;
    }
    return fixture->place_count + fixture->has_earlier;
}

static inline bool on_welcome(void *context, const struct node_id *node)
{
    const struct fixture *fixture = context;

    return !fixture->is_unwelcome &&
           (fixture->has_many_members ? node->id.bytes[0] == member.id.bytes[0]
                                      : id_equal(&node->id, &member.id));
}

static inline void on_lost(void *context, const struct door_place *place)
{
    struct fixture *fixture = context;

    cr_assert_eq(place->host_port, fixture->place.host_port);
    fixture->lost_count++;
}

/* Any that differs with what counts will do. */
static inline void on_secret(void *context, const struct pass *pass,
                             uint8_t secret_out[RELAY_SECRET_BYTES])
{
    (void)context;
    memset(secret_out, (int)(pass->until_ms & 0xff), RELAY_SECRET_BYTES);
    secret_out[0] = pass->member.id.bytes[0];
    secret_out[1] = (uint8_t)pass->replica.slot;
}

static inline void start_replica(struct fixture *fixture)
{
    const struct ports_where where = {"127.0.0.1", doors_folder(fixture->doors)};
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;

    spec.ports[0] = (struct sandbox_port){8080, fixture->place.host_port, fixture->protocol};
    cr_assert_eq(ports_bind(&spec, &where, &fixture->ports, &refused), 0);
}

static inline struct fixture *fixture_new_paced(enum sandbox_protocol protocol,
                                                uint32_t flow_bytes_per_s)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct doors_config config = {.bind = "127.0.0.1",
                                  .folder = fixture->folder,
                                  .flow_bytes_per_s = flow_bytes_per_s,
                                  .places = on_places,
                                  .is_welcome = on_welcome,
                                  .lost = on_lost,
                                  .secret = on_secret,
                                  .context = fixture};
    struct err err = {0};

    strcpy(fixture->folder, "/tmp/minga-doors.XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->folder));
    uv_loop_init(&fixture->loop);
    config.loop = &fixture->loop;
    fixture->doors = doors_new(&config, &err);
    cr_assert_not_null(fixture->doors, "%s", err.text);
    fixture->place = (struct door_place){.replica.slot = 1, .host_port = free_port(SOCK_STREAM)};
    fixture->protocol = protocol;
    fixture->place.is_udp = sandbox_is_udp(protocol);
    fixture->place.is_running = true;
    fixture->place_count = 1;
    start_replica(fixture);
    cr_assert_eq(doors_open(fixture->doors, &fixture->place), 0);
    return fixture;
}

static inline struct fixture *fixture_new_of(enum sandbox_protocol protocol)
{
    return fixture_new_paced(protocol, PACE_BYTES_PER_S);
}

static inline struct fixture *fixture_new(void)
{
    return fixture_new_of(SANDBOX_MEMBERS);
}

static inline void fixture_free(struct fixture *fixture)
{
    char name[PORTS_PATH_BYTES];

    ports_close(&fixture->ports);
    doors_close(fixture->doors);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    ports_members_name(fixture->place.host_port, name);
    (void)unlinkat(doors_folder(fixture->doors), name, 0);
    doors_free(fixture->doors);
    cr_assert_eq(uv_loop_close(&fixture->loop), 0);
    cr_assert_eq(rmdir(fixture->folder), 0);
    free(fixture);
}

/* ------------------------------------------------------------------ the caller's */

static inline void visit_begin(const struct fixture *fixture, struct visit *visit)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fixture->place.host_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    memset(visit, 0, sizeof(*visit));
    visit->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(visit->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static inline void visit_say(struct visit *visit, const void *bytes, size_t length_bytes)
{
    cr_assert_eq(send(visit->fd, bytes, length_bytes, MSG_NOSIGNAL), (ssize_t)length_bytes);
}

/* Runs the loop until more has come. Returns false: it was hung up on. */
static inline bool visit_hears(struct fixture *fixture, struct visit *visit)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    ssize_t got = -1;

    while (got < 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(visit->fd, visit->in + visit->in_bytes, sizeof(visit->in) - visit->in_bytes,
                   MSG_DONTWAIT);
        cr_assert(got >= 0 || errno == EAGAIN || errno == ECONNRESET);
        if (got < 0 && errno == ECONNRESET) {
            return false;
        }
    }
    cr_assert_geq(got, 0, "it neither answers nor hangs up");
    visit->in_bytes += (size_t)got;
    return got > 0;
}

static inline void visit_forget(struct visit *visit, size_t count_bytes)
{
    visit->in_bytes -= count_bytes;
    memmove(visit->in, visit->in + count_bytes, visit->in_bytes);
}

/* As the member `of` with a pass until then; false: it was hung up on at once. */
static inline bool visit_greet(struct fixture *fixture, struct visit *visit,
                               const struct node_id *of, uint64_t until_ms)
{
    struct relay_hello hello = {.leaf = *of};
    struct wire_writer wire = wire_writer(hello.nonce, sizeof(hello.nonce));
    uint8_t bytes[RELAY_HELLO_BYTES];
    uint8_t secret[RELAY_SECRET_BYTES];
    const struct pass pass = {
        .member = *of, .replica = fixture->place.replica, .until_ms = until_ms};

    wire_put_u64(&wire, until_ms);
    relay_hello_write(&hello, bytes);
    visit_say(visit, bytes, sizeof(bytes));
    while (visit->in_bytes < RELAY_NONCE_BYTES) {
        if (!visit_hears(fixture, visit)) {
            return false;
        }
    }
    on_secret(NULL, &pass, secret);
    relay_seal_init(&visit->seal, secret, (struct relay_nonces){hello.nonce, visit->in}, true);
    visit_forget(visit, RELAY_NONCE_BYTES);
    return true;
}

static inline void visit_send(struct visit *visit, enum relay_frame type, const char *text)
{
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length = relay_seal_frame(&visit->seal, type, bytes_of_text(text), frame);

    visit_say(visit, frame, length);
}

/* The next frame; false: it was hung up on. */
static inline bool visit_frame(struct fixture *fixture, struct visit *visit,
                               struct relay_opened *opened)
{
    for (;;) {
        int taken =
            relay_open_frame(&visit->seal, (struct bytes){visit->in, visit->in_bytes}, opened);

        cr_assert_geq(taken, 0);
        if (taken > 0) {
            visit_forget(visit, (size_t)taken);
            return true;
        }
        if (!visit_hears(fixture, visit)) {
            return false;
        }
    }
}

static inline bool visit_enters(struct fixture *fixture, struct visit *visit)
{
    static struct relay_opened opened;

    visit_begin(fixture, visit);
    if (!visit_greet(fixture, visit, &member, clock_now_ms() + PASS_MS / 2)) {
        return false;
    }
    visit_send(visit, RELAY_READY, "");
    return visit_frame(fixture, visit, &opened) && opened.type == RELAY_OPEN;
}

/* What minga-init gets for a visit. */
static inline int accept_inside(struct fixture *fixture)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    int fd = -1;

    while (fd < 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        fd = accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    cr_assert_geq(fd, 0);
    return fd;
}

static inline void hear_inside(struct fixture *fixture, int fd, const char *expected)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    char text[64] = "";
    ssize_t got = -1;

    while (got < 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(fd, text, sizeof(text) - 1, 0);
    }
    cr_assert_eq(got, (ssize_t)strlen(expected));
    cr_assert_str_eq(text, expected);
}
