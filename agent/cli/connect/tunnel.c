// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/connect/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/keep_alive.h"
#include "base/wire.h"
#include "sandbox/init/udp.h"

enum {
    DIAL_MS_MAX = 3000,
    GREET_MS_MAX = 5000,
    LOOK_MS = 1000,
    UNANSWERED_MS_MAX = 10000, /* of a flow: another one is begun at once */
};

static_assert((int)RELAY_BODY_BYTES_MAX > (int)UDP_PACKET_BYTES_MAX, "a packet is read whole");

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void tunnel_init(struct tunnel *tunnel, int from_fd, int to_fd)
{
    const int on = 1;
    int type = 0;
    socklen_t int_bytes = sizeof(int);

    memset(tunnel, 0, sizeof(*tunnel));
    tunnel->from_fd = from_fd;
    tunnel->to_fd = to_fd;
    tunnel->remote_fd = -1;
    tunnel->to_is_socket = getsockopt(to_fd, SOL_SOCKET, SO_TYPE, &type, &int_bytes) == 0;
    /* Each frame is written as it comes: one that is small would wait for the one before it. */
    (void)setsockopt(to_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void tunnel_init_packets(struct tunnel *tunnel, int fd)
{
    tunnel_init(tunnel, fd, fd);
    tunnel->has_packets = true;
}

void tunnel_hang_up(struct tunnel *tunnel)
{
    bool has_packets = tunnel->has_packets;

    if (tunnel->remote_fd >= 0) {
        close(tunnel->remote_fd);
    }
    sodium_memzero(&tunnel->seal, sizeof(tunnel->seal));
    tunnel_init(tunnel, tunnel->from_fd, tunnel->to_fd);
    tunnel->has_packets = has_packets;
}

/* Its packets wait where they are; only its end is told. */
bool tunnel_is_wanted(const struct tunnel *tunnel, int wait_ms)
{
    struct pollfd poller = {.fd = tunnel->has_packets ? tunnel->from_fd : -1};

    return poll(&poller, 1, wait_ms) <= 0;
}

/* ------------------------------------------------------------------ connecting */

/* Returns 0 when `events` have come by then, or -errno. */
static int await(int fd, short events, uint64_t until_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};

    for (;;) {
        uint64_t at_ms = now_ms();
        int r = poll(&poller, 1, at_ms < until_ms ? (int)(until_ms - at_ms) : 0);

        if (r > 0) {
            return 0;
        }
        if (r == 0) {
            return -ETIMEDOUT;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

static int dial_one(const struct addrinfo *to, int *fd_out)
{
    CLEANUP(cleanup_close)
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;
    socklen_t code_bytes = sizeof(code);
    int r;

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) {
        return -errno;
    }
    r = await(fd, POLLOUT, now_ms() + DIAL_MS_MAX);
    if (r < 0) {
        return r;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_bytes) < 0 || code != 0) {
        return code != 0 ? -code : -errno;
    }
    *fd_out = take_fd(&fd);
    return 0;
}

/* A connection that is lost may be a person's work; a flow is begun anew. */
static void keep_alive(const struct tunnel *tunnel)
{
    static const struct keep_alive patient = {.silence_s = 60, .every_s = 20, .count = 3};
    static const struct keep_alive quick = {.silence_s = 5, .every_s = 2, .count = 3};

    keep_alive_set(tunnel->remote_fd, tunnel->has_packets ? &quick : &patient);
}

int tunnel_dial(struct tunnel *tunnel, const char *host, uint16_t port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    int r;

    CHECK(tunnel->remote_fd < 0);
    snprintf(service, sizeof(service), "%u", port);
    r = getaddrinfo(host, service, &hints, &list);
    if (r != 0) {
        return r == EAI_SYSTEM ? -errno : -EHOSTUNREACH;
    }
    r = -EHOSTUNREACH;
    for (const struct addrinfo *one = list; one != NULL && r < 0; one = one->ai_next) {
        r = dial_one(one, &tunnel->remote_fd);
    }
    freeaddrinfo(list);
    if (r == 0) {
        keep_alive(tunnel);
    }
    return r;
}

/* ------------------------------------------------------------------ the greeting */

static int send_whole(int fd, struct bytes bytes, uint64_t until_ms)
{
    while (bytes.length_bytes > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.length_bytes, MSG_NOSIGNAL);

        if (sent >= 0) {
            bytes.data += sent;
            bytes.length_bytes -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int r = await(fd, POLLOUT, until_ms);

            if (r < 0) {
                return r;
            }
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* What has come and is not taken yet. */
static struct bytes came(const struct tunnel *tunnel)
{
    return (struct bytes){tunnel->in + tunnel->in_at, tunnel->in_bytes};
}

static void taken(struct tunnel *tunnel, size_t count_bytes)
{
    CHECK(count_bytes <= tunnel->in_bytes);
    tunnel->in_at += count_bytes;
    tunnel->in_bytes -= count_bytes;
}

/* As recv(). At most a part of a frame waits, so there is room. */
static ssize_t receive(struct tunnel *tunnel)
{
    ssize_t got;

    CHECK(tunnel->in_bytes < sizeof(tunnel->in));
    memmove(tunnel->in, came(tunnel).data, tunnel->in_bytes);
    tunnel->in_at = 0;
    got = recv(tunnel->remote_fd, tunnel->in + tunnel->in_bytes,
               sizeof(tunnel->in) - tunnel->in_bytes, MSG_DONTWAIT);
    tunnel->in_bytes += got > 0 ? (size_t)got : 0;
    return got;
}

/* Waits for more of what comes. */
static int read_more(struct tunnel *tunnel, uint64_t until_ms)
{
    int r = await(tunnel->remote_fd, POLLIN, until_ms);
    ssize_t got;

    if (r < 0) {
        return r;
    }
    got = receive(tunnel);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    return got == 0 ? -ECONNRESET : 0;
}

static void make_hello(const struct tunnel_pass *pass, struct relay_hello *hello_out)
{
    struct wire_writer wire = wire_writer(hello_out->nonce, sizeof(hello_out->nonce));

    hello_out->leaf = pass->member;
    randombytes_buf(hello_out->nonce, sizeof(hello_out->nonce));
    wire_put_u64(&wire, pass->until);
}

/* READY says that we know the secret; the answer, that it waits at the replica. */
static int await_open(struct tunnel *tunnel, uint64_t until_ms)
{
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t frame_bytes = relay_seal_frame(&tunnel->seal, RELAY_READY, (struct bytes){0}, frame);
    struct relay_opened opened;
    int r = send_whole(tunnel->remote_fd, (struct bytes){frame, frame_bytes}, until_ms);

    while (r == 0) {
        int length = relay_open_frame(&tunnel->seal, came(tunnel), &opened);

        if (length != 0) {
            if (length > 0) {
                taken(tunnel, (size_t)length);
            }
            return length > 0 && opened.type == RELAY_OPEN ? 0 : -EBADMSG;
        }
        r = read_more(tunnel, until_ms);
    }
    return r;
}

int tunnel_greet(struct tunnel *tunnel, const struct tunnel_pass *pass)
{
    uint64_t until_ms = now_ms() + GREET_MS_MAX;
    uint8_t bytes[RELAY_HELLO_BYTES];
    struct relay_hello hello;
    int r;

    make_hello(pass, &hello);
    relay_hello_write(&hello, bytes);
    r = send_whole(tunnel->remote_fd, (struct bytes){bytes, sizeof(bytes)}, until_ms);
    while (r == 0 && tunnel->in_bytes < RELAY_NONCE_BYTES) {
        r = read_more(tunnel, until_ms);
    }
    if (r < 0) {
        return r;
    }
    relay_seal_init(&tunnel->seal, pass->secret,
                    (struct relay_nonces){hello.nonce, came(tunnel).data}, true);
    taken(tunnel, RELAY_NONCE_BYTES);
    tunnel->is_sealed = true;
    return await_open(tunnel, until_ms);
}

/* ------------------------------------------------------------------ passing on */

static void fail(struct tunnel *tunnel, int code)
{
    tunnel->failed_code = code;
}

/* What was read here, on its way. */
static void put_out(struct tunnel *tunnel, struct bytes bytes)
{
    CHECK(tunnel->out_bytes == 0);
    tunnel->out_at = 0;
    if (tunnel->has_packets) {
        tunnel->out_bytes = relay_seal_frame(&tunnel->seal, RELAY_DATAGRAM, bytes, tunnel->out);
    } else if (tunnel->is_sealed) {
        tunnel->out_bytes = relay_seal_frame(
            &tunnel->seal, bytes.length_bytes > 0 ? RELAY_DATA : RELAY_END, bytes, tunnel->out);
    } else if (bytes.length_bytes > 0) {
        memcpy(tunnel->out, bytes.data, bytes.length_bytes);
        tunnel->out_bytes = bytes.length_bytes;
    } else {
        (void)shutdown(tunnel->remote_fd, SHUT_WR);
    }
}

static void send_out(struct tunnel *tunnel)
{
    ssize_t sent = send(tunnel->remote_fd, tunnel->out + tunnel->out_at,
                        tunnel->out_bytes - tunnel->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(tunnel, errno);
        }
        return;
    }
    tunnel->out_at += (size_t)sent;
    if (tunnel->out_at == tunnel->out_bytes) {
        tunnel->out_at = 0;
        tunnel->out_bytes = 0;
    }
}

static void read_here(struct tunnel *tunnel)
{
    uint8_t bytes[RELAY_BODY_BYTES_MAX];
    ssize_t got = read(tunnel->from_fd, bytes, sizeof(bytes));

    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(tunnel, errno);
        }
        return;
    }
    tunnel->from_ended = got == 0;
    if (!tunnel->has_packets) {
        put_out(tunnel, (struct bytes){bytes, (size_t)got});
    } else if (got >= UDP_PACKET_MARK_BYTES && got <= UDP_PACKET_BYTES_MAX) {
        put_out(tunnel,
                (struct bytes){bytes + UDP_PACKET_MARK_BYTES, (size_t)got - UDP_PACKET_MARK_BYTES});
    }
    if (tunnel->out_bytes > 0) { /* there is room mostly */
        send_out(tunnel);
    }
}

static void end_here(struct tunnel *tunnel)
{
    tunnel->to_ended = true;
    if (shutdown(tunnel->to_fd, SHUT_WR) < 0 && errno == ENOTSOCK) {
        close(tunnel->to_fd); /* a pipe: its end is its close */
    }
}

/* A socket takes what it has room for. A pipe must not block: it takes so much at once. */
static ssize_t write_some(const struct tunnel *tunnel, struct bytes bytes)
{
    if (tunnel->to_is_socket) {
        return send(tunnel->to_fd, bytes.data, bytes.length_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return write(tunnel->to_fd, bytes.data,
                 bytes.length_bytes < PIPE_BUF ? bytes.length_bytes : PIPE_BUF);
}

static void write_here(struct tunnel *tunnel)
{
    ssize_t written = write_some(
        tunnel, (struct bytes){tunnel->to + tunnel->to_at, tunnel->to_bytes - tunnel->to_at});

    if (written < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(tunnel, errno);
        }
        return;
    }
    tunnel->to_at += (size_t)written;
    if (tunnel->to_at == tunnel->to_bytes) {
        tunnel->to_at = 0;
        tunnel->to_bytes = 0;
    }
}

/* What comes at a flow: datagrams and nothing else. */
static bool put_packet(struct tunnel *tunnel, const struct relay_opened *opened)
{
    if (opened->type != RELAY_DATAGRAM || opened->body_bytes > UDP_MEMBERS_BYTES_MAX) {
        fail(tunnel, EBADMSG);
        return false;
    }
    tunnel->to[0] = 0;
    memcpy(tunnel->to + UDP_PACKET_MARK_BYTES, relay_body(opened).data, opened->body_bytes);
    tunnel->to_bytes = UDP_PACKET_MARK_BYTES + opened->body_bytes;
    return true;
}

/* One frame of what has come, which may be without a byte. False: none is whole, or it was the last. */
static bool open_frame(struct tunnel *tunnel)
{
    struct relay_opened opened;
    int length = relay_open_frame(&tunnel->seal, came(tunnel), &opened);

    if (length == 0) {
        return false;
    }
    if (length < 0 ||
        (!tunnel->has_packets && opened.type != RELAY_DATA && opened.type != RELAY_END)) {
        fail(tunnel, EBADMSG);
        return false;
    }
    taken(tunnel, (size_t)length);
    if (tunnel->has_packets) {
        return put_packet(tunnel, &opened);
    }
    if (opened.type == RELAY_END) {
        end_here(tunnel);
        return false;
    }
    tunnel->to_bytes = opened.body_bytes;
    memcpy(tunnel->to, relay_body(&opened).data, opened.body_bytes);
    return true;
}

static bool copy_plain(struct tunnel *tunnel)
{
    struct bytes bytes = came(tunnel);

    if (bytes.length_bytes > sizeof(tunnel->to)) {
        bytes.length_bytes = sizeof(tunnel->to);
    }
    memcpy(tunnel->to, bytes.data, bytes.length_bytes);
    tunnel->to_bytes = bytes.length_bytes;
    taken(tunnel, bytes.length_bytes);
    return bytes.length_bytes > 0;
}

/* All that has come, each as soon as what was before it is written: then nothing whole is left. */
static void open_next(struct tunnel *tunnel)
{
    while (tunnel->to_bytes == 0 && !tunnel->to_ended && tunnel->failed_code == 0 &&
           (tunnel->is_sealed ? open_frame(tunnel) : copy_plain(tunnel))) {
        if (tunnel->to_is_socket && tunnel->to_bytes > 0) { /* of a pipe poll() has to tell */
            write_here(tunnel);
        }
    }
}

static void read_there(struct tunnel *tunnel)
{
    ssize_t got = receive(tunnel);

    if (got > 0) {
        open_next(tunnel);
    } else if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(tunnel, errno);
        }
    } else if (tunnel->is_sealed) {
        fail(tunnel, ECONNRESET); /* a sealed stream says that it ends */
    } else {
        end_here(tunnel);
    }
}

