// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Writing an owner's record. The asker sends it to the node responsible for the service. That one
 * first reads what the other holders have (it may have taken the arc over only now), compares the
 * sequence, stores, copies, and answers when enough holders have it durably.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum { PUT_MS = 8000, PUT_READ_MS = REPLY_MS, PUT_COPY_MS = 2000, COPY_ROUNDS_MAX = 3 };
enum { COPIED_REPLY_MS = 4 * REPLY_MS };

static const enum overlay_outcome outcomes[] = {
    [minga_Outcome_OUTCOME_OK] = OVERLAY_OK,
    [minga_Outcome_OUTCOME_REFUSED] = OVERLAY_REFUSED,
    [minga_Outcome_OUTCOME_NOT_FOUND] = OVERLAY_NOT_FOUND,
    [minga_Outcome_OUTCOME_CONFLICT] = OVERLAY_CONFLICT,
    [minga_Outcome_OUTCOME_FULL] = OVERLAY_FULL,
    [minga_Outcome_OUTCOME_FAILED] = OVERLAY_FAILED,
};

static enum overlay_outcome outcome_of(minga_Outcome outcome)
{
    return (size_t)outcome < ARRAY_COUNT(outcomes) ? outcomes[outcome] : OVERLAY_FAILED;
}

static struct ring_key ring_key_of(const struct record *record)
{
    return (struct ring_key){record->key.service.id};
}

enum record_merge record_keep(struct overlay *overlay, const struct record *record,
                              uint64_t store_token)
{
    enum record_merge merge = records_merge(&overlay->records, record);
    struct overlay_effect *effect;

    if (merge != RECORD_NEWER) {
        return merge;
    }
    effect_store(overlay,
                 &(struct overlay_blob){.kind = BLOB_RECORD,
                                        .key = record->key.service.id,
                                        .number = record->key.number,
                                        .bytes = {record->bytes, record->length_bytes}},
                 store_token);
    effect = effect_add(overlay, OVERLAY_RECORD);
    if (effect != NULL) {
        effect->service = record->key.service;
        effect->number = record_number(&record->key);
        effect->record_kind = record_kind(&record->key);
    }
    return merge;
}

/* Where everyone is known: has the owner a node? In a large community the member answers for it
 * that brings the record. */
static bool owner_stands(const struct overlay *overlay, const struct public_key *owner)
{
    return overlay->large || overlay_owner_is_member(overlay, owner);
}

/* --- ends of a put */

static void answer_put(struct overlay *overlay, const struct asker *asker, minga_Outcome outcome,
                       const char *reason)
{
    minga_Message message;

    message_init(&message, minga_Message_record_put_reply_tag);
    message.kind.record_put_reply.outcome = outcome;
    (void)snprintf(message.kind.record_put_reply.reason,
                   sizeof(message.kind.record_put_reply.reason), "%s", reason);
    peer_reply(overlay, asker, &message, NULL);
}

static void end_put(struct overlay *overlay, struct put *put, minga_Outcome outcome,
                    const char *reason)
{
    if (put->local) {
        (void)effect_done(overlay, put->token, outcome_of(outcome), reason);
    } else {
        answer_put(overlay, &put->asker, outcome, reason);
    }
    put->phase = PUT_FREE;
}

static struct pending_store *new_store(struct overlay *overlay)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        struct pending_store *store = &overlay->stores[i];

        if (!store->used) {
            memset(store, 0, sizeof(*store));
            store->used = true;
            store->token = ++overlay->last_token;
            return store;
        }
    }
    return NULL;
}

/* --- phases of a put on the responsible node */

/* One round: every other holder is sent a copy. */
static void send_copies(struct overlay *overlay, struct put *put)
{
    struct node_id holders[RECORD_COPIES];
    struct ring_key key = ring_key_of(&put->record);
    uint32_t count = overlay->routing->replica_set(&overlay->router, &key, RECORD_COPIES, holders);
    minga_Message message;

    put->phase = PUT_COPYING;
    put->round_count++;
    put->durable_count = 1;
    put->needed_count = count < RECORD_ACKNOWLEDGED_COPIES ? count : RECORD_ACKNOWLEDGED_COPIES;
    message_init(&message, minga_Message_record_copy_tag);
    memcpy(message.kind.record_copy.record.bytes, put->record.bytes, put->record.length_bytes);
    message.kind.record_copy.record.size = (pb_size_t)put->record.length_bytes;
    for (uint32_t i = 0; i < count; i++) {
        struct request *request;

        if (peer_is_self(overlay, &holders[i])) {
            continue;
        }
        request = peer_request(overlay, REQUEST_RECORD_COPY, &holders[i], &message, PUT_COPY_MS);
        if (request != NULL) {
            request->token = put->number;
            put->waiting_count++;
        }
    }
}

