// SPDX-License-Identifier: GPL-3.0-or-later
/* A door for members on one loop, over loopback: who is let in, and who is hung up on. */
#include "agent/mingad/doors/doors.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relay_seal.h"
#include "agent/mingad/replicas/ports.h"
#include "base/wire.h"

enum { WAIT_MS_MAX = 20000, VISITS_MAX = DOORS_VISITS_PER_MEMBER_MAX + 1 };

struct fixture {
    uv_loop_t loop;
    struct doors *doors;
    struct ports ports; /* the replica's end: what minga-init has */
    char folder[64];
    struct door_place place;
    uint32_t place_count;
    bool is_unwelcome;
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

static uint32_t on_places(void *context, uint32_t count_max, struct door_place *places_out)
{
    const struct fixture *fixture = context;

    cr_assert_gt(count_max, 0);
    places_out[0] = fixture->place;
    return fixture->place_count;
}

static bool on_welcome(void *context, const struct node_id *node)
{
    return !((const struct fixture *)context)->is_unwelcome && id_equal(&node->id, &member.id);
}

/* Any that differs with what counts will do. */
static void on_secret(void *context, const struct pass *pass,
                      uint8_t secret_out[RELAY_SECRET_BYTES])
{
    (void)context;
    memset(secret_out, (int)(pass->until_ms & 0xff), RELAY_SECRET_BYTES);
    secret_out[0] = pass->member.id.bytes[0];
    secret_out[1] = (uint8_t)pass->replica.slot;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &address_bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void start_replica(struct fixture *fixture)
{
    const struct ports_where where = {"127.0.0.1", doors_folder(fixture->doors)};
    struct sandbox_spec spec = {.port_count = 1};
    uint16_t refused = 0;

    spec.ports[0] = (struct sandbox_port){8080, fixture->place.host_port, SANDBOX_MEMBERS};
    cr_assert_eq(ports_bind(&spec, &where, &fixture->ports, &refused), 0);
}

static struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct doors_config config = {.bind = "127.0.0.1",
                                  .folder = fixture->folder,
                                  .places = on_places,
                                  .is_welcome = on_welcome,
                                  .secret = on_secret,
                                  .context = fixture};
    struct err err = {0};

    strcpy(fixture->folder, "/tmp/minga-doors.XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->folder));
    uv_loop_init(&fixture->loop);
    config.loop = &fixture->loop;
    fixture->doors = doors_new(&config, &err);
    cr_assert_not_null(fixture->doors, "%s", err.text);
    fixture->place = (struct door_place){.replica.slot = 1, .host_port = free_port()};
    fixture->place.is_running = true;
    fixture->place_count = 1;
    start_replica(fixture);
    cr_assert_eq(doors_open(fixture->doors, &fixture->place), 0);
    return fixture;
}

static void fixture_free(struct fixture *fixture)
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

static void visit_begin(const struct fixture *fixture, struct visit *visit)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fixture->place.host_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    memset(visit, 0, sizeof(*visit));
    visit->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(visit->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void visit_say(struct visit *visit, const void *bytes, size_t length_bytes)
{
    cr_assert_eq(send(visit->fd, bytes, length_bytes, MSG_NOSIGNAL), (ssize_t)length_bytes);
}

/* Runs the loop until more has come. Returns false: it was hung up on. */
static bool visit_hears(struct fixture *fixture, struct visit *visit)
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

static void visit_forget(struct visit *visit, size_t count_bytes)
{
    visit->in_bytes -= count_bytes;
    memmove(visit->in, visit->in + count_bytes, visit->in_bytes);
}

/* As the member `of` with a pass until then; false: it was hung up on at once. */
static bool visit_greet(struct fixture *fixture, struct visit *visit, const struct node_id *of,
                        uint64_t until_ms)
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

static void visit_send(struct visit *visit, enum relay_frame type, const char *text)
{
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length = relay_seal_frame(&visit->seal, type, bytes_of_text(text), frame);

    visit_say(visit, frame, length);
}

/* The next frame; false: it was hung up on. */
static bool visit_frame(struct fixture *fixture, struct visit *visit, struct relay_opened *opened)
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

static bool visit_enters(struct fixture *fixture, struct visit *visit)
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
static int accept_inside(struct fixture *fixture)
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

static void hear_inside(struct fixture *fixture, int fd, const char *expected)
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

/* ------------------------------------------------------------------ tests */

Test(doors, a_member_with_a_pass_talks_to_the_replica)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    visit_send(&visit, RELAY_DATA, "are you there?");
    hear_inside(fixture, inside, "are you there?");
    cr_assert_eq(send(inside, "yes", 3, MSG_NOSIGNAL), 3);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_DATA);
    cr_assert_eq(opened.body_bytes, 3);
    /* One side has said all, the other not yet. */
    visit_send(&visit, RELAY_END, "");
    hear_inside(fixture, inside, "");
    cr_assert_eq(send(inside, "bye", 3, MSG_NOSIGNAL), 3);
    close(inside);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.body_bytes, 3);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_END);
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, nobody_else_is_answered_at_all)
{
    struct fixture *fixture = fixture_new();
    const struct node_id stranger = {.id.bytes = {8}};
    static const char http[] = "GET / HTTP/1.1\r\nHost: a-name-that-is-long-enough-for-a-greeting."
                               "example.org\r\nUser-Agent: somebody\r\n\r\n";
    uint64_t now_ms = clock_now_ms();
    static struct visit visit;

    static_assert(sizeof(http) > RELAY_HELLO_BYTES, "it is looked at");
    visit_begin(fixture, &visit);
    visit_say(&visit, http, sizeof(http) - 1);
    cr_expect(!visit_hears(fixture, &visit), "no greeting");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &stranger, now_ms + PASS_MS / 2), "no member");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, now_ms - 1), "a pass that is over");
    close(visit.fd);
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, now_ms + 10 * PASS_MS), "one nobody gave");
    close(visit.fd);
    fixture->is_unwelcome = true;
    visit_begin(fixture, &visit);
    cr_expect(!visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2), "expelled");
    close(visit.fd);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, 0);
    fixture_free(fixture);
}

