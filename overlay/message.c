// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/message.h"

#include <assert.h>
#include <errno.h>
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

int message_encode(const minga_Message *message, uint8_t *bytes_out, size_t capacity_bytes)
{
    pb_ostream_t stream = pb_ostream_from_buffer(bytes_out, capacity_bytes);

    if (!pb_encode(&stream, minga_Message_fields, message)) {
        return -EMSGSIZE;
    }
    return (int)stream.bytes_written;
}

int message_decode(struct bytes bytes, minga_Message *message_out)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes.data, bytes.length_bytes);

    if (bytes.length_bytes == 0 || bytes.length_bytes > MESSAGE_BYTES_MAX ||
        !pb_decode(&stream, minga_Message_fields, message_out)) {
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
