// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/token.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/keys.h"
#include "overlay/signed.h"

static struct secret_key key_of(uint8_t first)
{
    uint8_t seed[KEY_SEED_BYTES] = {first};
    struct secret_key secret;

    keys_from_seed(seed, &secret);
    return secret;
}

static void add_contacts(struct token *token, uint32_t count)
{
    token->contact_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct secret_key node = key_of((uint8_t)(100 + i));

        token->contacts[i].key = keys_public(&node);
        token->contacts[i].address_count = 2;
        strcpy(token->contacts[i].addresses[0], "10.77.0.3:7400");
        strcpy(token->contacts[i].addresses[1], "[fd00::3]:7400");
    }
}

/* `signer`: whose key signs the invitation; 1 is the community's. */
static struct token make_token(uint8_t signer, uint8_t invitation_key, uint32_t contact_count)
{
    struct secret_key community = key_of(1);
    struct public_key community_key = keys_public(&community);
    struct secret_key other = key_of(signer);
    struct secret_key named = key_of(invitation_key);
    struct public_key named_key = keys_public(&named);
    struct token token;
    minga_Community record = minga_Community_init_zero;
    minga_Invitation invitation = minga_Invitation_init_zero;

    memset(&token, 0, sizeof(token));
    token.secret = key_of(2);
    strcpy(record.name, "allotment");
    memcpy(record.key, community_key.bytes, PUBLIC_KEY_BYTES);
    memcpy(invitation.community, community_key.bytes, PUBLIC_KEY_BYTES);
    memcpy(invitation.key, named_key.bytes, PUBLIC_KEY_BYTES);
    invitation.expires_unix_s = 1900000000;
    invitation.uses_max = 3;
    cr_assert_eq(signed_make(minga_Community_fields, &record, PURPOSE_COMMUNITY, &community,
                             &token.community),
                 0);
    cr_assert_eq(signed_make(minga_Invitation_fields, &invitation, PURPOSE_INVITATION, &other,
                             &token.invitation),
                 0);
    add_contacts(&token, contact_count);
    return token;
}

static char text[TOKEN_CHARS_MAX + 1];
static struct token decoded;
static struct token_content content;
static struct err err;

Test(token, comes_back_as_it_went)
{
    struct token token = make_token(1, 2, TOKEN_MEMBERS_MAX);

    cr_assert_eq(token_encode(&token, text, &err), 0);
    cr_assert_eq(strncmp(text, "minga1", 6), 0);
    cr_assert_lt(strlen(text), 2000);
    cr_assert_eq(token_decode(text, &decoded, &content, &err), 0);
    cr_assert_str_eq(content.community.name, "allotment");
    cr_assert_eq(content.invitation.uses_max, 3);
    cr_assert_eq(memcmp(decoded.secret.bytes, token.secret.bytes, SECRET_KEY_BYTES), 0);
    cr_assert_eq(decoded.contact_count, TOKEN_MEMBERS_MAX);
    cr_assert(keys_equal(&decoded.contacts[7].key, &token.contacts[7].key));
    cr_assert_str_eq(decoded.contacts[7].addresses[1], "[fd00::3]:7400");
}

Test(token, white_space_around_and_inside_is_ignored)
{
    struct token token = make_token(1, 2, 1);
    char spaced[2 * TOKEN_CHARS_MAX];

    cr_assert_eq(token_encode(&token, text, &err), 0);
    snprintf(spaced, sizeof(spaced), " \n%.60s\r\n  %s\n", text, text + 60);
    cr_assert_eq(token_decode(spaced, &decoded, &content, &err), 0);
}

Test(token, every_altered_character_is_refused)
{
    struct token token = make_token(1, 2, 1);
    size_t length;

    cr_assert_eq(token_encode(&token, text, &err), 0);
    length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        char kept = text[i];

        text[i] = kept == 'A' ? 'B' : 'A';
        cr_assert_eq(token_decode(text, &decoded, &content, &err), -EBADMSG, "character %zu", i);
        text[i] = kept;
    }
    cr_assert_eq(token_decode(text, &decoded, &content, &err), 0);
}

Test(token, every_cut_is_refused)
{
    struct token token = make_token(1, 2, 1);
    size_t length;

    cr_assert_eq(token_encode(&token, text, &err), 0);
    length = strlen(text);
    while (length > 0) {
        text[--length] = '\0';
        cr_assert_eq(token_decode(text, &decoded, &content, &err), -EBADMSG);
        cr_assert_neq(err.text[0], '\0');
    }
}

Test(token, an_invitation_that_the_community_did_not_sign_is_refused)
{
    struct token token = make_token(9, 2, 1);

    cr_assert_eq(token_encode(&token, text, &err), 0);
    cr_assert_eq(token_decode(text, &decoded, &content, &err), -EBADMSG);
}

Test(token, an_invitation_of_another_key_is_refused)
{
    struct token token = make_token(1, 5, 1);

    cr_assert_eq(token_encode(&token, text, &err), 0);
    cr_assert_eq(token_decode(text, &decoded, &content, &err), -EBADMSG);
}

Test(token, one_without_addresses_is_refused)
{
    struct token token = make_token(1, 2, 0);

    cr_assert_eq(token_encode(&token, text, &err), 0);
    cr_assert_eq(token_decode(text, &decoded, &content, &err), -EBADMSG);
}

Test(token, eight_members_with_the_longest_addresses_fit)
{
    struct token token = make_token(1, 2, TOKEN_MEMBERS_MAX);

    for (uint32_t i = 0; i < TOKEN_MEMBERS_MAX; i++) {
        token.contacts[i].address_count = ADDRESSES_MAX;
        for (uint32_t j = 0; j < ADDRESSES_MAX; j++) {
            memset(token.contacts[i].addresses[j], 'a', ADDRESS_CHARS_MAX);
            token.contacts[i].addresses[j][ADDRESS_CHARS_MAX] = '\0';
        }
    }
    cr_assert_eq(token_encode(&token, text, &err), 0);
    cr_assert_eq(token_decode(text, &decoded, &content, &err), 0);
}
