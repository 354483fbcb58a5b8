// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What others can make a transport take in while its loop does not run: that of a busy machine may
 * stand still for seconds, ZeroMQ's thread goes on. Each sender is a process of its own.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "agent/mingad/transport/transport_gate.h"
#include "agent/mingad/transport/transport_internal.h"

enum {
    STALL_MS = 1500,
    GROWTH_KIB_MAX = 16 << 10,
    DESCRIPTORS = 256,
    FLOOD_COUNT = 600,
    GREETING_BYTES = 64,
};

struct node {
    uv_loop_t loop;
    struct transport *transport;
    struct secret_key key;
    uint8_t curve_key[32]; /* public */
    bool knows_all;        /* everyone is a member */
    uint32_t received_count;
    uint32_t up_count;
    uint32_t lost_count;
    int statm_fd;
    pid_t sender;
};

static void on_event(void *context, const struct overlay_event *event)
{
    struct node *node = context;

    node->received_count += event->kind == OVERLAY_RECEIVED;
    node->up_count += event->kind == OVERLAY_LINK_UP;
    node->lost_count += event->kind == OVERLAY_LINK_LOST;
}

static bool is_member(void *context, const uint8_t curve_key[32])
{
    (void)curve_key;
    return ((const struct node *)context)->knows_all;
}

static struct node *set_up(bool knows_all)
{
    struct rlimit descriptors = {DESCRIPTORS, DESCRIPTORS};
    struct node *node = calloc(1, sizeof(*node));
    struct err err = {0};

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
    node->knows_all = knows_all;
    node->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    uv_loop_init(&node->loop);
    keys_generate(&node->key);
    const struct public_key key = keys_public(&node->key);

    cr_assert_eq(keys_curve_public(&key, node->curve_key), 0);
    const struct transport_config config = {.loop = &node->loop,
                                            .node_key = &node->key,
                                            .listen_host = "127.0.0.1",
                                            .event = on_event,
                                            .is_member = is_member,
                                            .context = node};

    cr_assert_eq(transport_open(&config, &node->transport, &err), 0, "%s", err.text);
    return node;
}

static void end_sender(struct node *node)
{
    if (node->sender > 0) {
        kill(node->sender, SIGKILL);
        waitpid(node->sender, NULL, 0);
        node->sender = 0;
    }
}

static void tear_down(struct node *node)
{
    end_sender(node);
    transport_close(node->transport);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    transport_free(node->transport);
    cr_assert_eq(uv_loop_close(&node->loop), 0);
    close(node->statm_fd);
    free(node);
}

static void run_for_ms(struct node *node, int ms)
{
    for (int i = 0; i < ms; i++) {
        (void)transport_settle(node->transport);
        uv_run(&node->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static long resident_kib(const struct node *node)
{
    char text[128] = "";
    char *end;

    cr_assert_gt(pread(node->statm_fd, text, sizeof(text) - 1, 0), 0);
    (void)strtol(text, &end, 10);
    return strtol(end, NULL, 10) * (sysconf(_SC_PAGESIZE) >> 10);
}

/* The loop stands still while the sender goes on. Returns by how much this process grew. */
static long stall(const struct node *node)
{
    long before_kib = resident_kib(node);

    usleep(STALL_MS * 1000);
    return resident_kib(node) - before_kib;
}

/* ------------------------------------------------------------------ senders, each a child */

static int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd >= 0) {
        (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    }
    return fd;
}

static void raise_descriptors(void)
{
    (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){2000, 2000});
}

/* Connections that say nothing; whichever is closed is opened again. */
static void flood(const struct node *node, uint16_t port)
{
    static int fds[FLOOD_COUNT];

    (void)node;
    raise_descriptors();
    memset(fds, -1, sizeof(fds));
    while (true) {
        for (size_t i = 0; i < FLOOD_COUNT; i++) {
            char bytes[64];

            if (fds[i] < 0 || recv(fds[i], bytes, sizeof(bytes), 0) == 0 || errno != EAGAIN) {
                close(fds[i]);
                fds[i] = dial(port);
            }
        }
        usleep(1000);
    }
}

/* Right greetings, and then a command of nearly 1 MiB that is no command. */
static void grow(const struct node *node, uint16_t port)
{
    static const uint8_t head[GREETING_BYTES + 9] = {
        0xff, 0, 0,   0,   0,   0,   0,   0,           1,           0x7f,
        3,    1, 'C', 'U', 'R', 'V', 'E', [64] = 0x06, [70] = 0x10, [71] = 0x0f};
    static uint8_t piece[32768];
    int fds[100];

    (void)node;
    for (size_t i = 0; i < 100; i++) {
        struct pollfd wait = {.fd = dial(port), .events = POLLOUT};

        fds[i] = wait.fd;
        (void)poll(&wait, 1, 100);
        (void)send(fds[i], head, sizeof(head), MSG_NOSIGNAL);
    }
    while (true) {
        for (size_t i = 0; i < 100; i++) {
            (void)send(fds[i], piece, sizeof(piece), MSG_NOSIGNAL);
        }
        usleep(1000);
    }
}

static void *curve_dealer(void *context, const struct node *node, uint16_t port,
                          const struct curve_keypair *own)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    char endpoint[64];

    snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%u", port);
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, node->curve_key, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, own->public_bytes, 32);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, own->secret_bytes, 32);
    zmq_connect(dealer, endpoint);
    return dealer;
}

