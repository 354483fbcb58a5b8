// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a stranger can send to a port that is for members only, and (with the first byte's lowest
 * bit) what a member can, behind the seal: real doors on a loop, over loopback, with the second bit
 * that of a UDP port. Each further byte pair is a frame's type and length (every fifth times 65: the
 * longest come too), or where the bytes are cut.
 */
#include "agent/mingad/doors/doors.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/doors/pace.h"
#include "agent/mingad/relays/relay_seal.h"
#include "agent/mingad/replicas/ports.h"
#include "base/check.h"
#include "base/wire.h"
#include "sandbox/init/udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS = 6, LONG_TIMES = 65, PORT_FIRST = 20000, PORT_COUNT = 20000 };

static uv_loop_t loop;
static struct doors *doors;
static struct ports ports;

enum { TCP, UDP, PLACES };
static struct door_place places[PLACES] = {
    [TCP] = {.replica.slot = 1, .is_running = true},
    [UDP] = {.replica.slot = 1, .is_udp = true, .is_running = true},
};
static const struct node_id member = {.id.bytes = {7}};
static const uint8_t secret[RELAY_SECRET_BYTES];

static uint32_t on_places(void *context, uint32_t count_max, struct door_place *places_out)
{
    (void)context;
    (void)count_max;
    memcpy(places_out, places, sizeof(places));
    return PLACES;
}

static bool on_welcome(void *context, const struct node_id *node)
{
    (void)context;
    return id_equal(&node->id, &member.id);
}

static void on_secret(void *context, const struct pass *pass,
                      uint8_t secret_out[RELAY_SECRET_BYTES])
{
    (void)context;
    (void)pass;
    memcpy(secret_out, secret, RELAY_SECRET_BYTES);
}

static char folder[] = "/tmp/minga-fuzz-doors.XXXXXX";

static void clear(void)
{
    char name[PORTS_PATH_BYTES];

    for (int i = 0; i < PLACES; i++) {
        ports_members_name(places[i].host_port, name);
        (void)unlinkat(doors_folder(doors), name, 0);
    }
    (void)rmdir(folder);
}

/* Several of these may run beside each other. */
static void open_door(struct door_place *place)
{
    uint32_t tries = 0;

    do {
        place->host_port =
            (uint16_t)(PORT_FIRST + (clock_now_ms() + (uint64_t)getpid() + tries++) % PORT_COUNT);
    } while (place->host_port == places[1 - (place - places)].host_port ||
             doors_open(doors, place) < 0);
}

static void open_once(void)
{
    struct doors_config config = {.loop = &loop,
                                  .bind = "127.0.0.1",
                                  .folder = folder,
                                  .flow_bytes_per_s = PACE_BYTES_PER_S,
                                  .places = on_places,
                                  .is_welcome = on_welcome,
                                  .secret = on_secret};
    struct sandbox_spec spec = {.port_count = PLACES};
    struct ports_where where = {"127.0.0.1", -1};
    uint16_t refused = 0;
    struct err err = {0};

    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* as mingad does */
    CHECK(mkdtemp(folder) != NULL && uv_loop_init(&loop) == 0);
    doors = doors_new(&config, &err);
    CHECK(doors != NULL);
    where.members_fd = doors_folder(doors);
    open_door(&places[TCP]);
    open_door(&places[UDP]);
    spec.ports[TCP] = (struct sandbox_port){1, places[TCP].host_port, SANDBOX_MEMBERS};
    spec.ports[UDP] = (struct sandbox_port){1, places[UDP].host_port, SANDBOX_MEMBERS_UDP};
    CHECK(ports_bind(&spec, &where, &ports, &refused) == 0 && atexit(clear) == 0);
}

/* What minga-init does, once; it keeps the connection of a UDP port, so that further frames have a
 * way, until the next one comes. */
static void serve(int which)
{
    static uint8_t taken[UDP_PACKET_BYTES_MAX + 1];
    static int flow = -1;
    int inside = accept4(ports.fds[which], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ssize_t got;

    if (inside >= 0 && which == UDP) {
        if (flow >= 0) {
            close(flow);
        }
        flow = inside;
        (void)!write(flow, "\0answer", 7);
    } else if (inside >= 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
        (void)!read(inside, taken, sizeof(taken));
        (void)!write(inside, "answer", 6);
        uv_run(&loop, UV_RUN_NOWAIT);
        close(inside);
    }
    while (which == UDP && flow >= 0 &&
           (got = recv(flow, taken, sizeof(taken), MSG_DONTWAIT)) > 0) {
        CHECK(got <= UDP_PACKET_BYTES_MAX && taken[0] == 0); /* nothing else comes out of a door */
    }
}

static void turns(void)
{
    for (int i = 0; i < TURNS; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        serve(TCP);
        serve(UDP);
    }
}

static void say(int fd, const void *bytes, size_t length_bytes)
{
    (void)!send(fd, bytes, length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    turns();
}

static bool greet(int fd, struct relay_seal *seal)
{
    struct relay_hello hello = {.leaf = member};
    struct wire_writer wire = wire_writer(hello.nonce, sizeof(hello.nonce));
    uint8_t bytes[RELAY_HELLO_BYTES];
    uint8_t nonce[RELAY_NONCE_BYTES];

    wire_put_u64(&wire, clock_now_ms() + PASS_MS / 2);
    relay_hello_write(&hello, bytes);
    say(fd, bytes, sizeof(bytes));
    if (recv(fd, nonce, sizeof(nonce), MSG_DONTWAIT) != sizeof(nonce)) {
        return false;
    }
    relay_seal_init(seal, secret, (struct relay_nonces){hello.nonce, nonce}, true);
    return true;
}

static void send_frames(int fd, struct bytes rest)
{
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    static uint8_t body[RELAY_BODY_BYTES_MAX];
    struct relay_seal seal;

    if (!greet(fd, &seal)) {
        return;
    }
    while (rest.length_bytes >= 2) {
        enum relay_frame type = (enum relay_frame)(rest.data[0] % RELAY_FRAMES_COUNT);
        size_t said = rest.data[1] < rest.length_bytes - 2 ? rest.data[1] : rest.length_bytes - 2;
        /* The longest are too many bytes for an input: they are filled up. */
        size_t length = said == rest.data[1] && said % 5 == 0 ? said * LONG_TIMES : said;

        memset(body, 0, sizeof(body));
        memcpy(body, rest.data + 2, said);
        length = length < sizeof(body) ? length : sizeof(body);
        say(fd, frame, relay_seal_frame(&seal, type, (struct bytes){body, length}, frame));
        rest = (struct bytes){rest.data + 2 + said, rest.length_bytes - 2 - said};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    int fd;

    if (size < 1) {
        return 0;
    }
    if (doors == NULL) {
        open_once();
    }
    address.sin_port = htons(places[(data[0] & 3) == 3 ? UDP : TCP].host_port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)); /* no port in TIME_WAIT */
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    if ((data[0] & 1) != 0) {
        send_frames(fd, (struct bytes){data + 1, size - 1});
    } else {
        size_t cut = (size_t)(data[0] / 2) < size - 1 ? (size_t)(data[0] / 2) : size - 1;

        say(fd, data + 1, cut);
        say(fd, data + 1 + cut, size - 1 - cut);
    }
    close(fd);
    turns();
    CHECK(doors_counters(doors).door_count == PLACES);
    return 0;
}
