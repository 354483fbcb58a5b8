// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Disks rot where nobody reads. A few chunks a minute are read and verified, one after the other,
 * while nothing else is being read or written; of what is rotten, or cannot be read, another copy is
 * fetched. Now and then one of those is looked at again: a cable was loose, a controller hung.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/pool.h"

enum {
    SCRUB_MS = 6000, /* ten a minute: some 170 kB/s at most, 9 GB a day */
    /* Among these one that was bad; each time that it still is, after twice as many, for a disk that
     * is dying takes long over each. When one can be read again, so perhaps can the others. */
    BAD_EVERY_MAX = 16,
};

struct scrub {
    struct pool_job pool; /* first */
    struct edge *edge;
    uv_timer_t timer;
    uint32_t cursor;
    uint32_t bad_cursor; /* the same among those that were bad */
    uint32_t bad_every;
    uint32_t bad_left; /* until one of them is looked at */
    bool is_bad;       /* the present one was */
    bool is_reading;
    bool is_closed;
    struct chunk_id chunk;
    uint64_t length_bytes;
    struct chunk_read read;
};

static void read_chunk(struct pool_job *pool)
{
    struct scrub *scrub = (struct scrub *)pool;

    scrub->read.result =
        chunk_store_look(&scrub->edge->chunks, &scrub->chunk, &scrub->length_bytes);
}

static void note_bad(struct scrub *scrub)
{
    if (scrub->read.result == 0) {
        scrub->bad_every = 1;
    } else if (scrub->bad_every < BAD_EVERY_MAX) {
        scrub->bad_every *= 2;
    }
    scrub->bad_left = scrub->bad_every;
}

/* It may have been dropped, collected or replaced while it was being read: the overlay knows. */
static void chunk_read(struct pool_job *pool)
{
    struct scrub *scrub = (struct scrub *)pool;

    scrub->is_reading = false;
    if (scrub->is_closed) {
        return;
    }
    if (scrub->is_bad) {
        note_bad(scrub);
    }
    if (chunk_store_lacks(scrub->read.result)) {
        chunk_jobs_tell_lacking(scrub->edge, &scrub->chunk, scrub->read);
    } else if (scrub->read.result == 0 && scrub->is_bad) {
        chunk_jobs_tell_good(scrub->edge, &scrub->chunk, scrub->length_bytes);
    }
}

/* False: none at present; from the beginning, the next time. */
static bool choose_from(struct scrub *scrub, bool is_bad, uint32_t *cursor)
{
    const struct overlay *overlay = core_overlay(scrub->edge->core);

    scrub->is_bad = is_bad;
    if (overlay_chunk_next(overlay, is_bad, cursor, &scrub->chunk)) {
        return true;
    }
    *cursor = 0;
    return false;
}

static bool choose(struct scrub *scrub)
{
    if (scrub->bad_left > 0) {
        scrub->bad_left--;
    } else if (choose_from(scrub, true, &scrub->bad_cursor) ||
               choose_from(scrub, true, &scrub->bad_cursor)) {
        return true;
    } else {
        scrub->bad_every = 1; /* there are none */
    }
    return choose_from(scrub, false, &scrub->cursor);
}

static void on_timer(uv_timer_t *timer)
{
    struct scrub *scrub = timer->data;

    if (scrub->is_reading || scrub->edge->chunk_jobs_count > 0 || !choose(scrub)) {
        return;
    }
    scrub->is_reading = true;
    scrub->read.written_count = scrub->edge->chunks_written_count;
    pool_start(&scrub->edge->loop, &scrub->pool, read_chunk, chunk_read);
}

struct scrub *scrub_new(struct edge *edge)
{
    struct scrub *scrub = calloc(1, sizeof(*scrub));

    if (scrub == NULL || uv_timer_init(&edge->loop, &scrub->timer) < 0) {
        free(scrub);
        return NULL;
    }
    scrub->edge = edge;
    scrub->bad_every = 1;
    scrub->timer.data = scrub;
    uv_timer_start(&scrub->timer, on_timer, SCRUB_MS, SCRUB_MS);
    return scrub;
}

void scrub_close(struct edge *edge)
{
    if (edge->scrub != NULL) {
        edge->scrub->is_closed = true;
        uv_timer_stop(&edge->scrub->timer);
        uv_close((uv_handle_t *)&edge->scrub->timer, NULL);
    }
}

void scrub_free(struct scrub *scrub)
{
    free(scrub);
}
