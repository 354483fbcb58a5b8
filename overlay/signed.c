// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/signed.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

int signed_encode_body(const pb_msgdesc_t *fields, const void *message, uint8_t *bytes_out,
                       size_t capacity_bytes)
{
    pb_ostream_t stream = pb_ostream_from_buffer(bytes_out, capacity_bytes);

    if (!pb_encode(&stream, fields, message)) {
        return -EMSGSIZE;
    }
    return (int)stream.bytes_written;
}

int signed_decode_body(const pb_msgdesc_t *fields, struct bytes bytes, void *message_out)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes.data, bytes.length_bytes);

    return pb_decode(&stream, fields, message_out) ? 0 : -EBADMSG;
}

int signed_make(const pb_msgdesc_t *fields, const void *message, const char *purpose,
                const struct secret_key *secret, minga_Signed *signed_out)
{
    struct public_key key = keys_public(secret);
    struct signature signature;
    int length_bytes =
        signed_encode_body(fields, message, signed_out->body.bytes, sizeof(signed_out->body.bytes));

    if (length_bytes < 0) {
        return length_bytes;
    }
    signed_out->body.size = (pb_size_t)length_bytes;
    signature =
        keys_sign(secret, purpose, (struct bytes){signed_out->body.bytes, (size_t)length_bytes});
    memcpy(signed_out->key, key.bytes, PUBLIC_KEY_BYTES);
    memcpy(signed_out->signature, signature.bytes, SIGNATURE_BYTES);
    return 0;
}

bool signed_verify(const minga_Signed *signed_thing, const char *purpose)
{
    struct bytes body = {signed_thing->body.bytes, signed_thing->body.size};
    struct public_key key;
    struct signature signature;

    memcpy(key.bytes, signed_thing->key, PUBLIC_KEY_BYTES);
    memcpy(signature.bytes, signed_thing->signature, SIGNATURE_BYTES);
    return keys_verify(&key, purpose, body, &signature);
}

int signed_open(const minga_Signed *signed_thing, const char *purpose, const pb_msgdesc_t *fields,
                void *message_out)
{
    struct bytes body = {signed_thing->body.bytes, signed_thing->body.size};

    return signed_verify(signed_thing, purpose) ? signed_decode_body(fields, body, message_out)
                                                : -EBADMSG;
}

int signed_encode(const minga_Signed *signed_thing, uint8_t *bytes_out, size_t capacity_bytes)
{
    return signed_encode_body(minga_Signed_fields, signed_thing, bytes_out, capacity_bytes);
}

int signed_decode(struct bytes bytes, minga_Signed *signed_out)
{
    return signed_decode_body(minga_Signed_fields, bytes, signed_out);
}
