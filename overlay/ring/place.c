// SPDX-License-Identifier: GPL-3.0-or-later
/* This node's place on the ring: membership's hints in, messages and the arc out. */
#include <string.h>

#include "overlay/ring/ring_internal.h"
#include "overlay/state.h"

enum {
    QUESTION_MS = 300,    /* a question unanswered is repeated: the lease is short */
    EPOCH_STRETCH = 1024, /* epochs that are durable ahead of their use */
    EPOCHS_BURST = 4,     /* so many that others name are written down at once, ... */
    EPOCHS_MS = 1000,     /* ... then one in so long */
};

/* --- the question */

static struct request *find_question(struct overlay *overlay, const struct node_id *to)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_STABILISE && id_equal(&request->to.id, &to->id)) {
            return request;
        }
    }
    return NULL;
}

static void fill_before(const struct overlay *overlay, minga_Stabilise *question)
{
    struct ring_node list[PREDECESSORS_MAX];
    uint32_t count = ring_before(&overlay->ring, list);

    for (uint32_t i = 0; i < count; i++) {
        message_put_id(question->predecessors[i], &list[i].node.id);
    }
    question->predecessors_count = (pb_size_t)count;
    question->epoch = overlay->ring.epoch;
}

static void send_question(struct overlay *overlay, const struct node_id *to)
{
    const struct ring *ring = &overlay->ring;
    uint32_t version = ring_before_version(ring);
    bool is_acked = id_equal(&ring->acked_by.id, &to->id) && ring->acked_version == version;
    struct request *request;
    minga_Message message;

    message_init(&message, minga_Message_stabilise_tag);
    message.kind.stabilise.joining = ring->phase != RING_IN;
    message.kind.stabilise.lapsed =
        ring->phase == RING_IN && !ring_is_leased(ring, overlay->now_ms);
    message.kind.stabilise.digest = (uint32_t)membership_digest(&overlay->membership);
    message.kind.stabilise.version = version;
    message.kind.stabilise.pace = ring->pace > 1 ? ring->pace : 0;
    message.kind.stabilise.paces = ring->paces > 1 ? ring->paces : 0;
    if (id_equal(&overlay->list_from.id, &to->id)) {
        message.kind.stabilise.known = overlay->list.version;
    }
    if (!is_acked) {
        fill_before(overlay, &message.kind.stabilise);
    }
    calm_shorten(&overlay->calm, to, &message.kind.stabilise);
    request = peer_request(overlay, REQUEST_STABILISE, to, &message, STABILISE_MS);
    if (request != NULL) {
        request->token = version;
        request->purpose = (uint8_t)ring->pace;
        request->repeat_ms = overlay->now_ms + QUESTION_MS;
        request->repeat_every_ms = QUESTION_MS;
    }
}

static void ask(struct overlay *overlay, const struct node_id *to)
{
    const struct request *under_way = find_question(overlay, to);

    if (under_way == NULL || under_way->token != ring_before_version(&overlay->ring)) {
        send_question(overlay, to); /* else it is repeated */
    }
}

/* --- what the ring wants done */

/* New neighbours hold other records: compare with all who share some with us. Whoever has none
 * waits to be asked. */
static void compare_with_neighbours(struct overlay *overlay)
{
    struct node_id nodes[2 * RECORD_COPIES];
    uint32_t count = overlay->routing->neighbour_set(&overlay->router, 2 * RECORD_COPIES, nodes);

    if (!overlay->large && overlay->records.count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        sync_want(overlay, membership_find(&overlay->membership, &nodes[i]));
    }
}

/* Records are compared at once. Chunks are large, and most members that go come back soon: they
 * are compared when the ring has been quiet for a while. */
static void on_ring_changed(struct overlay *overlay)
{
    repair_ring_changed(overlay);
    sync_hasten(overlay);
    compare_with_neighbours(overlay);
}