static bool is_over(const struct tunnel *tunnel)
{
    bool says_more = !tunnel->from_ended && tunnel->from_fd == tunnel->to_fd;

    if (tunnel->has_packets && tunnel->from_ended) {
        return true;
    }
    return tunnel->failed_code != 0 || (tunnel->to_ended && !says_more && tunnel->out_bytes == 0);
}

enum { FROM, TO, REMOTE, POLLERS };

/* What is not wanted is not watched: an end would be told again and again. */
static void fill_pollers(const struct tunnel *tunnel, struct pollfd pollers_out[POLLERS])
{
    bool reads = !tunnel->from_ended && tunnel->out_bytes == 0;
    short remote = 0;

    if (!tunnel->to_ended && tunnel->to_bytes == 0) {
        remote |= POLLIN;
    }
    if (tunnel->out_bytes > 0) {
        remote |= POLLOUT;
    }
    pollers_out[FROM] = (struct pollfd){reads ? tunnel->from_fd : -1, POLLIN, 0};
    pollers_out[TO] = (struct pollfd){tunnel->to_bytes > 0 ? tunnel->to_fd : -1, POLLOUT, 0};
    pollers_out[REMOTE] = (struct pollfd){remote != 0 ? tunnel->remote_fd : -1, remote, 0};
}

