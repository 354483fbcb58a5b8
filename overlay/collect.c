// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Garbage: chunks that no version needs any more. Each reference kept here is looked up in its owner's
 * records now and then; one that has died of what the owner signed (references.h) is taken from the
 * chunks that had it, and a chunk without any is dropped. What is being pushed or fetched was touched
 * lately, and is left alone.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"
#include "overlay/signed.h"
#include "overlay/state.h"

enum { NOTE_FORM = 1, NOTE_BYTES_MAX = 3 + 2 * CHUNK_REFERENCES_MAX, TOUCHED_STORED_S = 600 };

/* ------------------------------------------------------------------ what is kept on disk */

static void store_reference(struct overlay *overlay, uint16_t place)
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

static void store_note(struct overlay *overlay, const struct chunk *chunk, uint64_t token)
{
    uint8_t bytes[NOTE_BYTES_MAX];
    struct wire_writer wire = wire_writer(bytes, sizeof(bytes));
    struct overlay_blob blob = {.kind = BLOB_CHUNK, .key = chunk->id.id};

    wire_put_u8(&wire, NOTE_FORM);
    wire_put_bool(&wire, chunk->is_common);
    wire_put_u8(&wire, chunk->reference_count);
    for (uint32_t i = 0; i < chunk->reference_count; i++) {
        wire_put_u16(&wire, chunk->references[i]);
    }
    CHECK(wire_ok(&wire));
    blob.bytes = (struct bytes){bytes, wire.written_bytes};
    effect_store(overlay, &blob, token);
}

static void delete_note(struct overlay *overlay, const struct chunk_id *chunk)
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
    if (!wire_done(&wire) || form != NOTE_FORM || count > CHUNK_REFERENCES_MAX) {
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
                delete_note(overlay, &id);
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
    struct chunk_references references = {0};

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
    return references->count > 0;
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
    reference->is_dead = false;
    if (!is_stored) {
        reference->touched_s = now_s;
        store_reference(overlay, place);
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
        store_reference(overlay, place);
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
        store_note(overlay, entry, token);
    }
    return is_changed;
}

static void detach(struct overlay *overlay, struct chunk *chunk, uint32_t which)
{
    struct reference *reference = &overlay->references.list[chunk->references[which]];

    CHECK(reference->used && reference->chunk_count > 0 && reference->bytes >= chunk->bytes);
    reference->chunk_count--;
    reference->bytes -= chunk->bytes;
    chunk->references[which] = chunk->references[--chunk->reference_count];
}

void collect_forget(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    struct chunk_id id = *chunk;

    if (entry == NULL) {
        return;
    }
    if (entry->reference_count > 0 || entry->is_common) {
        delete_note(overlay, &id);
    }
    while (entry->reference_count > 0) {
        detach(overlay, entry, 0);
    }
    chunks_remove(&overlay->chunks, &id);
}

/* ------------------------------------------------------------------ is it needed? */

static bool is_among_many(const struct overlay *overlay)
{
    uint32_t up_count = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        count += member->view.state != MEMBER_EXPELLED ? 1 : 0;
        up_count += membership_in_ring(member) ? 1 : 0;
    }
    return 2 * up_count >= count;
}

static void ask(struct overlay *overlay, minga_RecordKind kind, uint64_t number)
{
    struct collect *collect = &overlay->collect;
    const struct reference *reference = &overlay->references.list[collect->place];
    struct record_key key = record_key(&reference->service, kind, number);

    collect->is_answered = false;
    collect->is_asking = true;
    collect->version = number;
    if (!record_get_own(overlay, &key)) {
        collect_on_record(overlay, NULL, false);
    }
}

void collect_on_record(struct overlay *overlay, const struct record *record, bool is_certain)
{
    struct collect *collect = &overlay->collect;
    minga_Signed envelope = minga_Signed_init_zero;

    if (!collect->is_asking) {
        return;
    }
    collect->is_asking = false;
    collect->is_answered = true;
    collect->is_certain = is_certain;
    collect->record = (minga_Record)minga_Record_init_zero;
    collect->is_found =
        record != NULL &&
        signed_decode((struct bytes){record->bytes, record->length_bytes}, &envelope) == 0 &&
        signed_decode_body(minga_Record_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size},
                           &collect->record) == 0;
}

