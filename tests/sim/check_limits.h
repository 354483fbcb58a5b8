// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* All tables and queues of a node within their limits, and nothing in them that is forgotten. */
#include <stdint.h>

struct world;

/* Every 100 ms. Fails the run. */
void check_limits(struct world *world);
