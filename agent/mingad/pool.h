// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Slow work on the loop's worker threads: hashing, fsync, big files.
 *
 * A job is embedded in its owner's struct. `work` runs on a worker thread and touches nothing but
 * the job's own data; `done` runs on the loop afterwards and may free the job. Every job that was
 * started is finished: the loop does not end before.
 */
#include <stdalign.h>
#include <stddef.h>
#include <uv.h>

struct pool_job;
typedef void pool_function(struct pool_job *job);

struct pool_job {
    alignas(max_align_t) uv_work_t work; /* what begins with it may have wider numbers */
    pool_function *run;
    pool_function *done;
};

/* Starts the job; there is always room in the queue. */
void pool_start(uv_loop_t *loop, struct pool_job *job, pool_function *run, pool_function *done);
