// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Writing an owner's record. The asker sends it to the node responsible for the service. That one
 * first reads what those holders have with whom it has not compared everything yet (settled.c: it
 * may have taken the arc over only now), compares the sequence, stores it here and with another
 * holder at the same time, and answers when enough of them have it durably. The other copies
 * follow. What it may not decide any more by then, another one decides.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum { PUT_MS = 8000, PUT_READ_MS = REPLY_MS, PUT_COPY_MS = 2000, COPY_ROUNDS_MAX = 3 };
enum {
    COPY_REPEAT_MS = 100, /* the first holder is silent for so long: all others are sent one, too */
    SPREAD_MS = 100,      /* the copies that nobody waits for are sent so much later at most */
    SPREAD_REPEAT_MS = UNHURRIED_MS + REPLY_MS,
    SPREADS_MAX = SENDS_MAX / RECORD_COPIES, /* puts in one step */
};
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

/* --- ends of a put */

static void answer_put(struct overlay *overlay, const struct asker *asker, minga_Outcome outcome,
                       const char *reason, uint32_t copies)
{
    minga_Message message;

    message_init(&message, minga_Message_record_put_reply_tag);
    message.kind.record_put_reply.outcome = outcome;
    message.kind.record_put_reply.copies = copies;
    (void)snprintf(message.kind.record_put_reply.reason,
                   sizeof(message.kind.record_put_reply.reason), "%s", reason);
    peer_reply(overlay, asker, &message, NULL);
}

static void say_done(struct overlay *overlay, uint64_t token, enum overlay_outcome outcome,
                     const char *reason, uint32_t copies)
{
    struct overlay_effect *effect = effect_done(overlay, token, outcome, reason);

    if (effect != NULL && outcome == OVERLAY_OK) {
        effect->copies = copies;
    }
}

static void end_put(struct overlay *overlay, struct put *put, minga_Outcome outcome,
                    const char *reason)
{
    if (put->local) {
        say_done(overlay, put->token, outcome_of(outcome), reason, put->durable_count);
    } else {
        answer_put(overlay, &put->asker, outcome, reason, put->durable_count);
    }
    put->phase = PUT_FREE;
}

static void say_busy(struct overlay *overlay, const struct asker *asker)
{
    minga_Message message;

    message_init(&message, minga_Message_busy_tag);
    peer_reply(overlay, asker, &message, NULL);
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
    if (looks_first && !search_first(overlay, request)) {
        requests_end(&overlay->requests, request);
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many look-ups are under way");
    }
}

/* --- phases of a put on the responsible node */

/* Is the key ours still, without a moment since the put began in which it may not have been? */
static bool is_still_ours(const struct overlay *overlay, const struct put *put)
{
    struct ring_key key = ring_key_of(&put->record);

    return ring_responsible(&overlay->ring, &key, overlay->now_ms) &&
           put->term == overlay->settled.term;
}

/* Whoever is responsible now decides; if it finds this very record, it only makes copies. */
static void give_back(struct overlay *overlay, struct put *put)
{
    put->phase = PUT_FREE;
    if (put->local) {
        send_put(overlay, put->token, &put->record);
    } else {
        say_busy(overlay, &put->asker);
    }
}

static void find_holders(struct overlay *overlay, struct put *put)
{
    struct node_id holders[RECORD_COPIES];
    struct ring_key key = ring_key_of(&put->record);
    uint32_t count = holders_of(overlay, &key, 0, holders);

    put->needed_count = count < RECORD_ACKNOWLEDGED_COPIES ? count : RECORD_ACKNOWLEDGED_COPIES;
    put->holder_count = 0;
    put->next_holder = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!peer_is_self(overlay, &holders[i])) {
            put->holders[put->holder_count++] = holders[i];
        }
    }
    near_sort(overlay, put->holders, put->holder_count);
}

