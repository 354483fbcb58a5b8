// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a node keeps: blobs and chunks. A write is durable only after a delay, and answered then;
 * a process that ends before loses it. Writes become durable in order.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"

struct world;
struct sim_node;

struct disk_blob {
    enum overlay_blob_kind kind;
    struct id key;
    uint64_t number;
    uint32_t length_bytes;
    uint8_t *data;
};

struct disk_chunk {
    struct chunk_id chunk;
    uint32_t bytes;
};

struct disk {
    struct disk_blob *blobs;
    uint32_t blob_count;
    uint32_t blob_capacity;
    struct disk_chunk *chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    uint64_t order_ms;   /* no write is durable before an earlier one */
    uint64_t slow_ms;    /* a fault: added to each write */
    uint64_t sent_count; /* numbers of random draws */
};

/* Performs OVERLAY_STORE, OVERLAY_STORE_CHUNK, OVERLAY_DROP_CHUNK. */
void disk_store(struct world *world, uint32_t node, const struct overlay_effect *effect);
void disk_store_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect);
void disk_drop_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect);

void disk_add_chunk(struct disk *disk, const struct chunk_id *chunk, uint32_t bytes);
bool disk_has_chunk(const struct disk *disk, const struct chunk_id *chunk);
/* Gives everything back to a core that is about to start. False when it refuses something. */
bool disk_load(const struct disk *disk, struct core *core);
/* A new, empty disk. */
void disk_wipe(struct disk *disk);