static void conclude(struct overlay *overlay, enum reference_finding finding)
{
    struct collect *collect = &overlay->collect;
    struct reference *reference = &overlay->references.list[collect->place];
    uint64_t version = finding == FOUND_LIVE ? collect->version : reference->version;
    bool is_changed = finding == FOUND_LIVE &&
                      (!reference->is_confirmed || reference->version != collect->version);

    collect->is_checking = false;
    collect->next_ms = overlay->now_ms + COLLECT_PAUSE_MS;
    if (!reference->used || reference->is_dead) {
        return;
    }
    reference->version = version;
    if (reference_judge(reference, finding, is_among_many(overlay), habits_now_s(overlay))) {
        effect_trace(overlay, "chunks of a tree are garbage: %u (%d)", reference->chunk_count,
                     (int)finding);
        collect->is_purging = true;
        collect->cursor = 0;
    }
    if (is_changed) {
        store_reference(overlay, collect->place);
    }
}

/* The versions that may run: the current one, the fallback, and what was pushed since. */
static void ask_next_version(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;
    const minga_Service *service = &collect->service;

    if (collect->step == 0) {
        collect->step++;
        if (service->version > 0) {
            ask(overlay, minga_RecordKind_RECORD_VERSION, service->version);
            return;
        }
    }
    if (collect->step == 1) {
        collect->step++;
        if (service->fallback_version > 0 && service->fallback_version != service->version) {
            ask(overlay, minga_RecordKind_RECORD_VERSION, service->fallback_version);
            return;
        }
    }
    if (collect->step == COLLECT_VERSIONS_MAX) {
        conclude(overlay, FOUND_UNKNOWN);
        return;
    }
    collect->step++;
    ask(overlay, minga_RecordKind_RECORD_VERSION, service->version + collect->step - 2);
}

static void note_owner(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;
    struct reference *reference = &overlay->references.list[collect->place];
    struct public_key key;

    memcpy(key.bytes, collect->record.owner_key, PUBLIC_KEY_BYTES);
    reference->owner = keys_owner_id(&key);
    memcpy(reference->name, collect->record.name, sizeof(reference->name));
    reference->name[NAME_CHARS_MAX] = '\0';
}

static void on_service(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;

    if (!collect->is_found) {
        conclude(overlay, collect->is_certain ? FOUND_NOTHING : FOUND_UNKNOWN);
        return;
    }
    note_owner(overlay);
    collect->service = (minga_Service)minga_Service_init_zero;
    if (collect->record.removed) {
        conclude(overlay, FOUND_REMOVED);
    } else if (signed_decode_body(
                   minga_Service_fields,
                   (struct bytes){collect->record.content.bytes, collect->record.content.size},
                   &collect->service) < 0) {
        conclude(overlay, FOUND_UNKNOWN);
    } else {
        collect->step = 0;
        ask_next_version(overlay);
    }
}

static void on_version(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;
    const struct reference *reference = &overlay->references.list[collect->place];
    minga_Version version = minga_Version_init_zero;
    bool is_pushed_since = collect->step > 2;

    if (!collect->is_found) {
        if (!collect->is_certain) {
            conclude(overlay, FOUND_UNKNOWN);
        } else if (is_pushed_since) {
            conclude(overlay, FOUND_SUPERSEDED); /* there are no more */
        } else {
            ask_next_version(overlay);
        }
        return;
    }
    if (!collect->record.removed &&
        signed_decode_body(
            minga_Version_fields,
            (struct bytes){collect->record.content.bytes, collect->record.content.size},
            &version) == 0 &&
        memcmp(version.tree, reference->tree.id.bytes, ID_BYTES) == 0) {
        conclude(overlay, FOUND_LIVE);
        return;
    }
    ask_next_version(overlay);
}

