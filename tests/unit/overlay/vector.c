// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The test vector of docs/protocol.md: a JOIN and a HELLO put together byte by byte as the page
 * says, without the schema; what comes out stands in the page, and this implementation takes it.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/members/admission.h"
#include "overlay/message.h"
#include "overlay/signed.h"
#include "tests/unit/tree_file.h"

enum { CREATED = 1790000000, EXPIRES = CREATED + 7 * 86400 };

/* ------------------------------------------------------------------ protobuf by hand */

struct text {
    size_t length;
    uint8_t bytes[4096];
};

static void put_number(struct text *text, uint64_t value)
{
    do {
        text->bytes[text->length++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
}

static void put_varint(struct text *text, unsigned field, uint64_t value)
{
    put_number(text, (uint64_t)field << 3);
    put_number(text, value);
}

static void put_bytes(struct text *text, unsigned field, const void *bytes, size_t length)
{
    put_number(text, (uint64_t)field << 3 | 2);
    put_number(text, length);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

/* ------------------------------------------------------------------ hashes and signatures */

static void blake2b(uint8_t out[32], const char *purpose, const void *bytes, size_t length)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)purpose, strlen(purpose) + 1);
    crypto_generichash_update(&state, bytes, length);
    crypto_generichash_final(&state, out, 32);
}

struct pair {
    uint8_t public_key[32];
    uint8_t secret[64];
};

static struct pair pair_of(uint8_t byte)
{
    struct pair pair;
    uint8_t seed[32];

    memset(seed, byte, sizeof(seed));
    crypto_sign_seed_keypair(pair.public_key, pair.secret, seed);
    return pair;
}

static void sign(uint8_t out[64], const struct pair *pair, const char *purpose,
                 const struct text *body)
{
    uint8_t digest[32];

    blake2b(digest, purpose, body->bytes, body->length);
    crypto_sign_detached(out, NULL, digest, sizeof(digest), pair->secret);
}

static struct text make_signed(const struct pair *pair, const char *purpose,
                               const struct text *body)
{
    struct text text = {0};
    uint8_t signature[64];

    sign(signature, pair, purpose, body);
    put_bytes(&text, 1, body->bytes, body->length);
    put_bytes(&text, 2, pair->public_key, 32);
    put_bytes(&text, 3, signature, 64);
    return text;
}

/* ------------------------------------------------------------------ the page */

static const char *page(void)
{
    return tree_file("docs/protocol.md");
}

/* In the page: lines of 64 digits. */
static void expect_in_page(const char *what, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += 32) {
        size_t count = length - at < 32 ? length - at : 32;
        char hex[65];

        bytes_to_hex((struct bytes){(const uint8_t *)bytes + at, count}, hex);
        if (getenv("PRINT_VECTOR") != NULL) {
            fprintf(stderr, "%s %s\n", what, hex);
        } else {
            cr_assert_not_null(strstr(page(), hex), "%s is not in docs/protocol.md", what);
        }
    }
}

struct vector {
    struct pair community;
    struct pair invitation;
    struct pair node;
    struct pair owner;
    struct text request; /* AdmissionRequest */
};

static struct vector make_vector(void)
{
    struct vector vector = {pair_of(1), pair_of(2), pair_of(3), pair_of(4), {0}};
    struct text invitation = {0};
    struct text signed_invitation;

    put_bytes(&invitation, 1, vector.community.public_key, 32);
    put_bytes(&invitation, 2, vector.invitation.public_key, 32);
    put_varint(&invitation, 3, CREATED);
    put_varint(&invitation, 4, EXPIRES);
    signed_invitation = make_signed(&vector.community, "minga invitation", &invitation);
    put_bytes(&vector.request, 1, vector.community.public_key, 32);
    put_bytes(&vector.request, 2, vector.node.public_key, 32);
    put_bytes(&vector.request, 3, vector.owner.public_key, 32);
    put_bytes(&vector.request, 4, "oak", 3);
    put_bytes(&vector.request, 5, "ann", 3);
    put_varint(&vector.request, 6, 1);
    put_varint(&vector.request, 7, CREATED);
    put_bytes(&vector.request, 8, signed_invitation.bytes, signed_invitation.length);
    return vector;
}

Test(vector, ids_and_positions_are_as_the_page_says)
{
    struct vector vector = make_vector();
    uint8_t indexed[36] = {0};
    uint8_t curve[32];
    uint8_t id[32];
    struct public_key key;
    struct ring_key position;

    expect_in_page("node's key", vector.node.public_key, 32);
    blake2b(id, "minga node", vector.node.public_key, 32);
    expect_in_page("node id", id, 32);
    memcpy(key.bytes, vector.node.public_key, 32);
    cr_assert_eq(memcmp(id, keys_node_id(&key).id.bytes, 32), 0);
    memcpy(indexed, vector.node.public_key, 32); /* and position number 0 in 32 bits */
    blake2b(id, "minga position", indexed, sizeof(indexed));
    expect_in_page("position 0", id, 32);
    position = keys_position(&key, 0);
    cr_assert_eq(memcmp(id, position.id.bytes, 32), 0);
    cr_assert_eq(crypto_sign_ed25519_pk_to_curve25519(curve, vector.node.public_key), 0);
    expect_in_page("X25519 key", curve, 32);
}

