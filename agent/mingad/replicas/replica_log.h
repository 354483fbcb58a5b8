// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What happens to replicas here, in the log: `journalctl -u mingad MINGA_SERVICE=wiki`. */
#include "agent/mingad/edge.h"
#include "base/attributes.h"
#include "base/log.h"

/* `event` becomes MINGA_EVENT; the line begins with the replica's name. */
void replica_log(const struct edge *edge, const struct replica_key *key, enum log_level level,
                 const char *event, const char *format, ...) PRINTF_LIKE(5, 6);
/* What the sandbox says; before the core hears of it. */
void replica_log_sandbox(const struct edge *edge, const struct sandbox_event *event);
/* What the core wants of the sandbox: STOP, FREEZE or THAW. */
void replica_log_wish(const struct edge *edge, const struct core_effect *effect);
