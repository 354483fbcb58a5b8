// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who is let in at a port that is for members only.
 *
 * The asker's node asks the replica's (PassAsk), over the link that proves which member it is. It is
 * answered with a secret of the two, this port and a time. Who then connects to the port, at the
 * node itself or through a leaf's relay, shows there that it knows the secret, and all that follows
 * is sealed with keys made of it (agent/mingad/doors/doors.h).
 *
 * The replica's node keeps nothing of it: the secret can be made again by whoever has the node's
 * key, and the seed of its present start, out of what the caller says. Pure; part of the core.
 */
#include "agent/core/core.h"
#include "overlay/protocol.pb.h"

enum { PASS_MS = 60000 }; /* so long a connection may begin; it may then last */

struct pass {
    struct node_id member; /* who may come in */
    struct replica_key replica;
    uint16_t host_port;
    uint64_t until_ms; /* of the clock of the replica's node, and only since it has started */
};

void pass_secret(const struct core *core, const struct pass *pass,
                 uint8_t secret_out[RELAY_SECRET_BYTES]);
/* A member's question for one. */
void core_pass_ask(struct core *core, const struct node_id *asker, const minga_PassAsk *ask,
                   minga_PassAnswer *answer_out);
