// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The look-ups of a large community that are under way, each one a seek (seek.h): its questions as
 * messages, nodes that others have named as contacts to be dialled, what is learnt from the answers.
 *
 * Fingers and the location cache are fed by nodes that have answered themselves only.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    SEEK_ASK_MS = 2000, /* a question ends; the seek itself has no such patience */
    OWN_AGAIN_MS = 100, /* the key is our own, but the lease is not there: look again */
};

static struct seek_run *find_run(struct overlay *overlay, uint64_t number)
{
    for (uint32_t i = 0; i < SEEKS_MAX; i++) {
        if (overlay->seeks[i].used && overlay->seeks[i].number == number) {
            return &overlay->seeks[i];
        }
    }
    return NULL;
}

static struct ring_node node_of_key(const uint8_t bytes[PUBLIC_KEY_BYTES])
{
    struct public_key key;

    memcpy(key.bytes, bytes, PUBLIC_KEY_BYTES);
    return (struct ring_node){keys_node_id(&key), keys_position(&key, 0)};
}

/* ------------------------------------------------------------------ asking */

/* It was asked before, and did not answer: the way that the question took may be none. */
static void doubt_way(struct overlay *overlay, const struct seek_run *run,
                      const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_SEEK && request->token == run->number &&
            id_equal(&request->to.id, &node->id)) {
            dispatch_missed(overlay, request);
            peer_unheard(overlay, node);
        }
    }
}

static bool send_ask(struct overlay *overlay, const struct seek_run *run,
                     const struct ring_node *to, uint32_t contacts_wanted)
{
    int index = membership_find(&overlay->membership, &to->node);
    bool is_member = index != MEMBER_NONE && overlay->membership.list[index].record_bytes > 0;
    struct request *request;
    minga_Message message;

    if (!is_member && contact_look(overlay, &to->node) == NULL) {
        return false; /* its address has been forgotten */
    }
    doubt_way(overlay, run, &to->node);
    message_init(&message, minga_Message_seek_next_tag);
    message_put_id(message.kind.seek_next.key, &run->seek.key.id);
    message.kind.seek_next.contacts =
        run->purpose == SEARCH_FINGER ? (uint32_t)SEEK_CONTACTS_UPKEEP : contacts_wanted;
    message.kind.seek_next.holders = run->purpose != SEARCH_FINGER;
    request = peer_request(overlay, REQUEST_SEEK, &to->node, &message, SEEK_ASK_MS);
    if (request == NULL) {
        return false;
    }
    /* The seek repeats; but who wants a greeting first is asked again when it was greeted. */
    request->repeat_ms = request->deadline_ms;
    request->token = run->number;
    return true;
}

static void finish(struct overlay *overlay, struct seek_run *run)
{
    struct search_result result = {.purpose = run->purpose,
                                   .number = run->for_number,
                                   .key = run->key,
                                   .found = run->seek.found};

    run->used = false;
    if (result.found) {
        const struct seek *seek = &run->seek;

        far_found(overlay, &run->key, &seek->owner.node, &seek->owner_from);
        result.from = seek->owner_from;
        result.holders[result.count++] = seek->owner.node;
        for (uint32_t i = 0; i < run->holder_count && result.count < RECORD_COPIES; i++) {
            if (!id_equal(&run->holders[i].id, &seek->owner.node.id)) {
                result.holders[result.count++] = run->holders[i];
            }
        }
        result.path[result.path_count++] = overlay->self;
        for (uint32_t i = 0; i < seek->hop_count && result.path_count < ROUTE_HOPS_MAX; i++) {
            result.path[result.path_count++] = seek->path[i].node;
        }
    }
    search_done(overlay, &result);
}

/* The key has become our own, or always was. One that is up before us and not on the ring yet may stand
 * nearer: the owner comes first all the same. */
static bool finish_as_own(struct overlay *overlay, struct seek_run *run)
{
    struct node_id nodes[RECORD_COPIES];
    uint32_t count;
    struct search_result result = {
        .purpose = run->purpose, .number = run->for_number, .key = run->key, .found = true};

    if (!ring_responsible(&overlay->ring, &run->key, overlay->now_ms)) {
        return false;
    }
    run->used = false;
    result.from = overlay->ring.arc_from;
    result.holders[result.count++] = overlay->self;
    count = overlay->routing->replica_set(&overlay->router, &run->key, RECORD_COPIES, nodes);
    for (uint32_t i = 0; i < count && result.count < RECORD_COPIES; i++) {
        if (!peer_is_self(overlay, &nodes[i])) {
            result.holders[result.count++] = nodes[i];
        }
    }
    result.path[result.path_count++] = overlay->self;
    search_done(overlay, &result);
    return true;
}

