// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Spreading a chunk: it is offered to its holders in ring order, sent to those who lack it, and
 * counts as held once they have it durably. One that has no room is passed over.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    RECEIVE_MS = 30000,
    RETRIES_MAX = 3,
    REPAIRS_MAX = LIMIT(CHUNK_PUTS_MAX / 4, 1), /* at once; the rest is for people who wait */
};

static bool stores(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);
    const struct contact *contact = contact_look(overlay, node);

    return index != MEMBER_NONE ? overlay->membership.list[index].view.record.stores
                                : contact != NULL && contact->stores;
}

uint32_t chunk_holders(const struct overlay *overlay, const struct chunk_id *chunk,
                       uint32_t count_max, struct node_id *nodes_out)
{
    struct node_id nodes[CHUNK_CANDIDATES_MAX];
    struct ring_key key = {chunk->id};
    uint32_t known;
    uint32_t count = 0;

    if (!overlay->large) {
        return chunk_first_up(overlay, chunk, count_max, nodes_out);
    }
    known = search_holders(overlay, &key, CHUNK_CANDIDATES_MAX, nodes);
    for (uint32_t i = 0; i < known && count < count_max; i++) {
        if (stores(overlay, &nodes[i])) {
            nodes_out[count++] = nodes[i];
        }
    }
    return count;
}

const struct chunk_put *chunk_put_find(const struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        if (overlay->chunk_puts[i].used && overlay->chunk_puts[i].number == number) {
            return &overlay->chunk_puts[i];
        }
    }
    return NULL;
}

static struct chunk_put *find_put(struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        if (overlay->chunk_puts[i].used && overlay->chunk_puts[i].number == number) {
            return &overlay->chunk_puts[i];
        }
    }
    return NULL;
}

static struct chunk_put *new_put(struct overlay *overlay, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        struct chunk_put *put = &overlay->chunk_puts[i];

        if (!put->used) {
            memset(put, 0, sizeof(*put));
            put->used = true;
            put->number = ++overlay->last_token;
            put->chunk = *chunk;
            return put;
        }
    }
    return NULL;
}

static uint64_t offered_bytes(const struct overlay *overlay, const struct chunk_put *put)
{
    const struct chunk *chunk = chunks_find(&overlay->chunks, &put->chunk);

    if (put->carried_bytes != 0) {
        return put->carried_bytes;
    }
    return chunk == NULL ? (uint64_t)CHUNK_BYTES_MAX : chunk->bytes;
}

/* Repair is paid for when it is offered, and gets back what nobody wanted. */
static void pay(struct overlay *overlay, const struct chunk_put *put)
{
    if (put->is_repair) {
        bucket_take(&overlay->repair.upload, offered_bytes(overlay, put));
    }
}

static void pay_back(struct overlay *overlay, const struct chunk_put *put)
{
    if (put->is_repair) {
        bucket_give_back(&overlay->repair.upload, offered_bytes(overlay, put));
    }
}

static bool offer_alone(struct overlay *overlay, struct chunk_put *put, const struct node_id *to)
{
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_chunk_offers_tag);
    (void)chunk_offers_fill(&message.kind.chunk_offers, put, offered_bytes(overlay, put));
    request = peer_request(overlay, REQUEST_CHUNK_OFFER, to, &message, CHUNK_OFFER_MS);
    if (request == NULL) {
        return false;
    }
    request->token = put->number;
    return true;
}

/* Together with others that go there, as a rule. */
static bool offer(struct overlay *overlay, struct chunk_put *put, const struct node_id *to)
{
    bool offered =
        chunk_offers_add(overlay, to, &put->chunk, offered_bytes(overlay, put), put->number) ||
        offer_alone(overlay, put, to);

    if (offered) {
        put->waiting_count++;
        pay(overlay, put);
    }
    return offered;
}

