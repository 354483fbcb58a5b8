// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * So often, and no more: what one small message of a member makes this node do for many. Pure.
 *
 * Begins full, all zero; one more is earned every `interval_ms`.
 */
#include <stdbool.h>
#include <stdint.h>

struct allowance {
    uint64_t filled_ms; /* 0: never used */
    uint32_t left;
};

static inline bool allowance_take(struct allowance *allowance, uint32_t burst, uint64_t interval_ms,
                                  uint64_t now_ms)
{
    uint64_t gained = (now_ms - allowance->filled_ms) / interval_ms;

    if (allowance->filled_ms == 0) {
        allowance->left = burst;
        allowance->filled_ms = now_ms;
    } else if (gained > 0) {
        uint64_t left = allowance->left + (gained < burst ? gained : burst);

        allowance->left = left < burst ? (uint32_t)left : burst;
        allowance->filled_ms += gained * interval_ms;
    }
    if (allowance->left == 0) {
        return false;
    }
    allowance->left--;
    return true;
}