static void new_curve(struct curve_keypair *curve_out)
{
    struct secret_key key;

    keys_generate(&key);
    (void)keys_curve(&key, curve_out);
}

/* A greeting, and one second later chunk after chunk, faster than they can be handled. */
static void send_chunks(const struct node *node, uint16_t port)
{
    static uint8_t chunk[CHUNK_BYTES_MAX];
    struct curve_keypair curve;

    new_curve(&curve);
    void *dealer = curve_dealer(zmq_ctx_new(), node, port, &curve);

    zmq_send(dealer, "hello", 5, 0);
    usleep(1000000);
    while (true) {
        zmq_send(dealer, "take", 4, ZMQ_SNDMORE);
        zmq_send(dealer, chunk, sizeof(chunk), 0);
    }
}

/* Six links of one key. */
static void dial_often(const struct node *node, uint16_t port)
{
    struct curve_keypair curve;
    void *context = zmq_ctx_new();

    new_curve(&curve);
    for (int i = 0; i < 6; i++) {
        void *dealer = curve_dealer(context, node, port, &curve);
        int never = -1;

        zmq_setsockopt(dealer, ZMQ_RECONNECT_IVL, &never, sizeof(never));
        zmq_send(dealer, "hello", 5, 0);
    }
    pause();
}

static void begin(struct node *node, void (*send)(const struct node *, uint16_t))
{
    node->sender = fork();
    cr_assert_geq(node->sender, 0);
    if (node->sender == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test fails, nobody ends it */
        send(node, transport_port(node->transport));
        _exit(0);
    }
}

/* ------------------------------------------------------------------ */

TestSuite(transport_stalled, .timeout = 240);

Test(transport_stalled, a_flood_of_connections_takes_neither_memory_nor_the_last_descriptors)
{
    struct node *node = set_up(false);
    int fds[16];

    run_for_ms(node, 50);
    begin(node, flood);
    cr_assert_leq(stall(node), GROWTH_KIB_MAX);
    for (size_t i = 0; i < 16; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_geq(fds[i], 0, "descriptor %zu: %s", i, strerror(errno));
    }
    for (size_t i = 0; i < 16; i++) {
        close(fds[i]);
    }
    tear_down(node);
}

Test(transport_stalled, as_many_connections_as_there_are_descriptors_leave_some)
{
    struct node *node = set_up(false);
    int fd;

    begin(node, flood);
    run_for_ms(node, 100);
    for (int i = 0; i < 20; i++) { /* each turn may let more in than the door can send off */
        usleep(50000);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0, "%s", strerror(errno));
        close(fd);
        run_for_ms(node, 5);
    }
    tear_down(node);
}

static void receive_more(struct node *node)
{
    for (int i = 0; i < 300 && node->received_count <= 20; i++) {
        run_for_ms(node, 100); /* a slow machine, or one that is played, takes its time */
    }
}

Test(transport_stalled, strangers_commands_that_grow_are_cut_off)
{
    struct node *node = set_up(false);

    begin(node, grow);
    run_for_ms(node, 200);
    cr_assert_leq(stall(node), GROWTH_KIB_MAX);
    tear_down(node);
}

Test(transport_stalled, a_members_messages_wait_in_the_kernel_and_none_is_lost)
{
    struct node *node = set_up(true);

    begin(node, send_chunks);
    for (int i = 0; i < 4000 && node->received_count == 0; i++) {
        run_for_ms(node, 5);
    }
    cr_assert_eq(node->received_count, 1, "the greeting");
    usleep(1200000); /* chunks follow after a second */
    long growth_kib = stall(node);

    cr_assert_leq(growth_kib, GROWTH_KIB_MAX, "%ld KiB", growth_kib);
    receive_more(node);
    cr_assert_gt(node->received_count, 20);
    cr_assert_eq(door_turned_away(node->transport), 0);
    tear_down(node);
}

Test(transport_stalled, a_member_keeps_four_links_the_newest)
{
    struct node *node = set_up(true);

    begin(node, dial_often);
    run_for_ms(node, 1000);
    cr_assert_eq(node->received_count, 6);
    cr_assert_eq(door_turned_away(node->transport), 2);
    tear_down(node);
}

