// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/moment.h"

#include <time.h>

struct document_time exchange_moment(const struct exchange *exchange)
{
    const struct api_host *host = exchange_host(exchange);
    struct timespec wall = {0};

    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct document_time){host->now_ms(host->self), (uint64_t)wall.tv_sec};
}

uint64_t exchange_stopwatch_us(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
