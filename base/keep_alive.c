// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/keep_alive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/attributes.h"

void keep_alive_set(int fd, const struct keep_alive *wanted)
{
    const struct {
        int level;
        int option;
        int value;
    } rows[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, wanted->silence_s},
        {IPPROTO_TCP, TCP_KEEPINTVL, wanted->every_s},
        {IPPROTO_TCP, TCP_KEEPCNT, wanted->count},
        {IPPROTO_TCP, TCP_NODELAY, 1},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        (void)setsockopt(fd, rows[i].level, rows[i].option, &rows[i].value, sizeof(int));
    }
}

uint64_t keep_alive_unanswered_ms(const struct keep_alive_state *state, uint64_t now_ms,
                                  uint64_t *since_ms)
{
    uint64_t waited_ms;

    if (state->unanswered_count == 0) {
        *since_ms = 0;
        return 0;
    }
    *since_ms = *since_ms == 0 ? now_ms : *since_ms;
    waited_ms = now_ms - *since_ms;
    /* After a long silence the last answer is old, and what it is asked may be new. */
    return waited_ms < state->heard_ago_ms ? waited_ms : state->heard_ago_ms;
}

uint64_t keep_alive_look_ms(int fd, uint64_t now_ms, uint64_t *since_ms)
{
    struct tcp_info info = {0};
    socklen_t info_bytes = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) < 0) {
        return 0;
    }
    return keep_alive_unanswered_ms(
        &(struct keep_alive_state){info.tcpi_unacked, info.tcpi_last_ack_recv}, now_ms, since_ms);
}
