// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * 256-bit identifiers and the arithmetic of the ring they lie on.
 *
 * Every kind of identifier is a struct of its own around `struct id`, so that the compiler keeps
 * them apart; functions that fit all kinds take the inner `id`. Ids are big-endian numbers.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    ID_BYTES = 32,
    ID_HEX_CHARS = 2 * ID_BYTES, /* without the NUL */
    ID_SHORT_CHARS = 8           /* the prefix that people see */
};

struct id {
    uint8_t bytes[ID_BYTES];
};

struct ring_key { /* a point of the ring: a position, a record's or a service's key */
    struct id id;
};
struct node_id { /* hash of a node's public key */
    struct id id;
};
struct owner_id { /* hash of an owner's public key */
    struct id id;
};
struct community_id { /* hash of a community's public key */
    struct id id;
};
struct service_id { /* hash of owner key and service name */
    struct id id;
};
struct tree_id { /* hash of a tree's root block */
    struct id id;
};
struct chunk_id { /* hash of a chunk's bytes */
    struct id id;
};

bool id_equal(const struct id *a, const struct id *b);
/* <0, 0, >0 as memcmp. */
int id_compare(const struct id *a, const struct id *b);
bool id_is_zero(const struct id *id);

/* Is `key` in the half-open arc (from, to] of the ring? The arc (x, x] is the whole ring. */
bool id_in_arc(const struct id *key, const struct id *from, const struct id *to);

/* Clockwise distance from `from` to `to`, modulo 2^256. */
struct id id_distance(const struct id *from, const struct id *to);
/* The first 64 bits as a number: of a distance, how far; of a hash, a short check. */
uint64_t id_top(const struct id *id);

/* Writes ID_HEX_CHARS digits and a NUL. */
void id_to_hex(const struct id *id, char hex_out[ID_HEX_CHARS + 1]);
/* Writes the first ID_SHORT_CHARS digits and a NUL. */
void id_to_short(const struct id *id, char short_out[ID_SHORT_CHARS + 1]);
/* Returns 0 or -EINVAL unless exactly ID_HEX_CHARS digits. */
int id_from_hex(const char *hex, struct id *id_out);
/* Does the id, written in hexadecimal, begin with `prefix` (any case, at least one digit)? */
bool id_has_prefix(const struct id *id, const char *prefix);
