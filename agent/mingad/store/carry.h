// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Chunks that a user has pushed and this node's own disk does not take: carried in memory until
 * enough others have them durably, or the push fails. Nobody is told that they are here.
 *
 * Bounded in bytes. One whose push came too late for its answer is carried on for a while, since the
 * command sends it again, and by then it may have arrived; such ones make room for others.
 * Threads: the loop's.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"

enum { CARRIED_BYTES_MAX = 24 * CHUNK_BYTES_MAX, CARRIED_MS = 60000 };

struct carried {
    struct carried *next;
    uint64_t token; /* of the push that waits; 0: none any more */
    uint64_t since_ms;
    struct chunk_id chunk;
    int result; /* what the own disk said */
    size_t length_bytes;
    uint8_t data[];
};

struct carry {
    struct carried *first; /* the oldest */
    uint64_t bytes;
};

struct carry_new {
    uint64_t token;
    struct chunk_id chunk;
    int result;
    struct bytes data; /* copied */
};

/* False: there is no room. */
bool carry_add(struct carry *carry, const struct carry_new *new_one, uint64_t now_ms);
/* NULL: not carried. Borrowed until the next call. */
const struct carried *carry_find(const struct carry *carry, const struct chunk_id *chunk);
/* The push with this token has ended. Returns whether its chunk was carried, and what the disk had
 * said. `is_late`: it may be sent again. */
bool carry_end(struct carry *carry, uint64_t token, bool is_late, int *result_out);
/* Drops what was carried for too long. */
void carry_tidy(struct carry *carry, uint64_t now_ms);
void carry_clear(struct carry *carry);
