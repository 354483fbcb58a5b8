// SPDX-License-Identifier: GPL-3.0-or-later
/* One connection of `minga connect`: all that the other side says is there before it runs. */
#include "agent/cli/connect/tunnel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "sandbox/init/udp.h"

static struct tunnel tunnel;
static struct relay_seal replica; /* the other end's */
static int here = -1;             /* what the user's program has */
static int there = -1;            /* what the replica's node has */

static void pair_of(int type, int *ours_out, int *theirs_out)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    *ours_out = fds[0];
    *theirs_out = fds[1];
}

static void pair(int *ours_out, int *theirs_out)
{
    pair_of(SOCK_STREAM, ours_out, theirs_out);
}

static void begin_at(bool is_sealed, int from_fd, int to_fd)
{
    static const uint8_t secret[RELAY_SECRET_BYTES] = {1};
    static const uint8_t nonces[2][RELAY_NONCE_BYTES] = {{2}, {3}};

    tunnel_init(&tunnel, from_fd, to_fd);
    pair(&there, &tunnel.remote_fd);
    tunnel.is_sealed = is_sealed;
    relay_seal_init(&tunnel.seal, secret, (struct relay_nonces){nonces[0], nonces[1]}, true);
    relay_seal_init(&replica, secret, (struct relay_nonces){nonces[0], nonces[1]}, false);
}

static void begin_talking(bool is_sealed)
{
    int local;

    pair(&here, &local);
    begin_at(is_sealed, local, local);
}

static void begin(bool is_sealed)
{
    begin_talking(is_sealed);
    cr_assert_eq(shutdown(here, SHUT_WR), 0); /* the user's program has said all */
}

static void begin_sealed(void)
{
    begin(true);
}

static void begin_sealed_both_ways(void)
{
    begin_talking(true);
}

static void begin_plain(void)
{
    begin(false);
}

static void begin_flow(void)
{
    int local;

    pair_of(SOCK_SEQPACKET, &here, &local);
    begin_at(true, local, local);
    tunnel.has_packets = true;
}

static void end(void)
{
    const int fds[] = {here, there, tunnel.from_fd, tunnel.remote_fd};

    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
}

static void say(uint8_t type, const char *text)
{
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length = relay_seal_frame(&replica, type,
                                     (struct bytes){(const uint8_t *)text, strlen(text)}, frame);

    cr_assert_eq(send(there, frame, length, 0), (ssize_t)length);
}

static void expect_here(const char *text)
{
    char read_bytes[256] = "";
    size_t used = 0;
    ssize_t got;

    while ((got = recv(here, read_bytes + used, sizeof(read_bytes) - 1 - used, MSG_DONTWAIT)) > 0) {
        used += (size_t)got;
    }
    cr_expect_str_eq(read_bytes, text);
}

Test(tunnel, what_is_sealed_comes_out_and_ends, .init = begin_sealed, .fini = end)
{
    say(RELAY_DATA, "hello, ");
    say(RELAY_DATA, "you");
    say(RELAY_END, "");
    cr_assert_eq(tunnel_run(&tunnel), 0);
    expect_here("hello, you");
}

/* Nothing more comes that would wake it: all that is there has to be looked at. */
Test(tunnel, frames_without_a_byte_hold_nothing_up, .init = begin_sealed, .fini = end,
     .timeout = 60)
{
    for (int i = 0; i < 100; i++) {
        say(RELAY_DATA, "");
    }
    say(RELAY_DATA, "at last");
    say(RELAY_END, "");
    cr_assert_eq(tunnel_run(&tunnel), 0);
    expect_here("at last");
}

Test(tunnel, one_that_is_cut_is_no_end, .init = begin_sealed, .fini = end, .timeout = 60)
{
    say(RELAY_DATA, "half");
    cr_assert_eq(shutdown(there, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), -ECONNRESET);
    expect_here("half");
}

