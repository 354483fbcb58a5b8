// SPDX-License-Identifier: GPL-3.0-or-later
/* Chunks that are read, and looked at again while they are bad. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

enum { LOOK_MS = 6000, LOOK_MS_MAX = 16 * LOOK_MS }; /* as the real edge's chunk_scrub.c */

/* What one read says. */
static struct overlay_event read_chunk(struct disk *disk, const struct chunk_id *chunk)
{
    const struct disk_chunk *found = disk_find_chunk(disk, chunk);
    struct overlay_event read = {.kind = OVERLAY_CHUNK_READ, .chunk = *chunk};

    disk->read_count++;
    if (found == NULL) {
        read.kind = OVERLAY_CHUNK_ABSENT;
    } else if (disk->read_count == disk->bad_read) {
        read.outcome = OVERLAY_CHUNK_REFUSED;
    } else if (found->is_rotten) {
        read.outcome = OVERLAY_CHUNK_WRONG_HASH;
    } else {
        read.outcome = OVERLAY_CHUNK_OK;
        read.chunk_bytes = found->bytes;
    }
    return read;
}

static void run_look(struct world *world, struct event *event);

static void tell_read(struct world *world, uint32_t node, struct overlay_event *read,
                      uint64_t look_ms)
{
    if (read->kind == OVERLAY_CHUNK_READ && read->outcome != OVERLAY_CHUNK_OK) {
        world_after_process(
            world, look_ms,
            (struct event){.run = run_look,
                           .node = node,
                           .number = look_ms,
                           .payload = disk_copied(&read->chunk, sizeof(read->chunk))});
    }
    world_step_overlay(world, node, read);
}

/* Again, after twice as long each time. */
static void run_look(struct world *world, struct event *event)
{
    struct overlay_event read = read_chunk(&world->nodes[event->node].disk, event->payload);

    tell_read(world, event->node, &read,
              event->number < LOOK_MS_MAX ? 2 * event->number : LOOK_MS_MAX);
}

static void run_read(struct world *world, struct event *event)
{
    tell_read(world, event->node, event->payload, LOOK_MS);
}

void disk_begin(struct world *world, uint32_t node)
{
    const struct overlay *overlay = core_overlay(world->nodes[node].core);
    struct chunk_id chunk;
    uint32_t cursor = 0;

    world->nodes[node].disk.is_refusing = false; /* nobody has told this process */
    while (overlay_chunk_next(overlay, true, &cursor, &chunk)) {
        world_after_process(world, LOOK_MS,
                            (struct event){.run = run_look,
                                           .node = node,
                                           .number = LOOK_MS,
                                           .payload = disk_copied(&chunk, sizeof(chunk))});
    }
}

bool disk_read_chunk(struct world *world, uint32_t node, const struct chunk_id *chunk)
{
    struct overlay_event read = read_chunk(&world->nodes[node].disk, chunk);

    if (read.kind == OVERLAY_CHUNK_READ && read.outcome == OVERLAY_CHUNK_OK) {
        return true;
    }
    world_after_process(
        world, 0,
        (struct event){.run = run_read, .node = node, .payload = disk_copied(&read, sizeof(read))});
    return false;
}
