// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Does this node's disk take chunks? What its file system says about itself is not all: a broken disk
 * has room. So what came of the last chunk counts, too; and since a node whose disk refuses is offered
 * few chunks or none, it is tried with a file of its own until it takes one.
 */
#include <errno.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "base/err.h"
#include "base/log.h"

enum { LOOK_MS = 2000, TRY_MS_MAX = 60000 }; /* while it refuses */

struct chunk_room own_disk_room(const struct edge *edge)
{
    struct chunk_room room = chunk_store_room(&edge->chunks, CHUNK_BYTES_MAX);

    if (room.refuses[0] == '\0' && edge->own_disk.result < 0) {
        room.refuses = err_text(edge->own_disk.result);
    }
    return room;
}

static void try_disk(struct pool_job *job)
{
    struct own_disk *disk = (struct own_disk *)job;

    disk->tried_result = chunk_store_try(disk->chunks);
}

static void tried(struct pool_job *job)
{
    struct own_disk *disk = (struct own_disk *)job;

    disk->is_trying = false;
    if (disk->edge->phase != EDGE_CLOSING) {
        own_disk_note(disk->edge, disk->tried_result);
    }
}

/* One that is full by its own word is not tried, nor one too often that fails again and again. */
static void try_again(struct edge *edge)
{
    struct own_disk *disk = &edge->own_disk;
    uint64_t now_ms = clock_now_ms();

    if (chunk_store_room(&edge->chunks, CHUNK_BYTES_MAX).refuses[0] != '\0') {
        disk->try_pause_ms = LOOK_MS;
        disk->try_ms = now_ms;
    } else if (disk->result < 0 && !disk->is_trying && now_ms >= disk->try_ms) {
        disk->try_ms = now_ms + disk->try_pause_ms;
        disk->try_pause_ms *= 2;
        disk->try_pause_ms = disk->try_pause_ms > TRY_MS_MAX ? TRY_MS_MAX : disk->try_pause_ms;
        disk->is_trying = true;
        pool_start(&edge->loop, &disk->job, try_disk, tried);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct edge *edge = timer->data;

    if (edge->phase != EDGE_CLOSING) {
        try_again(edge);
        own_disk_look(edge);
    }
}

void own_disk_open(struct edge *edge)
{
    struct own_disk *disk = &edge->own_disk;

    uv_timer_init(&edge->loop, &disk->timer);
    disk->timer.data = edge;
    disk->edge = edge;
    disk->chunks = &edge->chunks;
    disk->try_pause_ms = LOOK_MS;
}

void own_disk_close(struct edge *edge)
{
    uv_timer_stop(&edge->own_disk.timer);
    uv_close((uv_handle_t *)&edge->own_disk.timer, NULL);
}

void own_disk_look(struct edge *edge)
{
    struct own_disk *disk = &edge->own_disk;
    struct core_event event = {.kind = CORE_DISK};

    (void)text_copy(event.reason, sizeof(event.reason), own_disk_room(edge).refuses);
    if (strcmp(event.reason, disk->told) == 0) {
        return;
    }
    memcpy(disk->told, event.reason, sizeof(disk->told));
    if (disk->told[0] == '\0') {
        uv_timer_stop(&disk->timer);
    } else {
        uv_timer_start(&disk->timer, on_timer, LOOK_MS, LOOK_MS);
    }
    edge_event(edge, &event);
}

void own_disk_note(struct edge *edge, int result)
{
    struct own_disk *disk = &edge->own_disk;

    if (result == -EBADMSG || result == -ENOMEM || result == -EMFILE || result == -ENFILE ||
        result == CHUNK_WAS_THERE) {
        return; /* nothing of the disk's: where nothing had to be written, it has said nothing */
    }
    if (result < 0 && result != disk->result) {
        log_error("a chunk was not stored: %s", err_text(result));
    } else if (result == 0 && disk->result < 0) {
        log_info("chunks are stored again");
    }
    disk->result = result;
    if (result == 0) {
        disk->try_pause_ms = LOOK_MS;
    }
    if (edge->phase != EDGE_CLOSING) {
        own_disk_look(edge);
    }
}