/* Those who had no room are not asked again before there are other homes. */
static void note_homes(struct overlay *overlay, const struct chunk_put *put)
{
    struct chunk *chunk = chunks_entry(&overlay->chunks, &put->chunk);
    bool have_all = put->held_count == put->needed_count;

    if (chunk != NULL && put->home_mark != 0 && (have_all || put->any_full)) {
        chunk->offered_mark = put->home_mark;
        chunk->home_mark = have_all ? put->home_mark : 0;
        chunk->others_count = (uint8_t)put->held_count;
    }
}

/* Where homes have no room, a home knows who is asked to keep it in their place, and does. */
static void note_stand_ins(struct overlay *overlay, const struct chunk_put *put)
{
    struct chunk *chunk = chunks_entry(&overlay->chunks, &put->chunk);

    if (chunk != NULL && !put->is_shed && put->home_mark == 0 &&
        (put->held_count >= put->needed_count || put->stand_ins[0] != 0)) {
        memcpy(chunk->stand_ins, put->stand_ins, sizeof(chunk->stand_ins));
    }
}

static void note_holder(struct overlay *overlay, struct chunk_put *put,
                        const struct node_id *holder)
{
    int index = membership_find(&overlay->membership, holder);

    put->held_count++;
    if (index != MEMBER_NONE && !chunk_is_home(overlay, &put->chunk, holder)) {
        uint32_t place = 0;

        while (place < STAND_INS_MAX - 1 && put->stand_ins[place] != 0) {
            place++;
        }
        put->stand_ins[place] = (uint16_t)(index + 1);
    }
}

static void note_room(struct overlay *overlay, const struct node_id *of, bool is_full)
{
    int index = membership_find(&overlay->membership, of);

    if (index != MEMBER_NONE) {
        overlay->repair.full_ms[index] = is_full ? overlay->now_ms : 0;
    }
}

/* All that it was offered to hold it, and nobody else was: when all homes are among them this is
 * known now, and not first by the next comparison. */
static void note_pushed(struct overlay *overlay, const struct chunk_put *put)
{
    struct chunk *chunk = chunks_entry(&overlay->chunks, &put->chunk);
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){put->chunk.id}, homes);

    if (put->is_repair || chunk == NULL || put->held_count != put->next) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool holds = !homes[i].is_up || peer_is_self(overlay, &homes[i].node);

        for (uint32_t j = 0; !holds && j < put->next; j++) {
            holds = id_equal(&put->candidates[j].id, &homes[i].node.id);
        }
        if (!holds) {
            return;
        }
    }
    chunk->home_mark = repair_home_mark(overlay, &put->chunk);
    chunk->offered_mark = chunk->home_mark;
}

static void say_short(struct overlay *overlay, const struct chunk_put *put)
{
    if (put->any_full) {
        (void)effect_done(overlay, put->token, OVERLAY_FULL,
                          "the members' storage shares are full");
    } else {
        (void)effect_done(overlay, put->token, OVERLAY_TIMED_OUT,
                          "too few members confirmed that they hold it");
    }
}

/* On as many disks as there are? Members may have gone meanwhile: all that store, when fewer are up;
 * and an own disk that does not take it counts no more than one that is switched off. */
static bool is_spread(const struct overlay *overlay, const struct chunk_put *put)
{
    struct node_id holders[CHUNK_COPIES];
    struct ring_key key = {put->chunk.id};
    uint32_t up_count = search_is_known(overlay, &key)
                            ? chunk_holders(overlay, &put->chunk, CHUNK_COPIES, holders)
                            : put->needed_count;

    if (put->held_count == 0) {
        return false;
    }
    return put->held_count >= put->needed_count ||
           (put->is_lacking_here && put->held_count + 1 >= put->needed_count) ||
           (!put->any_full && put->held_count >= up_count);
}

static void end_put(struct overlay *overlay, struct chunk_put *put)
{
    struct overlay_effect *effect;
    bool is_enough = is_spread(overlay, put);

    put->used = false;
    overlay->repair_put_count -= put->is_repair ? 1 : 0;
    note_homes(overlay, put);
    note_stand_ins(overlay, put);
    note_pushed(overlay, put);
    if (put->is_shed) {
        shed_offered(overlay, put);
        return;
    }
    if (is_enough) {
        effect = effect_done(overlay, put->token, OVERLAY_OK, "");
        if (effect != NULL) {
            effect->is_new = !put->any_had;
            effect->copies = put->held_count;
        }
    } else {
        say_short(overlay, put);
    }
}

