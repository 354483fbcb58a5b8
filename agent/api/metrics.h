// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The numbers of this node in the text format that Prometheus reads, version 0.0.4. */
#include "agent/core/core.h"

/* Appends them to `out`. Returns 0 or as buffer_append. */
int metrics_print(const struct core *core, uint64_t now_ms, struct buffer *out);
