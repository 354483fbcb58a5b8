// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pb_common.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum { FIRST_KIND = minga_Message_hello_tag, LAST_KIND = 79 };

/* Some content for the kinds that carry bytes, so that the fuzzer's seeds reach into them. */
static void fill(minga_Message *message)
{
    if (message->which_kind == minga_Message_route_tag) {
        message->kind.route.has_payload = true;
        message->kind.route.payload.bytes.size = 5;
        memcpy(message->kind.route.payload.bytes.bytes, "hello", 5);
    } else if (message->which_kind == minga_Message_summary_tag) {
        message->kind.summary.section = minga_SyncSection_SYNC_NODES;
        message->kind.summary.to_end = true;
        message->kind.summary.entries_count = 2;
        message->kind.summary.entries[1].id[0] = 7;
        message->kind.summary.entries[1].version = 3;
    } else if (message->which_kind == minga_Message_item_tag) {
        message->kind.item.kind = minga_ItemKind_ITEM_DEATH;
        message->kind.item.incarnation = 1;
    }
}

/* With MINGA_CORPUS=FOLDER the messages of this test become the fuzzer's seeds. */
static void keep_as_seed(unsigned kind, const uint8_t *bytes, size_t length_bytes)
{
    const char *folder = getenv("MINGA_CORPUS");
    char path[512];
    FILE *file;

    if (folder == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/kind_%u", folder, kind);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, length_bytes, file), length_bytes);
    fclose(file);
}

static bool is_a_kind(unsigned kind)
{
    minga_Message message = minga_Message_init_zero;
    pb_field_iter_t iter;

    return pb_field_iter_begin(&iter, minga_Message_fields, &message) &&
           pb_field_iter_find(&iter, kind);
}

Test(message, every_kind_is_written_as_the_library_would)
{
    for (unsigned kind = FIRST_KIND; kind <= LAST_KIND; kind++) {
        minga_Message message;
        uint8_t bytes[MESSAGE_BYTES_MAX];
        uint8_t expected[MESSAGE_BYTES_MAX];
        pb_ostream_t stream = pb_ostream_from_buffer(expected, sizeof(expected));
        int length;

        if (!is_a_kind(kind)) {
            continue;
        }
        message_init(&message, (pb_size_t)kind);
        message.request = kind % 2 == 0 ? 0 : UINT64_MAX - kind;
        message.reply = kind % 3 == 0;
        fill(&message);
        length = message_encode(&message, bytes, sizeof(bytes));
        cr_assert(pb_encode(&stream, minga_Message_fields, &message));
        cr_assert_eq((size_t)length, stream.bytes_written, "kind %u", kind);
        cr_assert_arr_eq(bytes, expected, stream.bytes_written, "kind %u", kind);
        cr_assert_eq(message_encode(&message, bytes, stream.bytes_written - 1), -EMSGSIZE);
    }
}

Test(message, every_kind_comes_back_as_it_was_sent)
{
    for (unsigned kind = FIRST_KIND; kind <= LAST_KIND; kind++) {
        minga_Message message;
        minga_Message back = minga_Message_init_zero;
        uint8_t bytes[MESSAGE_BYTES_MAX];
        uint8_t again[MESSAGE_BYTES_MAX];
        int length;

        if (!is_a_kind(kind)) {
            continue;
        }
        message_init(&message, (pb_size_t)kind);
        message.request = 1000 + kind;
        message.reply = (kind & 1) != 0;
        fill(&message);
        length = message_encode(&message, bytes, sizeof(bytes));
        cr_assert_gt(length, 0);
        keep_as_seed(kind, bytes, (size_t)length);
        cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length}, &back), 0);
        cr_assert_eq(back.which_kind, kind);
        cr_assert_eq(back.request, 1000 + kind);
        cr_assert_eq(back.reply, message.reply);
        cr_assert_eq(message_encode(&back, again, sizeof(again)), length);
        cr_assert_eq(memcmp(bytes, again, (size_t)length), 0);
    }
}

Test(message, the_largest_payload_fits_and_one_byte_more_does_not_decode)
{
    minga_Message message;
    uint8_t bytes[MESSAGE_BYTES_MAX + 64];
    int length;

    message_init(&message, minga_Message_ask_tag);
    message.kind.ask.has_payload = true;
    message.kind.ask.payload.bytes.size = PAYLOAD_BYTES_MAX;
    memset(message.kind.ask.payload.bytes.bytes, 'x', PAYLOAD_BYTES_MAX);
    length = message_encode(&message, bytes, MESSAGE_BYTES_MAX);
    cr_assert_gt(length, PAYLOAD_BYTES_MAX);
    cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length}, &message), 0);
    /* header: version, oneof tag and length, payload tag and length, bytes tag and length */
    memset(&bytes[length], 'x', 1);
    cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length - 1}, &message), -EBADMSG);
    cr_assert_eq(message_decode((struct bytes){bytes, MESSAGE_BYTES_MAX + 1}, &message), -EBADMSG);
}

Test(message, nothing_rubbish_and_other_versions_are_told_apart)
{
    minga_Message message;
    uint8_t bytes[64];
    int length;

    cr_assert_eq(message_decode((struct bytes){bytes, 0}, &message), -EBADMSG);
    memset(bytes, 0xff, sizeof(bytes));
    cr_assert_eq(message_decode((struct bytes){bytes, sizeof(bytes)}, &message), -EBADMSG);
    message_init(&message, 0);
    length = message_encode(&message, bytes, sizeof(bytes));
    cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length}, &message), -EBADMSG,
                 "a message of no known kind");
    message_init(&message, minga_Message_ping_tag);
    message.version = PROTOCOL_VERSION + 1;
    length = message_encode(&message, bytes, sizeof(bytes));
    cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length}, &message), -EPROTONOSUPPORT);
}

Test(message, unknown_fields_are_tolerated)
{
    minga_Message message;
    uint8_t bytes[64];
    int length;

    message_init(&message, minga_Message_ping_tag);
    length = message_encode(&message, bytes, sizeof(bytes));
    bytes[length++] = 0xf8; /* field 2047, a varint */
    bytes[length++] = 0x7f;
    bytes[length++] = 0x05;
    cr_assert_eq(message_decode((struct bytes){bytes, (size_t)length}, &message), 0);
    cr_assert_eq(message.which_kind, minga_Message_ping_tag);
}