static void start_check(struct overlay *overlay, uint16_t place)
{
    struct collect *collect = &overlay->collect;
    struct reference *reference = &overlay->references.list[place];

    collect->next_ms = overlay->now_ms + COLLECT_PAUSE_MS;
    if (reference->is_dead || reference->chunk_count == 0) {
        if (reference->chunk_count == 0) {
            references_remove(&overlay->references, place);
            store_reference(overlay, place);
        } else { /* it was loaded as dead, or the walk missed some */
            collect->is_purging = true;
            collect->cursor = 0;
            reference->check_s = habits_now_s(overlay) + COLLECT_AGAIN_S;
        }
        return;
    }
    collect->place = place;
    collect->is_checking = true;
    collect->step = UINT32_MAX;
    ask(overlay, minga_RecordKind_RECORD_SERVICE, 0);
}

/* ------------------------------------------------------------------ dropping */

/* Takes dead references from a chunk. Returns whether any was taken. */
static bool lose_dead(struct overlay *overlay, struct chunk *chunk)
{
    bool is_changed = false;

    for (uint32_t i = chunk->reference_count; i > 0; i--) {
        if (overlay->references.list[chunk->references[i - 1]].is_dead) {
            detach(overlay, chunk, i - 1);
            is_changed = true;
        }
    }
    return is_changed;
}

/* Returns whether the chunk was dropped. */
static bool purge_one(struct overlay *overlay, struct chunk *chunk)
{
    struct collect *collect = &overlay->collect;
    struct overlay_effect *effect;

    if (chunk->reference_count > 0 || chunk->is_common) {
        store_note(overlay, chunk, 0);
        return false;
    }
    effect = effect_add(overlay, OVERLAY_DROP_CHUNK);
    if (effect == NULL) {
        return false; /* it stays without a reference, and is among the first to make room */
    }
    effect->chunk = chunk->id;
    collect->purged_count++;
    collect->purged_bytes += chunk->bytes;
    delete_note(overlay, &effect->chunk);
    chunks_remove(&overlay->chunks, &effect->chunk);
    return true;
}

static void purge(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;
    uint32_t changed_count = 0;

    collect->next_ms = overlay->now_ms + 1;
    for (uint32_t i = 0; i < COLLECT_LOOKS_MAX && changed_count < COLLECT_DROPS_MAX; i++) {
        const struct chunk *next = chunks_next(&overlay->chunks, &collect->cursor);
        struct chunk *chunk;

        if (next == NULL) {
            collect->is_purging = false;
            collect->next_ms = overlay->now_ms + COLLECT_PAUSE_MS;
            return;
        }
        chunk = chunks_entry(&overlay->chunks, &next->id);
        if (lose_dead(overlay, chunk)) {
            changed_count++;
            collect->cursor -= purge_one(overlay, chunk) ? 1 : 0; /* another one may move up */
        }
    }
}

/* ------------------------------------------------------------------ when */

void collect_tick(struct overlay *overlay)
{
    struct collect *collect = &overlay->collect;

    for (uint32_t i = 0; collect->is_checking && collect->is_answered && i < EXPIRIES_MAX; i++) {
        collect->is_answered = false;
        if (collect->step == UINT32_MAX) {
            on_service(overlay);
        } else {
            on_version(overlay);
        }
    }
    if (collect->is_checking || overlay->now_ms < collect->next_ms) {
        return;
    }
    if (collect->is_purging) {
        purge(overlay);
    } else {
        uint16_t place = references_due(&overlay->references, habits_now_s(overlay));

        collect->next_ms = overlay->now_ms + COLLECT_PAUSE_MS;
        if (place != REFERENCE_NONE) {
            start_check(overlay, place);
        }
    }
}

uint64_t collect_wake(const struct overlay *overlay)
{
    const struct collect *collect = &overlay->collect;
    uint64_t next_s;
    uint64_t now_s = habits_now_s(overlay);

    if (collect->is_checking) {
        return collect->is_answered ? overlay->now_ms + 1 : 0;
    }
    if (collect->is_purging) {
        return collect->next_ms;
    }
    next_s = references_next_s(&overlay->references);
    if (next_s == 0) {
        return 0;
    }
    if (next_s <= now_s) {
        return collect->next_ms;
    }
    return overlay->now_ms + (next_s - now_s) * 1000;
}
