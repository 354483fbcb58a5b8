// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Who asks agents besides their people: checks, and intruders. Each has numbers of its own in place of a
 * service, by which the answers find it. */
#include <stdbool.h>

struct world;
struct pending;
struct core_answer;

/* Call every 100 ms. */
void askers_tick(struct world *world);
/* False: it is for somebody else. */
bool askers_answered(struct world *world, const struct pending *pending,
                     const struct core_answer *answer);
/* The asked node is gone. Likewise. */
bool askers_dropped(struct world *world, const struct pending *pending);
