// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Chunks on their way to other nodes: read and verified on the worker pool, a few at a time, and
 * no faster than the chunks' part of contribute.upload on average.
 *
 * What this machine's own users have just pushed is theirs, not a contribution: it is not limited.
 * Else a push would take as long as serving strangers may, and time out.
 *
 * The queue keeps names, not bytes: memory is bounded by what is being read and what ZeroMQ has
 * not sent yet, however slow the peers are. Who reads slowly holds up nobody else (upload_share.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/owner/keeper.h"
#include "agent/mingad/pool.h"
#include "agent/mingad/store/upload_share.h"
#include "base/bucket.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

enum {
    WAITING_MAX = 512,
    READING_MAX = 2,
    BURST_S = 16, /* saved up while idle: short transfers go at full speed */
    BUSY_RETRY_MS = 10,
    PUSHED_MS = 600000, /* how long a push counts as recent, at least */
    PUSHED_BITS = 65536,
};

/* Which chunks were pushed here lately, by the first bits of their hashes: two generations. A
 * wrong yes lets a chunk through unlimited, which harms nobody. */
struct pushed {
    uint64_t turned_ms;
    uint32_t present;
    uint8_t bits[2][PUSHED_BITS / 8];
};

struct upload_job {
    struct pool_job pool; /* first */
    struct upload_job *next;
    struct edge *edge;
    struct upload_asker *asker;
    uint64_t turn;
    bool is_pushed;                /* here, lately */
    enum overlay_effect_kind kind; /* SEND or REPLY */
    struct overlay_peer peer;
    uint64_t link;
    struct chunk_id chunk;
    struct chunk_read read;
    struct transport_data data;
    size_t message_bytes;
    uint8_t message[];
};

struct upload {
    struct edge *edge;
    uv_timer_t timer;
    struct upload_job *first; /* in the order of their turns */
    struct upload_share share;
    uint32_t waiting_count;
    uint32_t reading_count;
    struct bucket rate; /* what goes while there is no limit is not owed later */
    bool is_closed;
    struct pushed pushed;
};

static uint32_t bit_of(const struct chunk_id *chunk)
{
    return (uint32_t)chunk->id.bytes[0] << 8 | chunk->id.bytes[1];
}

void upload_note_push(struct edge *edge, const struct chunk_id *chunk)
{
    struct pushed *pushed = &edge->upload->pushed;
    uint64_t now_ms = clock_now_ms();
    uint32_t bit = bit_of(chunk);

    if (now_ms - pushed->turned_ms > PUSHED_MS) {
        pushed->turned_ms = now_ms;
        pushed->present = 1 - pushed->present;
        memset(pushed->bits[pushed->present], 0, sizeof(pushed->bits[0]));
    }
    pushed->bits[pushed->present][bit / 8] |= (uint8_t)(1U << bit % 8);
}

static bool was_pushed(const struct upload *upload, const struct chunk_id *chunk)
{
    const struct pushed *pushed = &upload->pushed;
    uint32_t bit = bit_of(chunk);
    unsigned both = pushed->bits[0][bit / 8] | pushed->bits[1][bit / 8];

    return clock_now_ms() - pushed->turned_ms <= 2UL * PUSHED_MS && (both >> bit % 8 & 1) != 0;
}

static void pump(struct upload *upload);

/* The chunks' part of the line; 0: no limit. */
static uint64_t rate_of(const struct edge *edge)
{
    return keeper_chunk_rate(edge->keeper, OWNER_UP);
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

struct upload *upload_new(struct edge *edge)
{
    struct upload *upload = calloc(1, sizeof(*upload));

    if (upload == NULL || uv_timer_init(&edge->loop, &upload->timer) < 0) {
        free(upload);
        return NULL;
    }
    upload->edge = edge;
    upload->timer.data = upload;
    bucket_init(&upload->rate, rate_of(edge), rate_of(edge) * BURST_S, clock_now_ms());
    return upload;
}

/* ------------------------------------------------------------------ jobs */

static void free_job(struct upload_job *job)
{
    upload_share_end(job->asker);
    free(job);
}

static void read_chunk(struct pool_job *pool)
{
    struct upload_job *job = (struct upload_job *)pool;

    job->read.result =
        chunk_store_get(&job->edge->chunks, &job->chunk, &job->data.data, &job->data.length_bytes);
}

static void send_job(struct upload_job *job)
{
    struct bytes message = {job->message, job->message_bytes};
    struct edge *edge = job->edge;

    job->data.unsent_bytes = &job->asker->unsent_bytes;
    if (!job->is_pushed) {
        bucket_take(&edge->upload->rate, job->data.length_bytes);
        keeper_note_chunk(edge->keeper, OWNER_UP, job->data.length_bytes);
    }
    if (job->kind == OVERLAY_SEND) {
        transport_send(edge->transport, &job->peer, message, job->data);
    } else {
        transport_reply(edge->transport, job->link, message, job->data);
    }
    job->data.data = NULL; /* the transport's */
}

static void chunk_read(struct pool_job *pool)
{
    struct upload_job *job = (struct upload_job *)pool;
    struct upload *upload = job->edge->upload;

    CHECK(upload->reading_count > 0);
    upload->reading_count--;
    if (upload->is_closed) {
        free(job->data.data);
    } else if (job->read.result == 0) {
        send_job(job);
    } else if (chunk_store_lacks(job->read.result)) {
        chunk_jobs_tell_lacking(job->edge, &job->chunk, job->read);
    } else {
        log_error("a chunk was not read: %s", err_text(job->read.result));
    }
    free_job(job);
    if (!upload->is_closed) {
        pump(upload);
    }
}

static struct upload_job *take(struct upload *upload, struct upload_job **place)
{
    struct upload_job *job = *place;

    *place = job->next;
    upload->waiting_count--;
    return job;
}

/* The first that may go, or the first of those that is not limited; NULL: none may. */
static struct upload_job *take_next(struct upload *upload, bool only_pushed, bool *is_held_out)
{
    uint64_t unsent_bytes = transport_unsent_bytes(upload->edge->transport);

    *is_held_out = false;
    for (struct upload_job **place = &upload->first; *place != NULL; place = &(*place)->next) {
        if (!upload_share_may_send((*place)->asker, unsent_bytes)) {
            *is_held_out = true;
        } else if (!only_pushed || (*place)->is_pushed) {
            upload->share.turn =
                (*place)->turn > upload->share.turn ? (*place)->turn : upload->share.turn;
            return take(upload, place);
        }
    }
    return NULL;
}

/* What the own disk did not take is in memory. */
static bool send_carried(struct upload_job *job)
{
    const struct carried *carried = carry_find(&job->edge->carry, &job->chunk);

    if (carried == NULL) {
        return false;
    }
    job->data = (struct transport_data){malloc(carried->length_bytes), carried->length_bytes, NULL};
    if (job->data.data != NULL) {
        memcpy(job->data.data, carried->data, carried->length_bytes);
        send_job(job);
    }
    free_job(job);
    return true;
}

static void pump(struct upload *upload)
{
    while (upload->first != NULL && upload->reading_count < READING_MAX) {
        uint64_t later_ms = bucket_wait_ms(&upload->rate, clock_now_ms());
        bool is_held = false; /* some wait for what ZeroMQ has not sent yet */
        struct upload_job *job = take_next(upload, later_ms > 0, &is_held);

        if (job == NULL) {
            if (later_ms > 0) {
                keeper_note_wait(upload->edge->keeper, OWNER_UP);
            }
            uv_timer_start(&upload->timer, on_timer,
                           is_held && (later_ms == 0 || later_ms > BUSY_RETRY_MS) ? BUSY_RETRY_MS
                                                                                  : later_ms,
                           0);
            return;
        }
        if (send_carried(job)) {
            continue;
        }
        upload->reading_count++;
        job->read.written_count = upload->edge->chunks_written_count;
        pool_start(&upload->edge->loop, &job->pool, read_chunk, chunk_read);
    }
}

/* A repeated request while the first one still waits is one transfer, not two. */
static bool is_waiting(const struct upload *upload, const struct overlay_effect *effect)
{
    for (const struct upload_job *job = upload->first; job != NULL; job = job->next) {
        if (job->kind == effect->kind && job->link == effect->link &&
            id_equal(&job->chunk.id, &effect->chunk.id) &&
            id_equal(&job->peer.node.id, &effect->peer.node.id) &&
            job->message_bytes == effect->message.length_bytes &&
            memcmp(job->message, effect->message.data, job->message_bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* By its turn; those of one turn as they came. */
static void enter(struct upload *upload, struct upload_job *job)
{
    struct upload_job **place = &upload->first;

    job->turn = upload_share_turn(&upload->share, job->asker);
    while (*place != NULL && (*place)->turn <= job->turn) {
        place = &(*place)->next;
    }
    job->next = *place;
    *place = job;
    upload->waiting_count++;
}

/* Whoever has the last turn has the most waiting. */
static void drop_last(struct upload *upload)
{
    struct upload_job **place = &upload->first;

    while ((*place)->next != NULL) {
        place = &(*place)->next;
    }
    free_job(take(upload, place));
}

void upload_send(struct edge *edge, const struct overlay_effect *effect)
{
    struct upload *upload = edge->upload;
    struct upload_job *job = NULL;

    if (upload->is_closed || is_waiting(upload, effect)) {
        return; /* the other side asks again */
    }
    job = malloc(sizeof(*job) + effect->message.length_bytes);
    if (job == NULL) {
        return;
    }
    *job = (struct upload_job){.edge = edge,
                               .is_pushed = was_pushed(upload, &effect->chunk),
                               .kind = effect->kind,
                               .peer = effect->peer,
                               .link = effect->link,
                               .chunk = effect->chunk,
                               .message_bytes = effect->message.length_bytes};
    memcpy(job->message, effect->message.data, effect->message.length_bytes);
    job->asker = upload_share_begin(&upload->share, &job->peer.node, job->link);
    if (job->asker == NULL) {
        free(job);
        return;
    }
    enter(upload, job);
    if (upload->waiting_count > WAITING_MAX) {
        drop_last(upload);
    }
    pump(upload);
}

void upload_again(struct edge *edge)
{
    struct upload *upload = edge->upload;

    if (upload != NULL && !upload->is_closed) {
        bucket_limit(&upload->rate, rate_of(edge), rate_of(edge) * BURST_S, clock_now_ms());
        pump(upload);
    }
}

void upload_close(struct edge *edge)
{
    struct upload *upload = edge->upload;

    if (upload == NULL) {
        return;
    }
    upload->is_closed = true;
    while (upload->first != NULL) {
        free_job(take(upload, &upload->first));
    }
    uv_timer_stop(&upload->timer);
    uv_close((uv_handle_t *)&upload->timer, NULL);
}

void upload_free(struct upload *upload)
{
    if (upload != NULL) {
        CHECK(upload->reading_count == 0);
        free(upload);
    }
}
