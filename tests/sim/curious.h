// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Somebody always wants to know: status, services, logs, lookups, asked of any agent at any time.
 * Each is answered exactly once, whatever happens; once all has converged, each must be right.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"

struct world;
struct pending;

/* Perhaps asks something; call every 100 ms. */
void curious_tick(struct world *world);
/* Is this kind of request only a question? */
bool curious_asks(enum core_request_kind kind);
void curious_answered(struct world *world, const struct pending *pending,
                      const struct core_answer *answer);
