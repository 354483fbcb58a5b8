// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Fetching a chunk: from its holders and from others who likely have it, the near ones first, else
 * in random order so that several chunks come from several members. One that sends wrong bytes is not asked for a while.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    BLAME_MS = 60000,
    SILENT_MS =
        60000, /* one that did not answer a question for a chunk is asked last for so long */
    CHUNK_GET_MS = 5000, /* doubles with each one that was silent: the line may just be slow */
    CHUNK_GET_MS_MAX = 40000,
    BUSY_RETRY_MS = 200,
    LINE_MS = 1000, /* the limit of the line is looked at again: it may be another one */
    BUSY_ROUNDS_MAX = 50,
    EVICTION_LOOKS_MAX = 512,
    EVICTIONS_MAX = 64, /* small ones, for one that may be large */
};

static const char no_room[] = "this node's storage share is full";

static struct chunk_get *find_get(struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < CHUNK_GETS_MAX; i++) {
        if (overlay->chunk_gets[i].used && overlay->chunk_gets[i].number == number) {
            return &overlay->chunk_gets[i];
        }
    }
    return NULL;
}

static void end_get(struct overlay *overlay, struct chunk_get *get, enum overlay_outcome outcome,
                    const char *reason)
{
    CHECK(get->used && overlay->chunk_get_count > 0);
    get->used = false;
    overlay->chunk_get_count--;
    (void)effect_done(overlay, get->token, outcome, reason);
}

/* --- whom to ask */

static void add_candidate(struct overlay *overlay, struct chunk_get *get,
                          const struct node_id *node)
{
    if (peer_is_self(overlay, node) || get->candidate_count == CHUNK_CANDIDATES_MAX ||
        !peer_is_reachable(overlay, node)) {
        return;
    }
    for (uint32_t i = 0; i < get->candidate_count; i++) {
        if (id_equal(&get->candidates[i].id, &node->id)) {
            return;
        }
    }
    get->candidates[get->candidate_count++] = *node;
}

static void shuffle(struct overlay *overlay, struct chunk_get *get)
{
    for (uint32_t i = get->candidate_count; i > 1; i--) {
        uint32_t other = (uint32_t)random_below(&overlay->random, i);
        struct node_id node = get->candidates[i - 1];

        get->candidates[i - 1] = get->candidates[other];
        get->candidates[other] = node;
    }
}

static void add_holders(struct overlay *overlay, struct chunk_get *get,
                        const struct node_id *holders, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < CHUNK_COPIES; i++) {
        add_candidate(overlay, get, &holders[i]);
    }
    shuffle(overlay, get);
    near_sort(overlay, get->candidates, get->candidate_count);
    /* Behind them, in ring order, those who held it before the ring changed. */
    for (uint32_t i = CHUNK_COPIES; i < count; i++) {
        add_candidate(overlay, get, &holders[i]);
    }
}

/* Returns whether the holders are known; else they are being looked up. */
static bool find_candidates(struct overlay *overlay, struct chunk_get *get,
                            const struct node_id *others, uint32_t other_count)
{
    struct node_id holders[CHUNK_CANDIDATES_MAX];
    struct ring_key key = {get->chunk.id};
    uint32_t count = chunk_holders(overlay, &get->chunk, CHUNK_CANDIDATES_MAX, holders);

    for (uint32_t i = 0; i < other_count && i < CHUNK_CANDIDATES_MAX / 2; i++) {
        add_candidate(overlay, get, &others[i]);
    }
    if (!search_is_known(overlay, &key) &&
        search_start(overlay, &key, SEARCH_CHUNK_GET, get->number)) {
        return false;
    }
    add_holders(overlay, get, holders, count);
    return true;
}

/* Not blamed, and still up: nobody hears of the end of a request to one that was dead before. */
static bool is_worth_asking(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    return peer_is_reachable(overlay, node) &&
           (index == MEMBER_NONE || overlay->membership.list[index].blamed_ms <= overlay->now_ms);
}

static bool is_silent(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    return index != MEMBER_NONE && overlay->membership.list[index].silent_ms > overlay->now_ms;
}

