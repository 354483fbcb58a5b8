// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Carries packets between a replica's tun device and passt, through the filter. A process of its
 * own, confined before the first byte: it reads what a stranger's program has written.
 */
#include <stdint.h>

enum pump_end {                  /* its exit status */
                PUMP_BROKEN = 1, /* passt or the device is gone */
                PUMP_CHANGED =
                    3, /* the host's default routes came or went: passt must be started again */
};

struct pump_plan {
    int tun_fd;
    int stack_fd; /* a stream: frames, each behind its length in four bytes */
    int line_fd;
    uint16_t udp_first;
};

_Noreturn void pump_run(const struct pump_plan *plan);
