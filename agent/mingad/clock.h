// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The two clocks. Only the edge reads them. */
#include <stdint.h>

/* CLOCK_BOOTTIME: goes on while the machine sleeps. Never 0. */
uint64_t clock_now_ms(void);
/* Seconds since 1970; for expiry dates and people. */
uint64_t clock_wall_unix_s(void);