/* Of those that were not asked yet, the ones that kept silent lately come last, else in their order. */
static void put_silent_last(const struct overlay *overlay, struct chunk_get *get)
{
    struct node_id silent[CHUNK_CANDIDATES_MAX];
    uint32_t silent_count = 0;
    uint32_t count = get->next;

    for (uint32_t i = get->next; i < get->candidate_count; i++) {
        if (is_silent(overlay, &get->candidates[i])) {
            silent[silent_count++] = get->candidates[i];
        } else {
            get->candidates[count++] = get->candidates[i];
        }
    }
    for (uint32_t i = 0; i < silent_count; i++) {
        get->candidates[count++] = silent[i];
    }
}

/* --- room for it */

/* Of some, the one that was used least recently; only what others have, and this node need not. */
static const struct chunk *find_dispensable(struct overlay *overlay)
{
    uint32_t cursor = (uint32_t)random_below(&overlay->random, CHUNK_SLOTS);
    const struct chunk *oldest = NULL;

    for (uint32_t i = 0; i < EVICTION_LOOKS_MAX && i < overlay->chunks.count; i++) {
        const struct chunk *chunk = chunks_next(&overlay->chunks, &cursor);

        if (chunk == NULL) {
            cursor = 0; /* of a ring */
            chunk = chunks_next(&overlay->chunks, &cursor);
        }
        CHECK(chunk != NULL);
        if (chunk->home_mark != 0 && (oldest == NULL || chunk->used_s < oldest->used_s) &&
            !chunk_is_home(overlay, &chunk->id, &overlay->self)) {
            oldest = chunk;
        }
    }
    return oldest;
}

/* Chunks that others hold and this node only fetched once make room first. */
bool storage_make_room(struct overlay *overlay, uint64_t bytes, struct chunks_promised promised)
{
    for (uint32_t i = 0; !storage_has_room(overlay, bytes, promised); i++) {
        const struct chunk *chunk = i < EVICTIONS_MAX ? find_dispensable(overlay) : NULL;
        struct overlay_effect *effect =
            chunk == NULL ? NULL : effect_add(overlay, OVERLAY_DROP_CHUNK);

        if (effect == NULL) {
            return false;
        }
        effect->chunk = chunk->id;
        collect_forget(overlay, &effect->chunk);
    }
    return true;
}

struct chunks_promised chunk_get_promised(const struct overlay *overlay)
{
    struct chunks_promised promised = {0};

    for (uint32_t i = 0; overlay->chunk_get_count > 0 && i < CHUNK_GETS_MAX; i++) {
        const struct chunk_get *get = &overlay->chunk_gets[i];

        if (get->used && get->promised_bytes > 0) {
            promised.count++;
            promised.cost_bytes += chunk_cost_bytes(get->promised_bytes);
        }
    }
    return promised;
}

/* Until all that is on its way has come, which may be smaller than was promised. What is bad here
 * has its place already. */
static bool may_have_room_for(struct overlay *overlay, const struct chunk_id *chunk)
{
    return chunks_is_bad(&overlay->chunks, chunk) ||
           storage_make_room(overlay, CHUNK_BYTES_MAX, (struct chunks_promised){0});
}

/* False: it waits for others to come, or has ended. */
static bool is_promised(struct overlay *overlay, struct chunk_get *get)
{
    struct chunks_promised promised = storage_promised(overlay);

    if (get->promised_bytes > 0 || chunks_is_bad(&overlay->chunks, &get->chunk)) {
        return true;
    }
    if (storage_has_room(overlay, CHUNK_BYTES_MAX, promised) ||
        (chunk_get_promised(overlay).count == 0 && /* else what has just come would go for it */
         storage_make_room(overlay, CHUNK_BYTES_MAX, promised))) {
        get->promised_bytes = CHUNK_BYTES_MAX;
        return true;
    }
    if (may_have_room_for(overlay, &get->chunk)) {
        get->retry_ms = overlay->now_ms + BUSY_RETRY_MS;
    } else {
        end_get(overlay, get, OVERLAY_FULL, no_room);
    }
    return false;
}

/* --- asking */

static uint64_t patience_ms(const struct chunk_get *get)
{
    uint64_t patience = (uint64_t)CHUNK_GET_MS << (get->silent_count > 4 ? 4 : get->silent_count);

    return patience > CHUNK_GET_MS_MAX ? CHUNK_GET_MS_MAX : patience;
}

static bool ask(struct overlay *overlay, struct chunk_get *get, const struct node_id *node)
{
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_chunk_get_tag);
    message_put_id(message.kind.chunk_get.chunk, &get->chunk.id);
    request = peer_request(overlay, REQUEST_CHUNK_GET, node, &message, patience_ms(get));
    if (request == NULL) {
        return false;
    }
    request->repeat_ms = 0; /* a repeated question would be answered by a second megabyte */
    request->token = get->number;
    get->asked = *node;
    return true;
}