Test(vector, a_join_made_by_hand_is_understood_and_admitted)
{
    static struct membership membership;
    struct vector vector = make_vector();
    struct text join = {0};
    struct text text = {0};
    uint8_t signatures[3][64];
    struct admission_request request;
    struct admission_verdict verdict;
    struct public_key community;
    minga_Message message = minga_Message_init_zero;

    sign(signatures[0], &vector.node, "minga admission", &vector.request);
    sign(signatures[1], &vector.owner, "minga admission", &vector.request);
    sign(signatures[2], &vector.invitation, "minga admission", &vector.request);
    put_bytes(&join, 1, vector.request.bytes, vector.request.length);
    for (unsigned i = 0; i < 3; i++) {
        put_bytes(&join, 2 + i, signatures[i], 64);
    }
    put_varint(&text, 1, 1);
    put_varint(&text, 2, 5);
    put_bytes(&text, 13, join.bytes, join.length);
    expect_in_page("JOIN", text.bytes, text.length);

    cr_assert_eq(message_decode((struct bytes){text.bytes, text.length}, &message), 0);
    cr_assert_eq(message.which_kind, minga_Message_join_tag);
    cr_assert_eq(message.request, 5);
    request.request =
        (struct bytes){message.kind.join.request.bytes, message.kind.join.request.size};
    memcpy(request.node_signature.bytes, message.kind.join.node_signature, 64);
    memcpy(request.owner_signature.bytes, message.kind.join.owner_signature, 64);
    memcpy(request.invitation_signature.bytes, message.kind.join.invitation_signature, 64);
    memcpy(community.bytes, vector.community.public_key, 32);
    cr_assert_eq(admission_judge(&membership, &community, &request, CREATED + 60, &verdict), 0);
    cr_assert_eq(memcmp(verdict.admission.node_key.bytes, vector.node.public_key, 32), 0);
    cr_assert_str_eq(verdict.admission.node_name, "oak");
    cr_assert_neq(admission_judge(&membership, &community, &request, EXPIRES + 1, &verdict), 0);
}

Test(vector, a_hello_made_by_hand_is_understood)
{
    struct vector vector = make_vector();
    struct text record = {0};
    struct text signed_record;
    struct text digest = {0};
    struct text hello = {0};
    struct text text = {0};
    static const uint8_t zeros[32];
    minga_Message message = minga_Message_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    minga_NodeRecord body = minga_NodeRecord_init_zero;

    put_varint(&record, 1, 1);
    put_varint(&record, 2, 1);
    put_bytes(&record, 3, "192.0.2.1:7400", 14);
    put_bytes(&record, 5, "oak", 3);
    put_varint(&record, 10, 1);
    signed_record = make_signed(&vector.node, "minga node", &record);
    for (unsigned field = 1; field <= 3; field++) {
        put_bytes(&digest, field, zeros, 32);
    }
    put_bytes(&hello, 1, vector.node.public_key, 32);
    put_bytes(&hello, 2, vector.community.public_key, 32);
    put_bytes(&hello, 3, digest.bytes, digest.length);
    put_bytes(&hello, 4, signed_record.bytes, signed_record.length);
    put_varint(&text, 1, 1);
    put_bytes(&text, 10, hello.bytes, hello.length);
    expect_in_page("HELLO", text.bytes, text.length);

    cr_assert_eq(message_decode((struct bytes){text.bytes, text.length}, &message), 0);
    cr_assert_eq(message.which_kind, minga_Message_hello_tag);
    cr_assert_eq(memcmp(message.kind.hello.node_key, vector.node.public_key, 32), 0);
    cr_assert_eq(signed_decode((struct bytes){message.kind.hello.node_record.bytes,
                                              message.kind.hello.node_record.size},
                               &envelope),
                 0);
    cr_assert_eq(signed_open(&envelope, PURPOSE_NODE, minga_NodeRecord_fields, &body), 0);
    cr_assert_str_eq(body.name, "oak");
    cr_assert_str_eq(body.addresses[0], "192.0.2.1:7400");
    cr_assert(body.runs);
}

/* "seek_next" is `SeekNext` there. */
static void name_in_page(const char *kind, char name_out[64])
{
    size_t length = 0;
    bool upper = true;

    name_out[length++] = '`';
    for (; *kind != '\0' && length < 62; kind++) {
        if (*kind == '_') {
            upper = true;
            continue;
        }
        name_out[length++] = upper ? (char)(*kind - 'a' + 'A') : *kind;
        upper = false;
    }
    name_out[length] = '\0';
}

Test(vector, each_kind_of_message_is_named_in_the_page)
{
    for (pb_size_t kind = minga_Message_hello_tag; kind < 128; kind++) {
        char name[64];

        if (strcmp(message_kind_name(kind), "unknown") != 0) {
            name_in_page(message_kind_name(kind), name);
            cr_assert_not_null(strstr(page(), name), "docs/protocol.md says nothing of %s", name);
        }
    }
}