Test(doors, who_does_not_know_the_secret_reaches_nothing)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit.seal.send_key[0] ^= 1;
    visit_send(&visit, RELAY_READY, "");
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_lt(accept4(fixture->ports.fds[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), 0);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, who_speaks_before_it_is_let_in_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    visit_send(&visit, RELAY_DATA, "hello");
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_replica_that_does_not_run_is_no_open_connection)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    ports_close(&fixture->ports);
    cr_assert(!visit_enters(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

/* Its minga-init closes what the service has reset, and is gone itself when the replica is ended. */
Test(doors, one_that_is_cut_behind_the_door_is_no_end)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(send(inside, "half", 4, MSG_NOSIGNAL), 4);
    close(inside);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.body_bytes, 4);
    cr_assert(!visit_frame(fixture, &visit, &opened), "it is told of an end");
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, a_replica_that_has_said_all_is_an_end)
{
    struct fixture *fixture = fixture_new();
    static struct relay_opened opened;
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(shutdown(inside, SHUT_WR), 0);
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_END);
    visit_send(&visit, RELAY_DATA, "go on");
    hear_inside(fixture, inside, "go on");
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, who_is_expelled_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    cr_assert_eq(doors_counters(fixture->doors).visit_count, 1);
    fixture->is_unwelcome = true;
    cr_assert(!visit_hears(fixture, &visit));
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, they_go_with_their_replica)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    cr_assert(visit_enters(fixture, &visit));
    fixture->place_count = 0;
    doors_review(fixture->doors);
    cr_assert(!visit_hears(fixture, &visit));
    while (doors_counters(fixture->doors).door_count > 0 && clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(doors_counters(fixture->doors).door_count, 0);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, one_that_an_earlier_mingad_has_left_is_opened_again)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    fixture->place.replica.incarnation = 5; /* another one, which nobody has opened */
    doors_review(fixture->doors);
    while (!visit_enters(fixture, &visit) && clock_now_ms() < until_ms) {
        close(visit.fd);
    }
    cr_assert_eq(doors_counters(fixture->doors).door_count, 1);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, 1);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, one_member_does_not_take_all_places)
{
    struct fixture *fixture = fixture_new();
    static struct visit visits[VISITS_MAX];
    int inside[VISITS_MAX];

    for (uint32_t i = 0; i < DOORS_VISITS_PER_MEMBER_MAX; i++) {
        cr_assert(visit_enters(fixture, &visits[i]), "visit %u", i);
        inside[i] = accept_inside(fixture);
    }
    cr_assert(!visit_enters(fixture, &visits[VISITS_MAX - 1]));
    for (uint32_t i = 0; i < VISITS_MAX; i++) {
        close(visits[i].fd);
    }
    for (uint32_t i = 0; i < DOORS_VISITS_PER_MEMBER_MAX; i++) {
        close(inside[i]);
    }
    fixture_free(fixture);
}

