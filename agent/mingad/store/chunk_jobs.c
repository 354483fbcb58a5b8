// SPDX-License-Identifier: GPL-3.0-or-later
/* Chunks to and from the disk, on the worker pool. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/pool.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

enum { JOBS_MAX = 32 }; /* in memory at once: what comes on top fails, and is repeated */

struct chunk_job {
    struct pool_job pool;   /* first */
    struct chunk_job *next; /* that waits */
    struct edge *edge;
    pool_function *run;
    pool_function *done;
    bool drops;
    bool is_wanted; /* came again before it was dropped: it stays */
    uint64_t token;
    bool is_pushed; /* by a user: then `chunk` is computed */
    struct chunk_id chunk;
    struct service_id service; /* of what is pushed */
    struct tree_id tree;
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
    return job;
}

static void job_free(struct chunk_job *job)
{
    struct edge *edge = job->edge;

    edge->chunk_jobs_count--;
    if (job->is_pushed) {
        edge->chunk_pushes_count--;
        edge->chunk_pushes_cost_bytes -= overlay_chunk_cost_bytes(job->length_bytes);
    }
    free(job);
}

/* ------------------------------------------------------------------ one after the other */

static bool may_run(const struct chunk_job *job)
{
    const struct chunk_gate *gate = &job->edge->chunk_gate;

    return job->drops ? gate->write_count == 0 : gate->drop_count == 0;
}

static uint32_t *count_of(const struct chunk_job *job)
{
    struct chunk_gate *gate = &job->edge->chunk_gate;

    return job->drops ? &gate->drop_count : &gate->write_count;
}

static void run_job(struct chunk_job *job)
{
    (*count_of(job))++;
    job->is_wanted = job->drops && overlay_has_chunk(core_overlay(job->edge->core), &job->chunk);
    pool_start(&job->edge->loop, &job->pool, job->run, job->done);
}

/*
 * A chunk that comes while it is being dropped, in either order: were the two in two threads, it could
 * be acknowledged as there already, and then deleted. So writes and drops never overlap; each waits for
 * those of the other kind that were asked for before.
 */
static void begin_job(struct chunk_job *job, pool_function *run, pool_function *done)
{
    struct chunk_gate *gate = &job->edge->chunk_gate;

    job->run = run;
    job->done = done;
    if (gate->first == NULL && may_run(job)) {
        run_job(job);
        return;
    }
    job->next = NULL;
    if (gate->first == NULL) {
        gate->first = job;
    } else {
        gate->last->next = job;
    }
    gate->last = job;
}

/* After the core was told what came of it. */
static void end_job(struct chunk_job *job)
{
    struct chunk_gate *gate = &job->edge->chunk_gate;

    CHECK(*count_of(job) > 0);
    (*count_of(job))--;
    if (job->drops) {
        free(job);
    } else {
        job_free(job);
    }
    while (gate->first != NULL && may_run(gate->first)) {
        struct chunk_job *next = gate->first;

        gate->first = next->next;
        run_job(next);
    }
}

static enum overlay_chunk_outcome outcome_of(int result)
{
    switch (result) {
    case 0:
    case CHUNK_WAS_THERE:
        return OVERLAY_CHUNK_OK;
    case -ENOBUFS:
    case -ENOMEM:
    case -EMFILE: /* this process has too much open, or this machine */
    case -ENFILE:
        return OVERLAY_CHUNK_FAILED;
    case -EBADMSG:
        return OVERLAY_CHUNK_WRONG_HASH;
    default:
        return OVERLAY_CHUNK_REFUSED;
    }
}

/* A read that began before says nothing of what is there now. */
static void note_written(struct edge *edge, const struct chunk_id *chunk)
{
    edge->chunks_written[edge->chunks_written_count++ % CHUNKS_WRITTEN_KEPT] = *chunk;
}

static bool is_stale(const struct edge *edge, const struct chunk_id *chunk,
                     const struct chunk_read *read)
{
    uint64_t count = edge->chunks_written_count - read->written_count;

    if (read->result == -ENOENT) {
        return chunk_store_has(&edge->chunks, chunk);
    }
    for (uint64_t i = 1; i <= count && i <= CHUNKS_WRITTEN_KEPT; i++) {
        const struct chunk_id *written =
            &edge->chunks_written[(edge->chunks_written_count - i) % CHUNKS_WRITTEN_KEPT];

        if (id_equal(&written->id, &chunk->id)) {
            return true;
        }
    }
    return count > CHUNKS_WRITTEN_KEPT; /* perhaps: it will be read again */
}

static void tell_stored(struct edge *edge, uint64_t token, const struct chunk_id *chunk,
                        uint64_t length_bytes, int result)
{
    struct overlay_event event = {.kind = OVERLAY_CHUNK_STORED,
                                  .token = token,
                                  .chunk = *chunk,
                                  .chunk_bytes = length_bytes,
                                  .outcome = outcome_of(result),
                                  .was_there = result == CHUNK_WAS_THERE};

    if (result >= 0) {
        note_written(edge, chunk);
    }
    edge_overlay_event(edge, &event);
}

static void write_chunk(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;
    struct bytes data = {job->data, job->length_bytes};

    if (job->is_pushed) {
        job->chunk = chunk_store_id(data);
    }
    job->result = chunk_store_put(&job->edge->chunks, &job->chunk, data);
}

static void chunk_written(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;

    own_disk_note(job->edge, job->result);
    tell_stored(job->edge, job->token, &job->chunk, job->length_bytes, job->result);
    end_job(job);
}

