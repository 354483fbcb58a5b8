// SPDX-License-Identifier: GPL-3.0-or-later
/* One connection of `minga connect`: all that the other side says is there before it runs. */
#include "agent/cli/connect/tunnel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attributes.h"

static struct tunnel tunnel;
static struct relay_seal replica; /* the other end's */
static int here = -1;             /* what the user's program has */
static int there = -1;            /* what the replica's node has */

static void pair(int *ours_out, int *theirs_out)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *ours_out = fds[0];
    *theirs_out = fds[1];
}

static void begin(bool is_sealed)
{
    static const uint8_t secret[RELAY_SECRET_BYTES] = {1};
    static const uint8_t nonces[2][RELAY_NONCE_BYTES] = {{2}, {3}};
    int local;

    pair(&here, &local);
    tunnel_init(&tunnel, local, local);
    pair(&there, &tunnel.remote_fd);
    tunnel.is_sealed = is_sealed;
    relay_seal_init(&tunnel.seal, secret, (struct relay_nonces){nonces[0], nonces[1]}, true);
    relay_seal_init(&replica, secret, (struct relay_nonces){nonces[0], nonces[1]}, false);
    cr_assert_eq(shutdown(here, SHUT_WR), 0); /* the user's program has said all */
}

static void begin_sealed(void)
{
    begin(true);
}

static void begin_plain(void)
{
    begin(false);
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
     .timeout = 10)
{
    for (int i = 0; i < 100; i++) {
        say(RELAY_DATA, "");
    }
    say(RELAY_DATA, "at last");
    say(RELAY_END, "");
    cr_assert_eq(tunnel_run(&tunnel), 0);
    expect_here("at last");
}

Test(tunnel, one_that_is_cut_is_no_end, .init = begin_sealed, .fini = end, .timeout = 10)
{
    say(RELAY_DATA, "half");
    cr_assert_eq(shutdown(there, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), -ECONNRESET);
    expect_here("half");
}

Test(tunnel, what_is_altered_on_the_way_ends_it, .init = begin_sealed, .fini = end, .timeout = 10)
{
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length =
        relay_seal_frame(&replica, RELAY_DATA, (struct bytes){(const uint8_t *)"secret", 6}, frame);

    frame[length - 1] ^= 1;
    cr_assert_eq(send(there, frame, length, 0), (ssize_t)length);
    cr_assert_eq(tunnel_run(&tunnel), -EBADMSG);
    expect_here("");
}

Test(tunnel, what_is_no_frame_ends_it, .init = begin_sealed, .fini = end, .timeout = 10)
{
    uint8_t noise[256];

    memset(noise, 0xff, sizeof(noise));
    cr_assert_eq(send(there, noise, sizeof(noise), 0), (ssize_t)sizeof(noise));
    cr_assert_eq(tunnel_run(&tunnel), -EBADMSG);
    expect_here("");
}

Test(tunnel, a_public_port_s_bytes_pass_as_they_are, .init = begin_plain, .fini = end,
     .timeout = 10)
{
    cr_assert_eq(send(there, "plain", 5, 0), 5);
    cr_assert_eq(shutdown(there, SHUT_WR), 0);
    cr_assert_eq(tunnel_run(&tunnel), 0);
    expect_here("plain");
}