static void tell_arc(struct overlay *overlay)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_ARC);
    const struct id *self = &overlay->ring.self.position.id;

    if (!overlay->had_arc || !id_in_arc(&overlay->ring.arc_from.id, &overlay->arc_from.id, self)) {
        settled_begin(overlay); /* it has not only become smaller */
    }
    overlay->had_arc = true;
    overlay->arc_from = overlay->ring.arc_from;
    if (effect != NULL) {
        effect->arc_from = overlay->ring.arc_from;
        effect->arc_to = overlay->ring.self.position;
        effect->arc_epoch = overlay->ring.arc_epoch;
    }
    effect_trace(overlay, "arc from %02x%02x to %02x%02x, epoch %llu",
                 overlay->ring.arc_from.id.bytes[0], overlay->ring.arc_from.id.bytes[1],
                 overlay->ring.self.position.id.bytes[0], overlay->ring.self.position.id.bytes[1],
                 (unsigned long long)overlay->ring.arc_epoch);
}

/* An epoch may only be used once it is durable, lest a restart use it again for another arc. So
 * that an answer need not wait for the disk each time, a stretch of them is kept ahead. What others
 * name is written down, too, but not as often as they like. */
static void keep_epoch(struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;
    bool is_own = ring->arc_epoch + EPOCH_STRETCH / 2 > ring->kept_epoch;
    uint64_t ahead = ring->epoch + EPOCH_STRETCH;
    uint8_t bytes[8];

    if (overlay->epoch_token != 0 || ring->epoch + EPOCH_STRETCH / 2 <= ring->kept_epoch) {
        return;
    }
    if (!is_own && !allowance_take(&overlay->epochs, EPOCHS_BURST, EPOCHS_MS, overlay->now_ms)) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(ahead >> (56 - 8 * i));
    }
    overlay->epoch_token = ++overlay->last_token;
    overlay->epoch_stored = ahead;
    effect_store(overlay,
                 &(struct overlay_blob){.kind = BLOB_SELF, .bytes = {bytes, sizeof(bytes)}},
                 overlay->epoch_token);
}

static void perform(struct overlay *overlay, const struct ring_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        switch (effects->list[i].kind) {
        case RING_ASK:
            ask(overlay, &effects->list[i].to);
            break;
        case RING_ARC:
            tell_arc(overlay);
            break;
        }
    }
}

static void step(struct overlay *overlay, struct ring_event *event,
                 struct ring_effects *effects_out)
{
    bool was_leased = ring_is_leased(&overlay->ring, overlay->now_ms);

    event->now_ms = overlay->now_ms;
    ring_step(&overlay->ring, event, effects_out);
    if (was_leased != ring_is_leased(&overlay->ring, overlay->now_ms)) {
        settled_begin(overlay);
        effect_trace(overlay, "%s", was_leased ? "no lease any more" : "has a lease");
    }
    perform(overlay, effects_out);
    keep_epoch(overlay);
}

static const struct member *first_predecessor(const struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;
    int index = ring->predecessor_count == 0
                    ? MEMBER_NONE
                    : membership_find(&overlay->membership, &ring->predecessors[0].node);

    return index == MEMBER_NONE || index == overlay->self_index ? NULL
                                                                : &overlay->membership.list[index];
}

/* Whoever has been asking for an arc for so long, and still does, has none; and nobody else has one by
 * a lease that it granted when it still had one. */
static bool has_no_arc(const struct overlay *overlay, const struct member *member)
{
    return member->arcless_ms != 0 && overlay->now_ms - member->arcless_ms >= GRANT_MS &&
           overlay->now_ms - member->asked_ms <= RING_NEWCOMER_MS;
}

/* The nearest member that is up, comes before a position, and may have an arc. */
static bool find_up_before(const struct overlay *overlay, const struct ring_key *position,
                           struct ring_node *node_out)
{
    const struct membership *membership = &overlay->membership;
    uint32_t place = membership->count == 0 ? 0 : membership_place(membership, &position->id);

    for (uint32_t step = 1; step < membership->count; step++) {
        int index = membership->by_position[(place + membership->count - step) % membership->count];

        if (index == overlay->self_index) {
            return false;
        }
        if (membership_in_ring(&membership->list[index]) &&
            !has_no_arc(overlay, &membership->list[index])) {
            *node_out = place_of_member(&membership->list[index]);
            return true;
        }
    }
    return false;
}

