// SPDX-License-Identifier: GPL-3.0-or-later
/* minga metrics */
#include <stdio.h>

#include "agent/cli/session.h"

int run_metrics(struct session *session, const struct arguments *arguments)
{
    struct reply reply;
    int status;

    (void)arguments;
    if (session->json) {
        problem_set(&session->problem, EXIT_USAGE, "--json", "metrics have a form of their own");
        return problem_advise(&session->problem, "minga --json node has the same as JSON");
    }
    status = session_get_bytes(session, "/v1/metrics", &reply);
    if (status == EXIT_DONE) {
        fwrite(reply.bytes.data, 1, reply.bytes.length_bytes, stdout);
        reply_done(&reply);
    }
    return status;
}