static void make_copy(const struct put *put, bool is_unhurried, minga_Message *message_out)
{
    message_init(message_out, minga_Message_record_copy_tag);
    memcpy(message_out->kind.record_copy.record.bytes, put->record.bytes, put->record.length_bytes);
    message_out->kind.record_copy.record.size = (pb_size_t)put->record.length_bytes;
    message_out->kind.record_copy.unhurried = is_unhurried;
}

/* To the next `count` holders. `number` 0: nobody waits for what they say. */
static void send_copies(struct overlay *overlay, struct put *put, uint32_t count, uint64_t number)
{
    minga_Message message;

    make_copy(put, number == 0, &message);
    for (; count > 0 && put->next_holder < put->holder_count; count--) {
        const struct node_id *holder = &put->holders[put->next_holder++];
        struct request *request =
            peer_request(overlay, REQUEST_RECORD_COPY, holder, &message, PUT_COPY_MS);

        if (request != NULL) {
            request->token = number;
            request->repeat_every_ms = (uint64_t)(number == 0 ? SPREAD_REPEAT_MS : COPY_REPEAT_MS);
            request->repeat_ms = overlay->now_ms + request->repeat_every_ms;
            put->waiting_count += number != 0;
        }
    }
}

static void acknowledge_put(struct overlay *overlay, struct put *put)
{
    if (!is_still_ours(overlay, put)) {
        give_back(overlay, put);
        return;
    }
    record_stand(overlay, &put->record); /* also where the own disk has refused it */
    end_put(overlay, put, minga_Outcome_OUTCOME_OK, "");
    if (put->next_holder < put->holder_count || overlay->large) {
        put->phase = PUT_SPREADING;
        put->spread_ms = overlay->now_ms + SPREAD_MS;
        overlay->spreading_count++;
    }
}

static void check_written(struct overlay *overlay, struct put *put)
{
    if (put->durable_count >= put->needed_count) {
        acknowledge_put(overlay, put);
        return;
    }
    if (put->is_storing || put->waiting_count > 0) {
        return;
    }
    while (put->waiting_count == 0 && put->round_count < COPY_ROUNDS_MAX) {
        if (put->next_holder == put->holder_count) {
            put->round_count++;
            find_holders(overlay, put); /* who did not answer may be known as gone by now */
            put->durable_count = put->is_stored;
        }
        send_copies(overlay, put, RECORD_COPIES, put->number);
        if (put->durable_count >= put->needed_count) {
            acknowledge_put(overlay, put);
            return;
        }
    }
    if (put->waiting_count == 0) {
        sync_hasten(overlay); /* the others will be offered it by anti-entropy, where it stands */
        end_put(overlay, put, minga_Outcome_OUTCOME_FAILED,
                put->is_stored ? "stored here, but no second member has confirmed a copy"
                               : "the disk of the responsible node refused it");
    }
}

/* Two disks at the same time: the own one, and that of the holder who answers soonest. */
static void start_writing(struct overlay *overlay, struct put *put)
{
    put->phase = PUT_WRITING;
    put->is_stored = false;
    put->is_storing = true;
    put->durable_count = 0;
    find_holders(overlay, put);
    send_copies(overlay, put, 1, put->number);
    check_written(overlay, put);
}

static void start_storing(struct overlay *overlay, struct put *put)
{
    switch (record_store(overlay, &put->record, &(struct store_waiter){.put = put->number})) {
    case RECORD_NEWER:
        start_writing(overlay, put);
        return;
    case RECORD_SAME: /* a copy of it is being stored: it is asked for again */
        give_back(overlay, put);
        return;
    case RECORD_OLDER:
        end_put(overlay, put, minga_Outcome_OUTCOME_CONFLICT, "another write came first");
        return;
    case RECORD_NO_ROOM:
        end_put(overlay, put, minga_Outcome_OUTCOME_FULL,
                records_why_no_room(&overlay->records, &put->record.owner));
        return;
    }
}

