// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/relays/relay_seal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#define PURPOSE_LEAF_SENDS  "minga relay, leaf"
#define PURPOSE_RELAY_SENDS "minga relay, relay"

static_assert((int)RELAY_TAG_BYTES == (int)crypto_aead_chacha20poly1305_ietf_ABYTES, "its tag");
static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == ID_BYTES, "a hash is a key");

enum { MAGIC_BYTES = sizeof(RELAY_MAGIC) - 1, LENGTH_BYTES = 2 };

void relay_hello_write(const struct relay_hello *hello, uint8_t bytes_out[RELAY_HELLO_BYTES])
{
    memcpy(bytes_out, RELAY_MAGIC, MAGIC_BYTES);
    memcpy(bytes_out + MAGIC_BYTES, hello->leaf.id.bytes, ID_BYTES);
    memcpy(bytes_out + MAGIC_BYTES + ID_BYTES, hello->nonce, RELAY_NONCE_BYTES);
}

bool relay_hello_read(const uint8_t bytes[RELAY_HELLO_BYTES], struct relay_hello *hello_out)
{
    if (memcmp(bytes, RELAY_MAGIC, MAGIC_BYTES) != 0) {
        return false;
    }
    memcpy(hello_out->leaf.id.bytes, bytes + MAGIC_BYTES, ID_BYTES);
    memcpy(hello_out->nonce, bytes + MAGIC_BYTES + ID_BYTES, RELAY_NONCE_BYTES);
    return true;
}

static void derive(const char *purpose, const uint8_t secret[RELAY_SECRET_BYTES],
                   struct relay_nonces nonces, uint8_t key_out[ID_BYTES])
{
    struct hash hash;
    struct id id;

    hash_init(&hash, purpose);
    hash_add(&hash, (struct bytes){secret, RELAY_SECRET_BYTES});
    hash_add(&hash, (struct bytes){nonces.leaf, RELAY_NONCE_BYTES});
    hash_add(&hash, (struct bytes){nonces.relay, RELAY_NONCE_BYTES});
    hash_done(&hash, &id);
    memcpy(key_out, id.bytes, ID_BYTES);
}

void relay_seal_init(struct relay_seal *seal, const uint8_t secret[RELAY_SECRET_BYTES],
                     struct relay_nonces nonces, bool is_leaf)
{
    *seal = (struct relay_seal){0};
    derive(is_leaf ? PURPOSE_LEAF_SENDS : PURPOSE_RELAY_SENDS, secret, nonces, seal->send_key);
    derive(is_leaf ? PURPOSE_RELAY_SENDS : PURPOSE_LEAF_SENDS, secret, nonces, seal->receive_key);
}

static void make_nonce(uint64_t count,
                       uint8_t nonce_out[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    memset(nonce_out, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
    for (int i = 0; i < 8; i++) {
        nonce_out[i] = (uint8_t)(count >> (8 * i));
    }
}

size_t relay_seal_frame(struct relay_seal *seal, enum relay_frame type, struct bytes body,
                        uint8_t frame_out[RELAY_FRAME_BYTES_MAX])
{
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    uint8_t plain[1 + RELAY_BODY_BYTES_MAX];
    size_t length_bytes = 1 + body.length_bytes + RELAY_TAG_BYTES;

    CHECK(body.length_bytes <= RELAY_BODY_BYTES_MAX && type < RELAY_FRAMES_COUNT);
    plain[0] = (uint8_t)type;
    if (body.length_bytes > 0) {
        memcpy(plain + 1, body.data, body.length_bytes);
    }
    frame_out[0] = (uint8_t)(length_bytes >> 8);
    frame_out[1] = (uint8_t)length_bytes;
    make_nonce(seal->sent_count++, nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(frame_out + LENGTH_BYTES, NULL, plain,
                                                    1 + body.length_bytes, frame_out, LENGTH_BYTES,
                                                    NULL, nonce, seal->send_key);
    return LENGTH_BYTES + length_bytes;
}

int relay_open_frame(struct relay_seal *seal, struct bytes in, struct relay_opened *opened_out)
{
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    unsigned long long plain_bytes = 0;
    size_t length_bytes;

    if (in.length_bytes < LENGTH_BYTES) {
        return 0;
    }
    length_bytes = (size_t)in.data[0] << 8 | in.data[1];
    if (length_bytes < 1 + RELAY_TAG_BYTES || length_bytes > RELAY_FRAME_BYTES_MAX - LENGTH_BYTES) {
        return -EBADMSG;
    }
    if (in.length_bytes - LENGTH_BYTES < length_bytes) {
        return 0;
    }
    make_nonce(seal->received_count, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(opened_out->body, &plain_bytes, NULL,
                                                  in.data + LENGTH_BYTES, length_bytes, in.data,
                                                  LENGTH_BYTES, nonce, seal->receive_key) < 0 ||
        plain_bytes < 1 || opened_out->body[0] >= RELAY_FRAMES_COUNT) {
        return -EBADMSG;
    }
    seal->received_count++;
    opened_out->type = (enum relay_frame)opened_out->body[0];
    opened_out->body_bytes = (size_t)plain_bytes - 1;
    return (int)(LENGTH_BYTES + length_bytes);
}

struct bytes relay_body(const struct relay_opened *opened)
{
    return (struct bytes){opened->body + 1, opened->body_bytes};
}
