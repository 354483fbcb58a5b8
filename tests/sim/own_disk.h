// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A node whose disk takes no chunk is told so, as by the real edge's own_disk.c: by what came of the
 * last one, and while it refuses by a look every two seconds.
 */
#include <stdbool.h>
#include <stdint.h>

struct world;

/* A chunk that was not there has been written, or refused. */
void own_disk_note(struct world *world, uint32_t node, bool is_refused);