static void rest(struct overlay *overlay, struct chunk_get *get)
{
    if (!get->any_busy || get->busy_rounds++ >= BUSY_ROUNDS_MAX) {
        end_get(overlay, get, OVERLAY_NOT_FOUND, "no member that is up has this chunk");
        return;
    }
    get->any_busy = false;
    get->next = 0;
    get->retry_ms =
        overlay->now_ms + BUSY_RETRY_MS / 2 + random_below(&overlay->random, BUSY_RETRY_MS);
}

static void ask_next(struct overlay *overlay, struct chunk_get *get)
{
    uint64_t wait_ms = bucket_wait_ms(&overlay->repair.download, overlay->now_ms);

    if (wait_ms > 0) { /* the owner's line: not asked, so nobody waits for an answer */
        get->retry_ms = overlay->now_ms + (wait_ms < LINE_MS ? wait_ms : LINE_MS);
        return;
    }
    if (!is_promised(overlay, get)) {
        return;
    }
    put_silent_last(overlay, get);
    while (get->next < get->candidate_count) {
        const struct node_id *node = &get->candidates[get->next++];

        if (!is_worth_asking(overlay, node)) {
            continue;
        }
        if (ask(overlay, get, node)) {
            return;
        }
        get->any_busy = true; /* our own table is full: later */
        break;
    }
    rest(overlay, get);
}

static struct chunk_get *new_get(struct overlay *overlay, uint64_t token,
                                 const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_GETS_MAX; i++) {
        struct chunk_get *get = &overlay->chunk_gets[i];

        if (!get->used) {
            memset(get, 0, sizeof(*get));
            get->used = true;
            overlay->chunk_get_count++;
            get->number = ++overlay->last_token;
            get->token = token;
            get->chunk = *chunk;
            return get;
        }
    }
    return NULL;
}

void overlay_chunk_get(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                       const struct overlay_wanted *wanted, struct overlay_effects *effects)
{
    struct chunk_references references = collect_one(&wanted->reference);
    struct chunk_get *get;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (chunks_find(&overlay->chunks, &wanted->chunk) != NULL) {
        (void)collect_note(overlay, &wanted->chunk, &references, true, 0);
        (void)effect_done(overlay, token, OVERLAY_OK, "");
    } else if (!may_have_room_for(overlay, &wanted->chunk)) {
        (void)effect_done(overlay, token, OVERLAY_FULL, no_room);
    } else {
        get = new_get(overlay, token, &wanted->chunk);
        if (get == NULL) {
            (void)effect_done(overlay, token, OVERLAY_FULL, "too many chunks are under way");
        } else {
            get->references = references;
            if (find_candidates(overlay, get, wanted->others, wanted->other_count)) {
                ask_next(overlay, get);
            }
        }
    }
    state_leave(overlay);
}

static bool is_being_fetched(const struct overlay *overlay, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_GETS_MAX; i++) {
        if (overlay->chunk_gets[i].used && id_equal(&overlay->chunk_gets[i].chunk.id, &chunk->id)) {
            return true;
        }
    }
    return false;
}

void chunk_get_again(struct overlay *overlay, const struct chunk_id *chunk,
                     const struct chunk_references *references)
{
    struct chunk_get *get = NULL;

    if (!is_being_fetched(overlay, chunk) && may_have_room_for(overlay, chunk)) {
        get = new_get(overlay, 0, chunk);
    }
    if (get != NULL) {
        get->references = *references;
        if (find_candidates(overlay, get, NULL, 0)) {
            ask_next(overlay, get);
        }
    }
}

void chunk_get_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                          uint32_t count)
{
    struct chunk_get *get = find_get(overlay, number);

    if (get != NULL) {
        add_holders(overlay, get, holders, count);
        ask_next(overlay, get);
    }
}

void chunk_blame(struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    if (index != MEMBER_NONE) {
        overlay->membership.list[index].blamed_ms = overlay->now_ms + BLAME_MS;
        effect_trace(overlay, "node %02x%02x sent a wrong chunk", node->id.bytes[0],
                     node->id.bytes[1]);
    }
}

