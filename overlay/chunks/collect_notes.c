// SPDX-License-Identifier: GPL-3.0-or-later
/* For whom chunks are kept: noted when they come, and on disk; see collect.c for what that is for. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"
#include "overlay/state.h"

/* The second is that of a chunk whose file is bad: it need not be read to be known. */
enum {
    NOTE_FORM = 1,
    NOTE_FORM_BAD = 2,
    NOTE_BYTES_MAX = 3 + 2 * CHUNK_REFERENCES_MAX,
    TOUCHED_STORED_S = 600
};

/* ------------------------------------------------------------------ what is kept on disk */

void collect_store_reference(struct overlay *overlay, uint16_t place)
{
    const struct reference *reference = &overlay->references.list[place];
    uint8_t bytes[REFERENCE_BYTES];
    struct overlay_blob blob = {.kind = BLOB_REFERENCE, .key = reference->tree.id, .number = place};

    if (reference->used) {
        reference_encode(reference, bytes);
        blob.bytes = (struct bytes){bytes, sizeof(bytes)};
    }
    effect_store(overlay, &blob, 0);
}

void collect_store_note(struct overlay *overlay, const struct chunk *chunk, uint64_t token)
{
    uint8_t bytes[NOTE_BYTES_MAX];
    struct wire_writer wire = wire_writer(bytes, sizeof(bytes));
    struct overlay_blob blob = {.kind = BLOB_CHUNK, .key = chunk->id.id};

    wire_put_u8(&wire, chunk->is_bad ? NOTE_FORM_BAD : NOTE_FORM);
    wire_put_bool(&wire, chunk->is_common);
    wire_put_u8(&wire, chunk->reference_count);
    for (uint32_t i = 0; i < chunk->reference_count; i++) {
        wire_put_u16(&wire, chunk->references[i]);
    }
    CHECK(wire_ok(&wire));
    blob.bytes = (struct bytes){bytes, wire.written_bytes};
    effect_store(overlay, &blob, token);
}

void collect_delete_note(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct overlay_blob blob = {.kind = BLOB_CHUNK, .key = chunk->id};

    effect_store(overlay, &blob, 0);
}

int collect_load_reference(struct overlay *overlay, const struct overlay_blob *blob)
{
    return references_load(&overlay->references, blob->number, &(struct tree_id){blob->key},
                           blob->bytes);
}

/* The chunk itself may be loaded later: until then it has no bytes. */
int collect_load_chunk(struct overlay *overlay, const struct overlay_blob *blob)
{
    struct wire_reader wire = wire_reader(blob->bytes);
    struct chunk_id id = {blob->key};
    uint8_t form = wire_u8(&wire);
    bool is_common = wire_bool(&wire);
    uint8_t count = wire_u8(&wire);
    uint16_t places[CHUNK_REFERENCES_MAX] = {0};
    struct chunk *chunk;

    for (uint32_t i = 0; i < count && i < CHUNK_REFERENCES_MAX; i++) {
        places[i] = wire_u16(&wire);
    }
    if (!wire_done(&wire) || (form != NOTE_FORM && form != NOTE_FORM_BAD) ||
        count > CHUNK_REFERENCES_MAX) {
        return -EBADMSG;
    }
    if (chunks_add(&overlay->chunks, &id, 0) < 0) {
        return 0; /* no room for the chunk either */
    }
    chunk = chunks_entry(&overlay->chunks, &id);
    CHECK(chunk != NULL);
    chunk->is_common = is_common;
    chunk->reference_count = count;
    memcpy(chunk->references, places, sizeof(places));
    chunks_set_bad(&overlay->chunks, chunk, form == NOTE_FORM_BAD);
    return 0;
}

/* Only references that are there count; true when some were not. */
static bool count_references(struct overlay *overlay, struct chunk *chunk)
{
    uint8_t count = 0;
    bool are_lost;

    for (uint32_t i = 0; i < chunk->reference_count; i++) {
        uint16_t place = chunk->references[i];
        struct reference *reference =
            place < REFERENCES_MAX ? &overlay->references.list[place] : NULL;

        if (reference != NULL && reference->used) {
            chunk->references[count++] = place;
            reference->chunk_count++;
            reference->bytes += chunk->bytes;
        }
    }
    are_lost = count != chunk->reference_count;
    chunk->reference_count = count;
    return are_lost;
}

void collect_begin(struct overlay *overlay)
{
    uint32_t cursor = 0;
    uint32_t forgotten_count = 0;
    const struct chunk *next;

    while ((next = chunks_next(&overlay->chunks, &cursor)) != NULL) {
        struct chunk_id id = next->id;

        if (next->bytes > 0) {
            (void)count_references(overlay, chunks_entry(&overlay->chunks, &id));
        } else {
            chunks_remove(&overlay->chunks, &id);
            cursor--; /* another one may have moved up */
            if (forgotten_count++ < COLLECT_DROPS_MAX) {
                collect_delete_note(overlay, &id);
            }
        }
    }
    overlay->collect.next_ms = overlay->now_ms + COLLECT_PAUSE_MS;
}

/* ------------------------------------------------------------------ for whom */

struct chunk_references collect_one(const struct overlay_reference *reference)
{
    struct chunk_references references = {0};

    if (!id_is_zero(&reference->tree.id)) {
        references.count = 1;
        references.list[0] = *reference;
    }
    return references;
}

