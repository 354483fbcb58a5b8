// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/pool.h"

#include "base/check.h"

static void on_worker(uv_work_t *work)
{
    struct pool_job *job = work->data;

    job->run(job);
}

static void on_done(uv_work_t *work, int status)
{
    struct pool_job *job = work->data;

    CHECK(status == 0); /* nobody cancels jobs */
    job->done(job);
}

void pool_start(uv_loop_t *loop, struct pool_job *job, pool_function *run, pool_function *done)
{
    job->run = run;
    job->done = done;
    job->work.data = job;
    CHECK(uv_queue_work(loop, &job->work, on_worker, on_done) == 0);
}
