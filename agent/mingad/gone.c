// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What was kept of a community that this node has left is removed in the next life, for it may take
 * minutes: a bit at a time in the pool, so that neither a commit nor the end of this process waits
 * for it. What is left then is removed after the next start.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/folders.h"
#include "agent/mingad/pool.h"
#include "base/err.h"
#include "base/log.h"

enum { STEP_COUNT = 128 }; /* files and folders */

struct gone_job {
    struct pool_job pool; /* first */
    struct edge *edge;
    struct config config; /* a reload writes to the edge's meanwhile */
    int result;
};

static void remove_some(struct pool_job *pool)
{
    struct gone_job *job = (struct gone_job *)pool;

    job->result = folders_remove_gone(&job->config, STEP_COUNT);
}

static void removed_some(struct pool_job *pool)
{
    struct gone_job *job = (struct gone_job *)pool;

    if (job->result > 0 && job->edge->phase != EDGE_CLOSING) {
        pool_start(&job->edge->loop, pool, remove_some, removed_some);
        return;
    }
    if (job->result < 0) {
        log_warning("what was kept of a community that was left is not removed: %s",
                    err_text(job->result));
    }
    free(job);
}

void gone_remove(struct edge *edge)
{
    struct gone_job *job = calloc(1, sizeof(*job));

    if (job != NULL) { /* else after the next start */
        job->edge = edge;
        memcpy(&job->config, &edge->config, sizeof(job->config));
        pool_start(&edge->loop, &job->pool, remove_some, removed_some);
    }
}
