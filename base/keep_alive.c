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
        {IPPROTO_TCP, TCP_USER_TIMEOUT, wanted->unacknowledged_ms},
        {IPPROTO_TCP, TCP_NODELAY, 1},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        (void)setsockopt(fd, rows[i].level, rows[i].option, &rows[i].value, sizeof(int));
    }
}
