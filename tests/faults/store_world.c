// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/store_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/mingad/store/chunk_store.h"
#include "agent/mingad/store/store.h"

enum { VERSION_BYTES = 700, CHUNK_BYTES = 9000, BATCH = 3 };

struct world *world_new(void)
{
    struct world *world =
        mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return world == MAP_FAILED ? NULL : world;
}

/* ------------------------------------------------------------------ contents */

static void version_bytes(uint32_t record, uint32_t version, uint8_t bytes[VERSION_BYTES])
{
    for (uint32_t i = 0; i < VERSION_BYTES; i++) {
        bytes[i] = (uint8_t)(record * 41 + version * 7 + i);
    }
    memcpy(bytes, &version, sizeof(version));
}

static struct bytes chunk_bytes(uint32_t number, uint8_t bytes[CHUNK_BYTES])
{
    for (uint32_t i = 0; i < CHUNK_BYTES; i++) {
        bytes[i] = (uint8_t)(number * 13 + i * i);
    }
    return (struct bytes){bytes, CHUNK_BYTES};
}

static struct overlay_blob blob_of(uint32_t record, struct bytes bytes)
{
    /* The first three are what a member must have. */
    static const enum overlay_blob_kind kinds[] = {BLOB_SELF, BLOB_COMMUNITY, BLOB_ADMISSION};
    struct overlay_blob blob = {.kind = record < 3 ? kinds[record] : BLOB_RECORD, .bytes = bytes};

    blob.number = record;
    memset(blob.key.bytes, (int)(record * 37), sizeof(blob.key.bytes));
    return blob;
}

/* ------------------------------------------------------------------ working */

/* A person must be able to read it. */
static bool note(struct world *world, const struct err *err)
{
    world->errors++;
    snprintf(world->text, sizeof(world->text), "%s", err->text);
    return err->code < 0 && err->text[0] != '\0' && strchr(err->text, '\n') == NULL;
}

static bool write_records(struct world *world, struct store *store, uint32_t round)
{
    static struct store_batch batch;
    uint8_t bytes[VERSION_BYTES];
    struct err err = {0};
    uint32_t written[BATCH];
    uint32_t count = 0;

    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t record = (round * BATCH + i) % WORLD_RECORDS;

        version_bytes(record, world->tried[record] + 1, bytes);
        struct overlay_blob blob = blob_of(record, (struct bytes){bytes, sizeof(bytes)});

        if (store_batch_add(&batch, &blob, record + 1) == 0) {
            world->tried[record]++;
            written[count++] = record;
        }
    }
    int r = store_apply(store, &batch, &err);

    for (uint32_t i = 0; r == 0 && i < count; i++) {
        world->acknowledged[written[i]] = world->tried[written[i]];
    }
    store_batch_clear(&batch);
    return r == 0 || note(world, &err);
}

static bool is_in_words(int r)
{
    return r == -ENOSPC || r == -EIO || r == -EMFILE || r == -ENOMEM;
}

static bool write_chunk(struct world *world, const struct chunk_store *chunks, uint32_t number)
{
    uint8_t bytes[CHUNK_BYTES];
    struct bytes data = chunk_bytes(number, bytes);
    struct chunk_id id = chunk_store_id(data);
    uint8_t *back = NULL;
    size_t back_bytes = 0;
    int r = chunk_store_put(chunks, &id, data);

    if (r < 0) {
        return is_in_words(r);
    }
    world->has_chunk[number] = true;
    r = chunk_store_get(chunks, &id, &back, &back_bytes);
    bool is_right =
        r < 0 ? is_in_words(r)
              : back_bytes == data.length_bytes && memcmp(back, data.data, back_bytes) == 0;
    free(back);
    return is_right;
}

static void see_chunk(void *context, const struct chunk_id *chunk, uint64_t length_bytes)
{
    uint32_t *count = context;

    (void)chunk;
    *count += length_bytes == CHUNK_BYTES;
}

static bool one_round(struct world *world, struct store *store, const struct chunk_store *chunks,
                      uint32_t round)
{
    struct err err = {0};
    bool is_fine = write_records(world, store, round);

    if (round % 2 == 1) {
        is_fine = is_fine && write_chunk(world, chunks, round / 2 % WORLD_CHUNKS);
    }
    if (round % 5 == 4 && store_checkpoint(store, &err) < 0) {
        is_fine = is_fine && note(world, &err);
    }
    return is_fine;
}