static bool has_asked(const struct overlay *overlay, const struct ring_node *node)
{
    int index = membership_find(&overlay->membership, &node->node);

    return index != MEMBER_NONE && book_has_asked(overlay, index);
}

/* Of our predecessor: between it and us, nobody has an arc. Where not everyone is known that may be
 * said only of one that comes to us because it knows nobody nearer. */
static bool find_before(const struct overlay *overlay, struct ring_node *node_out)
{
    const struct ring *ring = &overlay->ring;

    return ring->predecessor_count > 0 &&
           find_up_before(overlay, &ring->predecessors[0].position, node_out) &&
           (!overlay->large || has_asked(overlay, node_out));
}

static void fill_lost(const struct overlay *overlay, const struct member *member,
                      struct ring_event *event)
{
    event->kind = RING_LOST;
    event->node = place_of_member(member);
    event->lost_ms = member->view.changed_ms;
    /* One that left says itself that it answers no more; one whose addresses all refuse is none.
     * That it is a leaf may have been heard before it was handed its arc: its lease is waited for. */
    event->is_gone = member->view.state == MEMBER_LEFT || member->refused;
    event->has_other = find_before(overlay, &event->other);
    event->has_nearest = find_up_before(overlay, &overlay->ring.self.position, &event->nearest);
}

/* Taking over may end at one that is lost as well. */
static void lose_all(struct overlay *overlay)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        const struct member *before = first_predecessor(overlay);
        struct ring_node node = overlay->ring.predecessors[0];
        struct ring_event event = {0};
        struct ring_effects effects;

        if (before == NULL || membership_in_ring(before) || overlay->ring.lost_ms != 0) {
            return;
        }
        fill_lost(overlay, before, &event);
        step(overlay, &event, &effects);
        if (id_equal(&overlay->ring.predecessors[0].node.id, &node.node.id)) {
            return;
        }
    }
}

static void after_step(struct overlay *overlay)
{
    lose_all(overlay);
    watch_neighbours(overlay);
}

void place_event(struct overlay *overlay, struct ring_event *event)
{
    struct ring_effects effects;

    step(overlay, event, &effects);
    if (event->kind != RING_TICK) {
        after_step(overlay);
    }
}

void place_known(struct overlay *overlay, int index)
{
    struct ring_event event = {.kind = RING_KNOWN};

    if (index == overlay->self_index) {
        return;
    }
    event.node = place_of_member(&overlay->membership.list[index]);
    place_event(overlay, &event);
    on_ring_changed(overlay);
}

void place_lost(struct overlay *overlay, int index)
{
    struct ring_event event = {0};

    fill_lost(overlay, &overlay->membership.list[index], &event);
    place_event(overlay, &event);
    /* The list may have been full before: fill it from the membership. */
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];
        struct ring_event known = {.kind = RING_KNOWN};

        if ((int)i != overlay->self_index && membership_in_ring(member)) {
            struct ring_effects effects;

            known.node = place_of_member(member);
            step(overlay, &known, &effects);
        }
    }
    after_step(overlay);
    on_ring_changed(overlay);
}

static bool is_first(const struct overlay *overlay)
{
    const struct membership *membership = &overlay->membership;

    for (uint32_t i = 0; i < membership->count; i++) {
        const struct member *member = &membership->list[membership->by_id[i]];

        if (membership->by_id[i] == overlay->self_index || membership_in_ring(member)) {
            return membership->by_id[i] == overlay->self_index;
        }
    }
    return false;
}

uint64_t place_wake(const struct overlay *overlay)
{
    uint64_t extend_ms = keeper_extend_ms(&overlay->ring);

    return extend_ms != 0 && extend_ms < overlay->ring.next_ms ? extend_ms : overlay->ring.next_ms;
}

void place_tick(struct overlay *overlay)
{
    struct ring_event event = {.kind = RING_TICK};

    if (overlay->now_ms >= place_wake(overlay)) {
        event.has_other = find_before(overlay, &event.other);
        event.has_nearest = find_up_before(overlay, &overlay->ring.self.position, &event.nearest);
        event.is_first = is_first(overlay);
        event.alone = joining_is_alone(overlay);
        place_event(overlay, &event);
        after_step(overlay);
    }
}