static void check_copied(struct overlay *overlay, struct put *put)
{
    while (put->durable_count < put->needed_count && put->waiting_count == 0 &&
           put->round_count < COPY_ROUNDS_MAX) {
        send_copies(overlay, put); /* whoever did not answer may be known as gone by now */
    }
    if (put->durable_count >= put->needed_count) {
        end_put(overlay, put, minga_Outcome_OUTCOME_OK, "");
    } else if (put->waiting_count == 0) {
        /* The others will be offered it again by anti-entropy; it stands here. */
        end_put(overlay, put, minga_Outcome_OUTCOME_FAILED,
                "stored here, but no second member has confirmed a copy");
    }
}

static void start_copying(struct overlay *overlay, struct put *put)
{
    send_copies(overlay, put);
    check_copied(overlay, put);
}

static void start_storing(struct overlay *overlay, struct put *put)
{
    struct pending_store *store = new_store(overlay);

    if (store == NULL) {
        end_put(overlay, put, minga_Outcome_OUTCOME_FULL, "too many writes are under way");
        return;
    }
    put->phase = PUT_STORING;
    store->for_put = true;
    store->put = (uint32_t)(put - overlay->puts);
    switch (record_keep(overlay, &put->record, store->token)) {
    case RECORD_NEWER:
        return;
    case RECORD_SAME:
        store->used = false;
        start_copying(overlay, put);
        return;
    case RECORD_OLDER:
    case RECORD_NO_ROOM:
        store->used = false;
        end_put(overlay, put, minga_Outcome_OUTCOME_FULL, "the table of records is full");
        return;
    }
}

/* Compare and swap: each write is the one before + 1; a repetition of the last one is fine. */
static void compare(struct overlay *overlay, struct put *put)
{
    const struct record *stands = records_find(&overlay->records, &put->record.key);
    uint64_t sequence = stands == NULL ? 0 : stands->sequence;
    char reason[REASON_CHARS_MAX + 1];

    if (stands != NULL && id_equal(&stands->hash, &put->record.hash)) {
        start_copying(overlay, put);
    } else if (put->record.sequence != sequence + 1) {
        (void)snprintf(reason, sizeof(reason), "another write came first (%llu stands)",
                       (unsigned long long)sequence);
        end_put(overlay, put, minga_Outcome_OUTCOME_CONFLICT, reason);
    } else {
        start_storing(overlay, put);
    }
}

static void start_reading(struct overlay *overlay, struct put *put)
{
    struct node_id holders[RECORD_COPIES];
    struct ring_key key = ring_key_of(&put->record);
    uint32_t count = overlay->routing->replica_set(&overlay->router, &key, RECORD_COPIES, holders);
    minga_Message message;

    put->phase = PUT_READING;
    put->waiting_count = 0;
    message_init(&message, minga_Message_record_get_tag);
    message_put_id(message.kind.record_get.service, &put->record.key.service.id);
    message.kind.record_get.kind = record_kind(&put->record.key);
    message.kind.record_get.number = record_number(&put->record.key);
    for (uint32_t i = 0; i < count; i++) {
        struct request *request;

        if (peer_is_self(overlay, &holders[i])) {
            continue;
        }
        request = peer_request(overlay, REQUEST_PUT_READ, &holders[i], &message, PUT_READ_MS);
        if (request != NULL) {
            request->token = put->number;
            put->waiting_count++;
        }
    }
    if (put->waiting_count == 0) {
        compare(overlay, put);
    }
}

static struct put *find_put(struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        if (overlay->puts[i].phase != PUT_FREE && overlay->puts[i].number == number) {
            return &overlay->puts[i];
        }
    }
    return NULL;
}

