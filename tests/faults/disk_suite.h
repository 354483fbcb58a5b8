// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a core may rely on of whoever performs OVERLAY_STORE, OVERLAY_STORE_CHUNK and
 * OVERLAY_DROP_CHUNK: one list of behaviours (disk_blobs.c, disk_chunks.c), run against mingad's SQLite and files
 * (disk_real.c) and against the simulator's disk (disk_sim.c). The seam between core and disk is these
 * effects, and the events STORED, CHUNK_STORED, CHUNK_READ and CHUNK_ABSENT that come back.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/overlay.h"

enum { HEARD_MAX = 4096, KNOWN_MAX = 256, HELD_MAX = 2048 };

struct known { /* as the core's table has it */
    struct chunk_id chunk;
    bool is_bad;
};

struct core_stand_in { /* what the core is told */
    uint32_t heard_count;
    struct overlay_event heard[HEARD_MAX];
    uint32_t known_count;
    struct known known[KNOWN_MAX];
};

struct held { /* what is given to a core that begins */
    uint32_t blob_count;
    struct overlay_blob blobs[HELD_MAX]; /* the first 16 bytes of each, in `bytes` */
    uint8_t bytes[HELD_MAX][16];
    uint32_t chunk_count;
    struct chunk_id chunks[HELD_MAX];
    uint64_t chunk_bytes[HELD_MAX];
};

enum disk_fault {
    DISK_FAULT_NONE,
    DISK_FAULT_FULL,       /* nothing can be written any more */
    DISK_FAULT_WRITE_ONCE, /* the next write of a blob or of a chunk fails */
    DISK_FAULT_READ_ONCE,  /* the next read of a chunk fails */
};

enum disk_crash {
    DISK_CRASH_KILL,  /* of what is not durable, some is there */
    DISK_CRASH_POWER, /* nothing of it */
};

struct disk_subject {
    const char *name;
    /* An empty disk and a process; what is told goes to `core`. */
    void (*begin)(struct core_stand_in *core);
    void (*end)(void);
    void (*perform)(const struct overlay_effect *effect);
    /* As before a chunk is sent. Ends in CHUNK_READ or CHUNK_ABSENT, also when all is well. */
    void (*read)(const struct chunk_id *chunk);
    /* So much time passes. */
    void (*wait)(uint64_t ms);
    /* The process ends at once. The next one has begun when this returns. */
    void (*crash)(enum disk_crash crash);
    /* What a core is given that begins now. Nothing is under way. */
    void (*load)(struct held *held_out);
    void (*set_fault)(enum disk_fault fault);
    /* Where a read takes time, and descriptors can run short; else NULL. A read begins now, and what it
     * has found is told later; nothing can be opened any more. */
    void (*begin_read)(const struct chunk_id *chunk);
    void (*end_read)(const struct chunk_id *chunk);
    void (*fail_opens)(void);
    bool (*refuses)(void); /* does the node say that its disk takes nothing? */
    /* The chunk's file holds something else from now on. */
    void (*rot)(const struct chunk_id *chunk);
};

extern const struct disk_subject disk_subject;

/* ------------------------------------------------------------------ disk_core.c */

/* For subjects: the core is told, and remembers as the real one does. */
void disk_core_tell(struct core_stand_in *core, const struct overlay_event *event);
/* Before an effect is performed. */
void disk_core_asks(struct core_stand_in *core, const struct overlay_effect *effect);
const struct known *disk_core_knows(const struct core_stand_in *core, const struct chunk_id *chunk);
void held_add_blob(struct held *held, const struct overlay_blob *blob);
void held_add_chunk(struct held *held, const struct chunk_id *chunk, uint64_t length_bytes);