static void drop_silent(struct overlay *overlay, const struct seek_effects *effects)
{
    for (uint32_t i = 0; i < effects->lost_count; i++) {
        far_silent(overlay, &effects->lost[i]);
    }
}

/* One event, and those that follow from questions that cannot even be sent. */
static void step(struct overlay *overlay, struct seek_run *run, struct seek_event *event)
{
    struct ring_node unsent[SEEK_ASKS_MAX];
    uint32_t unsent_count = 0;
    uint32_t place = 0;

    for (;;) {
        struct seek_effects effects;

        event->now_ms = overlay->now_ms;
        seek_step(&run->seek, event, &effects);
        drop_silent(overlay, &effects);
        if (effects.done) {
            finish(overlay, run);
            return;
        }
        run->wake_ms = effects.wake_ms;
        for (uint32_t i = 0; i < effects.ask_count; i++) {
            if (!send_ask(overlay, run, &effects.asks[i], effects.contacts_wanted) &&
                unsent_count < SEEK_ASKS_MAX) {
                unsent[unsent_count++] = effects.asks[i];
            }
        }
        if (place == unsent_count) {
            return;
        }
        *event = (struct seek_event){.kind = SEEK_SILENT, .node = unsent[place++]};
    }
}

static void begin(struct overlay *overlay, struct seek_run *run)
{
    struct seek_event start = {.kind = SEEK_START,
                               .key = run->key,
                               .router = &overlay->router,
                               .witness_count = run->is_careful ? SEEK_WITNESSES : 0};

    run->has_begun = true;
    step(overlay, run, &start);
    if (run->used && run->seek.deadline_ms > run->deadline_ms) {
        run->seek.deadline_ms = run->deadline_ms;
        run->wake_ms = run->wake_ms < run->deadline_ms ? run->wake_ms : run->deadline_ms;
    }
}

static bool is_same(const struct wanted *wanted, const struct ring_key *key,
                    enum search_for purpose, const struct ring_key *other)
{
    return wanted->number == 0 && wanted->purpose == purpose && id_equal(&key->id, &other->id);
}

