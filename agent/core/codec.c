// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/codec.h"

#include <string.h>

#include "base/check.h"

enum { NUMBER_BITS = 64, GROUP_BITS = 7, GROUP_MASK = 0x7f, MORE = 0x80 };

struct codec codec_writer(uint8_t *bytes_out, size_t capacity_bytes)
{
    return (struct codec){.out = bytes_out, .left_bytes = capacity_bytes};
}

struct codec codec_reader(struct bytes bytes)
{
    return (struct codec){.reads = true, .in = bytes.data, .left_bytes = bytes.length_bytes};
}

bool codec_ok(const struct codec *codec)
{
    return !codec->failed && (!codec->reads || codec->left_bytes == 0);
}

/* Reading: the next bytes; writing: where they go. NULL when there are not so many. */
static bool has(struct codec *codec, size_t length_bytes)
{
    if (codec->failed || length_bytes > codec->left_bytes) {
        codec->failed = true;
        return false;
    }
    return true;
}

void codec_raw(struct codec *codec, void *bytes, size_t length_bytes)
{
    if (!has(codec, length_bytes)) {
        if (codec->reads) {
            memset(bytes, 0, length_bytes);
        }
        return;
    }
    if (codec->reads) {
        memcpy(bytes, codec->in, length_bytes);
        codec->in += length_bytes;
    } else {
        memcpy(codec->out, bytes, length_bytes);
        codec->out += length_bytes;
    }
    codec->left_bytes -= length_bytes;
}

static void write_number(struct codec *codec, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)(value & GROUP_MASK);

        value >>= GROUP_BITS;
        byte |= value != 0 ? MORE : 0;
        codec_raw(codec, &byte, 1);
    } while (value != 0 && !codec->failed);
}

static uint64_t read_number(struct codec *codec)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < NUMBER_BITS; shift += GROUP_BITS) {
        uint8_t byte = 0;

        codec_raw(codec, &byte, 1);
        value |= (uint64_t)(byte & GROUP_MASK) << shift;
        if ((byte & MORE) == 0) {
            return codec->failed ? 0 : value;
        }
    }
    codec->failed = true; /* longer than any number is */
    return 0;
}

void codec_u64(struct codec *codec, uint64_t *value)
{
    if (codec->reads) {
        *value = read_number(codec);
    } else {
        write_number(codec, *value);
    }
}

static uint64_t bounded(struct codec *codec, uint64_t value, uint64_t max)
{
    codec_u64(codec, &value);
    if (value > max) {
        codec->failed = true;
        return 0;
    }
    return value;
}

void codec_u32(struct codec *codec, uint32_t *value)
{
    *value = (uint32_t)bounded(codec, *value, UINT32_MAX);
}

void codec_u16(struct codec *codec, uint16_t *value)
{
    *value = (uint16_t)bounded(codec, *value, UINT16_MAX);
}

void codec_size(struct codec *codec, size_t *value)
{
    *value = (size_t)bounded(codec, *value, SIZE_MAX);
}

void codec_bool(struct codec *codec, bool *value)
{
    *value = bounded(codec, *value ? 1 : 0, 1) != 0;
}

uint32_t codec_upto(struct codec *codec, uint32_t value, uint32_t max)
{
    return (uint32_t)bounded(codec, value, max);
}

void codec_id(struct codec *codec, struct id *id)
{
    codec_raw(codec, id->bytes, ID_BYTES);
}

void codec_text(struct codec *codec, char *text, size_t capacity_bytes)
{
    CHECK(capacity_bytes > 0);
    uint32_t length = codec->reads ? 0 : (uint32_t)strnlen(text, capacity_bytes - 1);

    length = codec_upto(codec, length, (uint32_t)capacity_bytes - 1);
    codec_raw(codec, text, length);
    if (codec->reads) {
        text[codec->failed ? 0 : length] = '\0';
    }
}

void codec_blob(struct codec *codec, struct bytes *blob, size_t bytes_max)
{
    size_t length = (size_t)bounded(codec, codec->reads ? 0 : blob->length_bytes, bytes_max);

    if (!codec->reads) {
        if (has(codec, length) && length > 0) {
            memcpy(codec->out, blob->data, length);
            codec->out += length;
            codec->left_bytes -= length;
        }
        return;
    }
    if (!has(codec, length)) {
        *blob = (struct bytes){NULL, 0};
        return;
    }
    *blob = (struct bytes){length == 0 ? NULL : codec->in, length};
    codec->in += length;
    codec->left_bytes -= length;
}