/* Two writes of one record at a time would race each other through the phases. */
static struct put *new_put(struct overlay *overlay, const struct record *record)
{
    struct put *free_put = NULL;

    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        struct put *put = &overlay->puts[i];

        if (put->phase == PUT_FREE) {
            free_put = put;
        } else if (id_equal(&put->record.key.service.id, &record->key.service.id) &&
                   put->record.key.number == record->key.number) {
            return NULL;
        }
    }
    if (free_put != NULL) {
        memset(free_put, 0, offsetof(struct put, record));
        free_put->waiting_count = 0;
        free_put->durable_count = 0;
        free_put->round_count = 0;
        free_put->number = ++overlay->last_token;
        free_put->record = *record;
    }
    return free_put;
}

/* --- asking */

/* Runs the put here: this node is responsible. Returns false when it must be tried again. */
static bool put_here(struct overlay *overlay, uint64_t token, const struct record *record)
{
    struct put *put = new_put(overlay, record);

    if (put == NULL) {
        return false;
    }
    put->local = true;
    put->token = token;
    start_reading(overlay, put);
    return true;
}

bool record_put_here(struct overlay *overlay, const struct request *request)
{
    minga_Message message;
    struct record record;

    if (message_decode((struct bytes){request->bytes, request->length_bytes}, &message) < 0 ||
        record_open((struct bytes){message.kind.record_put.record.bytes,
                                   message.kind.record_put.record.size},
                    &record) < 0) {
        return false;
    }
    return put_here(overlay, request->token, &record);
}

static void send_put(struct overlay *overlay, uint64_t token, const struct record *record)
{
    struct ring_key key = ring_key_of(record);
    struct node_id next = overlay->self;
    minga_Message message;
    struct request *request;
    bool looks_first;

    message_init(&message, minga_Message_record_put_tag);
    memcpy(message.kind.record_put.record.bytes, record->bytes, record->length_bytes);
    message.kind.record_put.record.size = (pb_size_t)record->length_bytes;
    looks_first = search_is_wanted(overlay, &key);
    if (!looks_first) {
        (void)overlay->routing->next_hop(&overlay->router, &key, &next);
    }
    request = peer_request(overlay, REQUEST_RECORD_PUT, &next, &message, PUT_MS);
    if (request == NULL) {
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many requests are under way");
        return;
    }
    request->token = token;
    request->reroute = true;
    request->key = key;
    /* The other side reads and copies before it answers. */
    request->repeat_every_ms = COPIED_REPLY_MS;
    request->repeat_ms =
        overlay->now_ms + (uint64_t)(peer_is_self(overlay, &next) ? BUSY_MS : COPIED_REPLY_MS);
    if (looks_first) {
        search_first(overlay, request);
    }
}

void overlay_record_put(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                        struct bytes encoded, struct overlay_effects *effects)
{
    struct record record;
    struct ring_key key;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (record_open(encoded, &record) < 0) {
        (void)effect_done(overlay, token, OVERLAY_REFUSED, "the record's signature is wrong");
    } else if (!owner_stands(overlay, &record.owner)) {
        (void)effect_done(overlay, token, OVERLAY_REFUSED, "the owner has no node here");
    } else {
        key = ring_key_of(&record);
        if (!ring_responsible(&overlay->ring, &key, overlay->now_ms) ||
            !put_here(overlay, token, &record)) {
            send_put(overlay, token, &record);
        }
    }
    state_leave(overlay);
}

/* --- messages */

