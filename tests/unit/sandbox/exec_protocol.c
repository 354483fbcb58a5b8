// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/exec_protocol.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct exec_begin begin_of(const char *words, size_t length_bytes, uint32_t count)
{
    struct exec_begin begin = {.kind = EXEC_RUN, .time_ms = 1000, .word_count = count};

    memcpy(begin.words, words, length_bytes);
    return begin;
}

Test(exec_protocol, what_is_begun_arrives_as_it_was)
{
    struct exec_begin begin = begin_of("ls\0\0-l", 7, 3); /* an empty word is one, too */
    struct exec_begin again;
    uint8_t bytes[EXEC_BEGIN_BYTES_MAX];
    size_t length_bytes = exec_begin_encode(&begin, bytes);

    cr_assert_eq(bytes[3], length_bytes - 4);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), 0);
    cr_assert_eq(memcmp(&again, &begin, sizeof(begin)), 0);
    for (size_t cut = 4; cut < length_bytes; cut++) {
        cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, cut - 4}, &again), -EBADMSG);
    }
}

Test(exec_protocol, the_longest_command_fits_and_a_longer_one_is_none)
{
    static struct exec_begin begin = {.kind = EXEC_RUN, .time_ms = 1, .word_count = 1};
    static uint8_t words[EXEC_WORDS_BYTES_MAX + 1];
    static uint8_t bytes[EXEC_BEGIN_BYTES_MAX];
    struct exec_begin again;

    memset(begin.words, 'x', sizeof(begin.words) - 1);
    size_t length_bytes = exec_begin_encode(&begin, bytes);
    cr_assert_leq(length_bytes, EXEC_BEGIN_BYTES_MAX);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), 0);
    memset(words, 'x', sizeof(words) - 1);
    cr_assert_eq(exec_count_words((struct bytes){words, sizeof(words)}), 0);
    cr_assert_eq(exec_count_words((struct bytes){words + 1, sizeof(words) - 1}), 1);
    cr_assert_eq(exec_count_words((struct bytes){words, 5}), 0); /* no NUL at its end */
    memset(words, 0, sizeof(words));
    cr_assert_eq(exec_count_words((struct bytes){words, EXEC_WORDS_MAX}), EXEC_WORDS_MAX);
    cr_assert_eq(exec_count_words((struct bytes){words, EXEC_WORDS_MAX + 1}), 0);
}

Test(exec_protocol, copies_have_their_words_and_everything_has_a_time)
{
    struct exec_begin begin = begin_of("/a\0b", 5, 2);
    struct exec_begin again;
    uint8_t bytes[EXEC_BEGIN_BYTES_MAX];
    size_t length_bytes;

    begin.kind = EXEC_STORE;
    length_bytes = exec_begin_encode(&begin, bytes);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), 0);
    begin.kind = EXEC_FETCH;
    length_bytes = exec_begin_encode(&begin, bytes);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), -EBADMSG);
    begin.kind = EXEC_RUN;
    begin.time_ms = 0;
    length_bytes = exec_begin_encode(&begin, bytes);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), -EBADMSG);
    begin.time_ms = (uint64_t)EXEC_MS_MAX + 1;
    length_bytes = exec_begin_encode(&begin, bytes);
    cr_assert_eq(exec_begin_decode((struct bytes){bytes + 4, length_bytes - 4}, &again), -EBADMSG);
}

Test(exec_protocol, frames_come_out_as_they_went_in_also_in_pieces)
{
    uint8_t stream[64];
    struct exec_end end = {.kind = EXEC_SIGNALLED, .status = 9, .reason = "why"};
    struct exec_end end_again;
    struct exec_frame frame;
    size_t used = EXEC_FRAME_HEADER_BYTES + 5;
    size_t end_bytes;

    exec_frame_header(EXEC_ERROR, 5, stream);
    memcpy(stream + EXEC_FRAME_HEADER_BYTES, "hello", 5);
    end_bytes = exec_end_encode(&end, stream + used + EXEC_FRAME_HEADER_BYTES);
    exec_frame_header(EXEC_END, end_bytes, stream + used);
    for (size_t cut = 0; cut < used; cut++) {
        struct bytes part = {stream, cut};

        cr_assert_eq(exec_frame_next(&part, &frame), 0);
        cr_assert_eq(part.length_bytes, cut);
    }
    struct bytes all = {stream, used + EXEC_FRAME_HEADER_BYTES + end_bytes};
    cr_assert_eq(exec_frame_next(&all, &frame), 1);
    cr_assert(frame.kind == EXEC_ERROR && frame.bytes.length_bytes == 5);
    cr_assert_eq(exec_frame_next(&all, &frame), 1);
    cr_assert(frame.kind == EXEC_END && all.length_bytes == 0);
    cr_assert_eq(exec_end_decode(frame.bytes, &end_again), 0);
    cr_assert(end_again.kind == end.kind && end_again.status == 9);
    cr_assert_str_eq(end_again.reason, "why");
}

Test(exec_protocol, unknown_and_overlong_frames_are_refused)
{
    static const uint8_t unknown[] = {EXEC_FRAME_KIND_COUNT, 0, 0};
    static const uint8_t overlong[] = {EXEC_OUTPUT, 0x10, 0x01};
    static const uint8_t bad_end[] = {EXEC_END_KIND_COUNT, 0, 0, 0, 0, 0};
    struct bytes stream = {unknown, sizeof(unknown)};
    struct exec_frame frame;
    struct exec_end end;

    cr_assert_eq(exec_frame_next(&stream, &frame), -EBADMSG);
    stream = (struct bytes){overlong, sizeof(overlong)};
    cr_assert_eq(exec_frame_next(&stream, &frame), -EBADMSG);
    cr_assert_eq(exec_end_decode((struct bytes){bad_end, sizeof(bad_end)}, &end), -EBADMSG);
}