/* Offers to further candidates until enough hold it or might. */
static void go_on(struct overlay *overlay, struct chunk_put *put)
{
    while (put->held_count + put->waiting_count < put->needed_count &&
           put->next < put->candidate_count) {
        const struct node_id *candidate = &put->candidates[put->next++];

        if (peer_is_self(overlay, candidate)) {
            put->is_lacking_here =
                put->carried_bytes != 0 || chunks_find(&overlay->chunks, &put->chunk) == NULL;
            put->held_count += put->is_lacking_here ? 0 : 1;
        } else if (!offer(overlay, put, candidate)) {
            break;
        }
    }
    if (put->waiting_count == 0) {
        end_put(overlay, put);
    }
}

static void start_put(struct overlay *overlay, struct chunk_put *put)
{
    put->needed_count =
        put->candidate_count < CHUNK_COPIES ? put->candidate_count : (uint32_t)CHUNK_COPIES;
    if (put->needed_count == 0) {
        put->needed_count = 1; /* nobody stores: say so instead of calling it safe */
    }
    go_on(overlay, put);
}

void chunk_put_on_holders(struct overlay *overlay, uint64_t number, const struct node_id *holders,
                          uint32_t count)
{
    struct chunk_put *put = find_put(overlay, number);

    if (put == NULL) {
        return;
    }
    CHECK(put->waiting_count > 0);
    put->waiting_count--;
    for (uint32_t i = 0; i < count && put->candidate_count < CHUNK_CANDIDATES_MAX; i++) {
        if (stores(overlay, &holders[i])) {
            put->candidates[put->candidate_count++] = holders[i];
        }
    }
    start_put(overlay, put);
}

void overlay_chunk_put(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                       const struct overlay_spread *spread, struct overlay_effects *effects)
{
    const struct chunk_id *chunk = &spread->chunk;
    struct ring_key key = {chunk->id};
    struct chunk_put *put;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    put = new_put(overlay, chunk);
    if (put == NULL) {
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many chunks are under way");
    } else {
        put->token = token;
        put->carried_bytes = spread->carried_bytes;
        put->references = collect_one(&spread->reference);
        (void)collect_note(overlay, chunk, &put->references, true, 0);
        if (search_is_known(overlay, &key) ||
            !search_start(overlay, &key, SEARCH_CHUNK_PUT, put->number)) {
            put->candidate_count =
                chunk_holders(overlay, chunk, CHUNK_CANDIDATES_MAX, put->candidates);
            start_put(overlay, put);
        } else {
            put->waiting_count++;
        }
    }
    state_leave(overlay);
}

/* Is the chunk on its way to that member already, after an earlier comparison? */
static bool is_pushed(const struct overlay *overlay, const struct chunk_id *chunk,
                      const struct node_id *to)
{
    for (uint32_t i = 0; i < CHUNK_PUTS_MAX; i++) {
        const struct chunk_put *put = &overlay->chunk_puts[i];

        if (put->used && put->is_repair && put->candidate_count > 0 &&
            id_equal(&put->chunk.id, &chunk->id) && id_equal(&put->candidates[0].id, &to->id)) {
            return true;
        }
    }
    return false;
}

/* NULL: not now; the next comparison will find it missing again. */
static struct chunk_put *new_repair(struct overlay *overlay, const struct chunk_id *chunk)
{
    const struct chunk *entry = chunks_find(&overlay->chunks, chunk);
    struct chunk_references references = collect_references(overlay, entry);
    struct chunk_put *put = NULL;

    if (entry == NULL ||
        (entry->reference_count > 0 && references.count == 0 && !references.is_common)) {
        return NULL; /* garbage that is about to go */
    }
    if (overlay->repair_put_count < REPAIRS_MAX &&
        bucket_is_open(&overlay->repair.upload, overlay->now_ms)) {
        put = new_put(overlay, chunk);
    }
    if (put != NULL) {
        put->is_repair = true;
        put->since_ms = overlay->now_ms;
        put->references = references;
        overlay->repair_put_count++;
    }
    return put;
}

