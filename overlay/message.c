// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/message.h"

#include <assert.h>
#include <errno.h>
#include <pb_common.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "base/limits.h"

static_assert(sizeof(minga_Message) < 4096, "a decoded message stays small");
static_assert(minga_Message_size <= MESSAGE_BYTES_MAX, "an encoded message fits its frame");

void message_init(minga_Message *message, pb_size_t kind)
{
    memset(message, 0, sizeof(*message));
    message->version = PROTOCOL_VERSION;
    message->which_kind = kind;
}

/* What pb_encode would write, in the same order. It looks at every alternative of the oneof for
 * every message, and writes a submessage twice to learn its length: that was most of a step. */
static bool encode_kind(pb_ostream_t *stream, const minga_Message *message)
{
    pb_field_iter_t field;
    uint8_t body[MESSAGE_BYTES_MAX];
    pb_ostream_t body_stream = pb_ostream_from_buffer(body, sizeof(body));

    if (!pb_field_iter_begin_const(&field, minga_Message_fields, message) ||
        !pb_field_iter_find(&field, message->which_kind) || field.submsg_desc == NULL) {
        return false;
    }
    return pb_encode(&body_stream, field.submsg_desc, field.pData) &&
           pb_encode_tag(stream, PB_WT_STRING, message->which_kind) &&
           pb_encode_string(stream, body, body_stream.bytes_written);
}

static bool encode_number(pb_ostream_t *stream, uint32_t tag, uint64_t number)
{
    return number == 0 ||
           (pb_encode_tag(stream, PB_WT_VARINT, tag) && pb_encode_varint(stream, number));
}

int message_encode(const minga_Message *message, uint8_t *bytes_out, size_t capacity_bytes)
{
    pb_ostream_t stream = pb_ostream_from_buffer(bytes_out, capacity_bytes);

    if (!encode_number(&stream, minga_Message_version_tag, message->version) ||
        !encode_number(&stream, minga_Message_request_tag, message->request) ||
        !encode_number(&stream, minga_Message_reply_tag, message->reply ? 1 : 0) ||
        (message->which_kind != 0 && !encode_kind(&stream, message))) {
        return -EMSGSIZE;
    }
    return (int)stream.bytes_written;
}

int message_decode(struct bytes bytes, minga_Message *message_out)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes.data, bytes.length_bytes);

    /* All defaults are zero. */
    memset(message_out, 0, sizeof(*message_out));
    if (bytes.length_bytes == 0 || bytes.length_bytes > MESSAGE_BYTES_MAX ||
        !pb_decode_ex(&stream, minga_Message_fields, message_out, PB_DECODE_NOINIT)) {
        return -EBADMSG;
    }
    if (message_out->version != PROTOCOL_VERSION) {
        return -EPROTONOSUPPORT;
    }
    return message_out->which_kind == 0 ? -EBADMSG : 0;
}

/* nanopb's own list of the fields becomes a table of the kinds. */
#define NAME_IN_ONEOF(oneof, name, path) #name
#define ROW_SINGULAR(name, tag)
#define ROW_ONEOF(names, tag)                 [tag] = NAME_IN_ONEOF names,
#define ROW(a, place, rule, type, names, tag) ROW_##rule(names, tag)

const char *message_kind_name(pb_size_t kind)
{
    static const char *const names[] = {minga_Message_FIELDLIST(ROW, )};
    const size_t count = sizeof(names) / sizeof(names[0]);

    return kind < count && names[kind] != NULL ? names[kind] : "unknown";
}

struct id message_id(const pb_byte_t bytes[ID_BYTES])
{
    struct id id;

    memcpy(id.bytes, bytes, ID_BYTES);
    return id;
}

void message_put_id(pb_byte_t bytes_out[ID_BYTES], const struct id *id)
{
    memcpy(bytes_out, id->bytes, ID_BYTES);
}
