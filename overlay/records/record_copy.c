// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a holder of records keeps: a version stands here, and is shown to anybody, only when it is
 * durable. What the disk refuses has never been here.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static void tell(struct overlay *overlay, const struct record *record)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_RECORD);

    if (effect != NULL) {
        effect->service = record->key.service;
        effect->number = record_number(&record->key);
        effect->record_kind = record_kind(&record->key);
    }
    collect_on_seen(overlay, (struct bytes){record->bytes, record->length_bytes});
}

static void write_out(struct overlay *overlay, const struct pending_store *store)
{
    const struct record *record = &store->record;
    struct overlay_effect *effect =
        effect_store(overlay,
                     &(struct overlay_blob){.kind = BLOB_RECORD,
                                            .key = record->key.service.id,
                                            .number = record->key.number,
                                            .bytes = {record->bytes, record->length_bytes}},
                     store->token);

    if (effect != NULL) {
        effect->is_unhurried = store->waiter.is_unhurried;
    }
}

/* Writes are done in order: the last one must be the one that is to stand. */
static enum record_merge weigh(const struct overlay *overlay, const struct record *record)
{
    enum record_merge merge = records_weigh(&overlay->records, record);

    for (uint32_t i = 0; i < STORES_MAX && merge == RECORD_NEWER; i++) {
        const struct pending_store *store = &overlay->stores[i];

        if (store->used && id_equal(&store->record.key.service.id, &record->key.service.id) &&
            store->record.key.number == record->key.number) {
            merge = record_compare(&store->record, record);
        }
    }
    return merge;
}

static struct pending_store *free_store(struct overlay *overlay)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        if (!overlay->stores[i].used) {
            return &overlay->stores[i];
        }
    }
    return NULL;
}

static void take_store(struct overlay *overlay, struct pending_store *store,
                       const struct record *record)
{
    memset(store, 0, offsetof(struct pending_store, record));
    store->used = true;
    store->token = ++overlay->last_token;
    store->record = *record;
}

static void remove_blob(struct overlay *overlay, const struct record_key *key)
{
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_RECORD, .key = key->service.id, .number = key->number},
        0);
}

/* Is one with that key on its way to the disk, among the first `count`? */
static bool is_coming(const struct overlay *overlay, const struct record_key *key, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pending_store *store = &overlay->stores[i];

        if (store->used && id_equal(&store->record.key.service.id, &key->service.id) &&
            store->record.key.number == key->number) {
            return true;
        }
    }
    return false;
}

/* How many will want a place that have none yet? */
static uint32_t count_coming(const struct overlay *overlay)
{
    uint32_t count = 0;

    for (uint32_t i = 0; overlay->records.count + STORES_MAX >= RECORDS_MAX && i < STORES_MAX;
         i++) {
        const struct pending_store *store = &overlay->stores[i];

        count += store->used && records_find(&overlay->records, &store->record.key) == NULL &&
                         !is_coming(overlay, &store->record.key, i)
                     ? 1
                     : 0;
    }
    return count;
}

static bool is_on_its_way(const void *context, const struct record_key *key)
{
    return is_coming(context, key, STORES_MAX);
}

/* Has it a place, or can one be made? What it takes the place of is forgotten. */
static bool make_room(struct overlay *overlay, const struct record *record)
{
    struct records_moment moment = {overlay->wall_unix_s, count_coming(overlay), is_on_its_way,
                                    overlay};
    struct record_key forgotten;

    if (records_find(&overlay->records, &record->key) != NULL ||
        is_coming(overlay, &record->key, STORES_MAX)) {
        return true;
    }
    switch (records_room(&overlay->records, record, &moment, &forgotten)) {
    case ROOM_FREE:
        return true;
    case ROOM_NONE:
        return false;
    case ROOM_INSTEAD:
        break;
    }
    records_forget(&overlay->records, &forgotten);
    remove_blob(overlay, &forgotten);
    return true;
}

bool record_keep(struct overlay *overlay, const struct record *record)
{
    const struct record *stands = records_find(&overlay->records, &record->key);
    struct pending_store *store = free_store(overlay);

    if (stands != NULL) {
        record_lost_look(overlay, stands, record);
    }
    if (records_weigh(&overlay->records, record) != RECORD_NEWER) {
        return true;
    }
    if (store == NULL) {
        return false;
    }
    if (!make_room(overlay, record)) {
        return true;
    }
    (void)records_merge(&overlay->records, record);
    take_store(overlay, store, record);
    write_out(overlay, store);
    tell(overlay, record);
    return true;
}

