// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/wire.h"

#include <string.h>

#include "base/check.h"

struct wire_reader wire_reader(struct bytes bytes)
{
    return (struct wire_reader){bytes.data, bytes.length_bytes, false};
}

const uint8_t *wire_take(struct wire_reader *wire, size_t count_bytes)
{
    const uint8_t *taken = wire->position;

    if (wire->failed || count_bytes > wire->left_bytes) {
        wire->failed = true;
        return NULL;
    }
    wire->position += count_bytes;
    wire->left_bytes -= count_bytes;
    return taken;
}

static uint64_t take_number(struct wire_reader *wire, size_t count_bytes)
{
    const uint8_t *bytes = wire_take(wire, count_bytes);
    uint64_t value = 0;

    for (size_t i = 0; bytes != NULL && i < count_bytes; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

uint8_t wire_u8(struct wire_reader *wire)
{
    return (uint8_t)take_number(wire, 1);
}

uint16_t wire_u16(struct wire_reader *wire)
{
    return (uint16_t)take_number(wire, 2);
}

uint32_t wire_u32(struct wire_reader *wire)
{
    return (uint32_t)take_number(wire, 4);
}

uint64_t wire_u64(struct wire_reader *wire)
{
    return take_number(wire, 8);
}

bool wire_bool(struct wire_reader *wire)
{
    uint8_t value = wire_u8(wire);

    wire->failed = wire->failed || value > 1;
    return value == 1;
}

void wire_id(struct wire_reader *wire, struct id *id_out)
{
    const uint8_t *bytes = wire_take(wire, ID_BYTES);

    *id_out = (struct id){{0}};
    if (bytes != NULL) {
        memcpy(id_out->bytes, bytes, ID_BYTES);
    }
}

void wire_text(struct wire_reader *wire, char *text_out, size_t capacity_bytes)
{
    struct bytes blob;

    CHECK(capacity_bytes > 0);
    blob = wire_blob(wire, capacity_bytes - 1);
    text_out[0] = '\0';
    if (blob.length_bytes == 0) {
        return;
    }
    if (memchr(blob.data, '\0', blob.length_bytes) != NULL) {
        wire->failed = true;
        return;
    }
    memcpy(text_out, blob.data, blob.length_bytes);
    text_out[blob.length_bytes] = '\0';
}

struct bytes wire_blob(struct wire_reader *wire, size_t bytes_max)
{
    uint32_t length_bytes = wire_u32(wire);
    const uint8_t *data;

    if (length_bytes > bytes_max) {
        wire->failed = true;
    }
    data = wire_take(wire, length_bytes);
    return (struct bytes){data, data == NULL ? 0 : length_bytes};
}

bool wire_done(const struct wire_reader *wire)
{
    return !wire->failed && wire->left_bytes == 0;
}

struct wire_writer wire_writer(uint8_t *data, size_t capacity_bytes)
{
    return (struct wire_writer){data, capacity_bytes, 0, false};
}

void wire_put(struct wire_writer *wire, const void *data, size_t count_bytes)
{
    if (wire->failed || count_bytes > wire->left_bytes) {
        wire->failed = true;
        return;
    }
    if (count_bytes > 0) {
        memcpy(wire->position, data, count_bytes);
    }
    wire->position += count_bytes;
    wire->left_bytes -= count_bytes;
    wire->written_bytes += count_bytes;
}

static void put_number(struct wire_writer *wire, uint64_t value, size_t count_bytes)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < count_bytes; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (count_bytes - 1 - i)));
    }
    wire_put(wire, bytes, count_bytes);
}

void wire_put_u8(struct wire_writer *wire, uint8_t value)
{
    put_number(wire, value, 1);
}

void wire_put_u16(struct wire_writer *wire, uint16_t value)
{
    put_number(wire, value, 2);
}

void wire_put_u32(struct wire_writer *wire, uint32_t value)
{
    put_number(wire, value, 4);
}

void wire_put_u64(struct wire_writer *wire, uint64_t value)
{
    put_number(wire, value, 8);
}

void wire_put_bool(struct wire_writer *wire, bool value)
{
    put_number(wire, value, 1);
}

void wire_put_id(struct wire_writer *wire, const struct id *id)
{
    wire_put(wire, id->bytes, ID_BYTES);
}

void wire_put_text(struct wire_writer *wire, const char *text)
{
    wire_put_blob(wire, bytes_of_text(text));
}

void wire_put_blob(struct wire_writer *wire, struct bytes blob)
{
    if (blob.length_bytes > UINT32_MAX) {
        wire->failed = true;
        return;
    }
    wire_put_u32(wire, (uint32_t)blob.length_bytes);
    wire_put(wire, blob.data, blob.length_bytes);
}

bool wire_ok(const struct wire_writer *wire)
{
    return !wire->failed;
}
