// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/own_disk.h"
#include "tests/sim/tree.h"
#include "tests/sim/world.h"

enum {
    RETRY_MS = 1000,     /* as the real edge's store_writer.c ... */
    CHUNK_JOBS_MAX = 32, /* ... and its chunk_jobs.c */
};

struct write { /* of a blob or of a chunk, until it is durable */
    struct write *next;
    bool is_chunk;
    bool is_drop; /* of a chunk that is gone already, unless the process ends before */
    bool fails;
    bool is_behind; /* one that failed */
    bool is_unhurried;
    uint64_t due_ms; /* durable by then, and all before it */
    uint64_t token;
    struct overlay_blob blob;
    struct chunk_id chunk;
    uint32_t chunk_bytes;
    bool is_rotten; /* what is dropped was */
    enum overlay_chunk_outcome outcome;
    bool was_there; /* the chunk, and good, when it was asked for */
    uint8_t data[];
};

static void *grown(void *list, uint32_t *capacity, size_t element_bytes)
{
    void *grown_list;

    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    grown_list = reallocarray(list, *capacity, element_bytes);
    CHECK(grown_list != NULL);
    return grown_list;
}

void *disk_copied(const void *bytes, size_t length_bytes)
{
    void *copy = malloc(length_bytes);

    CHECK(copy != NULL && length_bytes > 0);
    memcpy(copy, bytes, length_bytes);
    return copy;
}

struct disk_chunk *disk_find_chunk(const struct disk *disk, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        if (id_equal(&disk->chunks[i].chunk.id, &chunk->id)) {
            return &disk->chunks[i];
        }
    }
    return NULL;
}

static struct disk_blob *find_blob(const struct disk *disk, const struct overlay_blob *blob)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        struct disk_blob *found = &disk->blobs[i];

        if (found->kind == blob->kind && found->number == blob->number &&
            id_equal(&found->key, &blob->key)) {
            return found;
        }
    }
    return NULL;
}

void disk_remove_blob(struct disk *disk, struct disk_blob *blob)
{
    free(blob->data);
    free(blob->older);
    *blob = disk->blobs[--disk->blob_count];
}

static void put_blob(struct disk *disk, const struct overlay_blob *blob)
{
    struct disk_blob *found = find_blob(disk, blob);

    if (blob->bytes.length_bytes == 0) {
        if (found != NULL) {
            disk_remove_blob(disk, found);
        }
        return;
    }
    if (found == NULL) {
        if (disk->blob_count == disk->blob_capacity) {
            disk->blobs = grown(disk->blobs, &disk->blob_capacity, sizeof(*disk->blobs));
        }
        found = &disk->blobs[disk->blob_count++];
        *found = (struct disk_blob){.kind = blob->kind, .key = blob->key, .number = blob->number};
    }
    free(found->older);
    found->older = found->data;
    found->older_bytes = found->length_bytes;
    found->data = disk_copied(blob->bytes.data, blob->bytes.length_bytes);
    found->length_bytes = (uint32_t)blob->bytes.length_bytes;
}

/* When a write that is asked for now is durable. One that nobody waits for goes with a later one,
 * or by itself in the end. */
static uint64_t durable_after_ms(struct world *world, uint32_t node, bool is_unhurried)
{
    struct disk *disk = &world->nodes[node].disk;
    uint64_t drawn = world_draw(world, "disk", node, ++disk->sent_count);
    uint64_t at_ms = world->now_ms + world_draw_between(drawn, 1, 8) + disk->slow_ms;

    if (drawn >> 40 == 0) {
        at_ms += 100;
    }
    if (at_ms < disk->order_ms) {
        at_ms = disk->order_ms;
    }
    if (is_unhurried) {
        return at_ms - world->now_ms + (drawn >> 20) % (UNHURRIED_MS + 1);
    }
    disk->order_ms = at_ms;
    return at_ms - world->now_ms;
}

/* ------------------------------------------------------------------ writes under way */

static void make_durable(struct disk *disk, const struct write *write)
{
    if (write->fails) {
        return;
    }
    if (!write->is_chunk) {
        put_blob(disk, &write->blob);
    } else if (!write->is_drop && write->outcome == OVERLAY_CHUNK_OK) {
        disk_add_chunk(disk, &write->chunk, write->chunk_bytes);
    }
}

static struct write *take_first(struct write **first)
{
    struct write *write = *first;

