// SPDX-License-Identifier: GPL-3.0-or-later
/* Chunks to and from the disk, on the worker pool. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/pool.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

enum { JOBS_MAX = 32 }; /* in memory at once: what comes on top fails, and is repeated */

struct chunk_job {
    struct pool_job pool; /* first */
    struct edge *edge;
    uint64_t token;
    bool is_for_api; /* then `chunk` is computed */
    struct chunk_id chunk;
    int result;
    size_t length_bytes;
    uint8_t data[];
};

static struct chunk_job *job_new(struct edge *edge, uint64_t token, struct bytes data)
{
    struct chunk_job *job = NULL;

    if (edge->chunk_jobs_count < JOBS_MAX && data.length_bytes <= CHUNK_BYTES_MAX) {
        job = malloc(sizeof(*job) + data.length_bytes);
    }
    if (job == NULL) {
        return NULL;
    }
    *job = (struct chunk_job){.edge = edge, .token = token, .length_bytes = data.length_bytes};
    if (data.length_bytes > 0) {
        memcpy(job->data, data.data, data.length_bytes);
    }
    edge->chunk_jobs_count++;
    edge->chunk_jobs_bytes += data.length_bytes;
    return job;
}

static void job_free(struct chunk_job *job)
{
    job->edge->chunk_jobs_count--;
    job->edge->chunk_jobs_bytes -= job->length_bytes;
    free(job);
}

static enum overlay_chunk_outcome outcome_of(int result)
{
    if (result == 0) {
        return OVERLAY_CHUNK_OK;
    }
    if (result == -ENOBUFS || result == -ENOMEM) {
        return OVERLAY_CHUNK_FAILED;
    }
    return result == -EBADMSG ? OVERLAY_CHUNK_WRONG_HASH : OVERLAY_CHUNK_REFUSED;
}

/* What the file system says about itself is not all: a broken disk has room. */
static void note_result(struct edge *edge, int result)
{
    if (result != -EBADMSG && result != edge->chunk_result) {
        edge->chunk_result = result;
        if (result < 0) {
            log_error("a chunk was not stored: %s", err_text(result));
        } else {
            log_info("chunks are stored again");
        }
    }
}

static void tell_stored(struct edge *edge, uint64_t token, const struct chunk_id *chunk,
                        uint64_t length_bytes, int result)
{
    struct overlay_event event = {.kind = OVERLAY_CHUNK_STORED,
                                  .token = token,
                                  .chunk = *chunk,
                                  .chunk_bytes = length_bytes,
                                  .outcome = outcome_of(result)};

    edge_overlay_event(edge, &event);
}

static void write_chunk(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;
    struct bytes data = {job->data, job->length_bytes};

    if (job->is_for_api) {
        job->chunk = chunk_store_id(data);
    }
    job->result = chunk_store_put(&job->edge->chunks, &job->chunk, data);
}

static void chunk_written(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;

    note_result(job->edge, job->result);
    tell_stored(job->edge, job->token, &job->chunk, job->length_bytes, job->result);
    job_free(job);
}

void chunk_jobs_store(struct edge *edge, const struct overlay_effect *effect)
{
    struct chunk_job *job = job_new(edge, effect->token, effect->data);

    if (job == NULL) {
        tell_stored(edge, effect->token, &effect->chunk, 0, -ENOBUFS);
        return;
    }
    job->chunk = effect->chunk;
    pool_start(&edge->loop, &job->pool, write_chunk, chunk_written);
}

/* ------------------------------------------------------------------ for the API */

static void tell_api(struct edge *edge, uint64_t token, const struct chunk_id *chunk, int result)
{
    struct err err = {0};

    if (edge->api == NULL) {
        return;
    }
    if (result == 0) {
        api_chunk_stored(edge->api, token, chunk, NULL);
        return;
    }
    errno = -result;
    err_set(&err, result, "store a chunk: %m");
    if (result == -EDQUOT) {
        err_set(&err, result, "store a chunk: this node's storage share is full");
        err_hint(&err, "give more with contribute.storage, or push through another node");
    } else if (result == -ENOSPC) {
        const char *refuses = chunk_store_room(&edge->chunks, CHUNK_BYTES_MAX).refuses;

        errno = -result;
        err_set(&err, result, "store a chunk: %m%s%s", refuses[0] != '\0' ? ": " : "", refuses);
    }
    api_chunk_stored(edge->api, token, chunk, &err);
}

