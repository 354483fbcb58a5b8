// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Reading an owner's record. The responsible node is asked alone: when it has compared with the
 * other holders (settled.c), what it says stands, "none" too. Else, or when it does not answer at
 * once, others are asked as well, and the newest answer stands. Chunks are not dropped on the word of
 * one member: for collect.c all holders are asked, whatever the responsible node says.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    GET_MS = 2000,
    GET_NEAREST = 3,
    IMAGES_MS = REPLY_MS,   /* without an answer: the other neighbourhoods are asked, all at once */
    ENOUGH_MS = 2 * GET_MS, /* then what they say does, confirmed or not */
};

/* That there is none: said by the responsible node, and denied by nobody of at least half. */
static bool is_certain(const struct get *get)
{
    return get->settled && 2 * get->answered_count >= get->asked_count;
}

static void end_get(struct overlay *overlay, struct get *get)
{
    struct overlay_effect *effect;

    get->used = false;
    if (get->is_own) {
        collect_on_record(overlay, get->found ? &get->best : NULL, is_certain(get));
        return;
    }
    if (!get->found) {
        (void)effect_done(overlay, get->token, OVERLAY_NOT_FOUND, "no member has such a record");
        return;
    }
    effect = effect_done(overlay, get->token, OVERLAY_OK, "");
    if (effect != NULL) {
        effect->record =
            effect_keep(overlay, (struct bytes){get->best.bytes, get->best.length_bytes});
    }
}

static void make_question(const struct get *get, minga_Message *message_out)
{
    message_init(message_out, minga_Message_record_get_tag);
    message_put_id(message_out->kind.record_get.service, &get->key.service.id);
    message_out->kind.record_get.kind = record_kind(&get->key);
    message_out->kind.record_get.number = record_number(&get->key);
}

/* In a large community: nothing may be left, or to be reached, of the record's own neighbourhood. */
static void ask_images(struct overlay *overlay, struct get *get)
{
    struct ring_key key = {get->key.service.id};
    minga_Message message;

    if (get->images_ms != 0) {
        get->images_ms = 0;
        get->enough_ms = overlay->now_ms + ENOUGH_MS;
        make_question(get, &message);
        get->waiting_count += images_ask(overlay, REQUEST_RECORD_READ, &key, &message, get->number);
    }
}

static void ask_holders(struct overlay *overlay, struct get *get, uint32_t count_max)
{
    minga_Message message;

    make_question(get, &message);
    for (; get->asked_count < get->holder_count && count_max > 0; get->asked_count++) {
        const struct node_id *holder = &get->holders[get->asked_count];
        struct request *request;

        if (peer_is_self(overlay, holder)) {
            continue;
        }
        request = peer_request(overlay, REQUEST_RECORD_READ, holder, &message, GET_MS);
        if (request != NULL) {
            request->token = get->number;
            get->waiting_count++;
            count_max--;
        }
    }
}

/* All that were asked have answered, or did not: enough, or are there more to ask? */
static void go_on(struct overlay *overlay, struct get *get)
{
    if (get->settled && !get->is_own) {
        end_get(overlay, get);
        return;
    }
    if (get->waiting_count > 0) {
        return;
    }
    if (get->asked_count < GET_NEAREST) {
        ask_holders(overlay, get, GET_NEAREST - get->asked_count);
    }
    if ((get->is_own || (get->waiting_count == 0 && !get->found)) &&
        get->asked_count < get->holder_count) {
        ask_holders(overlay, get, RECORD_COPIES);
    }
    if (get->waiting_count == 0 && !get->found && !get->settled) {
        ask_images(overlay, get);
    }
    if (get->waiting_count == 0) {
        end_get(overlay, get);
    }
}

/* Garbage is not collected by what nobody has confirmed. */
static uint64_t due_ms(const struct get *get)
{
    if (!get->used || get->images_ms != 0) {
        return get->used ? get->images_ms : 0;
    }
    return get->found && !get->is_own ? get->enough_ms : 0;
}

uint64_t record_get_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < GETS_MAX && overlay->large; i++) {
        uint64_t ms = due_ms(&overlay->gets[i]);

        if (ms != 0 && (wake_ms == 0 || ms < wake_ms)) {
            wake_ms = ms;
        }
    }
    return wake_ms;
}

void record_get_tick(struct overlay *overlay)
{
    for (uint32_t i = 0; i < GETS_MAX && overlay->large; i++) {
        struct get *get = &overlay->gets[i];
        uint64_t ms = due_ms(get);

        if (ms == 0 || overlay->now_ms < ms) {
            continue;
        }
        if (get->images_ms != 0) {
            ask_images(overlay, get);
        } else {
            end_get(overlay, get);
        }
    }
}

static void consider(struct get *get, const struct record *record)
{
    if (!get->found || record->sequence > get->best.sequence ||
        (record->sequence == get->best.sequence &&
         id_compare(&record->hash, &get->best.hash) < 0)) {
        get->best = *record;
        get->found = true;
    }
}

