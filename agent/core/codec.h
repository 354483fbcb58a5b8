// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Fields to bytes and back with one walk over them: the same functions write and read, so that
 * both directions agree. Numbers are LEB128, texts and blobs carry their length in front.
 *
 * Failure is sticky: walk over all fields, then ask codec_ok() once. What is read comes from a
 * file and is bounded; a failed read leaves zeros.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ids.h"

struct codec {
    bool reads;
    bool failed;
    uint8_t *out;      /* writing: the next byte, */
    const uint8_t *in; /* reading: the next byte, */
    size_t left_bytes; /* and how many more there are */
};

struct codec codec_writer(uint8_t *bytes_out, size_t capacity_bytes);
struct codec codec_reader(struct bytes bytes);
/* Nothing failed, and (reading) nothing is left over. */
bool codec_ok(const struct codec *codec);

void codec_u64(struct codec *codec, uint64_t *value);
void codec_u32(struct codec *codec, uint32_t *value);
void codec_u16(struct codec *codec, uint16_t *value);
void codec_size(struct codec *codec, size_t *value);
void codec_bool(struct codec *codec, bool *value);
/* A number that must be at most `max`: an enum's, a count's. */
uint32_t codec_upto(struct codec *codec, uint32_t value, uint32_t max);
void codec_raw(struct codec *codec, void *bytes, size_t length_bytes);
void codec_id(struct codec *codec, struct id *id);
void codec_text(struct codec *codec, char *text, size_t capacity_bytes);
/* Reading: borrows from the input. */
void codec_blob(struct codec *codec, struct bytes *blob, size_t bytes_max);
