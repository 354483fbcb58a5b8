// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How often one broadcast reaches a node, and over how many others: where everything arrives, and nobody
 * begins or ends, each is told once, whatever those who pass it on know of each other, for their
 * intervals have nothing in common. Deaths are left out: several notice one, and tell it alike.
 */
#include <stdint.h>

#include "base/bytes.h"

struct spreads;
struct world;

void spreads_init(struct world *world);
void spreads_done(struct world *world);
/* `node` sends a message to `to`. */
void spreads_message(struct world *world, uint32_t node, uint32_t to, struct bytes message);
/* Call every 100 ms. */
void spreads_check(struct world *world);
