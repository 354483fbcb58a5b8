// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/token.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/wire.h"
#include "overlay/signed.h"

#define TOKEN_PREFIX "minga1"
#define HASH_TOKEN   "minga token"

enum {
    TOKEN_VERSION = 1,
    TOKEN_CHECKSUM_BYTES = 8,
    BASE64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING
};

static void put_signed(struct wire_writer *wire, const minga_Signed *signed_thing)
{
    uint8_t bytes[TOKEN_SIGNED_BYTES_MAX];
    int length_bytes = signed_encode(signed_thing, bytes, sizeof(bytes));

    if (length_bytes < 0) {
        wire->failed = true;
        return;
    }
    wire_put_blob(wire, (struct bytes){bytes, (size_t)length_bytes});
}

static void put_contact(struct wire_writer *wire, const struct overlay_peer *peer)
{
    wire_put(wire, peer->key.bytes, PUBLIC_KEY_BYTES);
    wire_put_u8(wire, (uint8_t)peer->address_count);
    for (size_t i = 0; i < peer->address_count; i++) {
        wire_put_text(wire, peer->addresses[i]);
    }
}

int token_encode(const struct token *token, char text_out[TOKEN_CHARS_MAX + 1], struct err *err)
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    struct wire_writer wire = wire_writer(bytes, sizeof(bytes));
    struct id sum;

    CHECK(token->contact_count <= TOKEN_MEMBERS_MAX);
    wire_put_u8(&wire, TOKEN_VERSION);
    put_signed(&wire, &token->community);
    put_signed(&wire, &token->invitation);
    wire_put(&wire, token->secret.bytes, KEY_SEED_BYTES);
    wire_put_u8(&wire, (uint8_t)token->contact_count);
    for (uint32_t i = 0; i < token->contact_count; i++) {
        put_contact(&wire, &token->contacts[i]);
    }
    sum = hash_of(HASH_TOKEN, (struct bytes){bytes, wire.written_bytes});
    wire_put(&wire, sum.bytes, TOKEN_CHECKSUM_BYTES);
    if (!wire_ok(&wire)) {
        return err_set(err, -EMSGSIZE, "token: too many addresses for one token");
    }
    memcpy(text_out, TOKEN_PREFIX, sizeof(TOKEN_PREFIX)); /* its end is overwritten */
    sodium_bin2base64(text_out + strlen(TOKEN_PREFIX), TOKEN_CHARS_MAX + 1 - strlen(TOKEN_PREFIX),
                      bytes, wire.written_bytes, BASE64);
    sodium_memzero(bytes, sizeof(bytes));
    return 0;
}

static void get_signed(struct wire_reader *wire, minga_Signed *signed_out)
{
    struct bytes bytes = wire_blob(wire, TOKEN_SIGNED_BYTES_MAX);

    if (!wire->failed && signed_decode(bytes, signed_out) < 0) {
        wire->failed = true;
    }
}

static void get_contact(struct wire_reader *wire, struct overlay_peer *peer_out)
{
    const uint8_t *key = wire_take(wire, PUBLIC_KEY_BYTES);

    if (key != NULL) {
        memcpy(peer_out->key.bytes, key, PUBLIC_KEY_BYTES);
        peer_out->node = keys_node_id(&peer_out->key);
    }
    peer_out->address_count = wire_u8(wire);
    if (peer_out->address_count == 0 || peer_out->address_count > ADDRESSES_MAX) {
        peer_out->address_count = 0;
        wire->failed = true;
    }
    for (size_t i = 0; i < peer_out->address_count; i++) {
        wire_text(wire, peer_out->addresses[i], sizeof(peer_out->addresses[i]));
    }
}

/* Do community, invitation and secret belong together? */
static bool is_consistent(const struct token *token, struct token_content *content)
{
    struct public_key key = keys_public(&token->secret);

    if (signed_open(&token->community, PURPOSE_COMMUNITY, minga_Community_fields,
                    &content->community) < 0 ||
        signed_open(&token->invitation, PURPOSE_INVITATION, minga_Invitation_fields,
                    &content->invitation) < 0) {
        return false;
    }
    return memcmp(token->community.key, content->community.key, PUBLIC_KEY_BYTES) == 0 &&
           memcmp(token->invitation.key, content->community.key, PUBLIC_KEY_BYTES) == 0 &&
           memcmp(content->invitation.community, content->community.key, PUBLIC_KEY_BYTES) == 0 &&
           memcmp(content->invitation.key, key.bytes, PUBLIC_KEY_BYTES) == 0;
}

static bool read_parts(struct bytes bytes, struct token *token_out)
{
    struct wire_reader wire = wire_reader(bytes);
    const uint8_t *seed;

    wire.failed = wire_u8(&wire) != TOKEN_VERSION;
    get_signed(&wire, &token_out->community);
    get_signed(&wire, &token_out->invitation);
    seed = wire_take(&wire, KEY_SEED_BYTES);
    if (seed != NULL) {
        keys_from_seed(seed, &token_out->secret);
    }
    token_out->contact_count = wire_u8(&wire);
    if (token_out->contact_count == 0 || token_out->contact_count > TOKEN_MEMBERS_MAX) {
        token_out->contact_count = 0;
        wire.failed = true;
    }
    for (uint32_t i = 0; i < token_out->contact_count; i++) {
        get_contact(&wire, &token_out->contacts[i]);
    }
    return wire_done(&wire);
}

static bool has_checksum(struct bytes bytes)
{
    struct id sum;

    if (bytes.length_bytes <= TOKEN_CHECKSUM_BYTES) {
        return false;
    }
    bytes.length_bytes -= TOKEN_CHECKSUM_BYTES;
    sum = hash_of(HASH_TOKEN, bytes);
    return memcmp(sum.bytes, bytes.data + bytes.length_bytes, TOKEN_CHECKSUM_BYTES) == 0;
}

int token_decode(const char *text, struct token *token_out, struct token_content *content_out,
                 struct err *err)
{
    static const char white[] = " \t\r\n";
    uint8_t bytes[TOKEN_BYTES_MAX];
    size_t length_bytes = 0;

    memset(token_out, 0, sizeof(*token_out));
    text += strspn(text, white);
    if (strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0) {
        err_set(err, -EBADMSG, "token: not a Minga token: they begin with " TOKEN_PREFIX);
        return err_hint(err, "ask for one: minga invite prints it");
    }
    text += strlen(TOKEN_PREFIX);
    if (sodium_base642bin(bytes, sizeof(bytes), text, strlen(text), white, &length_bytes, NULL,
                          BASE64) != 0 ||
        !has_checksum((struct bytes){bytes, length_bytes})) {
        err_set(err, -EBADMSG, "token: mistyped, cut off or altered");
        return err_hint(err, "copy it whole, it is one line");
    }
    if (!read_parts((struct bytes){bytes, length_bytes - TOKEN_CHECKSUM_BYTES}, token_out) ||
        !is_consistent(token_out, content_out)) {
        return err_set(err, -EBADMSG, "token: its signatures do not belong together");
    }
    return 0;
}
