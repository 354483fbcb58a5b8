// SPDX-License-Identifier: GPL-3.0-or-later
/* minga invite, minga invite revoke */
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "agent/cli/read_token.h"
#include "agent/cli/session.h"
#include "agent/cli/token.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "overlay/signed.h"

enum { DAY_S = 86400, YEARS_MAX = 10 };

static int read_contact(const json_t *entry, struct overlay_peer *peer_out)
{
    const json_t *addresses = json_object_get(entry, "addresses");

    if (bytes_from_base64(text_of(entry, "key"), peer_out->key.bytes, PUBLIC_KEY_BYTES) !=
        PUBLIC_KEY_BYTES) {
        return -1;
    }
    peer_out->node = keys_node_id(&peer_out->key);
    for (size_t i = 0; i < json_array_size(addresses) && i < ADDRESSES_MAX; i++) {
        const char *address = json_string_value(json_array_get(addresses, i));

        if (address == NULL ||
            text_copy(peer_out->addresses[i], sizeof(peer_out->addresses[i]), address) < 0) {
            return -1;
        }
        peer_out->address_count = i + 1;
    }
    return peer_out->address_count > 0 ? 0 : -1;
}

/* Community's record and contacts, as the agent knows them. */
static int read_data(struct session *session, const json_t *data, struct token *token)
{
    const json_t *contacts = json_object_get(data, "contacts");
    uint8_t bytes[TOKEN_SIGNED_BYTES_MAX];
    int length_bytes = bytes_from_base64(text_of(data, "community"), bytes, sizeof(bytes));

    if (length_bytes < 0 ||
        signed_decode((struct bytes){bytes, (size_t)length_bytes}, &token->community) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "agent",
                           "sent no record of its community");
    }
    for (size_t i = 0; i < json_array_size(contacts) && i < TOKEN_MEMBERS_MAX; i++) {
        struct overlay_peer *peer = &token->contacts[token->contact_count];

        if (read_contact(json_array_get(contacts, i), peer) == 0) {
            token->contact_count++;
        }
    }
    if (token->contact_count == 0) {
        problem_set(&session->problem, EXIT_REFUSED, "invite",
                    "no member has an address that others could reach");
        return problem_advise(&session->problem, "set network.advertise in minga.yaml");
    }
    return EXIT_DONE;
}

static int read_limits(struct session *session, const struct arguments *arguments,
                       minga_Invitation *invitation)
{
    const char *expires = arguments->options[OPTION_EXPIRES];
    const char *uses = arguments->options[OPTION_USES];
    uint64_t lasts_ms = (uint64_t)INVITATION_DAYS_DEFAULT * DAY_S * 1000;
    uint64_t uses_max = 0;

    if (expires != NULL && (units_parse_duration(expires, &lasts_ms) < 0 || lasts_ms < 1000 ||
                            lasts_ms / 1000 > (uint64_t)YEARS_MAX * 365 * DAY_S)) {
        problem_set(&session->problem, EXIT_USAGE, "--expires",
                    "not a duration of up to %d years: %s", YEARS_MAX, expires);
        return problem_advise(&session->problem, "such as 12h or 7d");
    }
    if (uses != NULL &&
        (units_parse_number(uses, &uses_max) < 0 || uses_max == 0 || uses_max > MEMBERS_MAX)) {
        return problem_set(&session->problem, EXIT_USAGE, "--uses", "not a number from 1 to %d",
                           MEMBERS_MAX);
    }
    invitation->created_unix_s = (uint64_t)time(NULL);
    invitation->expires_unix_s = invitation->created_unix_s + lasts_ms / 1000;
    invitation->uses_max = (uint32_t)uses_max;
    return EXIT_DONE;
}

