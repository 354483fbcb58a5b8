// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How a rate is divided among those who use it: max-min fair.
 *
 * Pure. Whoever was not held back gets what it used and a quarter more; the rest is divided equally
 * among those who were. A thirty-second of the whole is always kept for all of them alike, so that
 * whoever was idle can begin. The sum never exceeds the whole, but for one byte each.
 */
#include <stdbool.h>
#include <stdint.h>

enum { SHARES_KEPT_DIVISOR = 32 };

struct share {
    uint64_t used_bytes_per_s; /* lately */
    bool wants_more;           /* it was held back */
    uint64_t given_bytes_per_s;
};

/* Fills in given_bytes_per_s, at least 1. `total_bytes_per_s` is not 0, `count` may be. */
void shares_divide(uint64_t total_bytes_per_s, struct share *shares, uint32_t count);