/* Of what nobody waits for by number, one at a time is enough. */
static bool is_under_way(const struct overlay *overlay, const struct ring_key *key,
                         const struct wanted *wanted)
{
    for (uint32_t i = 0; i < SEEKS_MAX; i++) {
        const struct seek_run *run = &overlay->seeks[i];

        if (run->used && is_same(wanted, key, run->purpose, &run->key)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < overlay->seek_wait_count; i++) {
        const struct seek_wait *wait = &overlay->seek_waits[i];

        if (is_same(wanted, key, wait->wanted.purpose, &wait->key)) {
            return true;
        }
    }
    return false;
}

static struct seek_run *find_room(struct overlay *overlay, uint32_t *free_count_out)
{
    struct seek_run *room = NULL;

    *free_count_out = 0;
    for (uint32_t i = 0; i < SEEKS_MAX; i++) {
        if (!overlay->seeks[i].used) {
            room = &overlay->seeks[i];
            (*free_count_out)++;
        }
    }
    return room;
}

static void start_run(struct overlay *overlay, struct seek_run *run, const struct seek_wait *wait)
{
    memset(run, 0, offsetof(struct seek_run, seek));
    run->used = true;
    run->number = ++overlay->last_token;
    run->purpose = wait->wanted.purpose;
    run->for_number = wait->wanted.number;
    run->is_careful = wait->wanted.is_careful;
    run->key = wait->key;
    run->deadline_ms = wait->deadline_ms;
    run->wake_ms = overlay->now_ms; /* not before the caller has taken note */
}

/* The upkeep of fingers does not keep others waiting, nor does it wait: it comes again. */
bool seeks_start(struct overlay *overlay, const struct ring_key *key, const struct wanted *wanted)
{
    struct seek_wait wait = {*wanted, *key, overlay->now_ms + ROUTE_MS};
    bool is_upkeep = wanted->purpose == SEARCH_FINGER || wanted->purpose == SEARCH_PLACE;
    uint32_t free_count;
    struct seek_run *run;

    if (is_under_way(overlay, key, wanted)) {
        return true;
    }
    run = overlay->seek_wait_count > 0 ? NULL : find_room(overlay, &free_count);
    if (run != NULL && (wanted->purpose != SEARCH_FINGER || free_count > SEEKS_MAX / 2)) {
        start_run(overlay, run, &wait);
        return true;
    }
    if (is_upkeep || overlay->seek_wait_count == SEEKS_WAITING_MAX) {
        return false;
    }
    overlay->seek_waits[overlay->seek_wait_count++] = wait;
    return true;
}

static void take_first(struct overlay *overlay, struct seek_wait *first_out)
{
    *first_out = overlay->seek_waits[0];
    overlay->seek_wait_count--;
    memmove(&overlay->seek_waits[0], &overlay->seek_waits[1],
            overlay->seek_wait_count * sizeof(overlay->seek_waits[0]));
}

/* All have the same patience: the first one ends first. */
static void serve_waiting(struct overlay *overlay)
{
    struct seek_wait wait;

    while (overlay->seek_wait_count > 0) {
        uint32_t free_count;
        struct seek_run *run = find_room(overlay, &free_count);

        if (overlay->now_ms >= overlay->seek_waits[0].deadline_ms) {
            take_first(overlay, &wait);
            search_done(overlay, &(struct search_result){.purpose = wait.wanted.purpose,
                                                         .number = wait.wanted.number,
                                                         .key = wait.key});
        } else if (run != NULL) {
            take_first(overlay, &wait);
            start_run(overlay, run, &wait);
        } else {
            return;
        }
    }
}

/* ------------------------------------------------------------------ events */

static void tick(struct overlay *overlay, struct seek_run *run)
{
    struct seek_event event = {.kind = SEEK_TICK};

    if (finish_as_own(overlay, run)) {
        return;
    }
    if (run->has_begun) {
        step(overlay, run, &event);
    } else {
        begin(overlay, run);
    }
    /* A lease may come back any time. */
    if (run->used && ring_has(&overlay->ring, &run->key) &&
        run->wake_ms > overlay->now_ms + OWN_AGAIN_MS) {
        run->wake_ms = overlay->now_ms + OWN_AGAIN_MS;
    }
}

void seeks_tick(struct overlay *overlay)
{
    for (uint32_t i = 0; i < SEEKS_MAX; i++) {
        if (overlay->seeks[i].used && overlay->now_ms >= overlay->seeks[i].wake_ms) {
            tick(overlay, &overlay->seeks[i]);
        }
    }
    serve_waiting(overlay);
}

uint64_t seeks_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = overlay->seek_wait_count > 0 ? overlay->seek_waits[0].deadline_ms : 0;

    for (uint32_t i = 0; i < SEEKS_MAX; i++) {
        const struct seek_run *run = &overlay->seeks[i];

        if (run->used && (wake_ms == 0 || run->wake_ms < wake_ms)) {
            wake_ms = run->wake_ms;
        }
    }
    return wake_ms;
}

/* Of all claims the nearest one counts in the end: its holders are kept. */
static void note_holders(struct seek_run *run, const struct ring_node *by,
                         const struct seek_answer *answer)
{
    struct id distance = id_distance(&run->key.id, &by->position.id);
    struct id known = id_distance(&run->key.id, &run->claim.position.id);

    if (!answer->owns || (run->has_claim && id_compare(&distance, &known) > 0)) {
        return;
    }
    run->has_claim = true;
    run->claim = *by;
    run->holder_count = 0;
    for (uint32_t i = 0; i < answer->contact_count && i < RECORD_COPIES; i++) {
        run->holders[run->holder_count++] = answer->contacts[i].node;
    }
}

static void take_answer(struct overlay *overlay, const minga_SeekReply *reply,
                        struct seek_answer *answer)
{
    answer->owns = reply->owns;
    answer->waiting = reply->waiting;
    answer->has_arc = reply->has_arc;
    answer->from = (struct ring_key){message_id(reply->from)};
    answer->epoch = reply->epoch;
    answer->presumed = reply->presumed;
    for (pb_size_t i = 0; i < reply->contacts_count && i < SEEK_CONTACTS_MAX; i++) {
        contact_learn(overlay, &reply->contacts[i]);
        answer->contacts[answer->contact_count++] = node_of_key(reply->contacts[i].node_key);
    }
}