    CHECK(write != NULL);
    *first = write->next;
    return write;
}

static void append(struct write **first, struct write *write)
{
    while (*first != NULL) {
        first = &(*first)->next;
    }
    write->next = NULL;
    *first = write;
}

static void free_all(struct write **first)
{
    while (*first != NULL) {
        free(take_first(first));
    }
}

/* The one of that blob in a list, or its end. */
static struct write **find_write(struct write **first, const struct overlay_blob *blob)
{
    while (*first != NULL &&
           ((*first)->is_chunk || (*first)->blob.kind != blob->kind ||
            (*first)->blob.number != blob->number || !id_equal(&(*first)->blob.key, &blob->key))) {
        first = &(*first)->next;
    }
    return first;
}

static void tell_core(struct world *world, uint32_t node, const struct write *write)
{
    struct overlay_event stored = {.kind = OVERLAY_STORED, .token = write->token};

    if (write->is_chunk) {
        stored.kind = OVERLAY_CHUNK_STORED;
        stored.chunk = write->chunk;
        stored.chunk_bytes = write->chunk_bytes;
        stored.outcome = write->fails ? OVERLAY_CHUNK_REFUSED : write->outcome;
        stored.was_there = write->was_there && stored.outcome == OVERLAY_CHUNK_OK;
    }
    stored.failed = write->fails;
    if (!write->is_drop && (write->is_chunk || stored.token != 0)) {
        world_step_overlay(world, node, &stored);
    }
    if (write->is_chunk && !write->is_drop && !write->was_there &&
        (write->fails || write->outcome == OVERLAY_CHUNK_OK)) {
        own_disk_note(world, node, write->fails);
    }
}

static bool is_due(const struct disk *disk, uint64_t now_ms)
{
    for (const struct write *write = disk->first_write; write != NULL; write = write->next) {
        if (write->due_ms <= now_ms) {
            return true;
        }
    }
    return false;
}

static void run_again(struct world *world, struct event *event);

static void keep_failed(struct world *world, uint32_t node, struct write *write)
{
    struct disk *disk = &world->nodes[node].disk;

    if (disk->first_kept == NULL) {
        world_after_process(world, RETRY_MS, (struct event){.run = run_again, .node = node});
    }
    append(&disk->first_kept, write);
}

/* Nothing behind a write that failed is durable before it: it fails at the same moment. */
static void fail_behind(struct disk *disk, const struct write *failed)
{
    for (struct write *write = disk->first_write; write != NULL && !failed->is_behind;
         write = write->next) {
        if (!write->is_chunk) {
            write->fails = true;
            write->is_behind = true;
            write->due_ms = failed->due_ms;
        }
    }
}

/* They become durable in order: what is due takes along all that was asked for before. */
static void run_written(struct world *world, struct event *event)
{
    struct disk *disk = &world->nodes[event->node].disk;

    while (is_due(disk, world->now_ms)) {
        struct write *write = take_first(&disk->first_write);
        bool is_kept = write->fails && !write->is_chunk &&
                       *find_write(&disk->first_write, &write->blob) == NULL;

        make_durable(disk, write);
        if (write->fails && !write->is_chunk) {
            fail_behind(disk, write);
        }
        if (is_kept) {
            keep_failed(world, event->node, write);
        }
        tell_core(world, event->node, write);
        if (!is_kept) {
            free(write);
        }
    }
}

static void run_power_off(struct world *world, struct event *event)
{
    world_trace(world, "==== %s loses power as it writes", world->nodes[event->node].name);
    world->nodes[event->node].disk.has_crashed = true;
    world_power_off(world, event->node);
}

static bool is_there(const struct disk *disk, const struct write *write)
{
    const struct disk_chunk *found = write->is_chunk ? disk_find_chunk(disk, &write->chunk) : NULL;

    return found != NULL && !found->is_rotten;
}

static void begin_write(struct world *world, uint32_t node, struct write *write)
{
    struct disk *disk = &world->nodes[node].disk;

    disk->write_count++;
    write->was_there = is_there(disk, write); /* it takes no more room */
    write->fails =
        (disk_is_full(world, node) && !write->was_there) || disk->write_count == disk->bad_write;
    if (write->fails) {
        disk->failed_ms = world->now_ms;
        world_trace(world, "==== a write of %s fails", world->nodes[node].name);
    }
    append(&disk->first_write, write);
    uint64_t after_ms = durable_after_ms(world, node, write->is_unhurried);

    write->due_ms = world->now_ms + after_ms;
    world_after_process(world, after_ms, (struct event){.run = run_written, .node = node});
    if (disk->write_count == disk->crash_write) {
        /* Not within the step: what it sends is sent, what it writes may be lost. */
        world_after_process(world, 0, (struct event){.run = run_power_off, .node = node});
    }
}

