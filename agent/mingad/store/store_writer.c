// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/store_writer.h"

#include <stdlib.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/pool.h"
#include "base/check.h"
#include "base/log.h"

enum { LOST_MAX = 1024, RETRY_MS = 1000, QUIET_MS = 20 };

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
    struct store_batch *waiting;
    struct store_batch *running;
    struct store_batch *kept; /* what failed, to be tried again; their tokens are reported */
    uint64_t retry_ms;        /* when, by the loop's clock */
    uint64_t quiet_ms;        /* no commit ended since */
    bool is_hurried;          /* somebody waits for one of those that wait */
    bool is_ending;           /* nothing may wait any more */
    uint64_t due_ms;          /* when the others are to be written; by clock_now_ms */
    uint32_t lost_count;
    uint64_t lost[LOST_MAX]; /* tokens of changes that found no room */
};

struct store_writer *store_writer_new(uv_loop_t *loop, struct store *store, store_stored *stored,
                                      void *context)
{
    struct store_writer *writer = calloc(1, sizeof(*writer));

    if (writer == NULL) {
        return NULL;
    }
    writer->waiting = calloc(1, sizeof(*writer->waiting));
    writer->running = calloc(1, sizeof(*writer->running));
    writer->kept = calloc(1, sizeof(*writer->kept));
    if (writer->waiting == NULL || writer->running == NULL || writer->kept == NULL) {
        free(writer->waiting);
        free(writer->running);
        free(writer->kept);
        free(writer);
        return NULL;
    }
    writer->loop = loop;
    writer->store = store;
    writer->stored = stored;
    writer->context = context;
    return writer;
}

void store_writer_free(struct store_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    CHECK(!writer->is_running);
    store_batch_clear(writer->waiting);
    store_batch_clear(writer->kept);
    free(writer->waiting);
    free(writer->running);
    free(writer->kept);
    free(writer);
}

static void put(struct store_writer *writer, const struct overlay_blob *blob, uint64_t token)
{
    if (store_batch_add(writer->waiting, blob, token) == 0 || token == 0) {
        return;
    }
    if (writer->lost_count < LOST_MAX) {
        writer->lost[writer->lost_count++] = token;
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
    writer->is_hurried = writer->is_hurried || writer->waiting->count >= STORE_BATCH_MAX / 2;
}

static void write_batch(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;

    writer->result = store_apply(writer->store, writer->running, &writer->err);
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

static void report_lost(struct store_writer *writer)
{
    uint32_t count = writer->lost_count;

    writer->lost_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        writer->stored(writer->context, writer->lost[i], true);
    }
}

/* ------------------------------------------------------------------ once more */

static bool is_replaced(const struct store_change *change, const struct store_batch *later)
{
    for (uint32_t i = 0; i < later->count; i++) {
        const struct store_change *other = &later->changes[i];

        if (other->kind == change->kind && other->number == change->number &&
            id_equal(&other->key, &change->key)) {
            return true;
        }
    }
    return false;
}

static void drop_replaced(struct store_batch *batch, const struct store_batch *later)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        if (is_replaced(&batch->changes[i], later)) {
            free(batch->changes[i].data);
        } else {
            batch->changes[count++] = batch->changes[i];
        }
    }
    batch->count = count;
}

/* Moves all of `from` behind what is in `to`; what finds no room is gone, and said. */
static void append(struct store_batch *to, struct store_batch *from)
{
    uint32_t lost_count = 0;

    for (uint32_t i = 0; i < from->count; i++) {
        if (to->count < STORE_BATCH_MAX) {
            to->changes[to->count++] = from->changes[i];
        } else {
            free(from->changes[i].data);
            lost_count++;
        }
    }
    from->count = 0;
    if (lost_count > 0) {
        log_error("database: %u changes are lost: too many wait for room on the disk", lost_count);
    }
}

static void keep_failed(struct store_writer *writer)
{
    for (uint32_t i = 0; i < writer->running->count; i++) {
        writer->running->changes[i].token = 0;
    }
    drop_replaced(writer->running, writer->waiting);
    append(writer->kept, writer->running);
    writer->retry_ms = uv_now(writer->loop) + RETRY_MS;
}

/* What failed goes in front of what is new, when both fit into one transaction. */
static void take_kept(struct store_writer *writer)
{
    struct store_batch *batch = writer->kept;

    drop_replaced(writer->kept, writer->waiting);
    if (writer->kept->count + writer->waiting->count > STORE_BATCH_MAX) {
        return;
    }
    append(writer->kept, writer->waiting);
    writer->kept = writer->waiting;
    writer->waiting = batch;
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
        return writer->waiting->count == 0 && uv_now(writer->loop) >= writer->quiet_ms + QUIET_MS;
    case STORE_LOG_SHORT:
    default:
        return false;
    }
}

/* ------------------------------------------------------------------ commits */

static void batch_written(struct pool_job *job)
{
    struct store_writer *writer = (struct store_writer *)job;
    uint64_t tokens[STORE_BATCH_MAX];
    uint32_t count = writer->running->count;
    bool failed = writer->result < 0;

    say_change(writer);
    for (uint32_t i = 0; i < count; i++) {
        tokens[i] = writer->running->changes[i].token;
    }
    if (failed) {
        keep_failed(writer);
    } else {
        store_batch_clear(writer->running);
    }
    writer->is_running = false;
    if (writer->quiet_ms < uv_now(writer->loop)) {
        writer->quiet_ms = uv_now(writer->loop);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (tokens[i] != 0) {
            writer->stored(writer->context, tokens[i], failed);
        }
    }
    report_lost(writer);
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

void store_writer_flush(struct store_writer *writer)
{
    struct store_batch *batch;

    if (writer->is_running) {
        return;
    }
    if (is_log_to_move(writer)) {
        writer->is_running = true;
        pool_start(writer->loop, &writer->job, move_log, log_moved);
        return;
    }
    if (writer->waiting->count == 0 && writer->lost_count > 0) {
        report_lost(writer);
    }
    if (may_wait(writer)) {
        return;
    }
    if (writer->waiting->count == 0 &&
        (writer->kept->count == 0 || uv_now(writer->loop) < writer->retry_ms)) {
        return;
    }
    writer->is_hurried = false;
    writer->due_ms = 0;
    take_kept(writer);
    batch = writer->waiting;
    writer->waiting = writer->running;
    writer->running = batch;
    writer->is_running = true;
    pool_start(writer->loop, &writer->job, write_batch, batch_written);
}

bool store_writer_is_idle(const struct store_writer *writer)
{
    return !writer->is_running && writer->waiting->count == 0;
}
