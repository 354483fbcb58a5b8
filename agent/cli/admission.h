// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What an owner signs so that a machine may enter a community. */
#include "agent/cli/session.h"
#include "overlay/protocol.pb.h"

struct admission_draft {
    uint8_t bytes[768]; /* the encoded AdmissionRequest: what everyone signs */
    size_t length_bytes;
    struct signature owner_signature;
};

/* To which community, by which invitation (NULL: a founder). */
struct admission_of {
    const uint8_t *community_key; /* PUBLIC_KEY_BYTES */
    const minga_Signed *invitation;
};

/*
 * Drafts the request for this agent's node (`node`: the document of /v1/node), signed by the
 * owner's key. Returns EXIT_DONE or a status.
 */
int admission_draft(struct session *session, const struct arguments *arguments, const json_t *node,
                    const struct admission_of *of, struct admission_draft *draft_out);
/* GET /v1/node; EXIT_REFUSED when it has a community already. */
int admission_node(struct session *session, json_t **node_out);
