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

static struct pending_store *new_store(struct overlay *overlay)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        struct pending_store *store = &overlay->stores[i];

        if (!store->used) {
            memset(store, 0, offsetof(struct pending_store, record));
            store->used = true;
            store->token = ++overlay->last_token;
            return store;
        }
    }
    return NULL;
}

static void remove_blob(struct overlay *overlay, const struct record_key *key)
{
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_RECORD, .key = key->service.id, .number = key->number},
        0);
}

/* For a record that is not here yet. */
static void make_room(struct overlay *overlay, const struct record *record)
{
    struct record_key forgotten;

    if (records_find(&overlay->records, &record->key) == NULL &&
        records_make_room(&overlay->records, overlay->wall_unix_s, &forgotten)) {
        remove_blob(overlay, &forgotten);
    }
}

bool record_keep(struct overlay *overlay, const struct record *record)
{
    const struct record *stands = records_find(&overlay->records, &record->key);
    struct pending_store *store;

    if (stands != NULL) {
        record_lost_look(overlay, stands, record);
    }
    make_room(overlay, record);
    if (records_weigh(&overlay->records, record) != RECORD_NEWER) {
        return true;
    }
    store = new_store(overlay);
    if (store == NULL) {
        return false;
    }
    (void)records_merge(&overlay->records, record);
    store->record = *record;
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
    struct pending_store *store = new_store(overlay);

    if (store == NULL) {
        return false;
    }
    store->waiter.put = put_number;
    store->record = *record;
    write_out(overlay, store);
    return true;
}

enum record_merge record_store(struct overlay *overlay, const struct record *record,
                               const struct store_waiter *waiter)
{
    const struct record *stands = records_find(&overlay->records, &record->key);
    struct pending_store *store;
    enum record_merge merge;

    if (stands != NULL) {
        record_lost_look(overlay, stands, record);
    }
    make_room(overlay, record);
    merge = weigh(overlay, record);
    store = merge == RECORD_NEWER ? new_store(overlay) : NULL;
    if (merge != RECORD_NEWER) {
        return merge;
    }
    if (store == NULL) {
        return RECORD_NO_ROOM;
    }
    store->waiter = *waiter;
    store->record = *record;
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
