// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/tree.h"
#include "tests/sim/world.h"

struct write { /* of a blob or of a chunk, until it is durable */
    uint64_t token;
    struct overlay_blob blob;
    struct chunk_id chunk;
    uint32_t chunk_bytes;
    enum overlay_chunk_outcome outcome;
    uint8_t data[];
};

static void *grown(void *list, uint32_t *capacity, size_t element_bytes)
{
    void *grown_list;

    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    grown_list = reallocarray(list, *capacity, element_bytes);
    CHECK(grown_list != NULL);
    return grown_list;
}

static struct disk_blob *find_blob(const struct disk *disk, const struct overlay_blob *blob)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        struct disk_blob *found = &disk->blobs[i];

        if (found->kind == blob->kind && found->number == blob->number &&
            id_equal(&found->key, &blob->key)) {
            return found;
        }
    }
    return NULL;
}

static void remove_blob(struct disk *disk, struct disk_blob *blob)
{
    free(blob->data);
    *blob = disk->blobs[--disk->blob_count];
}

static void put_blob(struct disk *disk, const struct overlay_blob *blob)
{
    struct disk_blob *found = find_blob(disk, blob);

    if (blob->bytes.length_bytes == 0) {
        if (found != NULL) {
            remove_blob(disk, found);
        }
        return;
    }
    if (found == NULL) {
        if (disk->blob_count == disk->blob_capacity) {
            disk->blobs = grown(disk->blobs, &disk->blob_capacity, sizeof(*disk->blobs));
        }
        found = &disk->blobs[disk->blob_count++];
        *found = (struct disk_blob){.kind = blob->kind, .key = blob->key, .number = blob->number};
    }
    free(found->data);
    found->data = malloc(blob->bytes.length_bytes);
    CHECK(found->data != NULL);
    memcpy(found->data, blob->bytes.data, blob->bytes.length_bytes);
    found->length_bytes = (uint32_t)blob->bytes.length_bytes;
}

/* When a write that is asked for now is durable. */
static uint64_t durable_after_ms(struct world *world, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;
    uint64_t drawn = world_draw(world, "disk", node, ++disk->sent_count);
    uint64_t at_ms = world->now_ms + world_draw_between(drawn, 1, 8) + disk->slow_ms;

    if (drawn >> 40 == 0) {
        at_ms += 100;
    }
    if (at_ms < disk->order_ms) {
        at_ms = disk->order_ms;
    }
    disk->order_ms = at_ms;
    return at_ms - world->now_ms;
}

static void run_stored(struct world *world, struct event *event)
{
    const struct write *write = event->payload;
    struct overlay_event stored = {.kind = OVERLAY_STORED};

    put_blob(&world->nodes[event->node].disk, &write->blob);
    stored.token = write->token;
    if (stored.token != 0) {
        world_step_overlay(world, event->node, &stored);
    }
}

void disk_store(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    size_t length_bytes = effect->blob.bytes.length_bytes;
    struct write *write = calloc(1, sizeof(*write) + length_bytes);

    CHECK(write != NULL);
    write->token = effect->token;
    write->blob = effect->blob;
    if (length_bytes > 0) {
        memcpy(write->data, effect->blob.bytes.data, length_bytes);
    }
    write->blob.bytes.data = write->data;
    world_after_process(world, durable_after_ms(world, node),
                        (struct event){.run = run_stored, .node = node, .payload = write});
}

static void run_chunk_stored(struct world *world, struct event *event)
{
    const struct write *write = event->payload;
    struct overlay_event stored = {.kind = OVERLAY_CHUNK_STORED};

    if (write->outcome == OVERLAY_CHUNK_OK) {
        disk_add_chunk(&world->nodes[event->node].disk, &write->chunk, write->chunk_bytes);
    }
    stored.token = write->token;
    stored.chunk = write->chunk;
    stored.chunk_bytes = write->chunk_bytes;
    stored.outcome = write->outcome;
    world_step_overlay(world, event->node, &stored);
}

void disk_store_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    struct write *write = calloc(1, sizeof(*write));
    struct id hash = hash_of(HASH_CHUNK, effect->data);

    CHECK(write != NULL);
    write->token = effect->token;
    write->chunk = effect->chunk;
    write->chunk_bytes = (uint32_t)effect->data.length_bytes;
    write->outcome =
        id_equal(&hash, &effect->chunk.id) ? OVERLAY_CHUNK_OK : OVERLAY_CHUNK_WRONG_HASH;
    world_after_process(world, durable_after_ms(world, node),
                        (struct event){.run = run_chunk_stored, .node = node, .payload = write});
}

void disk_drop_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    struct disk *disk = &world->nodes[node].disk;

    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        if (id_equal(&disk->chunks[i].chunk.id, &effect->chunk.id)) {
            disk->chunks[i] = disk->chunks[--disk->chunk_count];
            return;
        }
    }
}

bool disk_has_chunk(const struct disk *disk, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        if (id_equal(&disk->chunks[i].chunk.id, &chunk->id)) {
            return true;
        }
    }
    return false;
}

void disk_add_chunk(struct disk *disk, const struct chunk_id *chunk, uint32_t bytes)
{
    if (disk_has_chunk(disk, chunk)) {
        return;
    }
    if (disk->chunk_count == disk->chunk_capacity) {
        disk->chunks = grown(disk->chunks, &disk->chunk_capacity, sizeof(*disk->chunks));
    }
    disk->chunks[disk->chunk_count++] = (struct disk_chunk){*chunk, bytes};
}

bool disk_load(const struct disk *disk, struct core *core)
{
    bool accepted = true;

    for (uint32_t i = 0; i < disk->blob_count; i++) {
        const struct disk_blob *kept = &disk->blobs[i];
        struct overlay_blob blob = {.kind = kept->kind, .key = kept->key, .number = kept->number};

        blob.bytes = (struct bytes){kept->data, kept->length_bytes};
        /* The agent may refuse a replica that has lost its place; nothing else is refused. */
        accepted = (core_load(core, &blob) == 0 || blob.kind == BLOB_AGENT) && accepted;
    }
    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        accepted =
            core_load_chunk(core, &disk->chunks[i].chunk, disk->chunks[i].bytes) == 0 && accepted;
    }
    return accepted;
}

void disk_wipe(struct disk *disk)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        free(disk->blobs[i].data);
    }
    free(disk->blobs);
    free(disk->chunks);
    *disk = (struct disk){0};
}