static void write_again(struct world *world, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;

    while (disk->first_kept != NULL && world->now_ms >= disk->full_until_ms) {
        struct write *write = take_first(&disk->first_kept);

        write->token = 0; /* its failure has been told */
        write->is_behind = false;
        begin_write(world, node, write);
    }
}

static void run_again(struct world *world, struct event *event)
{
    write_again(world, event->node);
    if (world->nodes[event->node].disk.first_kept != NULL) {
        world_after_process(world, RETRY_MS, (struct event){.run = run_again, .node = event->node});
    }
}

static void forget_kept(struct disk *disk, const struct overlay_blob *blob)
{
    struct write **kept = find_write(&disk->first_kept, blob);

    if (*kept != NULL) {
        free(take_first(kept));
    }
}

void disk_store(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    size_t length_bytes = effect->blob.bytes.length_bytes;
    struct write *write = calloc(1, sizeof(*write) + length_bytes);

    CHECK(write != NULL);
    checker_stored(world, node, &effect->blob);
    write->token = effect->token;
    write->is_unhurried = effect->is_unhurried;
    write->blob = effect->blob;
    if (length_bytes > 0) {
        memcpy(write->data, effect->blob.bytes.data, length_bytes);
    }
    write->blob.bytes.data = write->data;
    forget_kept(&world->nodes[node].disk, &write->blob);
    write_again(world, node); /* with whatever comes */
    begin_write(world, node, write);
}

static uint32_t chunks_under_way(const struct disk *disk)
{
    uint32_t count = 0;

    for (const struct write *write = disk->first_write; write != NULL; write = write->next) {
        count += write->is_chunk && !write->is_drop && write->outcome != OVERLAY_CHUNK_FAILED;
    }
    return count;
}

void disk_store_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    struct write *write = calloc(1, sizeof(*write));
    struct id hash = hash_of(HASH_CHUNK, effect->data);

    CHECK(write != NULL);
    write->is_chunk = true;
    write->token = effect->token;
    write->chunk = effect->chunk;
    write->chunk_bytes = (uint32_t)effect->data.length_bytes;
    write->outcome = OVERLAY_CHUNK_OK;
    if (effect->data.length_bytes == 0 || !id_equal(&hash, &effect->chunk.id)) {
        write->outcome = OVERLAY_CHUNK_WRONG_HASH;
    }
    if (chunks_under_way(&world->nodes[node].disk) >= CHUNK_JOBS_MAX) {
        write->outcome = OVERLAY_CHUNK_FAILED;
    }
    begin_write(world, node, write);
}

/* Nobody syncs a folder for a file less: it is there again. */
static void undo_drop(struct disk *disk, const struct write *write)
{
    if (disk_find_chunk(disk, &write->chunk) == NULL) {
        disk_add_chunk(disk, &write->chunk, write->chunk_bytes);
        disk->chunks[disk->chunk_count - 1].is_rotten = write->is_rotten;
    }
}

/* What was being written: the first few have reached the disk, though nobody was told. */
void disk_process_ended(struct world *world, uint32_t node)
{
    struct sim_node *ended = &world->nodes[node];
    struct disk *disk = &ended->disk;
    uint64_t count = 0;
    uint64_t survivor_count;

    for (const struct write *write = disk->first_write; write != NULL; write = write->next) {
        count++;
    }
    survivor_count = world_draw(world, "survives", node, ended->life) % (count + 1);
    for (uint64_t i = 0; i < count; i++) {
        struct write *write = take_first(&disk->first_write);

        if (i < survivor_count) {
            make_durable(disk, write);
        } else if (write->is_drop) {
            undo_drop(disk, write);
        }
        free(write);
    }
    free_all(&disk->first_kept);
    disk->order_ms = 0;
    disk->crash_write = 0;
}

/* ------------------------------------------------------------------ chunks */

