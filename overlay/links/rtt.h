// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How long a member takes to answer, and when an answer is overdue: RFC 6298's smoothed round
 * trip and variation, with Karn's rule. Pure.
 *
 * Only answers to questions that were asked once are measured (whose answer is it else?); and
 * until one of those comes, each missed answer doubles the patience. Else a round trip that grew
 * beyond the time-out would never be measured again.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum { RTT_TIMEOUT_MS_MIN = 20, RTT_MEASURED_MS_MAX = 60000, RTT_DOUBLINGS_MAX = 5 };

struct rtt {
    bool is_known;
    uint32_t smoothed_eighth_ms;   /* the smoothed round trip, times 8 */
    uint32_t variation_quarter_ms; /* times 4 */
    uint32_t doublings;
};

void rtt_measured(struct rtt *rtt, uint64_t took_ms);
/* A question went unanswered for the present time-out. */
void rtt_missed(struct rtt *rtt);
/* Between RTT_TIMEOUT_MS_MIN and REPLY_MS; REPLY_MS while nothing is known. */
uint64_t rtt_timeout_ms(const struct rtt *rtt);
/* For choosing the nearer of two: members within a factor of two of each other count as equally
 * near; an unknown one as neither near nor far. */
uint32_t rtt_rank(const struct rtt *rtt);