bool place_on_stored(struct overlay *overlay, uint64_t token, bool failed)
{
    struct ring_event event = {.kind = RING_KEPT, .epoch = overlay->epoch_stored};

    if (token == 0 || token != overlay->epoch_token) {
        return false;
    }
    overlay->epoch_token = 0;
    if (!failed) {
        place_event(overlay, &event);
    }
    return true;
}

/* --- what others say */

static void take_before(struct overlay *overlay, const pb_byte_t list[][ID_BYTES], pb_size_t count,
                        struct ring_event *event)
{
    event->has_list = count > 0;
    for (pb_size_t i = 0; i < count && event->list_count < PREDECESSORS_MAX; i++) {
        if (place_find(overlay, list[i], false, &event->list[event->list_count])) {
            event->list_count++;
        } else if (i == 0) {
            event->is_partial = true;
        }
    }
}

static void compare_digests(struct overlay *overlay, int member, uint32_t digest)
{
    uint32_t ours = (uint32_t)membership_digest(&overlay->membership);

    /* The last bit: it covers a part of a large community only, and differs from a whole one. */
    if ((digest & 1) == (ours & 1) && digest != ours) {
        digests_differ(overlay, member);
    }
}

static void fill_answer(const struct overlay *overlay, const struct ring_answer *answer,
                        const minga_Stabilise *question, minga_StabiliseReply *reply)
{
    const struct ring *ring = &overlay->ring;
    uint32_t known = question->known;

    reply->verdict = (minga_LeaseAnswer)answer->verdict;
    reply->told = answer->told_version;
    reply->digest = (uint32_t)membership_digest(&overlay->membership);
    reply->version = list_version(ring);
    reply->paces = answer->paces > 1 ? answer->paces : 0;
    if (answer->is_handed || answer->verdict == RING_OTHER) {
        message_put_id(reply->from.bytes, &answer->other.node.id);
        reply->from.size = ID_BYTES;
    }
    reply->epoch = answer->is_handed ? answer->epoch : 0;
    if (question->sum != 0) {
        (void)calm_answer(question->sum, reply); /* asked in full it tells the list */
        return;
    }
    if (reply->digest == question->digest) { /* what the asker has said itself is not said again */
        reply->digest = 0;
    }
    if (reply->version != known) {
        news_fill(overlay, known, reply);
    }
}

static void note_arcless(struct overlay *overlay, int index, bool is_joining)
{
    struct member *member = &overlay->membership.list[index];

    if (!is_joining) {
        member->arcless_ms = 0;
    } else if (member->arcless_ms == 0 ||
               overlay->now_ms - member->asked_ms > 2 * (uint64_t)RING_NEWCOMER_MS) {
        member->arcless_ms = overlay->now_ms;
    }
    member->asked_ms = overlay->now_ms;
}

/* Its record, which says that it is no leaf any more, is still on the way. */
static void answer_early(struct overlay *overlay, const struct asker *asker)
{
    minga_Message message;

    message_init(&message, minga_Message_stabilise_reply_tag);
    message.kind.stabilise_reply.verdict = overlay->ring.phase == RING_IN
                                               ? minga_LeaseAnswer_LEASE_BUSY
                                               : minga_LeaseAnswer_LEASE_IDLE;
    peer_reply(overlay, asker, &message, NULL);
}