/* Compare and swap: each write is the one before + 1; a repetition of the last one is fine. */
static void compare(struct overlay *overlay, struct put *put)
{
    const struct record *stands = records_find(&overlay->records, &put->record.key);
    uint64_t sequence = stands == NULL ? 0 : stands->sequence;
    char reason[REASON_CHARS_MAX + 1];

    if (!is_still_ours(overlay, put)) {
        give_back(overlay, put);
    } else if (stands != NULL && id_equal(&stands->hash, &put->record.hash)) {
        if (record_store_again(overlay, &put->record, put->number)) {
            start_writing(overlay, put);
        } else {
            give_back(overlay, put);
        }
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
    uint32_t count = holders_of(overlay, &key, 0, holders);
    minga_Message message;

    put->phase = PUT_READING;
    put->waiting_count = 0;
    message_init(&message, minga_Message_record_get_tag);
    message_put_id(message.kind.record_get.service, &put->record.key.service.id);
    message.kind.record_get.kind = record_kind(&put->record.key);
    message.kind.record_get.number = record_number(&put->record.key);
    for (uint32_t i = 0; i < count; i++) {
        struct request *request;

        /* One with whom everything was compared has nothing newer: it all goes through us. */
        if (peer_is_self(overlay, &holders[i]) || settled_has(overlay, &holders[i])) {
            continue;
        }
        settled_want(overlay, &holders[i]);
        request = peer_request(overlay, REQUEST_PUT_READ, &holders[i], &message, PUT_READ_MS);
        if (request != NULL) {
            request->token = put->number;
            put->waiting_count++;
        }
    }
    if (!images_are_compared(overlay)) { /* all who had it here may be lost */
        put->waiting_count += images_ask(overlay, REQUEST_PUT_READ, &key, &message, put->number);
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

/* The other copies are in no hurry, and not in the way of what is asked. */
static void spread(struct overlay *overlay, struct put *put)
{
    struct ring_key key = ring_key_of(&put->record);
    minga_Message message;

    if (put->phase == PUT_SPREADING) {
        send_copies(overlay, put, RECORD_COPIES, 0);
        make_copy(put, true, &message);
        message.kind.record_copy.image = true;
        (void)images_ask(overlay, REQUEST_RECORD_COPY, &key, &message, 0);
        put->phase = PUT_FREE;
        CHECK(overlay->spreading_count > 0);
        overlay->spreading_count--;
    }
}

uint64_t record_put_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < PUTS_MAX && overlay->spreading_count > 0; i++) {
        const struct put *put = &overlay->puts[i];

        if (put->phase == PUT_SPREADING && (wake_ms == 0 || put->spread_ms < wake_ms)) {
            wake_ms = put->spread_ms;
        }
    }
    return wake_ms;
}

/* When one is due, all are: what goes to one holder fits into one packet and one commit. */
void record_put_tick(struct overlay *overlay)
{
    uint64_t due_ms = record_put_wake(overlay);
    uint32_t left = SPREADS_MAX;

    for (uint32_t i = 0; due_ms != 0 && overlay->now_ms >= due_ms && i < PUTS_MAX; i++) {
        if (overlay->puts[i].phase == PUT_SPREADING && left > 0) {
            spread(overlay, &overlay->puts[i]);
            left--;
        }
    }
}

/* Two writes of one record at a time would race each other through the phases. */
static struct put *new_put(struct overlay *overlay, const struct record *record)
{
    struct put *free_put = NULL;

    for (uint32_t i = 0; i < PUTS_MAX; i++) {
        struct put *put = &overlay->puts[i];

        if (put->phase == PUT_FREE || (put->phase == PUT_SPREADING && free_put == NULL)) {
            free_put = put;
        } else if (put->phase != PUT_SPREADING &&
                   id_equal(&put->record.key.service.id, &record->key.service.id) &&
                   put->record.key.number == record->key.number) {
            return NULL;
        }
    }
    if (free_put != NULL) {
        spread(overlay, free_put);
        memset(free_put, 0, offsetof(struct put, record));
        free_put->number = ++overlay->last_token;
        free_put->term = overlay->settled.term;
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

static void refuse_signature(struct overlay *overlay, uint64_t token)
{
    (void)effect_done(overlay, token, OVERLAY_REFUSED, "the record's signature is wrong");
}

bool record_put_here(struct overlay *overlay, const struct request *request)
{
    minga_Message message;
    struct record record;

    if (message_decode((struct bytes){request->bytes, request->length_bytes}, &message) < 0) {
        return false;
    }
    if (record_open((struct bytes){message.kind.record_put.record.bytes,
                                   message.kind.record_put.record.size},
                    &record) < 0) {
        refuse_signature(overlay, request->token);
        return true;
    }
    return put_here(overlay, request->token, &record);
}

void overlay_record_put(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                        struct bytes encoded, struct overlay_effects *effects)
{
    struct record record;
    struct ring_key key;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (record_glance(encoded, &record) < 0) {
        refuse_signature(overlay, token);
    } else if (!record_owner_stands(overlay, &record.owner)) {
        (void)effect_done(overlay, token, OVERLAY_REFUSED, "the owner has no node here");
    } else {
        key = ring_key_of(&record);
        if (!ring_responsible(&overlay->ring, &key, overlay->now_ms)) {
            send_put(overlay, token, &record); /* its signature is checked there */
        } else if (record_open(encoded, &record) < 0) {
            refuse_signature(overlay, token);
        } else if (!put_here(overlay, token, &record)) {
            send_put(overlay, token, &record);
        }
    }
    state_leave(overlay);
}

/* --- messages */

void record_put_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordPut *asked = &arrival->message->kind.record_put;
    struct record record;
    struct ring_key key;
    struct put *put;

    if (record_open((struct bytes){asked->record.bytes, asked->record.size}, &record) < 0) {
        answer_put(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED,
                   "the record's signature is wrong", 0);
        return;
    }
    if (!record_owner_stands(overlay, &record.owner)) {
        answer_put(overlay, &arrival->asker, minga_Outcome_OUTCOME_REFUSED,
                   "the owner has no node here", 0);
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
        say_busy(overlay, &arrival->asker);
        return;
    }
    put->asker = arrival->asker;
    start_reading(overlay, put);
}

/* --- answers */

static void on_read(struct overlay *overlay, struct put *put, const struct arrival *arrival)
{
    struct record record;

    if (arrival != NULL && arrival->message->which_kind == minga_Message_record_reply_tag &&
        record_open((struct bytes){arrival->message->kind.record_reply.record.bytes,
                                   arrival->message->kind.record_reply.record.size},
                    &record) == 0 &&
        record_owner_stands(overlay, &record.owner) && !record_keep(overlay, &record)) {
        give_back(overlay, put); /* without it nothing can be decided */
    }
    if (put->phase == PUT_READING && --put->waiting_count == 0) {
        compare(overlay, put);
    }
}

static void on_copied(struct overlay *overlay, struct put *put, bool durable)
{
    if (put->phase == PUT_WRITING) {
        put->waiting_count -= put->waiting_count > 0;
        put->durable_count += durable;
        check_written(overlay, put);
    }
}

void record_put_on_kept(struct overlay *overlay, uint64_t number, bool failed)
{
    struct put *put = find_put(overlay, number);

    if (put == NULL || put->phase != PUT_WRITING) {
        return;
    }
    put->is_storing = false;
    put->is_stored = !failed;
    put->durable_count += !failed;
    if (failed) {
        send_copies(overlay, put, RECORD_COPIES, put->number);
    }
    check_written(overlay, put);
}

void record_put_on_silence(struct overlay *overlay, const struct request *request)
{
    struct put *put = find_put(overlay, request->token);

    if (put != NULL && put->phase == PUT_WRITING) {
        send_copies(overlay, put, RECORD_COPIES, put->number);
    }
}

void record_put_on_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival)
{
    const minga_Message *message = arrival->message;
    struct put *put;

    if (request->kind == REQUEST_RECORD_PUT) {
        if (message->which_kind == minga_Message_record_put_reply_tag) {
            const minga_RecordPutReply *reply = &message->kind.record_put_reply;

            say_done(overlay, request->token, outcome_of(reply->outcome), reply->reason,
                     reply->copies);
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