int world_work(struct world *world, const char *folder, uint32_t rounds)
{
    struct chunk_store chunks = {-1, 0};
    struct store *store = NULL;
    struct err err = {0};
    uint32_t chunk_count = 0;
    char path[300];
    bool is_fine = true;

    snprintf(path, sizeof(path), "%s/minga.db", folder);
    if (store_open(path, &store, &err) < 0) {
        return note(world, &err) ? 1 : 2;
    }
    snprintf(path, sizeof(path), "%s/chunks", folder);
    if (chunk_store_open(path, 0, &chunks, &err) < 0 ||
        chunk_store_scan(&chunks, see_chunk, &chunk_count, &err) < 0) {
        is_fine = note(world, &err);
        rounds = 0;
    }
    for (uint32_t i = 0; is_fine && i < rounds; i++) {
        is_fine = one_round(world, store, &chunks, i);
    }
    chunk_store_close(&chunks);
    store_close(store);
    return is_fine ? 0 : 2;
}

/* ------------------------------------------------------------------ looking */

struct look {
    const struct world *world;
    const char *wrong;
    bool seen[WORLD_RECORDS];
};

static void see_blob(void *context, const struct overlay_blob *blob)
{
    struct look *look = context;
    uint32_t record = (uint32_t)blob->number;
    uint8_t bytes[VERSION_BYTES];
    uint32_t version = 0;

    if (record >= WORLD_RECORDS || blob->bytes.length_bytes != VERSION_BYTES) {
        look->wrong = "a row that nobody wrote";
        return;
    }
    memcpy(&version, blob->bytes.data, sizeof(version));
    version_bytes(record, version, bytes);
    look->seen[record] = true;
    if (memcmp(bytes, blob->bytes.data, VERSION_BYTES) != 0) {
        look->wrong = "a row has another content";
    } else if (version < look->world->acknowledged[record]) {
        look->wrong = "an older version than the acknowledged one";
    } else if (version > look->world->tried[record]) {
        look->wrong = "a version that nobody wrote";
    }
}

static const char *look_at_records(const struct world *world, struct store *store)
{
    struct look look = {.world = world};
    struct err err = {0};

    if (store_load(store, see_blob, &look, &err) < 0) {
        return "the records cannot be read";
    }
    for (uint32_t i = 0; i < WORLD_RECORDS && look.wrong == NULL; i++) {
        if (world->acknowledged[i] > 0 && !look.seen[i]) {
            look.wrong = "an acknowledged record is gone";
        }
    }
    return look.wrong;
}

static const char *look_at_chunks(const struct world *world, const char *path)
{
    struct chunk_store chunks = {-1, 0};
    struct err err = {0};
    const char *wrong = NULL;
    uint32_t count = 0;

    if (chunk_store_open(path, 0, &chunks, &err) < 0 ||
        chunk_store_scan(&chunks, see_chunk, &count, &err) < 0) {
        wrong = "the chunks cannot be read";
    }
    for (uint32_t i = 0; i < WORLD_CHUNKS && wrong == NULL; i++) {
        uint8_t bytes[CHUNK_BYTES];
        struct chunk_id id = chunk_store_id(chunk_bytes(i, bytes));
        uint8_t *data = NULL;
        size_t length_bytes = 0;

        if (world->has_chunk[i] && chunk_store_get(&chunks, &id, &data, &length_bytes) < 0) {
            wrong = "an acknowledged chunk is gone";
        }
        free(data);
    }
    chunk_store_close(&chunks);
    return wrong;
}

const char *world_look(const struct world *world, const char *folder, bool may_be_mended)
{
    struct store *store = NULL;
    struct err err = {0};
    char path[300];

    snprintf(path, sizeof(path), "%s/minga.db", folder);
    if (store_open(path, &store, &err) < 0) {
        return "the next start fails";
    }
    const char *wrong = store_mended(store)->is_mended && !may_be_mended
                            ? "the database was damaged"
                            : look_at_records(world, store);

    store_close(store);
    snprintf(path, sizeof(path), "%s/chunks", folder);
    return wrong != NULL ? wrong : look_at_chunks(world, path);
}
