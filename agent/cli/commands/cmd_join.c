// SPDX-License-Identifier: GPL-3.0-or-later
/* minga join, minga leave */
#include <string.h>
#include <time.h>

#include "agent/cli/admission.h"
#include "agent/cli/read_token.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "overlay/signed.h"

enum { FORGET_POLLS_MAX = 100 }; /* 50 ms each */

static int check_dates(struct session *session, const minga_Invitation *invitation)
{
    time_t expires = (time_t)invitation->expires_unix_s;
    struct tm parts;
    char date[32] = "";

    if (time(NULL) <= expires) {
        return EXIT_DONE;
    }
    if (gmtime_r(&expires, &parts) != NULL) {
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &parts);
    }
    problem_set(&session->problem, EXIT_REFUSED, "token", "expired on %s", date);
    return problem_advise(&session->problem, "ask for a new one");
}

/* What the volunteer gives, before anything happens. */
static void show_contribution(const char *community, const json_t *node)
{
    const json_t *gives = json_object_get(node, "contribution");
    char cpu[UNITS_TEXT_BYTES_MAX];
    char memory[UNITS_TEXT_BYTES_MAX];
    char disk[UNITS_TEXT_BYTES_MAX];
    char storage[UNITS_TEXT_BYTES_MAX];

    units_print_cores((uint64_t)(real_of(gives, "cpu_cores") * 1000.0), cpu);
    units_print_bytes((uint64_t)number_of(gives, "memory_bytes"), memory);
    units_print_bytes((uint64_t)number_of(gives, "disk_bytes"), disk);
    units_print_bytes((uint64_t)number_of(gives, "storage_bytes"), storage);
    remark("Members of %s may then use of this machine, at most:", community);
    remark("  %s cores, %s memory, %s disk, %s storage (see /etc/minga/minga.yaml)", cpu, memory,
           disk, storage);
}

static json_t *contacts_of(const struct token *token)
{
    json_t *contacts = json_array();

    for (uint32_t i = 0; i < token->contact_count; i++) {
        const struct overlay_peer *peer = &token->contacts[i];
        json_t *addresses = json_array();

        for (size_t j = 0; j < peer->address_count; j++) {
            json_array_append_new(addresses, json_string(peer->addresses[j]));
        }
        json_array_append_new(
            contacts, json_pack("{so so}", "key",
                                json_base64((struct bytes){peer->key.bytes, PUBLIC_KEY_BYTES}),
                                "addresses", addresses));
    }
    return contacts;
}

static int ask_to_join(struct session *session, const struct token *token,
                       const struct admission_draft *draft)
{
    struct bytes request = {draft->bytes, draft->length_bytes};
    struct signature invitation = keys_sign(&token->secret, PURPOSE_ADMISSION, request);
    uint8_t community[TOKEN_SIGNED_BYTES_MAX];
    int length_bytes = signed_encode(&token->community, community, sizeof(community));

    if (length_bytes < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "token", "its community is too long");
    }
    return session_post(
        session, "/v1/join",
        json_pack("{so so so so so}", "community",
                  json_base64((struct bytes){community, (size_t)length_bytes}), "request",
                  json_base64(request), "owner_signature",
                  json_base64((struct bytes){draft->owner_signature.bytes, SIGNATURE_BYTES}),
                  "invitation_signature",
                  json_base64((struct bytes){invitation.bytes, SIGNATURE_BYTES}), "contacts",
                  contacts_of(token)),
        NULL);
}

static void say_joined(const struct session *session, const char *community, const json_t *node)
{
    json_t *document;

    if (!session->json) {
        printf("joined %s; see minga node, minga nodes\n", community);
        return;
    }
    document = json_pack("{ss sO}", "community", community, "node", json_object_get(node, "node"));
    print_document(document);
    json_decref(document);
}

int run_join(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *node = NULL;
    struct token_content content;
    struct token token;
    struct admission_draft draft;
    int status = admission_node(session, &node);

    if (status == EXIT_DONE) {
        status = read_token(session, arguments, &token, &content);
    }
    if (status == EXIT_DONE) {
        status = check_dates(session, &content.invitation);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    if (session->asks) {
        show_contribution(content.community.name, node);
    }
    if (!confirm(session, arguments, "Join?")) {
        return problem_set(&session->problem, EXIT_REFUSED, "join", "you said no");
    }
    status =
        admission_draft(session, arguments, node,
                        &(struct admission_of){content.community.key, &token.invitation}, &draft);
    if (status == EXIT_DONE) {
        status = ask_to_join(session, &token, &draft);
    }
    keys_forget(&token.secret);
    if (status == EXIT_DONE) {
        say_joined(session, content.community.name, node);
    }
    return status;
}

/* The agent answers, deletes what it stored, and begins anew: "left" is said when that is done. */
static void await_forgotten(struct session *session)
{
    static const struct timespec pause = {.tv_nsec = 50000000};

    for (int i = 0; i < FORGET_POLLS_MAX; i++) {
        CLEANUP(cleanup_json) json_t *node = NULL;
        int status = session_get(session, "/v1/node", &node);

        memset(&session->problem, 0, sizeof(session->problem));
        if (status == EXIT_DONE && !json_is_string(json_object_get(node, "community"))) {
            return;
        }
        nanosleep(&pause, NULL);
    }
}

/* How many replicas are still here; negative: nobody says. */
static int count_here(struct session *session)
{
    CLEANUP(cleanup_json) json_t *node = NULL;

    return session_get(session, "/v1/node", &node) == EXIT_DONE
               ? (int)json_array_size(json_object_get(node, "replicas"))
               : -1;
}

/* As long as the owner gives it: leaving itself takes some seconds only. */
static int hand_over(struct session *session, const char *within)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    uint64_t within_ms = 0;
    int status;
    int count = 1;

    if (units_parse_duration(within, &within_ms) < 0 || within_ms == 0 || within_ms > INT64_MAX) {
        problem_set(&session->problem, EXIT_USAGE, within, "not a duration");
        return problem_advise(&session->problem, "such as 30s or 5m");
    }
    if (within_ms > (uint64_t)ORDER_DAYS_MAX * 24 * 3600 * 1000) {
        return problem_set(&session->problem, EXIT_USAGE, within, "is more than a year");
    }
    status = session_post(session, "/v1/node/drain",
                          json_pack("{sI}", "within_ms", (json_int_t)within_ms), NULL);
    for (uint64_t waited_ms = 0; status == EXIT_DONE && count > 0 && waited_ms < within_ms;
         waited_ms += 200) {
        count = count_here(session);
        progress(session, "handing over: %d left ...", count);
        nanosleep(&pause, NULL);
    }
    return status;
}

int run_leave(struct session *session, const struct arguments *arguments)
{
    const char *within = arguments->options[OPTION_WITHIN];
    int status;

    if (!confirm(session, arguments, "Leave the community? Coming back needs a token.")) {
        return problem_set(&session->problem, EXIT_REFUSED, "leave", "you said no");
    }
    progress(session, "handing over what runs here ...");
    status = within == NULL ? EXIT_DONE : hand_over(session, within);
    if (status == EXIT_DONE) {
        status = session_post(session, "/v1/leave", NULL, NULL);
    }
    if (status == EXIT_DONE) {
        await_forgotten(session);
    }
    progress(session, "%s", "");
    if (status == EXIT_DONE && session->json) {
        json_t *document = json_pack("{sb}", "left", 1);

        print_document(document);
        json_decref(document);
    } else if (status == EXIT_DONE) {
        printf("left the community\n");
    }
    return status;
}