Test(doors, strangers_who_wait_do_not_keep_members_out)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    static int strangers[2 * DOORS_VISITS_MAX];

    for (uint32_t i = 0; i < 2 * DOORS_VISITS_MAX; i++) {
        visit_begin(fixture, &visit);
        strangers[i] = visit.fd;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert(visit_enters(fixture, &visit));
    close(visit.fd);
    for (uint32_t i = 0; i < 2 * DOORS_VISITS_MAX; i++) {
        close(strangers[i]);
    }
    fixture_free(fixture);
}

Test(doors, who_says_nothing_is_hung_up_on)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;

    visit_begin(fixture, &visit);
    cr_assert(!visit_hears(fixture, &visit));
    close(visit.fd);
    fixture_free(fixture);
}

/* Each frame of one byte costs mingad more than that byte. */
enum { TINY_FRAMES = 20000, TINY_FRAMES_KEPT_MAX = 4096, QUIET_TURNS = 1000 };

static void look_at_queue(uv_handle_t *handle, void *queued_bytes_out)
{
    if (handle->type == UV_NAMED_PIPE) {
        *(size_t *)queued_bytes_out = uv_stream_get_write_queue_size((uv_stream_t *)handle);
    }
}

/* Goes on until nothing moves any more; returns the most that was kept for the replica. */
static size_t say_to_one_who_does_not_read(struct fixture *fixture, struct visit *visit,
                                           struct bytes *bytes)
{
    size_t queued_bytes = 0;
    size_t queued_bytes_max = 0;

    for (uint32_t quiet = 0; quiet < QUIET_TURNS && bytes->length_bytes > 0; quiet++) {
        size_t before_bytes = queued_bytes;
        ssize_t sent =
            send(visit->fd, bytes->data, bytes->length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            bytes->data += sent;
            bytes->length_bytes -= (size_t)sent;
        }
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        uv_walk(&fixture->loop, look_at_queue, &queued_bytes);
        queued_bytes_max = queued_bytes > queued_bytes_max ? queued_bytes : queued_bytes_max;
        quiet = sent > 0 || queued_bytes != before_bytes ? 0 : quiet;
    }
    for (uint32_t i = 0; i < QUIET_TURNS; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        uv_walk(&fixture->loop, look_at_queue, &queued_bytes);
        queued_bytes_max = queued_bytes > queued_bytes_max ? queued_bytes : queued_bytes_max;
    }
    return queued_bytes_max;
}

Test(doors, many_small_frames_that_nobody_reads_are_not_kept)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    uint8_t *frames =
        malloc((size_t)TINY_FRAMES * (RELAY_FRAME_BYTES_MAX - RELAY_BODY_BYTES_MAX + 1));
    struct bytes left = {frames, 0};
    size_t heard_bytes = 0;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    for (uint32_t i = 0; i < TINY_FRAMES; i++) {
        left.length_bytes += relay_seal_frame(&visit.seal, RELAY_DATA, bytes_of_text("x"),
                                              frames + left.length_bytes);
    }
    cr_assert_leq(say_to_one_who_does_not_read(fixture, &visit, &left), TINY_FRAMES_KEPT_MAX);
    while (heard_bytes < TINY_FRAMES && clock_now_ms() < until_ms) { /* and nothing is lost */
        static uint8_t heard[1 << 16];
        ssize_t sent = send(visit.fd, left.data, left.length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        ssize_t got;

        left.data += sent > 0 ? sent : 0;
        left.length_bytes -= sent > 0 ? (size_t)sent : 0;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(inside, heard, sizeof(heard), 0);
        heard_bytes += got > 0 ? (size_t)got : 0;
    }
    cr_assert_eq(heard_bytes, TINY_FRAMES);
    free(frames);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

Test(doors, the_folder_is_for_mingad_alone)
{
    struct fixture *fixture = fixture_new();
    struct stat status;

    cr_assert_eq(stat(fixture->folder, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    fixture_free(fixture);
}