/* The overlay is told first: what is asked of it next is to spread this very chunk. */
static void api_chunk_written(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;
    struct edge *edge = job->edge;

    note_result(edge, job->result);
    if (job->result == 0) {
        if (edge->phase != EDGE_CLOSING) {
            upload_note_push(edge, &job->chunk);
        }
        tell_stored(edge, 0, &job->chunk, job->length_bytes, 0);
    }
    tell_api(edge, job->token, &job->chunk, job->result);
    job_free(job);
}

/* The share is hard; what is here already takes no more of it. */
static bool is_beyond_share(const struct edge *edge, struct bytes data)
{
    const struct overlay *overlay = core_overlay(edge->core);
    struct chunk_id chunk;

    if (overlay_has_room(overlay, data.length_bytes, edge->chunk_jobs_bytes)) {
        return false;
    }
    chunk = chunk_store_id(data);
    return !overlay_has_chunk(overlay, &chunk);
}

void chunk_jobs_store_for_api(struct edge *edge, uint64_t token, struct bytes data)
{
    struct chunk_job *job;

    if (is_beyond_share(edge, data)) {
        tell_api(edge, token, &(struct chunk_id){0}, -EDQUOT);
        return;
    }
    job = job_new(edge, token, data);
    if (job == NULL) {
        tell_api(edge, token, &(struct chunk_id){0}, -ENOBUFS);
        return;
    }
    job->is_for_api = true;
    pool_start(&edge->loop, &job->pool, write_chunk, api_chunk_written);
}

/* ------------------------------------------------------------------ what is not to be had */

static const char *why_lacking(int result)
{
    switch (result) {
    case -ENOENT:
        return "is not there: others are asked for it";
    case -EBADMSG:
        return "is rotten on this disk: others are asked for it, and a copy takes its place";
    default:
        return "cannot be read from this disk: it is kept and looked at again, and others are asked "
               "for it; see what the kernel says of the disk (journalctl -k)";
    }
}

void chunk_jobs_tell_lacking(struct edge *edge, const struct chunk_id *chunk, int result)
{
    struct overlay_event event = {
        .kind = result == -ENOENT ? OVERLAY_CHUNK_ABSENT : OVERLAY_CHUNK_READ,
        .chunk = *chunk,
        .outcome = result == -EBADMSG ? OVERLAY_CHUNK_WRONG_HASH : OVERLAY_CHUNK_REFUSED};
    char name[ID_SHORT_CHARS + 1];

    CHECK(chunk_store_lacks(result));
    if (overlay_has_chunk(core_overlay(edge->core), chunk)) { /* else it is known, or was dropped */
        id_to_short(&chunk->id, name);
        log_warning("chunk %s %s", name, why_lacking(result));
    }
    edge_overlay_event(edge, &event);
}

void chunk_jobs_tell_good(struct edge *edge, const struct chunk_id *chunk, uint64_t length_bytes)
{
    struct overlay_event event = {.kind = OVERLAY_CHUNK_READ,
                                  .chunk = *chunk,
                                  .chunk_bytes = length_bytes,
                                  .outcome = OVERLAY_CHUNK_OK};
    char name[ID_SHORT_CHARS + 1];

    if (!overlay_has_chunk(core_overlay(edge->core), chunk)) { /* else a copy was first */
        id_to_short(&chunk->id, name);
        log_info("chunk %s can be read again", name);
    }
    edge_overlay_event(edge, &event);
}

/* ------------------------------------------------------------------ dropping */

static void drop_chunk(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;

    job->result = chunk_store_drop(&job->edge->chunks, &job->chunk);
}

static void chunk_dropped(struct pool_job *pool)
{
    job_free((struct chunk_job *)pool);
}

void chunk_jobs_drop(struct edge *edge, const struct chunk_id *chunk)
{
    struct chunk_job *job = job_new(edge, 0, (struct bytes){NULL, 0});

    if (job == NULL) {
        (void)chunk_store_drop(&edge->chunks, chunk); /* one unlink is short enough */
        return;
    }
    job->chunk = *chunk;
    pool_start(&edge->loop, &job->pool, drop_chunk, chunk_dropped);
}
