// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* How many members have noticed that a node is gone. */
#include <stdint.h>

struct world;

/* Members that run, other than the node itself: all of them, and those that count it as down. */
uint32_t notice_count(const struct world *world, uint32_t node, uint32_t *watchers_out);
