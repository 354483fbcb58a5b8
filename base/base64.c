// SPDX-License-Identifier: GPL-3.0-or-later
/* Apart from the rest of bytes.h, which programs without libsodium use, too. */
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

int bytes_to_base64(struct bytes bytes, char *text_out, size_t capacity_bytes)
{
    static const int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

    if (bytes.length_bytes > INT_MAX / 2 ||
        sodium_base64_encoded_len(bytes.length_bytes, variant) > capacity_bytes) {
        return -EMSGSIZE;
    }
    sodium_bin2base64(text_out, capacity_bytes, bytes.data, bytes.length_bytes, variant);
    return (int)strlen(text_out);
}

int bytes_from_base64(const char *text, uint8_t *bytes_out, size_t capacity_bytes)
{
    size_t length_bytes = 0;

    CHECK(capacity_bytes <= INT_MAX);
    if (sodium_base642bin(bytes_out, capacity_bytes, text, strlen(text), NULL, &length_bytes, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0) {
        return -EINVAL;
    }
    return (int)length_bytes;
}
