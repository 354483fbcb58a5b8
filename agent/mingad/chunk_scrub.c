// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Disks rot where nobody reads. A few chunks a minute are read and verified, one after the other,
 * while nothing else is being read or written; what is rotten is deleted and fetched again.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/pool.h"
#include "base/cleanup.h"

enum { SCRUB_MS = 6000 }; /* ten a minute: some 170 kB/s at most, 9 GB a day */

struct scrub {
    struct pool_job pool; /* first */
    struct edge *edge;
    uv_timer_t timer;
    uint32_t cursor;
    bool is_reading;
    bool is_closed;
    struct chunk_id chunk;
    int result;
};

static void read_chunk(struct pool_job *pool)
{
    struct scrub *scrub = (struct scrub *)pool;
    CLEANUP(cleanup_free) uint8_t *data = NULL;
    size_t length_bytes = 0;

    scrub->result = chunk_store_get(&scrub->edge->chunks, &scrub->chunk, &data, &length_bytes);
}

/* It may have been dropped, or collected, while it was being read. */
static void chunk_read(struct pool_job *pool)
{
    struct scrub *scrub = (struct scrub *)pool;
    bool is_bad = scrub->result == -EBADMSG || scrub->result == -ENOENT;

    scrub->is_reading = false;
    if (!scrub->is_closed && is_bad &&
        overlay_has_chunk(core_overlay(scrub->edge->core), &scrub->chunk)) {
        chunk_jobs_tell_absent(scrub->edge, &scrub->chunk, scrub->result);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct scrub *scrub = timer->data;
    const struct overlay *overlay = core_overlay(scrub->edge->core);

    if (scrub->is_reading || scrub->edge->chunk_jobs_count > 0) {
        return;
    }
    if (!overlay_chunk_next(overlay, &scrub->cursor, &scrub->chunk)) {
        scrub->cursor = 0; /* from the beginning, the next time */
        return;
    }
    scrub->is_reading = true;
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
