// SPDX-License-Identifier: GPL-3.0-or-later
/* Whatever may be on a disk. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

void disk_rot(struct disk *disk)
{
    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        disk->chunks[i].is_rotten = true;
    }
}

static void use_older(struct disk_blob *blob)
{
    if (blob->older != NULL) {
        free(blob->data);
        blob->data = blob->older;
        blob->length_bytes = blob->older_bytes;
        blob->older = NULL;
        blob->older_bytes = 0;
    }
}

static void use_others(struct disk *disk, struct disk_blob *blob, uint64_t drawn)
{
    const struct disk_blob *other = &disk->blobs[drawn % disk->blob_count];

    if (other != blob) {
        free(blob->data);
        blob->data = malloc(other->length_bytes);
        CHECK(blob->data != NULL && other->length_bytes > 0);
        memcpy(blob->data, other->data, other->length_bytes);
        blob->length_bytes = other->length_bytes;
    }
}

/* Kept, gone, changed, an older one, another one. */
static bool mangle_blob(struct disk *disk, struct disk_blob *blob, uint64_t drawn)
{
    uint64_t what = drawn % 10;

    if (what < 4) {
        return true;
    }
    if (what < 6) {
        return false;
    }
    if (what < 8) {
        blob->data[(drawn >> 8) % blob->length_bytes] = (uint8_t)(drawn >> 40);
    } else if (what == 8) {
        use_older(blob);
    } else {
        use_others(disk, blob, drawn >> 8);
    }
    return true;
}

void disk_mangle(struct world *world, uint32_t node, uint64_t number)
{
    struct disk *disk = &world->nodes[node].disk;

    disk->is_mangled = true;
    for (uint32_t i = disk->blob_count; i > 0; i--) {
        struct disk_blob *blob = &disk->blobs[i - 1];
        uint64_t drawn = world_draw(world, "mangled blob", (uint64_t)node << 32 | i, number);

        if (!mangle_blob(disk, blob, drawn)) {
            disk_remove_blob(disk, blob);
        }
    }
    for (uint32_t i = disk->chunk_count; i > 0; i--) {
        uint64_t drawn = world_draw(world, "mangled chunk", (uint64_t)node << 32 | i, number);

        if (drawn % 4 == 0) {
            disk->chunks[i - 1] = disk->chunks[--disk->chunk_count];
        }
    }
}
