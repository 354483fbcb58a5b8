// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Chunks that other members offer: taken when there is room, verified and written, noted for whom
 * they are, and then acknowledged.
 */
#include "overlay/state.h"

enum {
    RECEIVE_MS = 30000,
    YIELD_MS = 5000,          /* whose data has not begun by then makes way for another member's */
    CROWD_MS = 60000,         /* who has much gets no more after somebody was turned away */
    RECORD_COST_BYTES = 4096, /* a page of the database, at most */
};

static struct chunk_receive *find_receive(struct overlay *overlay, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (receive->used && !receive->storing && overlay->now_ms >= receive->until_ms) {
            receive->used = false;
        }
        if (receive->used && id_equal(&receive->chunk.id, &chunk->id)) {
            return receive;
        }
    }
    return NULL;
}

bool storage_has_room(const struct overlay *overlay, uint64_t bytes,
                      struct chunks_promised promised)
{
    promised.cost_bytes += (uint64_t)overlay->records.count * RECORD_COST_BYTES;
    return chunks_have_room(&overlay->chunks, bytes, promised);
}

/* Data is sent before the disk is asked: while it refuses, one is taken now and then, to see. */
void storage_written(struct overlay *overlay, enum overlay_chunk_outcome outcome)
{
    struct repair *repair = &overlay->repair;

    if (outcome == OVERLAY_CHUNK_REFUSED) {
        repair->refused_ms = overlay->now_ms;
    }
    if (outcome == OVERLAY_CHUNK_OK) {
        repair->refused_until_ms = 0;
        repair->refused_count = 0;
    } else if (outcome == OVERLAY_CHUNK_REFUSED && overlay->now_ms >= repair->refused_until_ms) {
        repair->refused_until_ms =
            overlay->now_ms + ((uint64_t)REFUSED_MS << repair->refused_count);
        repair->refused_count += repair->refused_count < REFUSED_DOUBLINGS_MAX;
    }
}

/* Somebody waits for a push, who may have made room since: it is let see sooner than repair, whose
 * data would mostly be sent for nothing. */
static bool is_refusing(const struct overlay *overlay, bool is_repair)
{
    const struct repair *repair = &overlay->repair;

    return overlay->now_ms < repair->refused_until_ms &&
           (is_repair || overlay->now_ms - repair->refused_ms < REFUSED_PUSH_MS);
}

/* Is one on its way that shows whether the disk takes something again? */
static bool is_seeing(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX && overlay->repair.refused_count > 0; i++) {
        if (overlay->chunk_receives[i].used) {
            return true;
        }
    }
    return false;
}

static struct chunks_promised offers_promised(const struct overlay *overlay)
{
    struct chunks_promised promised = {0};

    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (receive->used && !receive->is_noting) { /* else it is in the table */
            promised.count++;
            promised.cost_bytes += chunk_cost_bytes(receive->bytes);
        }
    }
    return promised;
}

struct chunks_promised storage_promised(const struct overlay *overlay)
{
    struct chunks_promised promised = offers_promised(overlay);
    struct chunks_promised fetched = chunk_get_promised(overlay);

    return (struct chunks_promised){promised.count + fetched.count,
                                    promised.cost_bytes + fetched.cost_bytes};
}

