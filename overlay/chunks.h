// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which chunks this node stores. Pure table: open addressing by the id's own bits (ids are hashes),
 * bounded in number and in bytes.
 */
#include <stdbool.h>

#include "base/ids.h"
#include "base/limits.h"

enum { CHUNK_SLOTS = 2 * CHUNKS_MAX };

struct chunk {
    bool used;
    uint32_t bytes;
    struct chunk_id id;
};

struct chunks {
    uint32_t count;
    uint64_t bytes;
    uint64_t bytes_max;
    uint64_t used_bits[CHUNK_SLOTS / 64]; /* of `list`: a walk does not touch what is empty */
    struct chunk list[CHUNK_SLOTS];
};

const struct chunk *chunks_find(const struct chunks *chunks, const struct chunk_id *id);
/* Is there room for one more of this size, with `expected_bytes` already promised? */
bool chunks_have_room(const struct chunks *chunks, uint64_t bytes, uint64_t expected_bytes);
/* Returns 0 (also when known), or -ENOSPC when the table itself is full. */
int chunks_add(struct chunks *chunks, const struct chunk_id *id, uint32_t bytes);
void chunks_remove(struct chunks *chunks, const struct chunk_id *id);
/* Walks slots: *cursor starts at 0; NULL at the end. Stable while nothing is removed. */
const struct chunk *chunks_next(const struct chunks *chunks, uint32_t *cursor);
