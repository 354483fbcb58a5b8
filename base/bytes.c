// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.length_bytes == b.length_bytes &&
           (a.length_bytes == 0 || memcmp(a.data, b.data, a.length_bytes) == 0);
}

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void bytes_to_hex(struct bytes bytes, char *hex_out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.length_bytes; i++) {
        hex_out[2 * i] = digits[bytes.data[i] >> 4];
        hex_out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    hex_out[2 * bytes.length_bytes] = '\0';
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

int bytes_from_hex(const char *hex, uint8_t *bytes_out, size_t length_bytes)
{
    if (strlen(hex) != 2 * length_bytes) {
        return -EINVAL;
    }
    for (size_t i = 0; i < 2 * length_bytes; i++) {
        if (digit_value(hex[i]) < 0) {
            return -EINVAL;
        }
    }
    for (size_t i = 0; i < length_bytes; i++) {
        bytes_out[i] = (uint8_t)(16 * digit_value(hex[2 * i]) + digit_value(hex[2 * i + 1]));
    }
    return 0;
}

int text_copy(char *destination, size_t capacity_bytes, const char *text)
{
    size_t length_bytes = strlen(text);

    CHECK(capacity_bytes > 0);
    if (length_bytes >= capacity_bytes) {
        destination[0] = '\0';
        return -ENAMETOOLONG;
    }
    memcpy(destination, text, length_bytes + 1);
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t length_bytes)
{
    CHECK(buffer->length_bytes <= buffer->bytes_max);
    if (length_bytes > buffer->bytes_max - buffer->length_bytes) {
        return -EFBIG;
    }
    if (length_bytes > buffer->capacity_bytes - buffer->length_bytes) {
        size_t wanted_bytes = buffer->length_bytes + length_bytes;
        size_t grown_bytes = buffer->capacity_bytes < 256 ? 256 : 2 * buffer->capacity_bytes;
        uint8_t *grown;

        grown_bytes = grown_bytes < wanted_bytes ? wanted_bytes : grown_bytes;
        grown_bytes = grown_bytes > buffer->bytes_max ? buffer->bytes_max : grown_bytes;
        grown = realloc(buffer->data, grown_bytes);
        if (grown == NULL) {
            return -ENOMEM;
        }
        buffer->data = grown;
        buffer->capacity_bytes = grown_bytes;
    }
    if (length_bytes > 0) {
        memcpy(buffer->data + buffer->length_bytes, data, length_bytes);
        buffer->length_bytes += length_bytes;
    }
    return 0;
}

void buffer_done(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.bytes_max = buffer->bytes_max};
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->length_bytes};
}