static struct chunk_receive *new_receive(struct overlay *overlay, const struct chunk_id *chunk,
                                         const minga_ChunkOffer *offered)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (!receive->used) {
            *receive = (struct chunk_receive){.used = true,
                                              .token = ++overlay->last_token,
                                              .chunk = *chunk,
                                              .bytes = offered->bytes,
                                              .is_repair = offered->repair,
                                              .since_ms = overlay->now_ms,
                                              .until_ms = overlay->now_ms + RECEIVE_MS};
            return receive;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ one member's part */

/* More than a quarter of the places, or of the room that is left, without any data yet. Alone it may. */
static bool has_much(const struct overlay *overlay, const struct node_id *node)
{
    const struct chunks *chunks = &overlay->chunks;
    uint64_t taken_bytes =
        chunks->cost_bytes + (uint64_t)overlay->records.count * RECORD_COST_BYTES;
    uint64_t left_bytes = chunks->bytes_max > taken_bytes ? chunks->bytes_max - taken_bytes : 0;
    uint64_t cost_bytes = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (receive->used && !receive->storing && id_equal(&receive->asker.node.id, &node->id)) {
            count++;
            cost_bytes += chunk_cost_bytes(receive->bytes);
        }
    }
    return 4 * count > CHUNK_PUTS_MAX || 4 * cost_bytes > left_bytes;
}

/* A place of somebody else who has much, that long without data; NULL: nobody has. */
static struct chunk_receive *find_much(struct overlay *overlay, const struct node_id *node,
                                       uint64_t silent_ms)
{
    const struct node_id *modest = node; /* the last one looked at */

    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (!receive->used || receive->storing || overlay->now_ms - receive->since_ms < silent_ms ||
            id_equal(&receive->asker.node.id, &node->id) ||
            id_equal(&receive->asker.node.id, &modest->id)) {
            continue;
        }
        if (has_much(overlay, &receive->asker.node)) {
            return receive;
        }
        modest = &receive->asker.node;
    }
    return NULL;
}

static bool make_way(struct overlay *overlay, const struct node_id *node)
{
    struct chunk_receive *receive = find_much(overlay, node, YIELD_MS);

    if (receive != NULL) {
        receive->used = false;
    }
    return receive != NULL;
}

/* Is it for what others were promised that there is no room? They get no more for a while. */
static bool is_crowded_out(struct overlay *overlay, const struct node_id *node)
{
    if (find_much(overlay, node, 0) == NULL) {
        return false;
    }
    overlay->receive_crowd = (struct receive_crowd){*node, overlay->now_ms + CROWD_MS};
    return true;
}

static bool must_wait(const struct overlay *overlay, const struct node_id *node)
{
    const struct receive_crowd *crowd = &overlay->receive_crowd;

    return overlay->now_ms < crowd->until_ms && !id_equal(&crowd->node.id, &node->id) &&
           has_much(overlay, node);
}

/* ------------------------------------------------------------------ offers */

/* For whom the sender says it is. */
static struct chunk_references read_references(const minga_ChunkOffers *message,
                                               const minga_ChunkOffer *offered)
{
    struct chunk_references references = {.is_common = offered->common};

    for (pb_size_t i = 0; i < message->named_count; i++) {
        if ((offered->references >> i & 1) != 0 && references.count < CHUNK_REFERENCES_MAX) {
            references.age_s[references.count] = message->named[i].age_s;
            references.list[references.count++] = (struct overlay_reference){
                {message_id(message->named[i].service)}, {message_id(message->named[i].tree)}};
        }
    }
    return references;
}

/* What lives here may take the place of what does not. */
static bool has_room_for(struct overlay *overlay, const struct chunk_id *chunk, uint64_t bytes)
{
    struct chunks_promised promised = storage_promised(overlay);

    return storage_has_room(overlay, bytes, promised) || chunks_is_bad(&overlay->chunks, chunk) ||
           (chunk_is_home(overlay, chunk, &overlay->self) &&
            storage_make_room(overlay, bytes, promised));
}

/* What was promised to others may not come, and what is fetched may take less. */
static minga_ChunkAnswer no_room(struct overlay *overlay, const struct node_id *node,
                                 const minga_ChunkOffer *offered)
{
    return is_crowded_out(overlay, node) ||
                   storage_has_room(overlay, offered->bytes, offers_promised(overlay))
               ? minga_ChunkAnswer_CHUNK_BUSY
               : minga_ChunkAnswer_CHUNK_FULL;
}

