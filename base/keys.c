// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/hash.h"

static_assert(PUBLIC_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "libsodium agrees");
static_assert(SECRET_KEY_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium agrees");
static_assert(SIGNATURE_BYTES == crypto_sign_BYTES, "libsodium agrees");

enum { KEY_HEX_CHARS = 2 * KEY_SEED_BYTES, KEY_FILE_BYTES = KEY_HEX_CHARS + 1 };

void keys_generate(struct secret_key *secret_out)
{
    uint8_t seed[KEY_SEED_BYTES];

    CHECK(sodium_init() >= 0);
    randombytes_buf(seed, sizeof(seed));
    keys_from_seed(seed, secret_out);
    sodium_memzero(seed, sizeof(seed));
}

void keys_from_seed(const uint8_t seed[KEY_SEED_BYTES], struct secret_key *secret_out)
{
    struct public_key ignored;

    CHECK(crypto_sign_seed_keypair(ignored.bytes, secret_out->bytes, seed) == 0);
    secret_out->signer = NULL;
}

void keys_from_public(const struct public_key *key, struct secret_key *secret_out)
{
    memset(secret_out, 0, sizeof(*secret_out));
    memcpy(secret_out->bytes + KEY_SEED_BYTES, key->bytes, PUBLIC_KEY_BYTES);
}

struct public_key keys_public(const struct secret_key *secret)
{
    struct public_key key;

    CHECK(crypto_sign_ed25519_sk_to_pk(key.bytes, secret->bytes) == 0);
    return key;
}

bool keys_equal(const struct public_key *a, const struct public_key *b)
{
    return memcmp(a->bytes, b->bytes, PUBLIC_KEY_BYTES) == 0;
}

static struct id hash_of_key(const char *purpose, const struct public_key *key)
{
    return hash_of(purpose, (struct bytes){key->bytes, PUBLIC_KEY_BYTES});
}

struct node_id keys_node_id(const struct public_key *key)
{
    return (struct node_id){hash_of_key(HASH_NODE, key)};
}

struct owner_id keys_owner_id(const struct public_key *key)
{
    return (struct owner_id){hash_of_key(HASH_OWNER, key)};
}

struct community_id keys_community_id(const struct public_key *key)
{
    return (struct community_id){hash_of_key(HASH_COMMUNITY, key)};
}

struct ring_key keys_position(const struct public_key *key, uint32_t index)
{
    uint8_t index_bytes[4] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8),
                              (uint8_t)index};
    struct ring_key position;
    struct hash hash;

    hash_init(&hash, HASH_POSITION);
    hash_add(&hash, (struct bytes){key->bytes, PUBLIC_KEY_BYTES});
    hash_add(&hash, (struct bytes){index_bytes, sizeof(index_bytes)});
    hash_done(&hash, &position.id);
    return position;
}

struct service_id keys_service_id(const struct public_key *owner, const char *name)
{
    struct service_id service;
    struct hash hash;

    hash_init(&hash, HASH_SERVICE);
    hash_add(&hash, (struct bytes){owner->bytes, PUBLIC_KEY_BYTES});
    hash_add(&hash, bytes_of_text(name));
    hash_done(&hash, &service.id);
    return service;
}

/* Signing the digest keeps the purpose and the body in one fixed-size message. */
static struct id digest_to_sign(const char *purpose, struct bytes body)
{
    return hash_of(purpose, body);
}

struct signature keys_sign(const struct secret_key *secret, const char *purpose, struct bytes body)
{
    struct id digest;
    struct signature signature;

    if (secret->signer != NULL) {
        return secret->signer->sign(secret->signer->self, secret, purpose, body);
    }
    digest = digest_to_sign(purpose, body);
    CHECK(crypto_sign_detached(signature.bytes, NULL, digest.bytes, ID_BYTES, secret->bytes) == 0);
    return signature;
}

bool keys_verify(const struct public_key *key, const char *purpose, struct bytes body,
                 const struct signature *signature)
{
    struct id digest = digest_to_sign(purpose, body);

    return crypto_sign_verify_detached(signature->bytes, digest.bytes, ID_BYTES, key->bytes) == 0;
}

int keys_curve(const struct secret_key *secret, struct curve_keypair *curve_out)
{
    if (crypto_sign_ed25519_sk_to_curve25519(curve_out->secret_bytes, secret->bytes) != 0) {
        return -EINVAL;
    }
    return crypto_scalarmult_base(curve_out->public_bytes, curve_out->secret_bytes) == 0 ? 0
                                                                                         : -EINVAL;
}

int keys_curve_public(const struct public_key *key, uint8_t curve_public_out[32])
{
    return crypto_sign_ed25519_pk_to_curve25519(curve_public_out, key->bytes) == 0 ? 0 : -EINVAL;
}

int keys_load(const char *path, struct secret_key *secret_out, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[KEY_FILE_BYTES + 1] = "";
    uint8_t seed[KEY_SEED_BYTES];
    struct stat status;
    ssize_t read_bytes;

    if (fd < 0 || fstat(fd, &status) < 0) {
        return err_set(err, -errno, "key file %s: %m", path);
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 077) != 0) {
        err_set(err, -EPERM, "key file %s: others can read it", path);
        return err_hint(err, "chmod 600 %s", path);
    }
    read_bytes = read(fd, text, sizeof(text));
    if (read_bytes < KEY_HEX_CHARS || read_bytes > KEY_FILE_BYTES) {
        return err_set(err, -EINVAL, "key file %s: not a key", path);
    }
    text[KEY_HEX_CHARS] = '\0';
    if (bytes_from_hex(text, seed, sizeof(seed)) < 0) {
        return err_set(err, -EINVAL, "key file %s: not a key", path);
    }
    keys_from_seed(seed, secret_out);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(text, sizeof(text));
    return 0;
}

/* A half-written key would lock its owner out: write, sync, and only then give it its name. */
int keys_save(const char *path, const struct secret_key *secret, struct err *err)
{
    char text[KEY_FILE_BYTES + 1];
    char temporary[4096];
    int r = 0;

    if (snprintf(temporary, sizeof(temporary), "%s.%d.new", path, (int)getpid()) >=
        (int)sizeof(temporary)) {
        return err_set(err, -ENAMETOOLONG, "key file %s: path too long", path);
    }
    CLEANUP(cleanup_close)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set(err, -errno, "key file %s: %m", temporary);
    }
    bytes_to_hex((struct bytes){secret->bytes, KEY_SEED_BYTES}, text);
    text[KEY_FILE_BYTES - 1] = '\n';
    if (write(fd, text, KEY_FILE_BYTES) != KEY_FILE_BYTES || fsync(fd) < 0) {
        r = err_set(err, -(errno != 0 ? errno : EIO), "key file %s: %m", temporary);
    } else if (link(temporary, path) < 0) { /* unlike rename, never replaces a key */
        r = err_set(err, -errno, "key file %s: %m", path);
    }
    unlink(temporary);
    sodium_memzero(text, sizeof(text));
    return r;
}

void keys_forget(struct secret_key *secret)
{
    sodium_memzero(secret, sizeof(*secret));
}