/* It has draws of its own: what is written is not later for it. */
static void begin_drop(struct world *world, uint32_t node, struct write *write)
{
    struct disk *disk = &world->nodes[node].disk;
    uint64_t drawn = world_draw(world, "drop", node, ++disk->drop_count);
    uint64_t after_ms = world_draw_between(drawn, 1, 8) + disk->slow_ms;

    append(&disk->first_write, write);
    write->due_ms = world->now_ms + after_ms;
    world_after_process(world, after_ms, (struct event){.run = run_written, .node = node});
}

void disk_drop_chunk(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    struct disk *disk = &world->nodes[node].disk;
    struct disk_chunk *found = disk_find_chunk(disk, &effect->chunk);
    struct write *write = found == NULL ? NULL : calloc(1, sizeof(*write));

    if (found == NULL) {
        return;
    }
    CHECK(write != NULL);
    write->is_chunk = true;
    write->is_drop = true;
    write->chunk = effect->chunk;
    write->chunk_bytes = found->bytes;
    write->is_rotten = found->is_rotten;
    *found = disk->chunks[--disk->chunk_count];
    begin_drop(world, node, write);
}

bool disk_is_full(const struct world *world, uint32_t node)
{
    return world->now_ms < world->nodes[node].disk.full_until_ms;
}

bool disk_has_chunk(const struct disk *disk, const struct chunk_id *chunk)
{
    const struct disk_chunk *found = disk_find_chunk(disk, chunk);

    return found != NULL && !found->is_rotten;
}

void disk_add_chunk(struct disk *disk, const struct chunk_id *chunk, uint32_t bytes)
{
    struct disk_chunk *found = disk_find_chunk(disk, chunk);

    if (found != NULL) {
        found->is_rotten = false;
        return;
    }
    if (disk->chunk_count == disk->chunk_capacity) {
        disk->chunks = grown(disk->chunks, &disk->chunk_capacity, sizeof(*disk->chunks));
    }
    disk->chunks[disk->chunk_count++] = (struct disk_chunk){*chunk, bytes, false};
}

/* ------------------------------------------------------------------ whole disks */

bool disk_load(const struct disk *disk, struct core *core)
{
    bool accepted = true;

    for (uint32_t i = 0; i < disk->blob_count; i++) {
        const struct disk_blob *kept = &disk->blobs[i];
        struct overlay_blob blob = {.kind = kept->kind, .key = kept->key, .number = kept->number};

        blob.bytes = (struct bytes){kept->data, kept->length_bytes};
        /* The agent may refuse a replica that has lost its place; nothing else is refused. */
        accepted = (core_load(core, &blob) == 0 || blob.kind == BLOB_AGENT) && accepted;
    }
    for (uint32_t i = 0; i < disk->chunk_count; i++) {
        accepted =
            core_load_chunk(core, &disk->chunks[i].chunk, disk->chunks[i].bytes) == 0 && accepted;
    }
    return accepted || disk->is_mangled;
}

void disk_wipe(struct disk *disk)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        free(disk->blobs[i].data);
        free(disk->blobs[i].older);
    }
    free_all(&disk->first_write);
    free_all(&disk->first_kept);
    free(disk->blobs);
    free(disk->chunks);
    *disk = (struct disk){.full_until_ms = disk->full_until_ms, .slow_ms = disk->slow_ms};
}

void disk_copy(const struct disk *from, struct disk *to_out)
{
    struct disk copy = {.full_until_ms = to_out->full_until_ms, .slow_ms = to_out->slow_ms};

    copy.is_mangled = from->is_mangled;
    copy.blob_count = from->blob_count;
    copy.blob_capacity = from->blob_count;
    copy.chunk_count = from->chunk_count;
    copy.chunk_capacity = from->chunk_count;
    if (from->blob_count > 0) {
        copy.blobs = disk_copied(from->blobs, from->blob_count * sizeof(*from->blobs));
    }
    for (uint32_t i = 0; i < from->blob_count; i++) {
        copy.blobs[i].data = disk_copied(from->blobs[i].data, from->blobs[i].length_bytes);
        copy.blobs[i].older = NULL;
        copy.blobs[i].older_bytes = 0;
    }
    if (from->chunk_count > 0) {
        copy.chunks = disk_copied(from->chunks, from->chunk_count * sizeof(*from->chunks));
    }
    disk_wipe(to_out);
    *to_out = copy;
}