static uint32_t age_of(const struct overlay *overlay, const struct reference *reference)
{
    uint64_t now_s = habits_now_s(overlay);
    uint64_t age_s = now_s > reference->touched_s ? now_s - reference->touched_s : 0;

    return age_s > UINT32_MAX ? UINT32_MAX : (uint32_t)age_s;
}

struct chunk_references collect_references(const struct overlay *overlay, const struct chunk *chunk)
{
    struct chunk_references references = {.is_common = chunk != NULL && chunk->is_common};

    for (uint32_t i = 0; chunk != NULL && i < chunk->reference_count; i++) {
        const struct reference *reference = &overlay->references.list[chunk->references[i]];

        if (!reference->is_dead) {
            references.age_s[references.count] = age_of(overlay, reference);
            references.list[references.count++] =
                (struct overlay_reference){reference->service, reference->tree};
        }
    }
    return references;
}

bool collect_refuses(const struct overlay *overlay, const struct chunk_references *references)
{
    for (uint32_t i = 0; i < references->count; i++) {
        uint16_t place = references_find(&overlay->references, &references->list[i].service,
                                         &references->list[i].tree);

        if (place == REFERENCE_NONE || !overlay->references.list[place].is_dead) {
            return false;
        }
    }
    return references->count > 0 && !references->is_common;
}

/* It is pushed or fetched: it lives, whatever was found before. */
static void touch(struct overlay *overlay, uint16_t place)
{
    struct reference *reference = &overlay->references.list[place];
    uint64_t now_s = habits_now_s(overlay);
    bool is_stored = reference->touched_s + TOUCHED_STORED_S > now_s && !reference->is_dead;

    if (reference->is_dead) {
        reference->is_confirmed = false;
    }
    if (reference->is_dead || reference->check_s > now_s + COLLECT_CHECK_S) {
        reference->check_s = now_s + COLLECT_FIRST_S;
    }
    if (!reference->is_confirmed && age_of(overlay, reference) < COLLECT_FIRST_S) {
        reference->check_s = now_s + COLLECT_SOON_S; /* the record follows the last chunk */
    }
    reference->is_dead = false;
    if (!is_stored) {
        reference->touched_s = now_s;
        collect_store_reference(overlay, place);
    }
}

/* Returns whether the chunk has changed. */
static bool attach(struct overlay *overlay, struct chunk *chunk, uint16_t place)
{
    struct reference *reference = &overlay->references.list[place];

    for (uint32_t i = 0; i < chunk->reference_count; i++) {
        if (chunk->references[i] == place) {
            return false;
        }
    }
    if (chunk->reference_count == CHUNK_REFERENCES_MAX) {
        bool was_common = chunk->is_common;

        chunk->is_common = true;
        return !was_common;
    }
    chunk->references[chunk->reference_count++] = place;
    reference->chunk_count++;
    reference->bytes += chunk->bytes;
    return true;
}

/* A copy is as old as what it was copied from, or garbage would wander about for ever. */
static uint16_t find_or_add(struct overlay *overlay, const struct overlay_reference *named,
                            uint32_t age_s)
{
    struct references *references = &overlay->references;
    uint16_t place = references_find(references, &named->service, &named->tree);

    if (place != REFERENCE_NONE) {
        return place;
    }
    place = references_add(references, &named->service, &named->tree, habits_now_s(overlay));
    if (place != REFERENCE_NONE) {
        references->list[place].touched_s =
            habits_now_s(overlay) > age_s ? habits_now_s(overlay) - age_s : 0;
        collect_store_reference(overlay, place);
    }
    return place;
}

bool collect_note(struct overlay *overlay, const struct chunk_id *chunk,
                  const struct chunk_references *references, bool is_new, uint64_t token)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    bool is_changed = false;

    if (entry == NULL) {
        return false;
    }
    if (references->is_common) {
        is_changed = !entry->is_common;
        entry->is_common = true;
    }
    for (uint32_t i = 0; i < references->count; i++) {
        uint16_t place = find_or_add(overlay, &references->list[i], references->age_s[i]);

        if (place == REFERENCE_NONE) { /* never garbage, then */
            is_changed = is_changed || !entry->is_common;
            entry->is_common = true;
            continue;
        }
        if (is_new) {
            touch(overlay, place);
        }
        if (!overlay->references.list[place].is_dead) {
            is_changed = attach(overlay, entry, place) || is_changed;
        }
    }
    if (is_changed) {
        collect_store_note(overlay, entry, token);
    }
    return is_changed;
}

void collect_detach(struct overlay *overlay, struct chunk *chunk, uint32_t which)
{
    struct reference *reference = &overlay->references.list[chunk->references[which]];

    CHECK(reference->used && reference->chunk_count > 0 && reference->bytes >= chunk->bytes);
    reference->chunk_count--;
    reference->bytes -= chunk->bytes;
    chunk->references[which] = chunk->references[--chunk->reference_count];
}

static bool is_noted(const struct chunk *chunk)
{
    return chunk->reference_count > 0 || chunk->is_common || chunk->is_bad;
}

void collect_note_good(struct overlay *overlay, const struct chunk *chunk)
{
    if (is_noted(chunk)) {
        collect_store_note(overlay, chunk, 0);
    } else {
        collect_delete_note(overlay, &chunk->id);
    }
}

void collect_forget(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    struct chunk_id id = *chunk;

    if (entry == NULL) {
        return;
    }
    if (is_noted(entry)) {
        collect_delete_note(overlay, &id);
    }
    while (entry->reference_count > 0) {
        collect_detach(overlay, entry, 0);
    }
    chunks_remove(&overlay->chunks, &id);
}
