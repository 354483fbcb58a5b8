// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Is the service well? When to probe, and what the results mean. Pure.
 *
 *   no ports, no probe    well as soon as it runs
 *   ports, no probe       well once the first port has accepted a connection; asked until then
 *   probe                 asked every interval; failing after failures_max in a row, the grace
 *                         after the start apart; one success makes it well again
 *
 * Until the first success it is asked every HEALTH_FIRST_MS, so that a start is noticed at once.
 */
#include <stdbool.h>
#include <stdint.h>

#include "sandbox/environment.h"

enum { HEALTH_FIRST_MS = 100, HEALTH_FIRST_MS_SLOW = 1000, HEALTH_FIRST_TIMEOUT_MS = 1000 };

enum health_state { HEALTH_UNKNOWN, HEALTH_OK, HEALTH_FAILING };

struct health {
    struct sandbox_health settings; /* no port and no command: nothing to ask */
    bool only_until_well;           /* no probe was asked for: stop at the first success */
    bool asking;                    /* a probe is under way */
    enum health_state state;
    uint32_t failures; /* in a row, that count */
    uint64_t started_ms;
    uint64_t wakeup_ms; /* next probe; UINT64_MAX: none */
};

/* The service runs since now_ms. The state may be HEALTH_OK at once. */
void health_init(struct health *health, const struct sandbox_spec *spec, uint64_t now_ms);
/* Is a probe to be started now? If so, health_result must follow, also after a timeout. */
bool health_due(struct health *health, uint64_t now_ms);
/* A probe is over. Returns whether the state has changed. */
bool health_result(struct health *health, bool succeeded, uint64_t now_ms);