void record_stand(struct overlay *overlay, const struct record *record)
{
    if (!record_keep(overlay, record)) {
        settled_begin(overlay); /* the others are asked, then */
    }
}

bool record_store_again(struct overlay *overlay, const struct record *record, uint64_t put_number)
{
    struct pending_store *store = free_store(overlay);

    if (store == NULL) {
        return false;
    }
    take_store(overlay, store, record);
    store->waiter.put = put_number;
    write_out(overlay, store);
    return true;
}

enum record_merge record_store(struct overlay *overlay, const struct record *record,
                               const struct store_waiter *waiter)
{
    const struct record *stands = records_find(&overlay->records, &record->key);
    struct pending_store *store = free_store(overlay);
    enum record_merge merge;

    if (stands != NULL) {
        record_lost_look(overlay, stands, record);
    }
    merge = weigh(overlay, record);
    if (merge != RECORD_NEWER) {
        return merge;
    }
    if (store == NULL || !make_room(overlay, record)) {
        return RECORD_NO_ROOM;
    }
    take_store(overlay, store, record);
    store->waiter = *waiter;
    write_out(overlay, store);
    return RECORD_NEWER;
}

static void acknowledge(struct overlay *overlay, const struct asker *asker, minga_Outcome outcome)
{
    minga_Message message;

    if (asker->request != 0) {
        message_init(&message, minga_Message_acknowledged_tag);
        message.kind.acknowledged.outcome = outcome;
        peer_reply(overlay, asker, &message, NULL);
    }
}

/* Do these bytes stand here, or are they being written? Then they were checked when they came, and after a
 * death each of a key's holders brings them. */
static bool is_here(const struct overlay *overlay, const struct record *record)
{
    const struct record *stands = records_find(&overlay->records, &record->key);

    if (stands != NULL && id_equal(&stands->hash, &record->hash)) {
        return true;
    }
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        const struct pending_store *store = &overlay->stores[i];

        if (store->used && id_equal(&store->record.hash, &record->hash)) {
            return true;
        }
    }
    return false;
}

static bool open_copy(const struct overlay *overlay, const minga_RecordCopy *copy,
                      struct record *record_out)
{
    struct bytes encoded = {copy->record.bytes, copy->record.size};

    return record_glance(encoded, record_out) == 0 &&
           (is_here(overlay, record_out) || record_open(encoded, record_out) == 0) &&
           record_owner_stands(overlay, &record_out->owner);
}

void record_copy_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordCopy *copy = &arrival->message->kind.record_copy;
    /* What anti-entropy sends asks for no answer. */
    struct store_waiter waiter = {.asker = arrival->asker,
                                  .is_unhurried = copy->unhurried || arrival->asker.request == 0};
    struct record record;

    if (!open_copy(overlay, copy, &record)) {
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED);
        return;
    }
    switch (record_store(overlay, &record, &waiter)) {
    case RECORD_NEWER: /* answered when durable */
        if (copy->image && overlay->large) {
            images_pass_on(overlay, &record);
        }
        break;
    case RECORD_SAME:
        if (records_weigh(&overlay->records, &record) == RECORD_SAME) {
            acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_OK);
        }
        break; /* else it is being written: this is repeated */
    case RECORD_OLDER:
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_CONFLICT);
        break;
    case RECORD_NO_ROOM:
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_FULL);
        break;
    }
}

void record_copy_on_stored(struct overlay *overlay, uint64_t token, bool failed)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        struct pending_store *store = &overlay->stores[i];

        if (!store->used || store->token != token) {
            continue;
        }
        store->used = false;
        if (!failed) {
            enum record_merge merge;
            int bringer = membership_find(&overlay->membership, &store->waiter.asker.node);

            /* It may have been expelled meanwhile. */
            store->record.is_orphan = !record_owner_stands(overlay, &store->record.owner);
            merge = records_merge(&overlay->records, &store->record);

            if (merge == RECORD_NO_ROOM) { /* others were faster */
                remove_blob(overlay, &store->record.key);
                failed = true;
            }
            if (merge == RECORD_NEWER) {
                sync_brought(overlay, bringer);
                tell(overlay, &store->record);
            }
        }
        if (store->waiter.put != 0) {
            record_put_on_kept(overlay, store->waiter.put, failed);
        } else {
            acknowledge(overlay, &store->waiter.asker,
                        failed ? minga_Outcome_OUTCOME_FAILED : minga_Outcome_OUTCOME_OK);
        }
        return;
    }
}
