// SPDX-License-Identifier: GPL-3.0-or-later
/* minga expel NODE */
#include <string.h>
#include <strings.h>
#include <time.h>

#include "agent/cli/screen/text.h"
#include "agent/cli/session.h"
#include "base/cleanup.h"
#include "overlay/signed.h"

enum { SIGNED_BYTES_MAX = 512, ID_PREFIX_CHARS_MIN = 4 };

static bool is_meant(const json_t *node, const char *text)
{
    return strcmp(text_of(node, "node_name"), text) == 0 ||
           (strlen(text) >= ID_PREFIX_CHARS_MIN &&
            strncasecmp(text_of(node, "node"), text, strlen(text)) == 0);
}

/* By name or by the beginning of its id; never by guess. */
static int find_node(struct session *session, const json_t *nodes, const char *text,
                     const json_t **node_out)
{
    uint32_t count = 0;
    const json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node)
    {
        if (is_meant(node, text) && strcmp(text_of(node, "state"), "expelled") != 0) {
            *node_out = node;
            count++;
        }
    }
    if (count == 1) {
        return EXIT_DONE;
    }
    problem_set(&session->problem, EXIT_NOT_FOUND, text,
                count == 0 ? "no such node" : "several nodes have that name");
    return problem_advise(&session->problem,
                          count == 0 ? "minga nodes lists them" : "say its id: minga nodes");
}

static int sign_expulsion(struct session *session, const struct arguments *arguments,
                          const json_t *node, const struct secret_key *community, json_t **body_out)
{
    minga_Expulsion expulsion = minga_Expulsion_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key = keys_public(community);
    const char *reason = arguments->options[OPTION_REASON];
    uint8_t bytes[SIGNED_BYTES_MAX];
    int length_bytes;

    memcpy(expulsion.community, key.bytes, PUBLIC_KEY_BYTES);
    if (bytes_from_base64(text_of(node, "key"), expulsion.node_key, PUBLIC_KEY_BYTES) !=
        PUBLIC_KEY_BYTES) {
        return problem_set(&session->problem, EXIT_REFUSED, "agent", "sent no key of that node");
    }
    snprintf(expulsion.reason, sizeof(expulsion.reason), "%s", reason != NULL ? reason : "");
    text_clean(expulsion.reason);
    expulsion.expelled_unix_s = (uint64_t)time(NULL);
    if (signed_make(minga_Expulsion_fields, &expulsion, PURPOSE_EXPULSION, community, &envelope) <
            0 ||
        (length_bytes = signed_encode(&envelope, bytes, sizeof(bytes))) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "expulsion", "too long");
    }
    *body_out =
        json_pack("{so}", "expulsion", json_base64((struct bytes){bytes, (size_t)length_bytes}));
    return EXIT_DONE;
}

static int expel(struct session *session, const struct arguments *arguments, const json_t *document,
                 const json_t *node)
{
    struct secret_key community;
    json_t *body = NULL;
    int status = session_community_key(session, text_of(document, "community"), &community);

    if (status == EXIT_DONE) {
        status = sign_expulsion(session, arguments, node, &community, &body);
        keys_forget(&community);
    }
    return status == EXIT_DONE ? session_post(session, "/v1/expulsions", body, NULL) : status;
}

int run_expel(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    const json_t *node = NULL;
    char question[256];
    int status = session_get(session, "/v1/nodes", &document);

    if (status == EXIT_DONE) {
        status = find_node(session, json_object_get(document, "nodes"), arguments->words[0], &node);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    snprintf(question, sizeof(question), "Expel %s (%.*s) for good?", text_of(node, "node_name"),
             ID_SHORT_CHARS, text_of(node, "node"));
    text_clean(question);
    if (!confirm(session, arguments, question)) {
        return problem_set(&session->problem, EXIT_REFUSED, "expel", "you said no");
    }
    status = expel(session, arguments, document, node);
    if (status == EXIT_DONE && session->json) {
        json_t *expelled = json_pack("{sO}", "expelled", json_object_get(node, "node"));

        print_document(expelled);
        json_decref(expelled);
    } else if (status == EXIT_DONE) {
        printf("expelled %.*s\n", ID_SHORT_CHARS, text_of(node, "node"));
    }
    return status;
}
