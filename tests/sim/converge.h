// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Is the community as it ought to be when nothing disturbs it? */
#include <stdbool.h>

#include "base/attributes.h"

struct world;

/* True when all is well; otherwise world->checker.problem says what is not. */
bool converged(struct world *world);
/* Records a problem; always false. */
bool converge_problem(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
/* Does at most one node of each settled part of the network answer for a key? The other one
 * of two is named in the problem. */
bool converge_keys_are_unique(struct world *world);
