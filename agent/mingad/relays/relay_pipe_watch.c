// SPDX-License-Identifier: GPL-3.0-or-later
/* Who has to go: whose other end has vanished, and those too many; and how the plain side ends. */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/mingad/relays/relay_pipe.h"
#include "base/keep_alive.h"

enum { UNANSWERED_MS_MAX = 10000 };

void pipe_tune(uv_tcp_t *tcp)
{
    static const struct keep_alive quick = {.silence_s = 5, .every_s = 2, .count = 3};
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)tcp, &fd) == 0) {
        keep_alive_set(fd, &quick);
    }
}

bool pipe_is_unanswered(struct pipe *pipe, uint64_t now_ms)
{
    uv_os_fd_t fd;

    return pipe->phase != PIPE_CONNECTING && pipe->phase != PIPE_CLOSING &&
           uv_fileno((const uv_handle_t *)&pipe->sealed, &fd) == 0 &&
           keep_alive_look_ms(fd, now_ms, &pipe->unanswered_since_ms) > UNANSWERED_MS_MAX;
}

static void on_plain_freed(uv_handle_t *handle)
{
    free(handle);
}

void plain_close(uv_stream_t *plain)
{
    if (!uv_is_closing((uv_handle_t *)plain)) {
        uv_close((uv_handle_t *)plain, on_plain_freed);
    }
}

void plain_reset(uv_stream_t *plain)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)plain, &fd) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
}

bool plain_was_cut(uv_stream_t *plain)
{
    struct pollfd poller = {.events = POLLIN};

    return uv_fileno((const uv_handle_t *)plain, &poller.fd) == 0 && poll(&poller, 1, 0) == 1 &&
           (poller.revents & POLLHUP) != 0;
}

void plain_refuse(uv_stream_t *listener)
{
    uv_tcp_t *refused = calloc(1, sizeof(*refused));

    if (refused == NULL || uv_tcp_init(listener->loop, refused) < 0) {
        free(refused);
        return;
    }
    (void)uv_accept(listener, (uv_stream_t *)refused);
    plain_close((uv_stream_t *)refused);
}

struct pipe *pipes_to_turn_away(struct pipe *newest, uint32_t count_max)
{
    struct pipe *mute = NULL;
    struct pipe *oldest = NULL;
    uint32_t count = 0;

    for (struct pipe *pipe = newest; pipe != NULL; pipe = pipe->next) {
        bool is_mute = pipe->phase == PIPE_CONNECTING;

        if (!pipe->is_leaf && (is_mute || pipe->phase == PIPE_GREETING)) {
            mute = is_mute ? pipe : mute;
            oldest = pipe;
            count++;
        }
    }
    if (count <= count_max) {
        return NULL;
    }
    return mute != NULL ? mute : oldest;
}
