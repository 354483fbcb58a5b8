// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Signed things: made by the command (owner's, community's, invitation's keys) and by nodes,
 * checked by everyone. Pure.
 */
#include "base/bytes.h"
#include "base/keys.h"
#include "overlay/protocol.pb.h"

#define PURPOSE_COMMUNITY        "minga community"
#define PURPOSE_INVITATION       "minga invitation"
#define PURPOSE_ADMISSION        "minga admission"
#define PURPOSE_COUNTERSIGNATURE "minga countersignature"
#define PURPOSE_EXPULSION        "minga expulsion"
#define PURPOSE_REVOCATION       "minga revocation"
#define PURPOSE_NODE             "minga node"
#define PURPOSE_RECORD           "minga record"
#define PURPOSE_MANAGER          "minga manager"
#define PURPOSE_EXEC             "minga exec"

/* Encodes a nanopb message. Returns the length, or -EMSGSIZE when it does not fit. */
int signed_encode_body(const pb_msgdesc_t *fields, const void *message, uint8_t *bytes_out,
                       size_t capacity_bytes);
/* Decodes a whole buffer. Returns 0 or -EBADMSG. */
int signed_decode_body(const pb_msgdesc_t *fields, struct bytes bytes, void *message_out);

/* Encodes `message` as the body, signs it. Returns 0 or -EMSGSIZE. */
int signed_make(const pb_msgdesc_t *fields, const void *message, const char *purpose,
                const struct secret_key *secret, minga_Signed *signed_out);
bool signed_verify(const minga_Signed *signed_thing, const char *purpose);
/* Checks the signature, then decodes the body. Returns 0 or -EBADMSG. */
int signed_open(const minga_Signed *signed_thing, const char *purpose, const pb_msgdesc_t *fields,
                void *message_out);
/* Encoded Signed <-> struct. */
int signed_encode(const minga_Signed *signed_thing, uint8_t *bytes_out, size_t capacity_bytes);
int signed_decode(struct bytes bytes, minga_Signed *signed_out);