static void turn(struct tunnel *tunnel, const struct pollfd pollers[POLLERS])
{
    if (pollers[FROM].revents != 0) {
        read_here(tunnel);
    }
    if (pollers[TO].revents != 0 && tunnel->failed_code == 0) {
        write_here(tunnel);
        open_next(tunnel);
    }
    if ((pollers[REMOTE].revents & (POLLOUT | POLLERR)) != 0 && tunnel->failed_code == 0 &&
        tunnel->out_bytes > 0) {
        send_out(tunnel);
    }
    if ((pollers[REMOTE].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && tunnel->failed_code == 0 &&
        tunnel->to_bytes == 0 && !tunnel->to_ended) {
        read_there(tunnel);
    }
}

/* Who sends datagrams does not notice that nothing is acknowledged any more. */
static void look(struct tunnel *tunnel)
{
    if (tunnel->has_packets && tunnel->failed_code == 0 &&
        keep_alive_look_ms(tunnel->remote_fd, now_ms(), &tunnel->unanswered_since_ms) >
            UNANSWERED_MS_MAX) {
        fail(tunnel, ETIMEDOUT);
    }
}

int tunnel_run(struct tunnel *tunnel)
{
    struct pollfd pollers[POLLERS];

    CHECK(tunnel->remote_fd >= 0 && (tunnel->is_sealed || !tunnel->has_packets));
    open_next(tunnel); /* what came with the greeting's end */
    while (!is_over(tunnel)) {
        fill_pollers(tunnel, pollers);
        if (poll(pollers, POLLERS, tunnel->has_packets ? LOOK_MS : -1) < 0 && errno != EINTR) {
            return -errno;
        }
        turn(tunnel, pollers);
        look(tunnel);
    }
    return -tunnel->failed_code;
}