static minga_ChunkAnswer take_up(struct overlay *overlay, const struct arrival *arrival,
                                 const minga_ChunkOffer *offered,
                                 const struct chunk_references *references)
{
    struct chunk_id chunk = {message_id(offered->chunk)};
    const struct node_id *node = &arrival->asker.node;
    struct chunk_receive *receive;

    if (!overlay->record.stores || offered->bytes > CHUNK_BYTES_MAX ||
        (offered->repair && collect_refuses(overlay, references)) ||
        is_refusing(overlay, offered->repair)) {
        return minga_ChunkAnswer_CHUNK_FULL;
    }
    if (is_seeing(overlay)) { /* it will be known at once: nobody need look for others yet */
        return minga_ChunkAnswer_CHUNK_BUSY;
    }
    if (must_wait(overlay, node)) {
        return minga_ChunkAnswer_CHUNK_BUSY;
    }
    while (!has_room_for(overlay, &chunk, offered->bytes)) {
        if (!make_way(overlay, node)) {
            return no_room(overlay, node, offered);
        }
    }
    if (!bucket_is_open(&overlay->repair.download, overlay->now_ms)) {
        return minga_ChunkAnswer_CHUNK_BUSY; /* the owner's line: later */
    }
    receive = new_receive(overlay, &chunk, offered);
    if (receive == NULL && make_way(overlay, node)) {
        receive = new_receive(overlay, &chunk, offered);
    }
    if (receive == NULL) {
        (void)is_crowded_out(overlay, node);
        return minga_ChunkAnswer_CHUNK_BUSY;
    }
    receive->asker = arrival->asker;
    receive->references = *references;
    return minga_ChunkAnswer_CHUNK_SEND;
}

/* Somebody counts on this copy from now on, and may drop its own: it does not make room before the
 * homes have been asked once more. */
static void count_on(struct overlay *overlay, const struct chunk_id *chunk, bool is_repair)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, chunk);

    if (is_repair && entry != NULL && entry->home_mark != 0) {
        entry->home_mark = 0;
        entry->offered_mark = 0;
    }
}

minga_ChunkAnswer chunk_receive_judge(struct overlay *overlay, const struct arrival *arrival,
                                      const minga_ChunkOffer *offered)
{
    struct chunk_id chunk = {message_id(offered->chunk)};
    struct chunk_receive *receive = find_receive(overlay, &chunk);
    struct chunk_references references =
        read_references(&arrival->message->kind.chunk_offers, offered);

    if (chunks_find(&overlay->chunks, &chunk) != NULL) {
        if (offered->repair && shed_disowns(overlay)) {
            return minga_ChunkAnswer_CHUNK_FULL;
        }
        (void)collect_note(overlay, &chunk, &references, !offered->repair, 0);
        count_on(overlay, &chunk, offered->repair);
        return minga_ChunkAnswer_CHUNK_HAVE;
    }
    if (receive != NULL) {
        bool same = id_equal(&receive->asker.node.id, &arrival->asker.node.id);

        /* A repeated offer of the same member is told the same again. */
        return same && !receive->storing ? minga_ChunkAnswer_CHUNK_SEND
                                         : minga_ChunkAnswer_CHUNK_BUSY;
    }
    return take_up(overlay, arrival, offered, &references);
}

static void acknowledge(struct overlay *overlay, const struct asker *asker, minga_Outcome outcome)
{
    minga_Message message;

    message_init(&message, minga_Message_acknowledged_tag);
    message.kind.acknowledged.outcome = outcome;
    peer_reply(overlay, asker, &message, NULL);
}

static void end_receive(struct overlay *overlay, struct chunk_receive *receive,
                        minga_Outcome outcome)
{
    receive->used = false;
    acknowledge(overlay, &receive->asker, outcome);
}

/* It has become garbage on its way. */
static void drop(struct overlay *overlay, struct chunk_receive *receive)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_DROP_CHUNK);

    if (effect != NULL) {
        effect->chunk = receive->chunk;
        collect_forget(overlay, &receive->chunk);
    }
    end_receive(overlay, receive, minga_Outcome_OUTCOME_REFUSED);
}

