// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Garbage: chunks that no version needs any more. Each reference kept here is looked up in its owner's
 * records now and then; one that has died of what the owner signed (references.h) is taken from the
 * chunks that had it, and a chunk without any is dropped. What is being pushed or fetched was touched
 * lately, and is left alone.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

/* ------------------------------------------------------------------ is it needed? */

static bool is_among_many(const struct overlay *overlay)
{
    uint32_t up_count = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        count += member->view.state != MEMBER_EXPELLED ? 1 : 0;
        up_count += membership_is_up(member) ? 1 : 0;
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

void collect_on_seen(struct overlay *overlay, struct bytes encoded)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    struct reference *reference;
    struct service_id service;
    struct public_key owner;
    struct tree_id tree;
    uint16_t place;

    if (signed_decode(encoded, &envelope) < 0 ||
        signed_decode_body(minga_Record_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size}, &record) < 0 ||
        record.kind != minga_RecordKind_RECORD_VERSION || record.removed ||
        signed_decode_body(minga_Version_fields,
                           (struct bytes){record.content.bytes, record.content.size},
                           &version) < 0) {
        return;
    }
    memcpy(owner.bytes, record.owner_key, PUBLIC_KEY_BYTES);
    memcpy(tree.id.bytes, version.tree, ID_BYTES);
    service = keys_service_id(&owner, record.name);
    place = references_find(&overlay->references, &service, &tree);
    reference = place == REFERENCE_NONE ? NULL : &overlay->references.list[place];
    if (reference == NULL || reference->is_dead || reference->is_confirmed) {
        return;
    }
    reference->is_confirmed = true; /* when it dies is still for the next check to say */
    reference->version = record.number;
    reference->owner = keys_owner_id(&owner);
    memcpy(reference->name, record.name, sizeof(reference->name));
    reference->name[NAME_CHARS_MAX] = '\0';
    collect_store_reference(overlay, place);
}

void overlay_record_stands(struct overlay *overlay, const struct overlay_event *now,
                           struct bytes encoded, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    collect_on_seen(overlay, encoded);
    state_leave(overlay);
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
        collect_store_reference(overlay, collect->place);
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
        bool was_seen = reference->is_confirmed && collect->version <= reference->version;

        /* What has been there, and was never superseded, those asked have lost, or withhold. */
        if (!collect->is_certain || (is_pushed_since && was_seen)) {
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
            collect_store_reference(overlay, place);
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
            collect_detach(overlay, chunk, i - 1);
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
        collect_store_note(overlay, chunk, 0);
        return false;
    }
    effect = effect_add(overlay, OVERLAY_DROP_CHUNK);
    if (effect == NULL) {
        return false; /* it stays without a reference, and is among the first to make room */
    }
    effect->chunk = chunk->id;
    collect->purged_count++;
    collect->purged_bytes += chunk->bytes;
    collect_delete_note(overlay, &effect->chunk);
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
