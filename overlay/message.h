// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The wire message: bytes to struct and back. Pure; every bound is checked while decoding.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "overlay/protocol.pb.h"

enum { PROTOCOL_VERSION = 1 };

/* A message of this kind (a minga_Message_..._tag), all else zero. */
void message_init(minga_Message *message, pb_size_t kind);

/* Returns the length, or -EMSGSIZE. */
int message_encode(const minga_Message *message, uint8_t *bytes_out, size_t capacity_bytes);

/* Returns 0; -EBADMSG for bytes that are no message of a known kind; -EPROTONOSUPPORT for another
 * version of the protocol. */
int message_decode(struct bytes bytes, minga_Message *message_out);

/* "stabilise_reply"; "unknown" for a number that is no kind. */
const char *message_kind_name(pb_size_t kind);

/* The fixed 32 bytes of a field as an id, and back. */
struct id message_id(const pb_byte_t bytes[ID_BYTES]);
void message_put_id(pb_byte_t bytes_out[ID_BYTES], const struct id *id);
