// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/hash.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"

static_assert(sizeof(crypto_generichash_blake2b_state) <= HASH_STATE_BYTES,
              "the opaque state must hold libsodium's");

static crypto_generichash_blake2b_state *state_of(struct hash *hash)
{
    return (crypto_generichash_blake2b_state *)(void *)hash->opaque;
}

void hash_init(struct hash *hash, const char *purpose)
{
    CHECK(crypto_generichash_blake2b_init(state_of(hash), NULL, 0, ID_BYTES) == 0);
    /* The NUL ends the purpose, so that no purpose is a prefix of another with its data. */
    hash_add(hash, (struct bytes){(const uint8_t *)purpose, strlen(purpose) + 1});
}

void hash_add(struct hash *hash, struct bytes bytes)
{
    CHECK(crypto_generichash_blake2b_update(state_of(hash), bytes.data, bytes.length_bytes) == 0);
}

void hash_done(struct hash *hash, struct id *id_out)
{
    CHECK(crypto_generichash_blake2b_final(state_of(hash), id_out->bytes, ID_BYTES) == 0);
}

struct id hash_of(const char *purpose, struct bytes bytes)
{
    struct hash hash;
    struct id id;

    hash_init(&hash, purpose);
    hash_add(&hash, bytes);
    hash_done(&hash, &id);
    return id;
}