static void busy(struct overlay *overlay, const struct arrival *arrival)
{
    minga_Message message;

    message_init(&message, minga_Message_busy_tag);
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

void record_put_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordPut *asked = &arrival->message->kind.record_put;
    struct record record;
    struct ring_key key;
    struct put *put;

    if (record_open((struct bytes){asked->record.bytes, asked->record.size}, &record) < 0) {
        answer_put(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED,
                   "the record's signature is wrong");
        return;
    }
    if (!owner_stands(overlay, &record.owner)) {
        answer_put(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED,
                   "the owner has no node here");
        return;
    }
    key = ring_key_of(&record);
    if (overlay->large && asked->hops < ROUTE_HOPS_MAX &&
        !ring_responsible(&overlay->ring, &key, overlay->now_ms)) {
        minga_Message onward = *arrival->message;

        onward.kind.record_put.hops++;
        asks_relay(overlay, arrival, REQUEST_ROUTE_RELAY, &key, &onward);
        return;
    }
    put =
        ring_responsible(&overlay->ring, &key, overlay->now_ms) ? new_put(overlay, &record) : NULL;
    if (put == NULL) {
        busy(overlay, arrival);
        return;
    }
    put->asker = arrival->asker;
    start_reading(overlay, put);
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

void record_put_on_copy(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordCopy *copy = &arrival->message->kind.record_copy;
    struct pending_store *store;
    struct record record;

    if (record_open((struct bytes){copy->record.bytes, copy->record.size}, &record) < 0 ||
        !owner_stands(overlay, &record.owner)) {
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED);
        return;
    }
    store = new_store(overlay);
    if (store == NULL) {
        return; /* it is repeated */
    }
    store->asker = arrival->asker;
    switch (record_keep(overlay, &record, store->token)) {
    case RECORD_NEWER:
        return; /* answered when durable */
    case RECORD_SAME:
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_OK);
        break;
    case RECORD_OLDER:
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_CONFLICT);
        break;
    case RECORD_NO_ROOM:
        acknowledge(overlay, &arrival->asker, minga_Outcome_OUTCOME_FULL);
        break;
    }
    store->used = false;
}

void record_put_on_stored(struct overlay *overlay, uint64_t token, bool failed)
{
    for (uint32_t i = 0; i < STORES_MAX; i++) {
        struct pending_store *store = &overlay->stores[i];

        if (!store->used || store->token != token) {
            continue;
        }
        store->used = false;
        if (!store->for_put) {
            acknowledge(overlay, &store->asker,
                        failed ? minga_Outcome_OUTCOME_FAILED : minga_Outcome_OUTCOME_OK);
        } else if (failed) {
            end_put(overlay, &overlay->puts[store->put], minga_Outcome_OUTCOME_FAILED,
                    "the disk of the responsible node refused it");
        } else {
            start_copying(overlay, &overlay->puts[store->put]);
        }
        return;
    }
}

/* --- answers */

static void on_read(struct overlay *overlay, struct put *put, const struct arrival *arrival)
{
    struct record record;

    if (arrival != NULL && arrival->message->which_kind == minga_Message_record_reply_tag &&
        record_open((struct bytes){arrival->message->kind.record_reply.record.bytes,
                                   arrival->message->kind.record_reply.record.size},
                    &record) == 0 &&
        owner_stands(overlay, &record.owner)) {
        (void)record_keep(overlay, &record, 0);
    }
    if (put->phase == PUT_READING && --put->waiting_count == 0) {
        compare(overlay, put);
    }
}

static void on_copied(struct overlay *overlay, struct put *put, bool durable)
{
    if (put->phase != PUT_COPYING) {
        return;
    }
    put->waiting_count--;
    put->durable_count += durable;
    check_copied(overlay, put);
}

void record_put_on_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival)
{
    const minga_Message *message = arrival->message;
    struct put *put;

    if (request->kind == REQUEST_RECORD_PUT) {
        if (message->which_kind == minga_Message_record_put_reply_tag) {
            (void)effect_done(overlay, request->token,
                              outcome_of(message->kind.record_put_reply.outcome),
                              message->kind.record_put_reply.reason);
        } else {
            (void)effect_done(overlay, request->token, OVERLAY_FAILED, "an answer makes no sense");
        }
        return;
    }
    put = find_put(overlay, request->token);
    if (put == NULL) {
        return;
    }
    if (request->kind == REQUEST_PUT_READ) {
        on_read(overlay, put, arrival);
    } else {
        on_copied(overlay, put,
                  message->which_kind == minga_Message_acknowledged_tag &&
                      message->kind.acknowledged.outcome == minga_Outcome_OUTCOME_OK);
    }
}

void record_put_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct put *put;

    if (request->kind == REQUEST_RECORD_PUT) {
        (void)effect_done(overlay, request->token, OVERLAY_TIMED_OUT,
                          "the responsible node did not answer in time");
        return;
    }
    put = find_put(overlay, request->token);
    if (put != NULL && request->kind == REQUEST_PUT_READ) {
        on_read(overlay, put, NULL);
    } else if (put != NULL) {
        on_copied(overlay, put, false);
    }
}
