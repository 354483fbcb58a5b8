// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Tiny bundles: a root chunk that names a few leaves. What a chunk's bytes are follows from its
 * id, for all nodes alike; which node has it is the disk's matter.
 */
#include <stdint.h>

#include "agent/core/core.h"

struct world;

enum { TREE_LEAVES_MAX = 4, TREES_MAX = 32, TREE_CHUNK_BYTES_MAX = 512 };

struct sim_tree {
    struct tree_id id;
    uint32_t chunk_count; /* the root first */
    struct chunk_id chunks[TREE_LEAVES_MAX + 1];
    uint32_t bytes[TREE_LEAVES_MAX + 1];
    uint8_t data[TREE_LEAVES_MAX + 1][TREE_CHUNK_BYTES_MAX];
};

/* The tree number `number` of this seed. */
void tree_make(const struct world *world, uint32_t number, struct sim_tree *tree_out);
/* The bytes of any chunk of any tree; empty when there is none of that id. */
struct bytes tree_chunk_data(const struct world *world, const struct chunk_id *chunk);

/* Performs SCAN_TREE and BUILD_TREE. */
void tree_scan(struct world *world, uint32_t node, const struct tree_id *tree);
void tree_build(struct world *world, uint32_t node, const struct tree_id *tree);
/* Performs READ_LOGS: an answer with a line of text. */
void tree_read_logs(struct world *world, uint32_t node, const struct core_effect *effect);
/* Performs EXEC: refused, as there is nothing inside. */
void tree_exec(struct world *world, uint32_t node, const struct core_effect *effect);
