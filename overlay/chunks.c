// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks.h"

#include <errno.h>
#include <stddef.h>

#include "base/check.h"

static uint32_t home_of(const struct chunk_id *id)
{
    return ((uint32_t)id->id.bytes[0] << 16 | (uint32_t)id->id.bytes[1] << 8 | id->id.bytes[2]) %
           CHUNK_SLOTS;
}

static void mark(struct chunks *chunks, uint32_t slot, bool is_used)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);

    chunks->list[slot].used = is_used;
    if (is_used) {
        chunks->used_bits[slot / 64] |= bit;
    } else {
        chunks->used_bits[slot / 64] &= ~bit;
    }
}

/* The chunk's slot, or the free one where it would go. The table is never more than half full. */
static uint32_t slot_of(const struct chunks *chunks, const struct chunk_id *id)
{
    uint32_t slot = home_of(id);

    while (chunks->list[slot].used && !id_equal(&chunks->list[slot].id.id, &id->id)) {
        slot = (slot + 1) % CHUNK_SLOTS;
    }
    return slot;
}

const struct chunk *chunks_find(const struct chunks *chunks, const struct chunk_id *id)
{
    const struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    return chunk->used ? chunk : NULL;
}

bool chunks_have_room(const struct chunks *chunks, uint64_t bytes, uint64_t expected_bytes)
{
    return chunks->count < CHUNKS_MAX && chunks->bytes <= chunks->bytes_max &&
           expected_bytes <= chunks->bytes_max - chunks->bytes &&
           bytes <= chunks->bytes_max - chunks->bytes - expected_bytes;
}

int chunks_add(struct chunks *chunks, const struct chunk_id *id, uint32_t bytes)
{
    struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    if (chunk->used) {
        return 0;
    }
    if (chunks->count == CHUNKS_MAX) {
        return -ENOSPC;
    }
    *chunk = (struct chunk){true, bytes, *id};
    mark(chunks, (uint32_t)(chunk - chunks->list), true);
    chunks->count++;
    chunks->bytes += bytes;
    return 0;
}

/* Knuth's algorithm R: later entries of the same run move up, so that no search breaks off. */
void chunks_remove(struct chunks *chunks, const struct chunk_id *id)
{
    uint32_t hole = slot_of(chunks, id);
    uint32_t next = hole;

    if (!chunks->list[hole].used) {
        return;
    }
    CHECK(chunks->count > 0);
    CHECK(chunks->bytes >= chunks->list[hole].bytes);
    chunks->count--;
    chunks->bytes -= chunks->list[hole].bytes;
    for (;;) {
        uint32_t home;

        next = (next + 1) % CHUNK_SLOTS;
        if (!chunks->list[next].used) {
            break;
        }
        home = home_of(&chunks->list[next].id);
        if ((next + CHUNK_SLOTS - home) % CHUNK_SLOTS >=
            (next + CHUNK_SLOTS - hole) % CHUNK_SLOTS) {
            chunks->list[hole] = chunks->list[next];
            hole = next;
        }
    }
    mark(chunks, hole, false);
}

const struct chunk *chunks_next(const struct chunks *chunks, uint32_t *cursor)
{
    while (*cursor < CHUNK_SLOTS) {
        uint64_t left = chunks->used_bits[*cursor / 64] >> (*cursor % 64);

        if (left != 0) {
            *cursor += (uint32_t)__builtin_ctzll(left) + 1;
            return &chunks->list[*cursor - 1];
        }
        *cursor += 64 - *cursor % 64;
    }
    return NULL;
}