static void note_references(struct overlay *overlay, struct chunk_receive *receive)
{
    if (collect_note(overlay, &receive->chunk, &receive->references, !receive->is_repair,
                     receive->token)) {
        receive->is_noting = true;
        return;
    }
    end_receive(overlay, receive, minga_Outcome_OUTCOME_OK);
}

/* It is here, if there still was room; and acknowledged when it is also known for whom, or it might be
 * taken for garbage. */
static void note(struct overlay *overlay, struct chunk_receive *receive)
{
    if (chunks_find(&overlay->chunks, &receive->chunk) == NULL) {
        end_receive(overlay, receive, minga_Outcome_OUTCOME_FULL);
        return;
    }
    if (!receive->is_repair) {
        repair_pushed(overlay);
    }
    if (receive->is_repair && collect_refuses(overlay, &receive->references)) {
        drop(overlay, receive);
        return;
    }
    note_references(overlay, receive);
}

/* It has come by another way meanwhile, for somebody else perhaps. */
static void note_other(struct overlay *overlay, struct chunk_receive *receive,
                       const struct asker *asker)
{
    receive->storing = true;
    receive->asker = *asker;
    count_on(overlay, &receive->chunk, receive->is_repair);
    note_references(overlay, receive);
}

void chunk_receive_on_data(struct overlay *overlay, const struct arrival *arrival)
{
    struct chunk_id chunk = {message_id(arrival->message->kind.chunk_data.chunk)};
    struct chunk_receive *receive = find_receive(overlay, &chunk);
    bool is_here = chunks_find(&overlay->chunks, &chunk) != NULL;
    struct overlay_effect *effect;

    /* Only what was offered, by whom it was offered, and once. */
    if (receive == NULL || receive->storing ||
        !id_equal(&receive->asker.node.id, &arrival->asker.node.id) ||
        arrival->data.length_bytes > receive->bytes) {
        acknowledge(overlay, &arrival->asker,
                    is_here ? minga_Outcome_OUTCOME_OK : minga_Outcome_OUTCOME_REFUSED);
        return;
    }
    if (is_here) {
        note_other(overlay, receive, &arrival->asker);
        return;
    }
    effect = effect_add(overlay, OVERLAY_STORE_CHUNK);
    if (effect == NULL) {
        return;
    }
    effect->chunk = chunk;
    effect->data = arrival->data;
    effect->token = receive->token;
    receive->storing = true;
    receive->asker = arrival->asker;
    bucket_take(&overlay->repair.download, arrival->data.length_bytes);
}

bool chunk_receive_on_stored(struct overlay *overlay, const struct overlay_event *event)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (!receive->used || !receive->storing || receive->is_noting ||
            receive->token != event->token) {
            continue;
        }
        switch (event->outcome) {
        case OVERLAY_CHUNK_OK:
            note(overlay, receive);
            break;
        case OVERLAY_CHUNK_WRONG_HASH:
            chunk_blame(overlay, &receive->asker.node);
            end_receive(overlay, receive, minga_Outcome_OUTCOME_REFUSED);
            break;
        case OVERLAY_CHUNK_FAILED:
        case OVERLAY_CHUNK_REFUSED:
            end_receive(overlay, receive, minga_Outcome_OUTCOME_FAILED);
            break;
        }
        return true;
    }
    return false;
}

bool chunk_receive_on_noted(struct overlay *overlay, uint64_t token, bool failed)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_receive *receive = &overlay->chunk_receives[i];

        if (receive->used && receive->is_noting && receive->token == token) {
            end_receive(overlay, receive,
                        failed ? minga_Outcome_OUTCOME_FAILED : minga_Outcome_OUTCOME_OK);
            return true;
        }
    }
    return false;
}