Test(tunnel, what_is_altered_on_the_way_ends_it, .init = begin_sealed, .fini = end, .timeout = 60)
{
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length =
        relay_seal_frame(&replica, RELAY_DATA, (struct bytes){(const uint8_t *)"secret", 6}, frame);

    frame[length - 1] ^= 1;
    cr_assert_eq(send(there, frame, length, 0), (ssize_t)length);
    cr_assert_eq(tunnel_run(&tunnel), -EBADMSG);
    expect_here("");
}

Test(tunnel, what_is_no_frame_ends_it, .init = begin_sealed, .fini = end, .timeout = 60)
{
    uint8_t noise[256];

    memset(noise, 0xff, sizeof(noise));
    cr_assert_eq(send(there, noise, sizeof(noise), 0), (ssize_t)sizeof(noise));
    cr_assert_eq(tunnel_run(&tunnel), -EBADMSG);
    expect_here("");
}

Test(tunnel, a_public_port_s_bytes_pass_as_they_are, .init = begin_plain, .fini = end,
     .timeout = 60)
{
    cr_assert_eq(send(there, "plain", 5, 0), 5);
    cr_assert_eq(shutdown(there, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), 0);
    expect_here("plain");
}

/* ------------------------------------------------------------------ flows */

static void say_bytes(uint8_t type, size_t length_bytes)
{
    static const uint8_t zeros[RELAY_BODY_BYTES_MAX];
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length = relay_seal_frame(&replica, type, (struct bytes){zeros, length_bytes}, frame);

    cr_assert_eq(send(there, frame, length, 0), (ssize_t)length);
}

static void expect_packet(const char *text)
{
    char packet[64] = "x";

    cr_assert_eq(recv(here, packet, sizeof(packet) - 1, MSG_DONTWAIT), (ssize_t)strlen(text) + 1);
    cr_assert_eq(packet[0], 0);
    cr_assert_str_eq(packet + 1, text);
}

/* How many bytes the next frame's datagram has. */
static size_t datagram_there(void)
{
    static uint8_t in[RELAY_FRAME_BYTES_MAX];
    static struct relay_opened opened;

    cr_assert_eq(recv(there, in, 2, MSG_WAITALL), 2);
    size_t length = (size_t)in[0] << 8 | in[1];

    cr_assert_eq(recv(there, in + 2, length, MSG_WAITALL), (ssize_t)length);
    cr_assert_gt(relay_open_frame(&replica, (struct bytes){in, 2 + length}, &opened), 0);
    cr_assert_eq(opened.type, RELAY_DATAGRAM);
    return opened.body_bytes;
}

Test(tunnel, a_flow_s_frames_are_packets, .init = begin_flow, .fini = end, .timeout = 60)
{
    static uint8_t large[UDP_PACKET_BYTES_MAX + 1];

    say(RELAY_DATAGRAM, "one");
    say(RELAY_DATAGRAM, "");
    say_bytes(RELAY_DATAGRAM, UDP_MEMBERS_BYTES_MAX);
    cr_assert_eq(shutdown(there, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), -ECONNRESET);
    expect_packet("one");
    expect_packet("");
    cr_assert_eq(recv(here, large, sizeof(large), MSG_DONTWAIT), UDP_PACKET_BYTES_MAX);
    cr_assert_lt(recv(here, large, sizeof(large), MSG_DONTWAIT), 0);
}

Test(tunnel, a_flow_s_packets_are_frames_until_it_ends, .init = begin_flow, .fini = end,
     .timeout = 60)
{
    static const uint8_t large[UDP_PACKET_BYTES_MAX + 1];

    cr_assert_eq(send(here, "\0two", 4, 0), 4);
    cr_assert_eq(send(here, "", 1, 0), 1);
    cr_assert_eq(send(here, large, UDP_PACKET_BYTES_MAX, 0), UDP_PACKET_BYTES_MAX);
    cr_assert_eq(send(here, large, UDP_PACKET_BYTES_MAX + 1, 0), UDP_PACKET_BYTES_MAX + 1);
    cr_assert_eq(send(here, "\0last", 5, 0), 5);
    cr_assert_eq(shutdown(here, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), 0);
    cr_assert_eq(datagram_there(), 3);
    cr_assert_eq(datagram_there(), 0);
    cr_assert_eq(datagram_there(), UDP_MEMBERS_BYTES_MAX);
    cr_assert_eq(datagram_there(), 4, "the one too long is lost");
    close(tunnel.remote_fd);
    tunnel.remote_fd = -1;
    cr_assert_eq(recv(there, &(char){0}, 1, 0), 0);
}

