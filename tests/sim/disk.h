// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a node keeps: blobs and chunks. A write is durable only after a delay, and answered then;
 * a process that ends before loses it, or some of the last ones. Writes become durable in order; one
 * that nobody waits for takes longer, unless one behind it is durable before. A blob that could not be
 * written is tried again until it is durable or another one has taken its place, as by the real
 * edge (store_writer.h): nobody is told of it a second time. tests/faults/disk_suite.h is what this
 * disk and the real one have in common.
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
    uint32_t older_bytes;
    uint8_t *older; /* what was there before, or NULL: only for a mangled disk */
};

struct disk_chunk {
    struct chunk_id chunk;
    uint32_t bytes;
    bool is_rotten; /* its file is there, and holds something else, until it is written again */
};

struct disk {
    struct disk_blob *blobs;
    uint32_t blob_count;
    uint32_t blob_capacity;
    struct disk_chunk *chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct write *first_write; /* of those under way */
    struct write *first_kept;  /* of those that failed, and are tried again */
    uint64_t order_ms;         /* no write is durable before an earlier one */
    uint64_t sent_count;       /* numbers of random draws */
    uint64_t write_count;
    uint64_t drop_count;
    uint64_t read_count; /* of chunks */
    /* faults */
    uint64_t slow_ms;       /* added to each write */
    uint64_t full_until_ms; /* every write fails until then */
    uint64_t bad_write;     /* the number of one that fails; 0: none */
    uint64_t bad_read;      /* likewise */
    uint64_t failed_ms;     /* the last write that failed */
    uint64_t crash_write;   /* the power fails at this one ... */
    bool has_crashed;       /* ... and did */
    bool is_mangled;        /* the core may refuse some of it */
    bool is_refusing;       /* its process has been told so (own_disk.h) */
};

/* Performs OVERLAY_STORE, OVERLAY_STORE_CHUNK, OVERLAY_DROP_CHUNK. */
void disk_store(struct world *world, uint32_t node, const struct overlay_effect *effect);
void disk_store_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect);
void disk_drop_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect);

/* A copy, the caller's. */
void *disk_copied(const void *bytes, size_t length_bytes);
void disk_remove_blob(struct disk *disk, struct disk_blob *blob);
void disk_add_chunk(struct disk *disk, const struct chunk_id *chunk, uint32_t bytes);
/* Takes it nothing new at present? */
bool disk_is_full(const struct world *world, uint32_t node);
/* What there is of it, good or rotten, or NULL. */
struct disk_chunk *disk_find_chunk(const struct disk *disk, const struct chunk_id *chunk);
bool disk_has_chunk(const struct disk *disk, const struct chunk_id *chunk);
/* Can it be read, to be sent? If not, the core is told, as at the real edge, and it is looked at again
 * now and then. */
bool disk_read_chunk(struct world *world, uint32_t node, const struct chunk_id *chunk);
/* Settles what was being written when the process ended. */
void disk_process_ended(struct world *world, uint32_t node);
/* Gives everything back to a core that is about to start. False when it refuses something. */
bool disk_load(const struct disk *disk, struct core *core);
/* It has begun: what was noted as bad is looked at again. */
void disk_begin(struct world *world, uint32_t node);
/* A new, empty disk. */
void disk_wipe(struct disk *disk);
/* What is durable on one, on another one. */
void disk_copy(const struct disk *from, struct disk *to_out);
/* Every chunk's file holds something else from now on. */
void disk_rot(struct disk *disk);
/* Whatever may come of a disk: parts are gone, changed, older, or elsewhere. */
void disk_mangle(struct world *world, uint32_t node, uint64_t number);
