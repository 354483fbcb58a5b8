// SPDX-License-Identifier: GPL-3.0-or-later
/* Both directions of an exec's socket: what a client begins, and the frames that come back. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sandbox/exec_protocol.h"

static void try_begin(struct bytes bytes)
{
    static uint8_t again[EXEC_BEGIN_BYTES_MAX];
    struct exec_begin begin;
    size_t length_bytes;

    if (exec_begin_decode(bytes, &begin) < 0) {
        return;
    }
    CHECK(begin.word_count > 0 && begin.word_count <= EXEC_WORDS_MAX);
    length_bytes = exec_begin_encode(&begin, again);
    CHECK(length_bytes == bytes.length_bytes + 4);
    CHECK(memcmp(again + 4, bytes.data, bytes.length_bytes) == 0);
}

static void try_frames(struct bytes stream)
{
    struct exec_frame frame;
    struct exec_end end;
    size_t left_bytes = stream.length_bytes;

    while (exec_frame_next(&stream, &frame) > 0) {
        CHECK(frame.bytes.length_bytes <= EXEC_FRAME_BYTES_MAX);
        CHECK(stream.length_bytes ==
              left_bytes - frame.bytes.length_bytes - EXEC_FRAME_HEADER_BYTES);
        left_bytes = stream.length_bytes;
        if (frame.kind == EXEC_END && exec_end_decode(frame.bytes, &end) == 0) {
            CHECK(memchr(end.reason, '\0', sizeof(end.reason)) != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    try_begin((struct bytes){data, length_bytes});
    try_frames((struct bytes){data, length_bytes});
    return 0;
}