/* Where several homes have no room, each has somebody of its own in its place: all of them are asked
 * together, or each would find the same one. */
static void add_full_homes(const struct overlay *overlay, struct chunk_put *put)
{
    const struct repair *repair = &overlay->repair;
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){put->chunk.id}, homes);

    for (uint32_t i = 0; i < count && put->candidate_count < STAND_INS_MAX; i++) {
        int index = homes[i].index;

        if (homes[i].is_up && index != MEMBER_NONE && index != overlay->self_index &&
            !id_equal(&homes[i].node.id, &put->candidates[0].id) && repair->full_ms[index] != 0 &&
            overlay->now_ms - repair->full_ms[index] < REPAIR_FULL_MS) {
            put->candidates[put->candidate_count++] = homes[i].node;
        }
    }
}

/* Where a home has no room, somebody behind the homes has a copy in its place. */
static void add_others(const struct overlay *overlay, struct chunk_put *put)
{
    struct node_id others[CHUNK_CANDIDATES_MAX];
    uint32_t count = chunk_holders(overlay, &put->chunk, CHUNK_CANDIDATES_MAX, others);

    for (uint32_t i = 0; i < count && put->candidate_count < CHUNK_CANDIDATES_MAX; i++) {
        if (!chunk_is_home(overlay, &put->chunk, &others[i]) &&
            !peer_is_self(overlay, &others[i])) {
            put->candidates[put->candidate_count++] = others[i];
        }
    }
}

bool chunk_put_push(struct overlay *overlay, const struct chunk_id *chunk,
                    const struct chunk_home *home)
{
    struct chunk *entry = chunks_entry(&overlay->chunks, chunk);
    struct chunk_put *put;

    if (entry != NULL) {
        entry->home_mark = 0; /* not all of them have it after all */
    }
    if (is_pushed(overlay, chunk, &home->node)) {
        return true;
    }
    put = new_repair(overlay, chunk);
    if (put == NULL) {
        return false;
    }
    put->why = home->why;
    put->candidate_count = 1;
    put->candidates[0] = home->node;
    add_full_homes(overlay, put);
    put->needed_count = put->candidate_count;
    add_others(overlay, put);
    go_on(overlay, put);
    return true;
}

bool chunk_put_hand_over(struct overlay *overlay, const struct chunk_id *chunk,
                         const struct chunk_home *homes, uint32_t count, uint32_t mark)
{
    struct chunk_put *put = new_repair(overlay, chunk);

    if (put == NULL) {
        return false;
    }
    CHECK(count <= CHUNK_CANDIDATES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        put->candidates[i] = homes[i].node;
        put->why = homes[i].why;
    }
    put->candidate_count = count;
    put->needed_count = count;
    put->home_mark = mark;
    go_on(overlay, put);
    return true;
}

bool chunk_put_shed(struct overlay *overlay, const struct chunk_id *chunk)
{
    struct node_id others[CHUNK_CANDIDATES_MAX];
    uint32_t count = chunk_holders(overlay, chunk, CHUNK_CANDIDATES_MAX, others);
    struct chunk_put *put;

    if (count == 0 || (count == 1 && peer_is_self(overlay, &others[0]))) {
        return true; /* nobody to give it to: it stays */
    }
    if (!bucket_is_open(&overlay->repair.upload, overlay->now_ms) ||
        overlay->repair_put_count >= REPAIRS_MAX) {
        return false;
    }
    put = new_repair(overlay, chunk);
    if (put == NULL) {
        return true; /* garbage: goes without this */
    }
    put->is_shed = true;
    for (uint32_t i = 0; i < count; i++) {
        if (!peer_is_self(overlay, &others[i])) {
            put->candidates[put->candidate_count++] = others[i];
        }
    }
    put->needed_count =
        put->candidate_count < CHUNK_COPIES ? put->candidate_count : (uint32_t)CHUNK_COPIES;
    go_on(overlay, put);
    return true;
}

