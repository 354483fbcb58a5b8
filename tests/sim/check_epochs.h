// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Of two managers of a service the one with the higher epoch counts: no executor goes back to a
 * lower one, and no disk to an older record of placements.
 */
#include <stdint.h>

#include "overlay/overlay.h"

struct epochs;
struct world;

void epochs_init(struct world *world);
void epochs_done(struct world *world);
/* After each step of a node. */
void epochs_check(struct world *world, uint32_t node);
/* The node has a manager record written. */
void epochs_stored(struct world *world, uint32_t node, const struct overlay_blob *blob);