static const struct {
    uint8_t type;
    size_t length_bytes;
} no_datagrams[] = {
    {RELAY_DATAGRAM, UDP_MEMBERS_BYTES_MAX + 1}, {RELAY_DATA, 4}, {RELAY_END, 0}, {RELAY_OPEN, 2}};

Test(tunnel, what_is_no_datagram_ends_a_flow, .timeout = 60)
{
    for (size_t i = 0; i < ARRAY_COUNT(no_datagrams); i++) {
        begin_flow();
        say_bytes(no_datagrams[i].type, no_datagrams[i].length_bytes);
        cr_assert_eq(tunnel_run(&tunnel), -EBADMSG, "%zu", i);
        cr_assert_lt(recv(here, &(char){0}, 1, MSG_DONTWAIT), 0);
        end();
    }
}

Test(tunnel, a_datagram_at_a_connection_of_tcp_ends_it, .init = begin_sealed, .fini = end,
     .timeout = 60)
{
    say(RELAY_DATAGRAM, "one");
    cr_assert_eq(tunnel_run(&tunnel), -EBADMSG);
    expect_here("");
}

/* ------------------------------------------------------------------ much */

enum { MUCH_BYTES = 512 << 10 };

static uint8_t much_at(size_t offset_bytes)
{
    return (uint8_t)(offset_bytes * 31 + (offset_bytes >> 14));
}

static size_t fill(uint8_t *bytes, size_t capacity_bytes, size_t offset_bytes)
{
    size_t left_bytes = MUCH_BYTES - offset_bytes;
    size_t count_bytes = left_bytes < capacity_bytes ? left_bytes : capacity_bytes;

    for (size_t i = 0; i < count_bytes; i++) {
        bytes[i] = much_at(offset_bytes + i);
    }
    return count_bytes;
}

static bool put_all(int fd, const uint8_t *bytes, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t sent = send(fd, bytes, length_bytes, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        length_bytes -= (size_t)sent;
    }
    return true;
}

/* The replica's side, of a port for members or a public one: says it in frames of every size. */
static bool say_much(bool is_sealed)
{
    static uint8_t body[RELAY_BODY_BYTES_MAX];
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t piece = sizeof(body);
    bool ok = true;

    for (size_t at = 0; ok && at < MUCH_BYTES;) {
        size_t length = fill(body, piece, at);

        at += length;
        piece = piece > 2 ? piece - piece / 3 : sizeof(body);
        if (is_sealed) {
            length = relay_seal_frame(&replica, RELAY_DATA, (struct bytes){body, length}, frame);
        }
        ok = put_all(there, is_sealed ? frame : body, length);
    }
    if (ok && is_sealed) {
        ok = put_all(there, frame, relay_seal_frame(&replica, RELAY_END, (struct bytes){0}, frame));
    }
    return ok && shutdown(there, SHUT_WR) == 0;
}

