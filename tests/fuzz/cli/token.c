// SPDX-License-Identifier: GPL-3.0-or-later
/* A token as someone types it: text, then (with the checksum made right) its bytes. */
#include "agent/cli/token.h"

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct token token;
static struct token_content content;

static void decode(const char *text)
{
    struct err err;

    if (token_decode(text, &token, &content, &err) == 0) {
        char again[TOKEN_CHARS_MAX + 1];

        if (token_encode(&token, again, &err) != 0) {
            abort(); /* what could be read can be written */
        }
    }
}

/* The same bytes behind a valid checksum, to get past it. */
static void decode_summed(const uint8_t *data, size_t length)
{
    static uint8_t bytes[TOKEN_BYTES_MAX];
    static char text[2 * TOKEN_BYTES_MAX] = "minga1";
    struct id sum = hash_of("minga token", (struct bytes){data, length});

    if (length + 8 > sizeof(bytes)) {
        return;
    }
    memcpy(bytes, data, length);
    memcpy(bytes + length, sum.bytes, 8);
    sodium_bin2base64(text + 6, sizeof(text) - 6, bytes, length + 8,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    decode(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char *text = calloc(1, length + 1);

    if (text != NULL) {
        memcpy(text, data, length);
        decode(text);
    }
    free(text);
    decode_summed(data, length);
    return 0;
}