/* ------------------------------------------------------------------ those whom we dial */

/* Answers whatever it hears with chunk after chunk. */
static void answer_chunks(void *router)
{
    static uint8_t chunk[CHUNK_BYTES_MAX];
    char routing[8];
    char text[16];
    int length = zmq_recv(router, routing, sizeof(routing), 0);

    (void)zmq_recv(router, text, sizeof(text), 0);
    while (length > 0) {
        zmq_send(router, routing, (size_t)length, ZMQ_SNDMORE);
        zmq_send(router, "take", 4, ZMQ_SNDMORE);
        zmq_send(router, chunk, sizeof(chunk), 0);
        usleep(100); /* a router drops what finds no room */
    }
}

static void begin_answering(struct node *node, struct overlay_peer *peer_out)
{
    int channel[2];
    struct secret_key key;
    struct curve_keypair curve;

    keys_generate(&key);
    *peer_out = (struct overlay_peer){.key = keys_public(&key), .address_count = 1};
    peer_out->node = keys_node_id(&peer_out->key);
    cr_assert_eq(keys_curve(&key, &curve), 0);
    cr_assert_eq(pipe(channel), 0);
    node->sender = fork();
    if (node->sender == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test fails, nobody ends it */
        void *router = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
        char endpoint[64] = "";
        size_t endpoint_bytes = sizeof(endpoint);
        int yes = 1;

        zmq_setsockopt(router, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, curve.secret_bytes, 32);
        zmq_bind(router, "tcp://127.0.0.1:*");
        zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_bytes);
        (void)!write(channel[1], endpoint + strlen("tcp://"), 40);
        answer_chunks(router);
    }
    cr_assert_eq(read(channel[0], peer_out->addresses[0], 40), 40);
    close(channel[0]);
    close(channel[1]);
}

Test(transport_stalled, what_a_dialled_peer_sends_waits_in_the_kernel)
{
    struct node *node = set_up(true);
    struct overlay_peer peer;

    begin_answering(node, &peer);
    transport_send(node->transport, &peer, bytes_of_text("hello"), (struct transport_data){0});
    for (int i = 0; i < 16000 && node->up_count == 0; i++) {
        run_for_ms(node, 5);
    }
    cr_assert_eq(node->up_count, 1);
    long growth_kib = stall(node);

    cr_assert_leq(growth_kib, GROWTH_KIB_MAX, "%ld KiB", growth_kib);
    receive_more(node);
    cr_assert_gt(node->received_count, 20);
    cr_assert_eq(node->lost_count, 0);
    tear_down(node);
}

/* ------------------------------------------------------------------ the gate by itself */

Test(transport_stalled, descriptors_that_the_gate_does_not_know_pass_through)
{
    int pair[2];
    char bytes[32] = "";

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    gate_trust(pair[0]);
    gate_distrust(pair[0]);
    gate_forget_dialled(pair[0]);
    gate_trust(-1);
    gate_trust(GATE_FDS_MAX);
    cr_assert_eq(send(pair[1], "hello", 5, 0), 5);
    cr_assert_eq(recv(pair[0], bytes, sizeof(bytes), 0), 5);
    cr_assert_str_eq(bytes, "hello");
    cr_assert_eq(gate_taken_bytes(pair[0]), 0);
    cr_assert_eq(close(pair[0]), 0);
    cr_assert_eq(close(pair[1]), 0);
    cr_assert_eq(close(pair[1]), -1);
    cr_assert_eq(errno, EBADF);
}

Test(transport_stalled, a_watched_descriptor_has_its_measure_and_none_after_it_was_closed)
{
    static uint8_t much[256 << 10];
    int pair[2];
    uint64_t got_bytes = 0;
    ssize_t count = 1;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    gate_watch_dialled(pair[0]);
    while (count > 0) {
        (void)send(pair[1], much, sizeof(much), 0);
        count = recv(pair[0], much, sizeof(much), 0);
        got_bytes += count > 0 ? (uint64_t)count : 0;
    }
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(got_bytes, GATE_TRUSTED_BYTES);
    cr_assert_eq(gate_taken_bytes(pair[0]), GATE_TRUSTED_BYTES);
    gate_give_back(pair[0], 1000);
    cr_assert_eq(recv(pair[0], much, sizeof(much), 0), 1000);
    gate_give_back(pair[0], UINT64_MAX);
    cr_assert_eq(gate_taken_bytes(pair[0]), 0);
    close(pair[0]);
    gate_give_back(pair[0], 1000);
    cr_assert_eq(gate_taken_bytes(pair[0]), 0);
    close(pair[1]);
}