void place_on_stabilise(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Stabilise *question = &arrival->message->kind.stabilise;
    struct ring_event event = {.kind = RING_ASKED};
    struct ring_effects effects;
    minga_Message message;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (!membership_in_ring(&overlay->membership.list[arrival->member])) {
        answer_early(overlay, &arrival->asker);
        if (question->sum == 0) {
            compare_digests(overlay, arrival->member, question->digest);
        }
        return;
    }
    event.node = place_of_member(&overlay->membership.list[arrival->member]);
    event.joined = !question->joining;
    note_arcless(overlay, arrival->member, question->joining);
    event.leased = event.joined && !question->lapsed;
    event.epoch = question->epoch;
    event.version = question->version;
    event.pace = question->pace;
    event.paces = question->paces;
    take_before(overlay, question->predecessors, question->predecessors_count, &event);
    step(overlay, &event, &effects);
    message_init(&message, minga_Message_stabilise_reply_tag);
    list_history_note(&overlay->lists, &overlay->ring);
    fill_answer(overlay, &effects.answer, question, &message.kind.stabilise_reply);
    peer_reply(overlay, &arrival->asker, &message, NULL);
    after_step(overlay);
    if (question->sum == 0) {
        compare_digests(overlay, arrival->member, question->digest);
    }
}

static void take_answer(struct overlay *overlay, const minga_StabiliseReply *reply, uint32_t base,
                        struct ring_event *event)
{
    struct ring_answer *answer = &event->answer;

    event->kind = RING_ANSWERED;
    answer->verdict = (enum ring_verdict)reply->verdict;
    answer->told_version = reply->told;
    answer->epoch = reply->epoch;
    answer->paces = reply->paces;
    answer->is_handed = answer->verdict == RING_GRANTED && reply->from.size == ID_BYTES;
    event->has_other = reply->from.size == ID_BYTES &&
                       place_find(overlay, reply->from.bytes, !answer->is_handed, &answer->other);
    event->has_nearest = find_up_before(overlay, &overlay->ring.self.position, &event->nearest);
    news_take(overlay, reply, base, event);
}

static bool read_answer(const struct overlay *overlay, const struct request *request,
                        const struct arrival *arrival, minga_Message *question_out,
                        minga_StabiliseReply *reply_out)
{
    *reply_out = arrival->message->kind.stabilise_reply;
    return arrival->member != MEMBER_NONE &&
           arrival->message->which_kind == minga_Message_stabilise_reply_tag &&
           membership_in_ring(&overlay->membership.list[arrival->member]) &&
           reply_out->verdict <= minga_LeaseAnswer_LEASE_IDLE &&
           message_decode((struct bytes){request->bytes, request->length_bytes}, question_out) ==
               0 &&
           calm_restore(&overlay->calm, &question_out->kind.stabilise, reply_out);
}

void place_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival)
{
    struct ring_event event = {.sent_ms = request->sent_ms, .pace = request->purpose};
    minga_StabiliseReply reply;
    minga_Message message;
    const minga_Stabilise *question = &message.kind.stabilise;

    if (!read_answer(overlay, request, arrival, &message, &reply)) {
        return;
    }
    event.node = place_of_member(&overlay->membership.list[arrival->member]);
    calm_learn(&overlay->calm, &event.node.node, question, &reply);
    take_answer(overlay, &reply, question->known, &event);
    place_event(overlay, &event);
    news_doubt(overlay, &event);
    if (reply.digest != 0) {
        compare_digests(overlay, arrival->member, reply.digest);
    }
    if (question->sum != 0 && event.answer.verdict == RING_GRANTED &&
        reply.version != question->known) {
        send_question(overlay, &event.node.node); /* for the list, which it has not told */
    }
}

/* --- leaving */

void place_fill_goodbye(const struct overlay *overlay, minga_Goodbye *goodbye)
{
    const struct ring *ring = &overlay->ring;

    for (uint32_t i = 0; i < ring->predecessor_count; i++) {
        message_put_id(goodbye->predecessors[i], &ring->predecessors[i].node.id);
    }
    goodbye->predecessors_count = (pb_size_t)ring->predecessor_count;
    goodbye->epoch = ring->epoch;
}

void place_on_goodbye(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Goodbye *goodbye = &arrival->message->kind.goodbye;
    struct ring_event event = {.kind = RING_HANDED};

    event.node = place_of_member(&overlay->membership.list[arrival->member]);
    event.epoch = goodbye->epoch;
    take_before(overlay, goodbye->predecessors, goodbye->predecessors_count, &event);
    if (event.has_list) {
        place_event(overlay, &event);
    }
}
