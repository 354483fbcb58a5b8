// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/store_writer.h"

#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/pool.h"
#include "base/check.h"
#include "base/log.h"

enum {
    BATCHES_MAX = STORE_WAITING_MAX / STORE_BATCH_MAX,
    FAILED_MAX = STORE_WAITING_MAX + 1024, /* of what waited, and of what found no room */
    RETRY_MS = 1000,
    QUIET_MS = 20
};

struct queued { /* one transaction */
    struct queued *next;
    struct store_batch batch;
};

struct store_writer {
    struct pool_job job; /* first: the job is the writer */
    uv_loop_t *loop;
    struct store *store;
    store_stored *stored;
    void *context;
    bool is_running;
    bool has_failed; /* said once, until it works again */
    int result;
    struct err err;
    /* In the order in which they were asked for; the first one is being written, or is next. One that
     * failed stays where it is: nothing behind it is durable first. */
    struct queued *first;
    struct queued *last;
    struct queued *running; /* the first one, or NULL */
    struct queued *spare;   /* NULL: none */
    uint32_t batch_count;
    bool is_new;         /* something came since the last commit began */
    uint64_t retry_ms;   /* when what failed is tried again, by the loop's clock */
    uint64_t quiet_ms;   /* no commit ended since */
    bool is_hurried;     /* somebody waits for one of those that wait */
    bool is_ending;      /* nothing may wait any more */
    uint64_t due_ms;     /* when the others are to be written; by clock_now_ms */
    uint32_t lost_count; /* that found no room since this was said last */
    uint32_t failed_count;
    uint64_t failed[FAILED_MAX]; /* tokens */
};

struct store_writer *store_writer_new(uv_loop_t *loop, struct store *store, store_stored *stored,
                                      void *context)
{
    struct store_writer *writer = calloc(1, sizeof(*writer));

    if (writer == NULL) {
        return NULL;
    }
    writer->loop = loop;
    writer->store = store;
    writer->stored = stored;
    writer->context = context;
    return writer;
}

/* ------------------------------------------------------------------ what waits */

static struct queued *queue_grow(struct store_writer *writer)
{
    struct queued *queued = writer->spare;

    if (writer->batch_count == BATCHES_MAX) {
        return NULL;
    }
    writer->spare = NULL;
    if (queued == NULL) {
        queued = calloc(1, sizeof(*queued));
    }
    if (queued == NULL) {
        return NULL;
    }
    queued->next = NULL;
    if (writer->last == NULL) {
        writer->first = queued;
    } else {
        writer->last->next = queued;
    }
    writer->last = queued;
    writer->batch_count++;
    return queued;
}

/* The first one is written. */
static void queue_shrink(struct store_writer *writer)
{
    struct queued *queued = writer->first;

    CHECK(queued != NULL && writer->running == NULL);
    store_batch_clear(&queued->batch);
    writer->first = queued->next;
    if (writer->first == NULL) {
        writer->last = NULL;
    }
    writer->batch_count--;
    free(writer->spare);
    writer->spare = queued;
}

void store_writer_free(struct store_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    CHECK(!writer->is_running);
    while (writer->first != NULL) {
        queue_shrink(writer);
    }
    free(writer->spare);
    free(writer);
}

static bool is_same(const struct store_change *change, const struct overlay_blob *blob)
{
    return change->kind == blob->kind && change->number == blob->number &&
           id_equal(&change->key, &blob->key);
}

/* While the disk takes nothing: what another one replaces need not wait any longer. */
static void drop_replaced(struct store_writer *writer, const struct overlay_blob *blob)
{
    for (struct queued *queued = writer->first; queued != NULL; queued = queued->next) {
        struct store_batch *batch = &queued->batch;

        for (uint32_t i = 0; queued != writer->running && i < batch->count; i++) {
            if (batch->changes[i].token == 0 && is_same(&batch->changes[i], blob)) {
                free(batch->changes[i].data);
                batch->count--;
                memmove(&batch->changes[i], &batch->changes[i + 1],
                        (batch->count - i) * sizeof(batch->changes[0]));
                break;
            }
        }
    }
}

static void note_failed(struct store_writer *writer, uint64_t token)
{
    if (token != 0 && writer->failed_count < FAILED_MAX) {
        writer->failed[writer->failed_count++] = token;
    }
}

static void put(struct store_writer *writer, const struct overlay_blob *blob, uint64_t token)
{
    struct queued *queued = writer->last;

    if (writer->has_failed) {
        drop_replaced(writer, blob);
    }
    if (queued == NULL || queued == writer->running || queued->batch.count == STORE_BATCH_MAX) {
        queued = queue_grow(writer);
    }
    writer->is_new = true;
    if (queued == NULL || store_batch_add(&queued->batch, blob, token) < 0) {
        writer->lost_count++;
        note_failed(writer, token);
    }
}

void store_writer_put(struct store_writer *writer, const struct overlay_blob *blob, uint64_t token)
{
    writer->is_hurried = true;
    put(writer, blob, token);
}

void store_writer_put_unhurried(struct store_writer *writer, const struct overlay_blob *blob,
                                uint64_t token)
{
    if (writer->due_ms == 0) {
        writer->due_ms = clock_now_ms() + UNHURRIED_MS;
    }
    put(writer, blob, token);
    if (writer->last != NULL && writer->last->batch.count >= STORE_BATCH_MAX / 2) {
        writer->is_hurried = true;
    }
}

