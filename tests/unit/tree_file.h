// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Pages of this source tree, which tests hold against the tables that they describe. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"

enum { TREE_FILE_BYTES_MAX = 1 << 17 };

/* All of it as one text, found from where this file is; the next call takes its place. */
static inline char *tree_file(const char *path)
{
    static char text[TREE_FILE_BYTES_MAX];
    struct buffer buffer = {.bytes_max = sizeof(text) - 1};
    struct err err = {0};
    const char *tail = strstr(__FILE__, "tests/unit/tree_file.h");
    char place[512];

    cr_assert_not_null(tail);
    cr_assert_lt(snprintf(place, sizeof(place), "%.*s%s", (int)(tail - __FILE__), __FILE__, path),
                 (int)sizeof(place));
    cr_assert_eq(file_read(AT_FDCWD, place, &buffer, &err), 0, "%s", err.text);
    memcpy(text, buffer.data, buffer.length_bytes);
    text[buffer.length_bytes] = '\0';
    buffer_done(&buffer);
    return text;
}
