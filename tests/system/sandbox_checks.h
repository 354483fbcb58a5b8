// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The parts of the sandbox's system test; each leaves no replica behind. */
#include "tests/system/sandbox_world.h"

void check_serving(struct world *world);
void check_inside(struct world *world);
void check_limits(struct world *world);
void check_ends(struct world *world);
void check_refusals(struct world *world);
void check_freezing(struct world *world);
void check_frozen(struct world *world);
void check_crowded(struct world *world);
void check_restarts(struct world *world);
void check_door(struct world *world);
void check_repeating(struct world *world);
void check_programs(struct world *world);
void check_attacks(struct world *world);
void check_health(struct world *world);
void check_cves(struct world *world);
void check_kills(struct world *world);
void check_misbehaving(struct world *world);
void check_networks(struct world *world);
void check_line(struct world *world);
void check_loops(struct world *world);
void check_table(struct world *world);
/* Only with --environment. */
void check_environment(struct world *world);