static bool is_waiting(const struct store_writer *writer)
{
    return writer->last != NULL && writer->last != writer->running;
}

/* ------------------------------------------------------------------ commits */

static void write_batch(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;

    writer->result = store_apply(writer->store, &writer->running->batch, &writer->err);
}

/* A full disk is said once, not at every record; the agent lives on. */
static void say_change(struct store_writer *writer)
{
    bool has_failed = writer->result < 0;

    if (has_failed && !writer->has_failed) {
        log_error("%s", writer->err.text);
    } else if (!has_failed && writer->has_failed) {
        log_info("database: writing works again");
    }
    writer->has_failed = has_failed;
}

/* What is asked for while this is told is not told. */
static void tell_failed(struct store_writer *writer)
{
    uint32_t count = writer->failed_count;

    if (writer->lost_count > 0) {
        log_error("database: %u changes are lost: too many wait for the disk", writer->lost_count);
        writer->lost_count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        writer->stored(writer->context, writer->failed[i], true);
    }
    writer->failed_count -= count;
    memmove(writer->failed, &writer->failed[count],
            writer->failed_count * sizeof(writer->failed[0]));
}

/* None of them is on the disk now, nor what waits behind: it would be durable first. */
static void fail_all(struct store_writer *writer)
{
    for (struct queued *queued = writer->first; queued != NULL; queued = queued->next) {
        for (uint32_t i = 0; i < queued->batch.count; i++) {
            note_failed(writer, queued->batch.changes[i].token);
            queued->batch.changes[i].token = 0;
        }
    }
    writer->retry_ms = uv_now(writer->loop) + RETRY_MS;
}

/* ------------------------------------------------------------------ the log */

static void move_log(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;

    writer->result = store_checkpoint(writer->store, &writer->err);
}

static void log_moved(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;

    if (writer->result < 0) {
        say_change(writer); /* it is all in the log; a commit says when that works again */
        writer->quiet_ms = uv_now(writer->loop) + RETRY_MS;
    }
    writer->is_running = false;
    store_writer_flush(writer);
}

/* While the log is moved nothing can be written: best when nobody writes. */
static bool is_log_to_move(const struct store_writer *writer)
{
    switch (store_log_state(writer->store)) {
    case STORE_LOG_TOO_LONG:
        return uv_now(writer->loop) >= writer->quiet_ms;
    case STORE_LOG_LONG:
        return !is_waiting(writer) && uv_now(writer->loop) >= writer->quiet_ms + QUIET_MS;
    case STORE_LOG_SHORT:
    default:
        return false;
    }
}

/* ------------------------------------------------------------------ turns */

static void tell_written(struct store_writer *writer)
{
    const struct store_batch *batch = &writer->first->batch;

    /* It stays the running one until all is told: what comes meanwhile goes behind it. */
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->changes[i].token != 0) {
            writer->stored(writer->context, batch->changes[i].token, false);
        }
    }
    writer->running = NULL;
    queue_shrink(writer);
}

static void batch_written(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;

    say_change(writer);
    if (writer->quiet_ms < uv_now(writer->loop)) {
        writer->quiet_ms = uv_now(writer->loop);
    }
    if (writer->result < 0) {
        writer->running = NULL;
        fail_all(writer);
    } else {
        tell_written(writer);
    }
    tell_failed(writer);
    writer->is_running = false;
    store_writer_flush(writer);
}

/* Is there something that waits for company? */
static bool may_wait(const struct store_writer *writer)
{
    return writer->due_ms != 0 && !writer->is_hurried && !writer->is_ending &&
           clock_now_ms() < writer->due_ms;
}

uint64_t store_writer_wake_ms(const struct store_writer *writer)
{
    return writer->is_running ? 0 : writer->due_ms; /* its end begins the next one */
}

void store_writer_end(struct store_writer *writer)
{
    writer->is_ending = true;
    store_writer_flush(writer);
}

/* Nothing, or what has just failed and is not to be tried again yet. */
static bool is_at_rest(const struct store_writer *writer)
{
    return writer->first == NULL ||
           (writer->has_failed && !writer->is_new && uv_now(writer->loop) < writer->retry_ms);
}

void store_writer_flush(struct store_writer *writer)
{
    if (writer->is_running) {
        return;
    }
    if (is_log_to_move(writer)) {
        writer->is_running = true;
        pool_start(writer->loop, &writer->job, move_log, log_moved);
        return;
    }
    if (writer->first == NULL && writer->failed_count > 0) {
        tell_failed(writer);
    }
    if (may_wait(writer) || is_at_rest(writer)) {
        return;
    }
    if (writer->first == writer->last) { /* nothing is left waiting behind it */
        writer->is_hurried = false;
        writer->due_ms = 0;
    }
    writer->is_new = false;
    writer->running = writer->first;
    writer->is_running = true;
    pool_start(writer->loop, &writer->job, write_batch, batch_written);
}

bool store_writer_is_idle(const struct store_writer *writer)
{
    return !writer->is_running && (writer->first == NULL || writer->has_failed);
}