void chunk_jobs_store(struct edge *edge, const struct overlay_effect *effect)
{
    struct chunk_job *job = job_new(edge, effect->token, effect->data);

    if (job == NULL) {
        tell_stored(edge, effect->token, &effect->chunk, 0, -ENOBUFS);
        return;
    }
    job->chunk = effect->chunk;
    begin_job(job, write_chunk, chunk_written);
}

/* ------------------------------------------------------------------ what users push */

static void answer(struct edge *edge, uint64_t token, enum overlay_outcome outcome,
                   const char *reason)
{
    struct core_answer said = {.token = token, .outcome = outcome};

    (void)text_copy(said.reason, sizeof(said.reason), reason);
    if (edge->api != NULL) {
        api_answer(edge->api, &said);
    }
}

/* The overlay is told first: what is asked of it next is to spread this very chunk. What it has no room
 * for, since others came meanwhile, it has dropped again. */
static void spread(struct edge *edge, struct chunk_job *job)
{
    struct core_request request = {.kind = CORE_PUT_CHUNK,
                                   .token = job->token,
                                   .chunk = job->chunk,
                                   .service = job->service,
                                   .tree = job->tree};

    upload_note_push(edge, &job->chunk);
    if (job->result >= 0) {
        tell_stored(edge, 0, &job->chunk, job->length_bytes, job->result);
        job->result = overlay_has_chunk(core_overlay(edge->core), &job->chunk) ? 0 : -EDQUOT;
    }
    if (job->result < 0) {
        struct carry_new carried = {
            job->token, job->chunk, job->result, {job->data, job->length_bytes}};

        if (!carry_add(&edge->carry, &carried, clock_now_ms())) {
            answer(edge, job->token, OVERLAY_TIMED_OUT,
                   "too many chunks are carried past its disk");
            return;
        }
        request.carried_bytes = (uint32_t)job->length_bytes;
    }
    edge_request(edge, &request);
}

static void push_written(struct pool_job *pool)
{
    struct chunk_job *job = (struct chunk_job *)pool;

    own_disk_note(job->edge, job->result);
    if (job->edge->phase != EDGE_CLOSING) {
        spread(job->edge, job);
    }
    end_job(job);
}

/* The share is hard; what is here already takes no more of it. */
static bool is_beyond_share(const struct edge *edge, struct chunk_job *job)
{
    const struct overlay *overlay = core_overlay(edge->core);

    if (overlay_has_room(overlay, job->length_bytes, edge->chunk_pushes_count,
                         edge->chunk_pushes_cost_bytes)) {
        return false;
    }
    job->chunk = chunk_store_id((struct bytes){job->data, job->length_bytes});
    return !overlay_has_chunk(overlay, &job->chunk);
}

void chunk_jobs_push(struct edge *edge, const struct core_request *request, struct bytes data)
{
    struct chunk_job *job = job_new(edge, request->token, data);

    if (job == NULL) {
        answer(edge, request->token, OVERLAY_TIMED_OUT, "too many chunks are being written here");
        return;
    }
    job->service = request->service;
    job->tree = request->tree;
    if (is_beyond_share(edge, job)) {
        job->result = -EDQUOT;
        spread(edge, job);
        job_free(job);
        return;
    }
    job->is_pushed = true;
    edge->chunk_pushes_count++;
    edge->chunk_pushes_cost_bytes += overlay_chunk_cost_bytes(data.length_bytes);
    begin_job(job, write_chunk, push_written);
}

/* Why it had to be carried comes first: that is what the user can change. */
void chunk_jobs_answered(struct edge *edge, struct core_answer *said)
{
    bool is_late = said->outcome == OVERLAY_TIMED_OUT;
    char reason[REASON_CHARS_MAX + 1] = "";
    int result = 0;

    if (!carry_end(&edge->carry, said->token, is_late, &result) || said->outcome == OVERLAY_OK) {
        return;
    }
    if (result == -EDQUOT) {
        (void)snprintf(reason, sizeof(reason), "this node's storage share is full; %.80s",
                       said->reason);
    } else {
        (void)snprintf(reason, sizeof(reason), "this node's disk takes no chunk (%.30s); %.60s",
                       err_text(result), said->reason);
    }
    memcpy(said->reason, reason, sizeof(said->reason));
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

void chunk_jobs_tell_lacking(struct edge *edge, const struct chunk_id *chunk,
                             struct chunk_read read)
{
    int result = read.result;
    struct overlay_event event = {
        .kind = result == -ENOENT ? OVERLAY_CHUNK_ABSENT : OVERLAY_CHUNK_READ,
        .chunk = *chunk,
        .outcome = result == -EBADMSG ? OVERLAY_CHUNK_WRONG_HASH : OVERLAY_CHUNK_REFUSED};
    char name[ID_SHORT_CHARS + 1];

    CHECK(chunk_store_lacks(result));
    if (is_stale(edge, chunk, &read)) {
        return;
    }
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

    if (!job->is_wanted) {
        job->result = chunk_store_drop(&job->edge->chunks, &job->chunk);
    }
}

static void chunk_dropped(struct pool_job *pool)
{
    end_job((struct chunk_job *)pool);
}

void chunk_jobs_drop(struct edge *edge, const struct chunk_id *chunk)
{
    struct chunk_job *job = malloc(sizeof(*job));

    if (job == NULL) {
        return; /* the next start finds the file, and has it collected */
    }
    *job = (struct chunk_job){.edge = edge, .chunk = *chunk, .drops = true};
    begin_job(job, drop_chunk, chunk_dropped);
}
