// SPDX-License-Identifier: GPL-3.0-or-later
/* What the program of another execution environment says: understood within bounds, or refused. */
#include "sandbox/foreign/words.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    char line[WORDS_LINE_BYTES_MAX + 1];
    struct said said;
    struct err err = {0};

    if (length_bytes > WORDS_LINE_BYTES_MAX) {
        return 0;
    }
    memcpy(line, data, length_bytes);
    line[length_bytes] = '\0';
    if (words_read(line, length_bytes, &said, &err) < 0) {
        CHECK(err.code < 0);
        return 0;
    }
    CHECK(memchr(said.id, '\0', sizeof(said.id)) != NULL);
    CHECK(memchr(said.reason, '\0', sizeof(said.reason)) != NULL);
    CHECK(said.status >= 0 && said.status <= 255);
    return 0;
}
