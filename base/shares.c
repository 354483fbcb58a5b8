// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/shares.h"

#include "base/check.h"

/* Of what is divided; UINT64_MAX: all that it can get. */
static uint64_t demand_of(const struct share *share, uint64_t kept_bytes_per_s)
{
    uint64_t used = share->used_bytes_per_s;

    if (share->wants_more || used > UINT64_MAX / 2) {
        return UINT64_MAX;
    }
    used += used / 4;
    return used > kept_bytes_per_s ? used - kept_bytes_per_s : 0;
}

/* One round: those who want no more than an equal part are given it. Returns whether any was. */
static bool settle(struct share *shares, uint32_t count, uint64_t kept, uint64_t *left,
                   uint32_t *open_count)
{
    const uint64_t level = *left / *open_count;
    bool any = false;

    for (uint32_t i = 0; i<count && * open_count> 0; i++) {
        uint64_t demand = demand_of(&shares[i], kept);

        if (shares[i].given_bytes_per_s == UINT64_MAX && demand <= level) {
            shares[i].given_bytes_per_s = demand;
            *left -= demand;
            *open_count -= 1;
            any = true;
        }
    }
    return any;
}

void shares_divide(uint64_t total_bytes_per_s, struct share *shares, uint32_t count)
{
    uint64_t kept = count == 0 ? 0 : total_bytes_per_s / SHARES_KEPT_DIVISOR / count;
    uint64_t left = total_bytes_per_s - kept * count;
    uint32_t open_count = count;

    CHECK(total_bytes_per_s > 0);
    for (uint32_t i = 0; i < count; i++) {
        shares[i].given_bytes_per_s = UINT64_MAX; /* open */
    }
    while (open_count > 0 && settle(shares, count, kept, &left, &open_count)) {
    }
    uint64_t more = open_count > 0 ? left / open_count : 0;
    uint64_t spare = open_count == 0 && count > 0 ? left / count : 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t given =
            shares[i].given_bytes_per_s == UINT64_MAX ? more : shares[i].given_bytes_per_s + spare;

        given += kept;
        shares[i].given_bytes_per_s = given > 0 ? given : 1;
    }
}