static void on_offer_answered(struct overlay *overlay, struct chunk_put *put,
                              const struct node_id *by, minga_ChunkAnswer answer)
{
    if (answer == minga_ChunkAnswer_CHUNK_BUSY && offer_alone(overlay, put, by)) {
        return; /* that is repeated */
    }
    if (answer == minga_ChunkAnswer_CHUNK_SEND) {
        struct request *request = peer_request_data(overlay, by, &put->chunk, RECEIVE_MS);

        if (request != NULL) {
            request->token = put->number;
            if (put->is_repair) {
                overlay->repair.moved_count++;
                overlay->repair.moved_bytes += offered_bytes(overlay, put);
            }
            return; /* still waiting for this one */
        }
    } else if (answer == minga_ChunkAnswer_CHUNK_HAVE) {
        note_holder(overlay, put, by);
        put->any_had = true;
    } else {
        put->any_full = true;
        note_room(overlay, by, true);
    }
    pay_back(overlay, put);
    put->waiting_count--;
    go_on(overlay, put);
}

void chunk_put_on_reply(struct overlay *overlay, const struct request *request,
                        const struct arrival *arrival)
{
    struct chunk_put *put = find_put(overlay, request->token);
    const minga_Message *message = arrival->message;

    if (put == NULL) {
        return;
    }
    CHECK(put->waiting_count > 0);
    if (request->kind == REQUEST_CHUNK_OFFER) {
        on_offer_answered(overlay, put, &arrival->asker.node,
                          message->which_kind == minga_Message_chunk_offers_reply_tag &&
                                  message->kind.chunk_offers_reply.answers_count == 1
                              ? message->kind.chunk_offers_reply.answers[0]
                              : minga_ChunkAnswer_CHUNK_FULL);
        return;
    }
    put->waiting_count--;
    if (message->which_kind == minga_Message_acknowledged_tag) {
        if (message->kind.acknowledged.outcome == minga_Outcome_OUTCOME_OK) {
            note_holder(overlay, put, &request->to);
            note_room(overlay, &request->to, false);
        }
        put->any_full |= message->kind.acknowledged.outcome == minga_Outcome_OUTCOME_FULL;
    }
    go_on(overlay, put);
}

void chunk_put_answered(struct overlay *overlay, uint64_t number, const struct node_id *by,
                        minga_ChunkAnswer answer)
{
    struct chunk_put *put = find_put(overlay, number);

    if (put != NULL) {
        CHECK(put->waiting_count > 0);
        on_offer_answered(overlay, put, by, answer);
    }
}

void chunk_put_not_answered(struct overlay *overlay, uint64_t number)
{
    struct chunk_put *put = find_put(overlay, number);

    if (put != NULL) {
        CHECK(put->waiting_count > 0);
        pay_back(overlay, put);
        put->waiting_count--;
        go_on(overlay, put);
    }
}

void chunk_put_offer_alone(struct overlay *overlay, uint64_t number, const struct node_id *to)
{
    struct chunk_put *put = find_put(overlay, number);

    if (put != NULL && !offer_alone(overlay, put, to)) {
        chunk_put_not_answered(overlay, number);
    }
}

/* A chunk's data is sent once, and is lost with the link it was on. In a small community nobody
 * else could hold it: who is up is offered it again, and may say that it has it after all. */
static void try_again(struct overlay *overlay, struct chunk_put *put, const struct node_id *to)
{
    if (put->retry_count < RETRIES_MAX && peer_is_reachable(overlay, to) &&
        offer(overlay, put, to)) {
        put->retry_count++;
    }
}

void chunk_put_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct chunk_put *put = find_put(overlay, request->token);

    if (put == NULL) {
        return;
    }
    CHECK(put->waiting_count > 0);
    put->waiting_count--;
    if (request->kind == REQUEST_CHUNK_DATA) {
        try_again(overlay, put, &request->to);
    }
    go_on(overlay, put);
}
