// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Fixed-form bytes: sandbox requests, tree indexes, canonical manifests. (Links between nodes
 * use protobuf instead.) Integers are big-endian, texts and blobs carry a 32-bit length.
 *
 * Failure is sticky: read or write all fields, then ask once with wire_done() / wire_ok().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"

struct wire_reader {
    const uint8_t *position;
    size_t left_bytes;
    bool failed;
};

struct wire_writer {
    uint8_t *position;
    size_t left_bytes;
    size_t written_bytes;
    bool failed;
};

struct wire_reader wire_reader(struct bytes bytes);
/* Borrow `count_bytes` from the input, or NULL. */
const uint8_t *wire_take(struct wire_reader *wire, size_t count_bytes);
uint8_t wire_u8(struct wire_reader *wire);
uint16_t wire_u16(struct wire_reader *wire);
uint32_t wire_u32(struct wire_reader *wire);
uint64_t wire_u64(struct wire_reader *wire);
/* Only 0 and 1 are booleans. */
bool wire_bool(struct wire_reader *wire);
void wire_id(struct wire_reader *wire, struct id *id_out);
/* Copies a text of less than capacity_bytes without NUL inside; "" on failure. */
void wire_text(struct wire_reader *wire, char *text_out, size_t capacity_bytes);
/* Borrows a blob of at most bytes_max. */
struct bytes wire_blob(struct wire_reader *wire, size_t bytes_max);
/* True when nothing failed and nothing is left over. */
bool wire_done(const struct wire_reader *wire);

struct wire_writer wire_writer(uint8_t *data, size_t capacity_bytes);
void wire_put(struct wire_writer *wire, const void *data, size_t count_bytes);
void wire_put_u8(struct wire_writer *wire, uint8_t value);
void wire_put_u16(struct wire_writer *wire, uint16_t value);
void wire_put_u32(struct wire_writer *wire, uint32_t value);
void wire_put_u64(struct wire_writer *wire, uint64_t value);
void wire_put_bool(struct wire_writer *wire, bool value);
void wire_put_id(struct wire_writer *wire, const struct id *id);
void wire_put_text(struct wire_writer *wire, const char *text);
void wire_put_blob(struct wire_writer *wire, struct bytes blob);
bool wire_ok(const struct wire_writer *wire);
