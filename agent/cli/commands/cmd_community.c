// SPDX-License-Identifier: GPL-3.0-or-later
/* minga community create NAME */
#include <string.h>
#include <time.h>

#include "agent/cli/admission.h"
#include "agent/cli/resolve.h"
#include "base/cleanup.h"
#include "overlay/signed.h"

enum { SIGNED_BYTES_MAX = 2048 };

static json_t *encoded(const minga_Signed *signed_thing)
{
    uint8_t bytes[SIGNED_BYTES_MAX];
    int length_bytes = signed_encode(signed_thing, bytes, sizeof(bytes));

    return length_bytes < 0 ? NULL : json_base64((struct bytes){bytes, (size_t)length_bytes});
}

/* The community's record, signed by its own key. */
static int make_record(const char *name, const struct secret_key *community,
                       minga_Signed *signed_out)
{
    minga_Community record = minga_Community_init_zero;
    struct public_key key = keys_public(community);

    snprintf(record.name, sizeof(record.name), "%s", name);
    memcpy(record.key, key.bytes, PUBLIC_KEY_BYTES);
    record.created_unix_s = (uint64_t)time(NULL);
    return signed_make(minga_Community_fields, &record, PURPOSE_COMMUNITY, community, signed_out);
}

/* The node's key never leaves the agent: the request goes there to be signed. */
static int node_signature(struct session *session, const struct admission_draft *draft,
                          uint8_t signature_out[SIGNATURE_BYTES])
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int status =
        session_post(session, "/v1/community/sign",
                     json_pack("{so}", "request",
                               json_base64((struct bytes){draft->bytes, draft->length_bytes})),
                     &answer);

    if (status == EXIT_DONE && bytes_from_base64(text_of(answer, "signature"), signature_out,
                                                 SIGNATURE_BYTES) != SIGNATURE_BYTES) {
        status = problem_set(&session->problem, EXIT_REFUSED, "agent", "sent no signature");
    }
    return status;
}

/* The first node's admission is countersigned by the community's key itself. */
static int make_admission(struct session *session, const struct arguments *arguments,
                          const json_t *node, const struct secret_key *community,
                          minga_Signed *signed_out)
{
    struct public_key key = keys_public(community);
    minga_Countersigned admission = minga_Countersigned_init_zero;
    struct admission_draft draft;
    int status =
        admission_draft(session, arguments, node, &(struct admission_of){key.bytes, NULL}, &draft);

    if (status == EXIT_DONE) {
        status = node_signature(session, &draft, admission.node_signature);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    memcpy(admission.request.bytes, draft.bytes, draft.length_bytes);
    admission.request.size = (pb_size_t)draft.length_bytes;
    memcpy(admission.owner_signature, draft.owner_signature.bytes, SIGNATURE_BYTES);
    admission.admitted_unix_s = (uint64_t)time(NULL);
    return signed_make(minga_Countersigned_fields, &admission, PURPOSE_COUNTERSIGNATURE, community,
                       signed_out) < 0
               ? problem_set(&session->problem, EXIT_REFUSED, "admission", "too long")
               : EXIT_DONE;
}

/* What the agent is to be told. */
static int draft(struct session *session, const struct arguments *arguments, const json_t *node,
                 const struct secret_key *community, json_t **request_out)
{
    minga_Signed record = minga_Signed_init_zero;
    minga_Signed admission = minga_Signed_init_zero;
    int status;

    if (make_record(arguments->words[0], community, &record) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "community", "its record is too long");
    }
    status = make_admission(session, arguments, node, community, &admission);
    if (status == EXIT_DONE) {
        *request_out =
            json_pack("{so so}", "community", encoded(&record), "admission", encoded(&admission));
    }
    return status;
}

/* An agent that has not answered may have founded it all the same, and nobody can replace the key. */
static int found(struct session *session, json_t *request, const char *key_path)
{
    int status;

    /* On a new connection: what a kept one ends without an answer curl asks again, and the agent
     * that comes back refuses what the one before it has done. */
    session_done(session);
    status = session_post(session, "/v1/community", request, NULL);
    if (status != EXIT_DONE && session->answered && status != EXIT_LATE) {
        session_community_key_drop(key_path);
    } else if (status != EXIT_DONE) {
        problem_advise(&session->problem,
                       "once the agent answers, minga node says whether the community is founded; "
                       "until then its key stays: %s",
                       key_path);
    }
    return status;
}

static void say(const struct session *session, const char *name, const char *key_path)
{
    json_t *document;

    if (!session->json) {
        printf("community %s is founded, this machine is its first node\n", name);
        remark("its key is %s: keep a copy in a safe place, nobody can replace it", key_path);
        remark("let others in with: sudo minga invite");
        return;
    }
    document = json_pack("{ss ss}", "community", name, "key_file", key_path);
    print_document(document);
    json_decref(document);
}

int run_community_create(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *node = NULL;
    const char *name = arguments->words[0];
    struct secret_key community;
    json_t *request = NULL;
    char key_path[1200];
    int status;

    if (!name_is_valid(name)) {
        problem_set(&session->problem, EXIT_USAGE, name, "not a community's name");
        return problem_advise(&session->problem, "names are a-z, 0-9 and -, at most %d characters",
                              COMMUNITY_NAME_CHARS_MAX);
    }
    status = admission_node(session, &node);
    if (status == EXIT_DONE) {
        /* --key names the community's key here, and the owner's keeps its usual place. */
        status = session_community_key_new(session, name, &community, key_path, sizeof(key_path));
    }
    if (status != EXIT_DONE) {
        return status;
    }
    session->key_path = NULL;
    status = draft(session, arguments, node, &community, &request);
    keys_forget(&community);
    if (status != EXIT_DONE) {
        session_community_key_drop(key_path);
        return status;
    }
    status = found(session, request, key_path);
    if (status == EXIT_DONE) {
        say(session, name, key_path);
    }
    return status;
}
