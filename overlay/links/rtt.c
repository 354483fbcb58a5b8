// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/links/rtt.h"

enum { RANK_UNKNOWN = 6 }; /* as if it took 32 to 63 ms */

void rtt_measured(struct rtt *rtt, uint64_t took_ms)
{
    uint32_t took = took_ms < RTT_MEASURED_MS_MAX ? (uint32_t)took_ms : RTT_MEASURED_MS_MAX;
    uint32_t smoothed_ms = rtt->smoothed_eighth_ms / 8;
    uint32_t error_ms = took > smoothed_ms ? took - smoothed_ms : smoothed_ms - took;

    rtt->doublings = 0;
    if (!rtt->is_known) {
        rtt->is_known = true;
        rtt->smoothed_eighth_ms = 8 * took;
        rtt->variation_quarter_ms = 2 * took; /* half the round trip */
        return;
    }
    rtt->variation_quarter_ms += error_ms - rtt->variation_quarter_ms / 4;
    rtt->smoothed_eighth_ms += took - rtt->smoothed_eighth_ms / 8;
}

void rtt_missed(struct rtt *rtt)
{
    if (rtt->doublings < RTT_DOUBLINGS_MAX) {
        rtt->doublings++;
    }
}

uint64_t rtt_timeout_ms(const struct rtt *rtt)
{
    uint64_t timeout_ms = rtt->smoothed_eighth_ms / 8 + rtt->variation_quarter_ms;

    if (!rtt->is_known) {
        return REPLY_MS;
    }
    if (timeout_ms < RTT_TIMEOUT_MS_MIN) {
        timeout_ms = RTT_TIMEOUT_MS_MIN;
    }
    timeout_ms <<= rtt->doublings;
    return timeout_ms < REPLY_MS ? timeout_ms : (uint64_t)REPLY_MS;
}

uint32_t rtt_rank(const struct rtt *rtt)
{
    uint32_t rank = 0;

    if (!rtt->is_known) {
        return RANK_UNKNOWN;
    }
    for (uint32_t ms = rtt->smoothed_eighth_ms / 8; ms > 0; ms /= 2) {
        rank++;
    }
    return rank + rtt->doublings;
}