/* The user's side, which takes its time: what it does not take has to wait. */
static bool hear_much(int fd)
{
    static uint8_t bytes[100000];
    size_t at = 0;
    ssize_t got;

    while ((got = read(fd, bytes, at % 3 == 0 ? 1000 : sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < got; i++, at++) {
            if (bytes[i] != much_at(at)) {
                return false;
            }
        }
    }
    return got == 0 && at == MUCH_BYTES;
}

/* As fork(); the child ends with the test. */
static pid_t beside(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

_Noreturn static void leave_with(bool ok)
{
    _exit(ok ? 0 : 1);
}

static bool went_well(pid_t pid)
{
    int status = 1;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void much_comes(bool is_sealed, int heard_fd)
{
    pid_t teller = beside();
    pid_t hearer;

    if (teller == 0) {
        leave_with(say_much(is_sealed));
    }
    hearer = beside();
    if (hearer == 0) {
        close(tunnel.to_fd);
        leave_with(hear_much(heard_fd));
    }
    close(there);
    there = -1;
    close(heard_fd);
    here = -1;
    cr_expect_eq(tunnel_run(&tunnel), 0);
    close(tunnel.to_fd);
    cr_expect(went_well(teller));
    cr_expect(went_well(hearer));
}

Test(tunnel, much_comes_whole_where_the_reader_is_slow, .init = begin_sealed, .fini = end)
{
    const int few_bytes = 4096; /* so that what is written does not fit */

    cr_assert_eq(setsockopt(tunnel.to_fd, SOL_SOCKET, SO_SNDBUF, &few_bytes, sizeof(int)), 0);
    much_comes(true, here);
}

Test(tunnel, much_of_a_public_port_comes_whole, .init = begin_plain, .fini = end)
{
    much_comes(false, here);
}

Test(tunnel, much_comes_whole_through_a_pipe, .fini = end)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    begin_at(true, open("/dev/null", O_RDONLY | O_CLOEXEC), ends[1]);
    much_comes(true, ends[0]);
}

Test(tunnel, much_is_said_whole, .init = begin_sealed_both_ways, .fini = end)
{
    static struct relay_opened opened;
    static uint8_t bytes[2 * RELAY_FRAME_BYTES_MAX];
    size_t at = 0, used = 0;
    ssize_t got = 1;
    bool is_right = true;
    pid_t runner = beside();
    pid_t teller;

    if (runner == 0) {
        close(here);
        close(there);
        leave_with(tunnel_run(&tunnel) == 0);
    }
    teller = beside();
    if (teller == 0) {
        for (size_t told = 0; told < MUCH_BYTES && is_right;) {
            size_t length = fill(bytes, sizeof(bytes), told);

            told += length;
            is_right = put_all(here, bytes, length);
        }
        leave_with(is_right && shutdown(here, SHUT_WR) == 0);
    }
    opened.type = RELAY_DATA;
    while (got > 0 && opened.type == RELAY_DATA) {
        int length = relay_open_frame(&replica, (struct bytes){bytes, used}, &opened);

        cr_assert_geq(length, 0);
        if (length == 0) {
            got = recv(there, bytes + used, sizeof(bytes) - used, 0);
            used += got > 0 ? (size_t)got : 0;
            continue;
        }
        used -= (size_t)length;
        memmove(bytes, bytes + length, used);
        for (size_t i = 0; i < opened.body_bytes; i++, at++) {
            is_right = is_right && relay_body(&opened).data[i] == much_at(at);
        }
    }
    cr_expect_eq(opened.type, RELAY_END);
    cr_expect(is_right);
    cr_expect_eq(at, MUCH_BYTES);
    say(RELAY_END, "");
    cr_expect(went_well(teller));
    cr_expect(went_well(runner));
}

Test(tunnel, what_is_small_does_not_wait_for_the_network, .init = begin_plain, .fini = end)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 0;
    socklen_t int_bytes = sizeof(int);
    struct tunnel other;

    tunnel_init(&other, fd, fd);
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &int_bytes), 0);
    cr_assert_neq(on, 0);
    close(fd);
}

/* Its process would go on to look for a replica, and take a place at its door. */
Test(tunnel, a_flow_that_is_given_up_before_it_stands_is_not_wanted, .init = begin_flow,
     .fini = end, .timeout = 60)
{
    cr_assert_eq(send(here, "\0one", 4, 0), 4);
    cr_assert(tunnel_is_wanted(&tunnel, 0));
    cr_assert(tunnel_is_wanted(&tunnel, 20), "what is said first waits");
    cr_assert_eq(shutdown(here, SHUT_RDWR), 0);
    cr_assert_not(tunnel_is_wanted(&tunnel, 60000));
}

/* Whoever has said all may wait for an answer. */
Test(tunnel, of_a_connection_that_is_not_asked, .init = begin_sealed, .fini = end)
{
    cr_assert_eq(shutdown(here, SHUT_RDWR), 0);
    cr_assert(tunnel_is_wanted(&tunnel, 0));
}
