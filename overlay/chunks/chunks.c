// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/chunks.h"

#include <errno.h>
#include <stddef.h>

#include "base/check.h"

/* By the first bits: where a chunk lies on the ring is where it lies in the table. */
static uint32_t home_of(const struct id *id)
{
    return (uint32_t)((id_top(id) >> 32) * CHUNK_SLOTS >> 32);
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
    uint32_t slot = home_of(&id->id);

    while (chunks->list[slot].used && !id_equal(&chunks->list[slot].id.id, &id->id)) {
        slot = (slot + 1) % CHUNK_SLOTS;
    }
    return slot;
}

const struct chunk *chunks_find(const struct chunks *chunks, const struct chunk_id *id)
{
    const struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    return chunk->used && !chunk->is_bad ? chunk : NULL;
}

struct chunk *chunks_entry(struct chunks *chunks, const struct chunk_id *id)
{
    struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    return chunk->used ? chunk : NULL;
}

bool chunks_is_bad(const struct chunks *chunks, const struct chunk_id *id)
{
    const struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    return chunk->used && chunk->is_bad;
}

void chunks_set_bad(struct chunks *chunks, struct chunk *chunk, bool is_bad)
{
    CHECK(chunk->used);
    if (chunk->is_bad == is_bad) {
        return;
    }
    chunk->is_bad = is_bad;
    if (is_bad) {
        chunks->bad_count++;
        chunks->bad_bytes += chunk->bytes;
    } else {
        CHECK(chunks->bad_count > 0 && chunks->bad_bytes >= chunk->bytes);
        chunks->bad_count--;
        chunks->bad_bytes -= chunk->bytes;
    }
}

uint64_t chunk_cost_bytes(uint64_t bytes)
{
    return (bytes + CHUNK_BLOCK_BYTES - 1) / CHUNK_BLOCK_BYTES * CHUNK_BLOCK_BYTES +
           CHUNK_EXTRA_BYTES;
}

bool chunks_have_room(const struct chunks *chunks, uint64_t bytes, struct chunks_promised promised)
{
    uint64_t left_bytes =
        chunks->cost_bytes < chunks->bytes_max ? chunks->bytes_max - chunks->cost_bytes : 0;

    return promised.count < CHUNKS_MAX - chunks->count && bytes <= CHUNK_BYTES_MAX &&
           promised.cost_bytes <= left_bytes &&
           chunk_cost_bytes(bytes) <= left_bytes - promised.cost_bytes;
}

int chunks_add(struct chunks *chunks, const struct chunk_id *id, uint32_t bytes)
{
    struct chunk *chunk = &chunks->list[slot_of(chunks, id)];

    if (chunk->used) {
        chunks_set_bad(chunks, chunk, false);
    }
    if (chunk->used && chunk->bytes == 0) { /* noted before it was loaded */
        chunk->bytes = bytes;
        chunks->bytes += bytes;
        chunks->cost_bytes += chunk_cost_bytes(bytes) - chunk_cost_bytes(0);
    }
    if (chunk->used) {
        return 0;
    }
    if (chunks->count == CHUNKS_MAX) {
        return -ENOSPC;
    }
    *chunk = (struct chunk){.used = true, .bytes = bytes, .id = *id};
    mark(chunks, (uint32_t)(chunk - chunks->list), true);
    chunks->count++;
    chunks->bytes += bytes;
    chunks->cost_bytes += chunk_cost_bytes(bytes);
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
    chunks_set_bad(chunks, &chunks->list[hole], false);
    chunks->count--;
    chunks->bytes -= chunks->list[hole].bytes;
    chunks->cost_bytes -= chunk_cost_bytes(chunks->list[hole].bytes);
    for (;;) {
        uint32_t home;

        next = (next + 1) % CHUNK_SLOTS;
        if (!chunks->list[next].used) {
            break;
        }
        home = home_of(&chunks->list[next].id.id);
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

/* ------------------------------------------------------------------ ranges */

struct chunks_walk chunks_walk(const struct chunks *chunks, const struct id *from,
                               const struct id *to)
{
    uint32_t first = home_of(from);
    uint32_t count = (home_of(to) + CHUNK_SLOTS - first) % CHUNK_SLOTS + 1;

    (void)chunks;
    /* An arc that begins and ends in one slot is either tiny or nearly all. */
    if (count == 1 && (id_equal(from, to) || id_compare(from, to) > 0)) {
        count = CHUNK_SLOTS;
    }
    return (struct chunks_walk){.from = *from, .to = *to, .slot = first, .left = count};
}

/* Behind the arc only the run counts that goes on there: what has its home in the arc lies no
 * further. Empty slots are passed over 64 at a time. */
const struct chunk *chunks_walk_next(const struct chunks *chunks, struct chunks_walk *walk)
{
    while (walk->seen < CHUNK_SLOTS) {
        uint64_t rest = chunks->used_bits[walk->slot / 64] >> (walk->slot % 64);
        uint32_t skip = rest != 0 ? (uint32_t)__builtin_ctzll(rest) : 64 - walk->slot % 64;
        const struct chunk *chunk = &chunks->list[walk->slot];

        if (skip > 0) {
            walk->seen += skip;
            walk->slot = (walk->slot + skip) % CHUNK_SLOTS;
            if (walk->seen > walk->left) {
                return NULL;
            }
            continue;
        }
        CHECK(chunk->used);
        walk->seen++;
        walk->slot = (walk->slot + 1) % CHUNK_SLOTS;
        if (!chunk->is_bad && id_in_arc(&chunk->id.id, &walk->from, &walk->to)) {
            return chunk;
        }
    }
    return NULL;
}

/* The finaliser of MurmurHash3: each bit in changes half of those that come out. */
static uint64_t mix(uint64_t value)
{
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

/* Alike on all machines. */
static uint64_t word_of(const struct id *id, uint32_t offset_bytes)
{
    uint64_t word = 0;

    for (uint32_t i = 0; i < 8; i++) {
        word = word << 8 | id->bytes[offset_bytes + i];
    }
    return word;
}

uint64_t chunks_mix(const struct id *id, uint64_t nonce)
{
    uint64_t mixed = nonce;

    for (uint32_t i = 0; i < ID_BYTES; i += 8) {
        mixed = mix(mixed ^ word_of(id, i));
    }
    return mixed;
}

struct chunks_sum chunks_sum(const struct chunks *chunks, const struct id *from,
                             const struct id *to, uint64_t nonce)
{
    struct chunks_walk walk = chunks_walk(chunks, from, to);
    struct chunks_sum sum = {0, 0};
    const struct chunk *chunk;

    while ((chunk = chunks_walk_next(chunks, &walk)) != NULL) {
        sum.count++;
        sum.sum += chunks_mix(&chunk->id.id, nonce);
    }
    return sum;
}
