// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/admission.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/screen/text.h"
#include "base/limits.h"
#include "overlay/signed.h"

/* More storage, more of the ring: one position for every 4 GiB. */
static uint32_t positions_for(const json_t *node)
{
    int64_t storage_bytes = number_of(json_object_get(node, "contribution"), "storage_bytes");
    int64_t count = 1 + storage_bytes / ((int64_t)4 << 30);

    return count > POSITIONS_MAX ? POSITIONS_MAX : (uint32_t)count;
}

int admission_node(struct session *session, json_t **node_out)
{
    int status = session_get(session, "/v1/node", node_out);
    const char *right = text_of(*node_out, "you_may");

    /* Before a key is made or a token asked for; an agent of before does not say. */
    if (status == EXIT_DONE && right[0] != '\0' && strcmp(right, "govern") != 0) {
        problem_set(&session->problem, EXIT_NO_AGENT, "not permitted", "only root may do this");
        return problem_advise(&session->problem, "try sudo");
    }
    if (status == EXIT_DONE && json_is_string(json_object_get(*node_out, "community"))) {
        problem_set(&session->problem, EXIT_REFUSED, "this machine",
                    "belongs to community %s already", text_of(*node_out, "community"));
        status = problem_advise(&session->problem, "sudo minga leave");
    }
    return status;
}

static void set_names(const struct arguments *arguments, const json_t *node,
                      minga_AdmissionRequest *request)
{
    snprintf(request->node_name, sizeof(request->node_name), "%s", text_of(node, "node_name"));
    if (request->node_name[0] == '\0') {
        gethostname(request->node_name, sizeof(request->node_name) - 1);
    }
    if (arguments->options[OPTION_OWNER_NAME] != NULL) {
        snprintf(request->owner_name, sizeof(request->owner_name), "%s",
                 arguments->options[OPTION_OWNER_NAME]);
    } else {
        session_person(request->owner_name, sizeof(request->owner_name));
    }
    text_clean(request->owner_name);
}

int admission_draft(struct session *session, const struct arguments *arguments, const json_t *node,
                    const struct admission_of *of, struct admission_draft *draft_out)
{
    minga_AdmissionRequest request = minga_AdmissionRequest_init_zero;
    struct secret_key owner;
    struct public_key owner_key;
    int length_bytes;
    int status = session_owner_key(session, &owner);

    if (status != EXIT_DONE) {
        return status;
    }
    owner_key = keys_public(&owner);
    memcpy(request.community, of->community_key, PUBLIC_KEY_BYTES);
    memcpy(request.owner_key, owner_key.bytes, PUBLIC_KEY_BYTES);
    if (bytes_from_base64(text_of(node, "node_key"), request.node_key, PUBLIC_KEY_BYTES) !=
        PUBLIC_KEY_BYTES) {
        keys_forget(&owner);
        return problem_set(&session->problem, EXIT_REFUSED, "agent", "sent no node key");
    }
    set_names(arguments, node, &request);
    request.positions = positions_for(node);
    request.requested_unix_s = (uint64_t)time(NULL);
    if (of->invitation != NULL) {
        request.has_invitation = true;
        request.invitation = *of->invitation;
    }
    length_bytes = signed_encode_body(minga_AdmissionRequest_fields, &request, draft_out->bytes,
                                      sizeof(draft_out->bytes));
    if (length_bytes < 0) {
        keys_forget(&owner);
        return problem_set(&session->problem, EXIT_REFUSED, "admission", "its names are too long");
    }
    draft_out->length_bytes = (size_t)length_bytes;
    draft_out->owner_signature = keys_sign(
        &owner, PURPOSE_ADMISSION, (struct bytes){draft_out->bytes, draft_out->length_bytes});
    keys_forget(&owner);
    return EXIT_DONE;
}
