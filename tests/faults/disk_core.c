// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "base/check.h"
#include "tests/faults/disk_suite.h"

static struct known *find(struct core_stand_in *core, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < core->known_count; i++) {
        if (id_equal(&core->known[i].chunk.id, &chunk->id)) {
            return &core->known[i];
        }
    }
    return NULL;
}

const struct known *disk_core_knows(const struct core_stand_in *core, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < core->known_count; i++) {
        if (id_equal(&core->known[i].chunk.id, &chunk->id)) {
            return &core->known[i];
        }
    }
    return NULL;
}

static void forget(struct core_stand_in *core, const struct chunk_id *chunk)
{
    struct known *known = find(core, chunk);

    if (known != NULL) {
        *known = core->known[--core->known_count];
    }
}

static void note_stored(struct core_stand_in *core, const struct chunk_id *chunk)
{
    struct known *known = find(core, chunk);

    if (known == NULL) {
        CHECK(core->known_count < KNOWN_MAX);
        known = &core->known[core->known_count++];
    }
    *known = (struct known){*chunk, false};
}

static void note_read(struct core_stand_in *core, const struct overlay_event *event)
{
    struct known *known = find(core, &event->chunk);

    if (known != NULL) {
        known->is_bad = event->outcome != OVERLAY_CHUNK_OK;
    }
}

void disk_core_tell(struct core_stand_in *core, const struct overlay_event *event)
{
    CHECK(core->heard_count < HEARD_MAX);
    core->heard[core->heard_count++] = *event;
    if (event->kind == OVERLAY_CHUNK_STORED && event->outcome == OVERLAY_CHUNK_OK) {
        note_stored(core, &event->chunk);
    } else if (event->kind == OVERLAY_CHUNK_ABSENT) {
        forget(core, &event->chunk);
    } else if (event->kind == OVERLAY_CHUNK_READ) {
        note_read(core, event);
    }
}

void disk_core_asks(struct core_stand_in *core, const struct overlay_effect *effect)
{
    if (effect->kind == OVERLAY_DROP_CHUNK) {
        forget(core, &effect->chunk);
    }
}

void held_add_blob(struct held *held, const struct overlay_blob *blob)
{
    uint8_t *bytes = held->bytes[held->blob_count];

    CHECK(held->blob_count < HELD_MAX && blob->bytes.length_bytes >= 16);
    memcpy(bytes, blob->bytes.data, 16);
    held->blobs[held->blob_count] = *blob;
    held->blobs[held->blob_count++].bytes.data = bytes;
}

void held_add_chunk(struct held *held, const struct chunk_id *chunk, uint64_t length_bytes)
{
    CHECK(held->chunk_count < HELD_MAX);
    held->chunks[held->chunk_count] = *chunk;
    held->chunk_bytes[held->chunk_count++] = length_bytes;
}
