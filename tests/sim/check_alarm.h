// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* No false alarm: who lives, and can be heard, is not called dead. And no late one: everyone soon
 * knows who died. */
struct world;

/* Every 100 ms. Fails the run. */
void check_alarm(struct world *world);
