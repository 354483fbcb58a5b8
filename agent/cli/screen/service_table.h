// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Services and replicas as tables. */
#include "agent/cli/session.h"

/* One line a service, what needs somebody first; with `replicas`, theirs follow in one table. */
void print_services(const struct session *session, const json_t *services, bool replicas);
/* `replicas`: as in a status document, or in /v1/node. */
void print_replicas(const struct session *session, const json_t *replicas);
