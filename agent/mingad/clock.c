// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/clock.h"

#include <time.h>

#include "base/check.h"

uint64_t clock_now_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

uint64_t clock_wall_unix_s(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return now.tv_sec > 0 ? (uint64_t)now.tv_sec : 1;
}
