// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* No false alarm: who lives, and can be heard, is not called dead. And no late one: everyone soon
 * knows who died. */
#include <stdbool.h>
#include <stdint.h>

struct world;

/* Has it been there for so long, undisturbed, that it knows what there is to know? */
bool check_alarm_is_settled(const struct world *world, uint32_t node);
/* Every 100 ms. Fails the run. */
void check_alarm(struct world *world);
