// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/exec_protocol.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

enum { LENGTH_BYTES = 4 };

uint32_t exec_count_words(struct bytes words)
{
    uint32_t count = 0;

    if (words.length_bytes == 0 || words.length_bytes > EXEC_WORDS_BYTES_MAX ||
        words.data[words.length_bytes - 1] != '\0') {
        return 0;
    }
    for (size_t i = 0; i < words.length_bytes; i++) {
        count += words.data[i] == '\0' ? 1 : 0;
    }
    return count <= EXEC_WORDS_MAX ? count : 0;
}

static size_t words_length(const struct exec_begin *begin)
{
    size_t length_bytes = 0;

    for (uint32_t i = 0; i < begin->word_count; i++) {
        length_bytes +=
            strnlen(begin->words + length_bytes, EXEC_WORDS_BYTES_MAX - length_bytes - 1) + 1;
    }
    return length_bytes;
}

size_t exec_begin_encode(const struct exec_begin *begin, uint8_t *bytes_out)
{
    struct wire_writer body =
        wire_writer(bytes_out + LENGTH_BYTES, EXEC_BEGIN_BYTES_MAX - LENGTH_BYTES);
    struct wire_writer length = wire_writer(bytes_out, LENGTH_BYTES);

    CHECK(begin->kind < EXEC_KIND_COUNT && begin->word_count > 0);
    wire_put_u8(&body, (uint8_t)begin->kind);
    wire_put_u64(&body, begin->time_ms);
    wire_put_blob(&body, (struct bytes){(const uint8_t *)begin->words, words_length(begin)});
    CHECK(wire_ok(&body));
    wire_put_u32(&length, (uint32_t)body.written_bytes);
    return LENGTH_BYTES + body.written_bytes;
}

int exec_begin_decode(struct bytes bytes, struct exec_begin *begin_out)
{
    struct wire_reader wire = wire_reader(bytes);
    uint8_t kind = wire_u8(&wire);
    uint64_t time_ms = wire_u64(&wire);
    struct bytes words = wire_blob(&wire, EXEC_WORDS_BYTES_MAX);
    uint32_t count = wire_done(&wire) ? exec_count_words(words) : 0;

    if (count == 0 || kind >= EXEC_KIND_COUNT || time_ms == 0 || time_ms > EXEC_MS_MAX ||
        (kind == EXEC_FETCH && count != 1) || (kind == EXEC_STORE && count != 2) ||
        words.data[0] == '\0') {
        return -EBADMSG;
    }
    memset(begin_out, 0, sizeof(*begin_out));
    begin_out->kind = (enum exec_kind)kind;
    begin_out->time_ms = time_ms;
    begin_out->word_count = count;
    memcpy(begin_out->words, words.data, words.length_bytes);
    return 0;
}

void exec_frame_header(enum exec_frame_kind kind, size_t length_bytes, uint8_t *bytes_out)
{
    struct wire_writer wire = wire_writer(bytes_out, EXEC_FRAME_HEADER_BYTES);

    CHECK(length_bytes <= EXEC_FRAME_BYTES_MAX);
    wire_put_u8(&wire, (uint8_t)kind);
    wire_put_u16(&wire, (uint16_t)length_bytes);
    CHECK(wire_ok(&wire));
}

int exec_frame_next(struct bytes *stream, struct exec_frame *frame_out)
{
    struct wire_reader wire = wire_reader(*stream);
    uint8_t kind = wire_u8(&wire);
    uint16_t length_bytes = wire_u16(&wire);
    const uint8_t *data;

    if (wire.failed) {
        return 0;
    }
    if (kind < EXEC_OUTPUT || kind >= EXEC_FRAME_KIND_COUNT ||
        length_bytes > EXEC_FRAME_BYTES_MAX) {
        return -EBADMSG;
    }
    data = wire_take(&wire, length_bytes);
    if (data == NULL && length_bytes > 0) {
        return 0;
    }
    *frame_out = (struct exec_frame){(enum exec_frame_kind)kind, {data, length_bytes}};
    *stream = (struct bytes){wire.position, wire.left_bytes};
    return 1;
}

size_t exec_end_encode(const struct exec_end *end, uint8_t *bytes_out)
{
    struct wire_writer wire = wire_writer(bytes_out, EXEC_FRAME_BYTES_MAX);

    CHECK(end->kind < EXEC_END_KIND_COUNT && end->status <= UINT8_MAX);
    wire_put_u8(&wire, (uint8_t)end->kind);
    wire_put_u8(&wire, (uint8_t)end->status);
    wire_put_text(&wire, end->reason);
    CHECK(wire_ok(&wire));
    return wire.written_bytes;
}

int exec_end_decode(struct bytes bytes, struct exec_end *end_out)
{
    struct wire_reader wire = wire_reader(bytes);
    struct exec_end end = {.kind = EXEC_FAILED};
    uint8_t kind = wire_u8(&wire);

    end.status = wire_u8(&wire);
    wire_text(&wire, end.reason, sizeof(end.reason));
    if (!wire_done(&wire) || kind >= EXEC_END_KIND_COUNT) {
        return -EBADMSG;
    }
    end.kind = (enum exec_end_kind)kind;
    *end_out = end;
    return 0;
}
