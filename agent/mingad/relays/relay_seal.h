// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a leaf and its relay say to each other on a connection that the leaf has opened: a greeting
 * with a nonce each way, then frames, sealed with keys of this connection only.
 *
 *     leaf:  RELAY_MAGIC, its node id, 32 bytes of nonce
 *     relay: 32 bytes of nonce
 *     both:  { length (2 bytes, big-endian), ChaCha20-Poly1305 of type (1 byte) and body }
 *
 * The keys derive from the secret that both know and from both nonces, so neither can be fooled
 * with what was said earlier. Nonces of frames count up; the length is authenticated, too.
 *
 * Pure but for libsodium; no allocation. Whatever the other side sends is only ever refused.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"

#define RELAY_MAGIC "MINGARL1"

enum {
    RELAY_NONCE_BYTES = 32,
    RELAY_HELLO_BYTES = 8 + ID_BYTES + RELAY_NONCE_BYTES,
    RELAY_BODY_BYTES_MAX = 16384,
    RELAY_TAG_BYTES = 16,
    RELAY_FRAME_BYTES_MAX = 2 + 1 + RELAY_BODY_BYTES_MAX + RELAY_TAG_BYTES,
};

enum relay_frame {
    RELAY_READY, /* the leaf's first: it knows the secret */
    RELAY_OPEN,  /* the relay's first: someone is there, for the leaf's port in the body */
    RELAY_DATA,
    RELAY_END,      /* nothing follows this way */
    RELAY_FLOWS,    /* the relay's first: this connection carries all clients' datagrams */
    RELAY_DATAGRAM, /* a flow's number and one datagram: relay_flows.h */
    RELAY_FRAMES_COUNT,
};

struct relay_seal {
    uint8_t send_key[32];
    uint8_t receive_key[32];
    uint64_t sent_count;
    uint64_t received_count;
};

struct relay_hello {
    struct node_id leaf;
    uint8_t nonce[RELAY_NONCE_BYTES];
};

void relay_hello_write(const struct relay_hello *hello, uint8_t bytes_out[RELAY_HELLO_BYTES]);
/* False: no such greeting. */
bool relay_hello_read(const uint8_t bytes[RELAY_HELLO_BYTES], struct relay_hello *hello_out);

struct relay_nonces {
    const uint8_t *leaf;
    const uint8_t *relay;
};
void relay_seal_init(struct relay_seal *seal, const uint8_t secret[RELAY_SECRET_BYTES],
                     struct relay_nonces nonces, bool is_leaf);

/* Returns the frame's length. body.length_bytes <= RELAY_BODY_BYTES_MAX. */
size_t relay_seal_frame(struct relay_seal *seal, enum relay_frame type, struct bytes body,
                        uint8_t frame_out[RELAY_FRAME_BYTES_MAX]);

struct relay_opened {
    enum relay_frame type;
    size_t body_bytes;
    uint8_t body[RELAY_BODY_BYTES_MAX + 1]; /* the first byte is the type's: see relay_body */
};
/* Opens the first frame of `in`. Returns how many bytes it took, 0 when it is not whole yet, or
 * -EBADMSG: then nothing more can be read. */
int relay_open_frame(struct relay_seal *seal, struct bytes in, struct relay_opened *opened_out);
struct bytes relay_body(const struct relay_opened *opened);
