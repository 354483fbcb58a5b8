// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Ed25519 keys of nodes, owners, communities and invitations, and what is signed with them.
 *
 * Signatures are deterministic, so pure code may sign. Each signature is made for a purpose
 * (domain separation): one made for an admission never verifies as an expulsion.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/ids.h"

enum { PUBLIC_KEY_BYTES = 32, SECRET_KEY_BYTES = 64, KEY_SEED_BYTES = 32, SIGNATURE_BYTES = 64 };

struct public_key {
    uint8_t bytes[PUBLIC_KEY_BYTES];
};
struct signature {
    uint8_t bytes[SIGNATURE_BYTES];
};
struct signer;
struct secret_key { /* libsodium's form: seed and public key */
    uint8_t bytes[SECRET_KEY_BYTES];
    const struct signer *signer; /* NULL: the bytes sign */
};
/* Signs in the place of a key's own bytes: a recording notes what was signed, and its replay, which
 * has no secret, gives it back. Lives as long as any copy of the key. */
struct signer {
    struct signature (*sign)(void *self, const struct secret_key *secret, const char *purpose,
                             struct bytes body);
    void *self;
};
struct curve_keypair { /* X25519, raw, for ZeroMQ's CURVE */
    uint8_t public_bytes[32];
    uint8_t secret_bytes[32];
};

/* Draws a key from the kernel's randomness. */
void keys_generate(struct secret_key *secret_out);
void keys_from_seed(const uint8_t seed[KEY_SEED_BYTES], struct secret_key *secret_out);
struct public_key keys_public(const struct secret_key *secret);
bool keys_equal(const struct public_key *a, const struct public_key *b);

struct node_id keys_node_id(const struct public_key *key);
struct owner_id keys_owner_id(const struct public_key *key);
struct community_id keys_community_id(const struct public_key *key);
/* Position number `index` of a node on the ring. */
struct ring_key keys_position(const struct public_key *key, uint32_t index);
/* A service's id from its owner's key and its name. */
struct service_id keys_service_id(const struct public_key *owner, const char *name);

/* A key that has no secret: only what `signer` signs. */
void keys_from_public(const struct public_key *key, struct secret_key *secret_out);

/* Signs `purpose` and `body`. */
struct signature keys_sign(const struct secret_key *secret, const char *purpose, struct bytes body);
bool keys_verify(const struct public_key *key, const char *purpose, struct bytes body,
                 const struct signature *signature);

/* Derives the X25519 keys that CURVE uses. Returns 0, or -EINVAL for a key of low order. */
int keys_curve(const struct secret_key *secret, struct curve_keypair *curve_out);
int keys_curve_public(const struct public_key *key, uint8_t curve_public_out[32]);

/* Reads a key file (hexadecimal seed and a line end). Refuses a file that others can read. */
int keys_load(const char *path, struct secret_key *secret_out, struct err *err);
/* Writes a new key file, mode 0600, complete or not at all. Fails with -EEXIST if there is one. */
int keys_save(const char *path, const struct secret_key *secret, struct err *err);
/* Overwrites a secret so that it does not stay in memory. */
void keys_forget(struct secret_key *secret);