void seeks_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival)
{
    struct seek_run *run = find_run(overlay, request->token);
    struct seek_answer answer = {0};
    struct seek_event event = {.kind = SEEK_ANSWER, .answer = &answer};
    const struct member *member;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    member = &overlay->membership.list[arrival->member];
    event.node = (struct ring_node){member->view.node, member->position};
    if (arrival->message->which_kind != minga_Message_seek_reply_tag) {
        event.kind = SEEK_SILENT; /* busy, or nonsense */
        answer = (struct seek_answer){0};
    } else {
        take_answer(overlay, &arrival->message->kind.seek_reply, &answer);
        far_heard(overlay, arrival->member, answer.has_arc ? &answer.from : NULL);
    }
    if (run == NULL || !run->has_begun) {
        return;
    }
    note_holders(run, &event.node, &answer);
    if (answer.owns) {
        answer.contact_count = 0; /* who keeps copies says nothing about the way */
    }
    step(overlay, run, &event);
}

/* Gone, or the link could not be built; time-outs in between are the seek's own. */
void seeks_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct seek_run *run = find_run(overlay, request->token);
    int index = membership_find(&overlay->membership, &request->to);
    const struct contact *contact = contact_look(overlay, &request->to);
    struct seek_event event = {.kind = SEEK_SILENT, .node.node = request->to};

    if (run == NULL || !run->has_begun || (index == MEMBER_NONE && contact == NULL)) {
        return;
    }
    event.node.position = index != MEMBER_NONE ? overlay->membership.list[index].position
                                               : keys_position(&contact->peer.key, 0);
    step(overlay, run, &event);
}

/* ------------------------------------------------------------------ being asked */

static void put_contact(const struct overlay *overlay, const struct node_id *node,
                        minga_SeekReply *reply)
{
    if (!peer_is_self(overlay, node) && reply->contacts_count < ARRAY_COUNT(reply->contacts) &&
        contact_fill(overlay, node, &reply->contacts[reply->contacts_count])) {
        reply->contacts_count++;
    }
}

/* While everyone is known here: the owner, and those behind it. */
static void name_known(const struct overlay *overlay, const struct ring_key *key,
                       uint32_t count_max, minga_SeekReply *reply)
{
    struct node_id nodes[SEEK_CONTACTS_MAX];
    uint32_t count = overlay->routing->replica_set(
        &overlay->router, key, count_max < SEEK_CONTACTS_MAX ? count_max : SEEK_CONTACTS_MAX,
        nodes);

    for (uint32_t i = 0; i < count; i++) {
        put_contact(overlay, &nodes[i], reply);
        reply->presumed |= i == 0 && reply->contacts_count == 1;
    }
}

static void name_next(const struct overlay *overlay, const struct seek_answer *answer,
                      minga_SeekReply *reply)
{
    for (uint32_t i = 0; i < answer->contact_count; i++) {
        put_contact(overlay, &answer->contacts[i].node, reply);
        reply->presumed |= i == 0 && answer->presumed && reply->contacts_count == 1;
    }
}

void seeks_on_next(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_SeekNext *next = &arrival->message->kind.seek_next;
    struct ring_key key = {message_id(next->key)};
    struct seek_answer answer;
    minga_Message message;
    minga_SeekReply *reply = &message.kind.seek_reply;

    if (arrival->member != MEMBER_NONE) {
        far_heard(overlay, arrival->member, NULL);
    }
    seek_fill_answer(&overlay->router, &key, next->contacts, &answer);
    message_init(&message, minga_Message_seek_reply_tag);
    reply->owns = answer.owns;
    reply->waiting = answer.waiting;
    reply->has_arc = answer.has_arc;
    message_put_id(reply->from, &answer.from.id);
    reply->epoch = answer.epoch;
    if (answer.owns ? next->holders : !overlay->large) {
        name_known(overlay, &key, answer.owns ? RECORD_COPIES : next->contacts, reply);
        reply->presumed &= !answer.owns;
    } else if (!answer.owns) {
        name_next(overlay, &answer, reply);
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}
