// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Bytes travel as pointer and length together; text that people see is hexadecimal,
 * text in documents is base64 (URL-safe, no padding). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes. */
struct bytes {
    const uint8_t *data;
    size_t length_bytes;
};

/* A bounded, growing buffer on the heap. Zero-initialise with the bound set; free with done. */
struct buffer {
    uint8_t *data;
    size_t length_bytes;
    size_t capacity_bytes;
    size_t bytes_max; /* appending beyond this fails with -EFBIG */
};

bool bytes_equal(struct bytes a, struct bytes b);
struct bytes bytes_of_text(const char *text);

/* Writes 2 * length digits and a NUL to `hex_out`. */
void bytes_to_hex(struct bytes bytes, char *hex_out);
/* Reads exactly 2 * length lower- or upper-case digits. Returns 0 or -EINVAL. */
int bytes_from_hex(const char *hex, uint8_t *bytes_out, size_t length_bytes);

/* Returns the length of the text, or -EMSGSIZE when it and its NUL need more room. */
int bytes_to_base64(struct bytes bytes, char *text_out, size_t capacity_bytes);
/* The whole text. Returns the length of the bytes, or -EINVAL (no base64, or too much). */
int bytes_from_base64(const char *text, uint8_t *bytes_out, size_t capacity_bytes);

/* Copies text, always terminated. Returns 0, or -ENAMETOOLONG (nothing written but ""). */
int text_copy(char *destination, size_t capacity_bytes, const char *text);

/* Returns 0, -ENOMEM or -EFBIG (buffer unchanged). */
int buffer_append(struct buffer *buffer, const void *data, size_t length_bytes);
void buffer_done(struct buffer *buffer);
struct bytes buffer_bytes(const struct buffer *buffer);
