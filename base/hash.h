// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * 256-bit BLAKE2b (RFC 7693), the only hash of the system, always with a purpose string in
 * front so that a hash made for one purpose never equals one made for another.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"

enum { HASH_STATE_BYTES = 384 };

struct hash {
    _Alignas(64) uint8_t opaque[HASH_STATE_BYTES];
};

/* Purposes; the text is part of what is hashed. */
#define HASH_CHUNK     "minga chunk"
#define HASH_NODE      "minga node"
#define HASH_OWNER     "minga owner"
#define HASH_COMMUNITY "minga community"
#define HASH_SERVICE   "minga service"
#define HASH_VERSION   "minga version"
#define HASH_POSITION  "minga position"
#define HASH_RECORD    "minga record"
#define HASH_KEY       "minga key" /* any text that people look up */

void hash_init(struct hash *hash, const char *purpose);
void hash_add(struct hash *hash, struct bytes bytes);
void hash_done(struct hash *hash, struct id *id_out);

/* All in one: the hash of `bytes` for `purpose`. */
struct id hash_of(const char *purpose, struct bytes bytes);