static void take_data(struct overlay *overlay, struct chunk_get *get, const struct arrival *arrival)
{
    struct overlay_effect *effect;

    if (arrival->data.length_bytes > CHUNK_BYTES_MAX) {
        chunk_blame(overlay, &arrival->asker.node);
        ask_next(overlay, get);
        return;
    }
    effect = effect_add(overlay, OVERLAY_STORE_CHUNK);
    if (effect == NULL) {
        ask_next(overlay, get);
        return;
    }
    effect->chunk = get->chunk;
    effect->data = arrival->data;
    effect->token = get->number;
    get->storing = true;
    get->promised_bytes = (uint32_t)arrival->data.length_bytes;
    bucket_take(&overlay->repair.download, arrival->data.length_bytes);
}

void chunk_get_on_reply(struct overlay *overlay, const struct request *request,
                        const struct arrival *arrival)
{
    struct chunk_get *get = find_get(overlay, request->token);
    const minga_Message *message = arrival->message;

    if (get == NULL || get->storing) {
        return;
    }
    if (message->which_kind == minga_Message_chunk_data_tag &&
        memcmp(message->kind.chunk_data.chunk, get->chunk.id.bytes, ID_BYTES) == 0) {
        take_data(overlay, get, arrival);
        return;
    }
    if (message->which_kind == minga_Message_chunk_absent_tag && message->kind.chunk_absent.busy) {
        get->any_busy = true;
    }
    ask_next(overlay, get);
}

/* Though it is up, or seems to be. */
static void note_silence(struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    if (index != MEMBER_NONE) {
        overlay->membership.list[index].silent_ms = overlay->now_ms + SILENT_MS;
    }
}

void chunk_get_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct chunk_get *get = find_get(overlay, request->token);

    if (get != NULL && !get->storing) {
        /* One that died, or whose link broke, says nothing about the line. */
        if (overlay->now_ms - request->sent_ms >= patience_ms(get)) {
            get->silent_count++;
            note_silence(overlay, &request->to);
        }
        ask_next(overlay, get);
    }
}

/* Where it came from it still is. */
static void end_fetched(struct overlay *overlay, struct chunk_get *get)
{
    struct chunk *chunk = chunks_entry(&overlay->chunks, &get->chunk);

    if (chunk == NULL) {
        end_get(overlay, get, OVERLAY_FULL, no_room);
        return;
    }
    (void)collect_note(overlay, &get->chunk, &get->references, get->token != 0, 0);
    chunk->used_s = (uint32_t)(overlay->now_ms / 1000);
    if (chunk_is_home(overlay, &get->chunk, &get->asked)) {
        chunk->home_mark = repair_home_mark(overlay, &get->chunk);
        chunk->offered_mark = chunk->home_mark;
    }
    end_get(overlay, get, OVERLAY_OK, "");
}

bool chunk_get_on_stored(struct overlay *overlay, const struct overlay_event *event)
{
    struct chunk_get *get = find_get(overlay, event->token);

    if (get == NULL || !get->storing) {
        return false;
    }
    get->storing = false;
    switch (event->outcome) {
    case OVERLAY_CHUNK_OK:
        end_fetched(overlay, get);
        break;
    case OVERLAY_CHUNK_WRONG_HASH:
        chunk_blame(overlay, &get->asked);
        ask_next(overlay, get);
        break;
    case OVERLAY_CHUNK_FAILED: /* too much at once */
        get->any_busy = true;
        rest(overlay, get);
        break;
    case OVERLAY_CHUNK_REFUSED:
        end_get(overlay, get, OVERLAY_FAILED, "this node's disk refused the chunk");
        break;
    }
    return true;
}

void chunk_get_tick(struct overlay *overlay)
{
    for (uint32_t i = 0; overlay->chunk_get_count > 0 && i < CHUNK_GETS_MAX; i++) {
        struct chunk_get *get = &overlay->chunk_gets[i];

        if (get->used && get->retry_ms != 0 && overlay->now_ms >= get->retry_ms) {
            get->retry_ms = 0;
            ask_next(overlay, get);
        }
    }
}

uint64_t chunk_get_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; overlay->chunk_get_count > 0 && i < CHUNK_GETS_MAX; i++) {
        const struct chunk_get *get = &overlay->chunk_gets[i];

        if (get->used && get->retry_ms != 0 && (wake_ms == 0 || get->retry_ms < wake_ms)) {
            wake_ms = get->retry_ms;
        }
    }
    return wake_ms;
}