static int make_invitation(struct session *session, const struct secret_key *community,
                           minga_Invitation *invitation, struct token *token)
{
    struct public_key community_key = keys_public(community);
    struct public_key key;

    if (memcmp(community_key.bytes, token->community.key, PUBLIC_KEY_BYTES) != 0) {
        return problem_set(&session->problem, EXIT_NO_AGENT, "not permitted",
                           "the key is of another community of that name");
    }
    keys_generate(&token->secret);
    key = keys_public(&token->secret);
    memcpy(invitation->community, community_key.bytes, PUBLIC_KEY_BYTES);
    memcpy(invitation->key, key.bytes, PUBLIC_KEY_BYTES);
    return signed_make(minga_Invitation_fields, invitation, PURPOSE_INVITATION, community,
                       &token->invitation) < 0
               ? problem_set(&session->problem, EXIT_REFUSED, "invitation", "too long")
               : EXIT_DONE;
}

static void print_token(const struct session *session, const minga_Invitation *invitation,
                        const char *community, const char *text)
{
    char date[32] = "";
    time_t expires = (time_t)invitation->expires_unix_s;
    struct tm parts;
    json_t *document;

    if (gmtime_r(&expires, &parts) != NULL) {
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    if (!session->json) {
        printf("%s\n", text);
        fflush(stdout);
        remark("valid until %s; who has it can join: sudo minga join", date);
        return;
    }
    document = json_pack("{ss ss ss sI}", "community", community, "token", text, "expires", date,
                         "uses_max", (json_int_t)invitation->uses_max);
    print_document(document);
    json_decref(document);
}

int run_invite(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *data = NULL;
    struct token token = {0};
    minga_Invitation invitation = minga_Invitation_init_zero;
    struct secret_key community;
    char text[TOKEN_CHARS_MAX + 1];
    struct err err;
    int status = read_limits(session, arguments, &invitation);

    if (status == EXIT_DONE) {
        status = session_get(session, "/v1/invitation", &data);
    }
    if (status == EXIT_DONE) {
        status = session_community_key(session, text_of(data, "name"), &community);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    status = read_data(session, data, &token);
    if (status == EXIT_DONE) {
        status = make_invitation(session, &community, &invitation, &token);
    }
    keys_forget(&community);
    if (status == EXIT_DONE && token_encode(&token, text, &err) < 0) {
        status = problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    if (status == EXIT_DONE) {
        print_token(session, &invitation, text_of(data, "name"), text);
    }
    keys_forget(&token.secret);
    sodium_memzero(text, sizeof(text));
    return status;
}

int run_invite_revoke(struct session *session, const struct arguments *arguments)
{
    minga_Revocation revocation = minga_Revocation_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct token_content content;
    struct token token;
    struct secret_key community;
    uint8_t bytes[TOKEN_SIGNED_BYTES_MAX];
    int length_bytes;
    int status = read_token(session, arguments, &token, &content);

    if (status == EXIT_DONE) {
        status = session_community_key(session, content.community.name, &community);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    memcpy(revocation.community, content.community.key, PUBLIC_KEY_BYTES);
    memcpy(revocation.invitation_key, content.invitation.key, PUBLIC_KEY_BYTES);
    revocation.revoked_unix_s = (uint64_t)time(NULL);
    revocation.expires_unix_s = content.invitation.expires_unix_s;
    length_bytes = signed_make(minga_Revocation_fields, &revocation, PURPOSE_REVOCATION, &community,
                               &envelope);
    keys_forget(&community);
    if (length_bytes == 0) {
        length_bytes = signed_encode(&envelope, bytes, sizeof(bytes));
    }
    if (length_bytes < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "revocation", "too long");
    }
    status = session_post(
        session, "/v1/revocations",
        json_pack("{so}", "revocation", json_base64((struct bytes){bytes, (size_t)length_bytes})),
        NULL);
    if (status == EXIT_DONE && session->json) {
        json_t *revoked = json_pack("{sb}", "revoked", true);

        print_document(revoked);
        json_decref(revoked);
    } else if (status == EXIT_DONE) {
        printf("revoked; who has joined with it stays\n");
    }
    return status;
}