static struct get *new_get(struct overlay *overlay, uint64_t token, const struct record_key *key)
{
    for (uint32_t i = 0; i < GETS_MAX; i++) {
        struct get *get = &overlay->gets[i];

        if (!get->used) {
            memset(get, 0, offsetof(struct get, best));
            get->found = false;
            get->settled = false;
            get->used = true;
            get->number = ++overlay->last_token;
            get->token = token;
            get->key = *key;
            return get;
        }
    }
    return NULL;
}

static void find_holders(struct overlay *overlay, struct get *get, const struct ring_key *place)
{
    if (search_is_known(overlay, place)) {
        get->holder_count = search_holders(overlay, place, RECORD_COPIES, get->holders);
        /* The responsible node has the newest; of the others the near ones answer first. */
        if (get->holder_count > 1) {
            near_sort(overlay, &get->holders[1], get->holder_count - 1);
        }
        ask_holders(overlay, get, 1);
    } else if (search_start(overlay, place, SEARCH_RECORD_GET, get->number)) {
        get->waiting_count++;
    }
}

static void begin_get(struct overlay *overlay, struct get *get)
{
    struct ring_key place = {get->key.service.id};
    const struct record *local = records_find(&overlay->records, &get->key);

    if (local != NULL) {
        consider(get, local);
    }
    get->settled = settled_is_whole(overlay, &place);
    get->images_ms = overlay->large ? overlay->now_ms + IMAGES_MS : 0;
    if (!get->settled) {
        find_holders(overlay, get, &place);
    }
    go_on(overlay, get);
}

void overlay_record_get(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                        const struct record_key *key, struct overlay_effects *effects)
{
    struct get *get;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    get = new_get(overlay, token, key);
    if (get == NULL) {
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many reads are under way");
    } else {
        begin_get(overlay, get);
    }
    state_leave(overlay);
}

bool record_get_own(struct overlay *overlay, const struct record_key *key)
{
    struct get *get = new_get(overlay, 0, key);

    if (get == NULL) {
        return false;
    }
    get->is_own = true;
    begin_get(overlay, get);
    return true;
}

void record_get_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_RecordGet *asked = &arrival->message->kind.record_get;
    struct service_id service = {message_id(asked->service)};
    struct record_key key = record_key(&service, asked->kind, asked->number);
    const struct record *record = records_find(&overlay->records, &key);
    minga_Message message;

    message_init(&message, minga_Message_record_reply_tag);
    message.kind.record_reply.settled = settled_is_whole(overlay, &(struct ring_key){service.id});
    if (record != NULL) {
        memcpy(message.kind.record_reply.record.bytes, record->bytes, record->length_bytes);
        message.kind.record_reply.record.size = (pb_size_t)record->length_bytes;
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

static struct get *find_get(struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < GETS_MAX; i++) {
        if (overlay->gets[i].used && overlay->gets[i].number == number) {
            return &overlay->gets[i];
        }
    }
    return NULL;
}

static bool same_key(const struct record_key *a, const struct record_key *b)
{
    return id_equal(&a->service.id, &b->service.id) && a->number == b->number;
}

/* Byte for byte what was verified before: most reads of a holder confirm what it has. */
static bool is_known(const struct get *get, const minga_RecordReply *reply)
{
    return get->found && reply->record.size == get->best.length_bytes &&
           memcmp(reply->record.bytes, get->best.bytes, get->best.length_bytes) == 0;
}

void record_get_on_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival)
{
    struct get *get = find_get(overlay, request->token);
    const minga_Message *message = arrival->message;
    struct record record;

    if (get == NULL) {
        return;
    }
    CHECK(get->waiting_count > 0);
    get->waiting_count--;
    if (message->which_kind == minga_Message_record_reply_tag && !request->is_image) {
        get->answered_count++;
        if (id_equal(&request->to.id, &get->holders[0].id)) {
            get->settled = message->kind.record_reply.settled;
        }
    }
    if (message->which_kind == minga_Message_record_reply_tag &&
        !is_known(get, &message->kind.record_reply) &&
        record_open((struct bytes){message->kind.record_reply.record.bytes,
                                   message->kind.record_reply.record.size},
                    &record) == 0 &&
        same_key(&record.key, &get->key)) {
        consider(get, &record);
    }
    go_on(overlay, get);
}

void record_get_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct get *get = find_get(overlay, request->token);

    if (get != NULL) {
        CHECK(get->waiting_count > 0);
        get->waiting_count--;
        go_on(overlay, get);
    }
}

void record_get_on_silence(struct overlay *overlay, const struct request *request)
{
    struct get *get = find_get(overlay, request->token);

    if (get != NULL) {
        ask_holders(overlay, get, GET_NEAREST);
    }
}

void record_get_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                           uint32_t count)
{
    struct get *get = find_get(overlay, number);

    if (get == NULL) {
        return;
    }
    CHECK(get->waiting_count > 0);
    CHECK(count <= RECORD_COPIES);
    get->waiting_count--;
    get->holder_count = count;
    for (uint32_t i = 0; i < count; i++) {
        get->holders[i] = holders[i];
    }
    ask_holders(overlay, get, 1);
    go_on(overlay, get);
}
