// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* No false alarm: who lives, and can be heard, is not called dead. */
struct world;

/* Every 100 ms. Fails the run. */
void check_alarm(struct world *world);
