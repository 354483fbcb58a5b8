// SPDX-License-Identifier: GPL-3.0-or-later
/* The agent's messages: to one member, to whoever is responsible for a key, and the answers. */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

/* --- delivering */

static void deliver(struct overlay *overlay, const struct overlay_ask *ask, struct bytes payload,
                    const struct ring_key *key)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_DELIVER);

    if (effect == NULL) {
        return;
    }
    effect->ask = *ask;
    effect->payload = effect_keep(overlay, payload);
    if (key != NULL) {
        effect->key = *key;
    }
}

static void deliver_arrival(struct overlay *overlay, const struct arrival *arrival,
                            const struct node_id *from, const minga_Payload *payload,
                            const struct ring_key *key)
{
    struct overlay_ask ask = {.from = *from,
                              .direct = id_equal(&from->id, &arrival->asker.node.id),
                              .wants_answer = arrival->asker.request != 0,
                              .source = *arrival->source,
                              .request = arrival->asker.request};

    ask.source.node = arrival->asker.node;
    deliver(overlay, &ask, (struct bytes){payload->bytes.bytes, payload->bytes.size}, key);
}

/* Hands the agent its own message; with a token it waits for the answer like any other. */
static void deliver_local(struct overlay *overlay, uint64_t token, struct bytes payload,
                          const struct ring_key *key, uint64_t timeout_ms)
{
    struct overlay_ask ask = {.from = overlay->self, .direct = true};

    ask.source.node = overlay->self;
    if (token != 0) {
        struct request *request = requests_new(&overlay->requests, REQUEST_LOCAL);

        if (request == NULL) {
            (void)effect_done(overlay, token, OVERLAY_FULL, "too many requests are under way");
            return;
        }
        request->token = token;
        request->to = overlay->self;
        request->deadline_ms = overlay->now_ms + timeout_ms;
        ask.wants_answer = true;
        ask.request = request->id;
    }
    deliver(overlay, &ask, payload, key);
}

/* --- repeated questions must not reach the agent twice */

static struct seen_ask *find_seen(struct overlay *overlay, const struct node_id *node,
                                  uint64_t number)
{
    for (uint32_t i = 0; i < SEEN_ASKS_MAX; i++) {
        struct seen_ask *seen = &overlay->seen[i];

        if (seen->number == number && id_equal(&seen->node.id, &node->id)) {
            return seen;
        }
    }
    return NULL;
}

static struct seen_ask *find_asked(struct overlay *overlay, const struct node_id *asker,
                                   uint64_t request)
{
    for (uint32_t i = 0; i < SEEN_ASKS_MAX; i++) {
        struct seen_ask *seen = &overlay->seen[i];

        if (seen->request == request && id_equal(&seen->asker.id, &asker->id)) {
            return seen;
        }
    }
    return NULL;
}

static void answer_again(struct overlay *overlay, const struct arrival *arrival,
                         const struct seen_ask *seen)
{
    const struct cached_answer *cached;
    minga_Message message;

    if (seen->answer == 0) {
        return; /* the agent is still at it */
    }
    cached = &overlay->answers[seen->answer - 1];
    message_init(&message, minga_Message_answer_tag);
    message.kind.answer.has_payload = true;
    memcpy(message.kind.answer.payload.bytes.bytes, cached->bytes, cached->length_bytes);
    message.kind.answer.payload.bytes.size = cached->length_bytes;
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

/* Returns whether the question is a repetition (and answers it if that is possible). One that is
 * routed may come twice on different ways: `origin` and `number` say which it is. */
static bool is_repeated(struct overlay *overlay, const struct arrival *arrival,
                        const struct node_id *origin, uint64_t number)
{
    struct seen_ask *seen;

    if (arrival->asker.request == 0) {
        return false;
    }
    seen = find_seen(overlay, origin, number);
    if (seen != NULL) {
        answer_again(overlay, arrival, seen);
        return true;
    }
    overlay->seen[overlay->seen_next] =
        (struct seen_ask){*origin, number, arrival->asker.node, arrival->asker.request, 0};
    overlay->seen_next = (overlay->seen_next + 1) % SEEN_ASKS_MAX;
    return false;
}

static void remember_answer(struct overlay *overlay, const struct overlay_ask *ask,
                            struct bytes payload)
{
    struct seen_ask *seen = find_asked(overlay, &ask->source.node, ask->request);
    struct cached_answer *cached = &overlay->answers[overlay->answer_next];

    if (seen == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SEEN_ASKS_MAX; i++) {
        if (overlay->seen[i].answer == overlay->answer_next + 1) {
            overlay->seen[i].answer = 0;
        }
    }
    memcpy(cached->bytes, payload.data, payload.length_bytes);
    cached->length_bytes = (pb_size_t)payload.length_bytes;
    seen->answer = overlay->answer_next + 1;
    overlay->answer_next = (overlay->answer_next + 1) % CACHED_ANSWERS_MAX;
}

/* --- asking one member */

static void fill_payload(minga_Payload *out, struct bytes payload)
{
    CHECK(payload.length_bytes <= PAYLOAD_BYTES_MAX);
    if (payload.length_bytes > 0) {
        memcpy(out->bytes.bytes, payload.data, payload.length_bytes);
    }
    out->bytes.size = (pb_size_t)payload.length_bytes;
}

static void ask_member(struct overlay *overlay, const struct node_id *to,
                       const struct overlay_question *question)
{
    uint64_t token = question->token;
    struct request *request;
    minga_Message message;

    if (!peer_is_reachable(overlay, to) && !contacts_is_tried(overlay, to)) {
        (void)effect_done(overlay, token, OVERLAY_TIMED_OUT, "the node is not there");
        return;
    }
    message_init(&message, minga_Message_ask_tag);
    message.kind.ask.has_payload = true;
    fill_payload(&message.kind.ask.payload, question->payload);
    if (token == 0) {
        peer_send(overlay, to, &message, NULL);
        return;
    }
    request = peer_request(overlay, REQUEST_ASK, to, &message, ASK_MS);
    if (request == NULL) {
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many requests are under way");
        return;
    }
    request->token = token;
}

void overlay_ask(struct overlay *overlay, const struct overlay_event *now, const struct node_id *to,
                 struct overlay_question question, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (peer_is_self(overlay, to)) {
        deliver_local(overlay, question.token, question.payload, NULL, ASK_MS);
    } else {
        ask_member(overlay, to, &question);
    }
    state_leave(overlay);
}

void asks_on_ask(struct overlay *overlay, const struct arrival *arrival)
{
    if (arrival->member != MEMBER_NONE &&
        !is_repeated(overlay, arrival, &arrival->asker.node, arrival->asker.request)) {
        deliver_arrival(overlay, arrival, &arrival->asker.node, &arrival->message->kind.ask.payload,
                        NULL);
    }
}

/* --- routing by key */

static void start_routed(struct overlay *overlay, enum request_kind kind, uint64_t token,
                         const struct ring_key *key, minga_Message *message)
{
    bool looks_first = token != 0 && search_is_wanted(overlay, key);
    struct node_id next = overlay->self;
    struct request *request;

    if (!looks_first) {
        (void)overlay->routing->next_hop(&overlay->router, key, &next);
    }
    if (token == 0) {
        peer_send(overlay, &next, message, NULL);
        return;
    }
    request = peer_request(overlay, kind, &next, message, ROUTE_MS);
    if (request == NULL) {
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many requests are under way");
        return;
    }
    request->token = token;
    request->reroute = true;
    request->key = *key;
    if (looks_first && !search_first(overlay, request)) {
        requests_end(&overlay->requests, request);
        (void)effect_done(overlay, token, OVERLAY_FULL, "too many look-ups are under way");
    } else if (!looks_first && peer_is_self(overlay, &next)) {
        request->repeat_ms = overlay->now_ms + BUSY_MS; /* nobody to go to yet */
    }
}

void overlay_route(struct overlay *overlay, const struct overlay_event *now,
                   const struct ring_key *key, struct overlay_question question,
                   struct overlay_effects *effects)
{
    minga_Message message;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (ring_responsible(&overlay->ring, key, overlay->now_ms)) {
        deliver_local(overlay, question.token, question.payload, key, ROUTE_MS);
    } else {
        message_init(&message, minga_Message_route_tag);
        message_put_id(message.kind.route.key, &key->id);
        message_put_id(message.kind.route.origin, &overlay->self.id);
        message.kind.route.number = ++overlay->last_token;
        message.kind.route.has_payload = true;
        fill_payload(&message.kind.route.payload, question.payload);
        message.kind.route.has_contact =
            overlay->large && contact_fill(overlay, &overlay->self, &message.kind.route.contact);
        start_routed(overlay, REQUEST_ROUTE, question.token, key, &message);
    }
    state_leave(overlay);
}

static void answer_busy(struct overlay *overlay, const struct arrival *arrival)
{
    minga_Message message;

    if (arrival->asker.request != 0) {
        message_init(&message, minga_Message_busy_tag);
        peer_reply(overlay, &arrival->asker, &message, NULL);
    }
}

/* Sends a routed message one hop on; the answer will come back the same way. */
void asks_relay(struct overlay *overlay, const struct arrival *arrival, enum request_kind kind,
                const struct ring_key *key, minga_Message *message)
{
    struct node_id next;
    struct request *request;

    if (!overlay->routing->next_hop(&overlay->router, key, &next) ||
        id_equal(&next.id, &arrival->asker.node.id)) {
        answer_busy(overlay, arrival);
        return;
    }
    message->reply = false;
    if (arrival->asker.request == 0) {
        message->request = 0;
        peer_send(overlay, &next, message, NULL);
        return;
    }
    request = requests_may_ask_for(&overlay->requests, &arrival->asker)
                  ? peer_request(overlay, kind, &next, message, ROUTE_MS)
                  : NULL;
    if (request == NULL) {
        answer_busy(overlay, arrival);
        return;
    }
    request->repeat_ms = 0; /* the origin repeats */
    request->asker = arrival->asker;
}

void asks_on_route(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Route *route = &arrival->message->kind.route;
    struct ring_key key = {message_id(route->key)};
    struct node_id origin = {message_id(route->origin)};
    minga_Message onward;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (ring_responsible(&overlay->ring, &key, overlay->now_ms)) {
        if (route->has_contact && overlay->large) {
            contact_learn(overlay, &route->contact);
        }
        if (!is_repeated(overlay, arrival, &origin, route->number)) {
            deliver_arrival(overlay, arrival, &origin, &route->payload, &key);
        }
        return;
    }
    if (route->hops >= ROUTE_HOPS_MAX) {
        answer_busy(overlay, arrival);
        return;
    }
    onward = *arrival->message;
    onward.kind.route.hops++;
    asks_relay(overlay, arrival, REQUEST_ROUTE_RELAY, &key, &onward);
}

/* --- answers */

static void done_local(struct overlay *overlay, const struct overlay_ask *ask, struct bytes payload)
{
    struct request *request = requests_find(&overlay->requests, ask->request);
    struct overlay_effect *effect;

    if (request == NULL || request->kind != REQUEST_LOCAL) {
        return;
    }
    effect = effect_done(overlay, request->token, OVERLAY_OK, "");
    if (effect != NULL) {
        effect->payload = effect_keep(overlay, payload);
    }
    requests_end(&overlay->requests, request);
}

void overlay_answer(struct overlay *overlay, const struct overlay_ask *ask, struct bytes payload,
                    struct overlay_effects *effects)
{
    struct asker asker = {ask->source.inbound, ask->source.link, ask->source.node, ask->request};
    minga_Message message;

    if (!ask->wants_answer) {
        return;
    }
    state_enter(overlay, overlay->now_ms, overlay->wall_unix_s, effects);
    if (!ask->source.inbound && peer_is_self(overlay, &ask->source.node)) {
        done_local(overlay, ask, payload);
    } else {
        message_init(&message, minga_Message_answer_tag);
        message.kind.answer.has_payload = true;
        fill_payload(&message.kind.answer.payload, payload);
        remember_answer(overlay, ask, payload);
        peer_reply(overlay, &asker, &message, NULL);
    }
    state_leave(overlay);
}

static void done_lookup(struct overlay *overlay, uint64_t token, const minga_LookupReply *answer)
{
    struct overlay_effect *effect = effect_done(overlay, token, OVERLAY_OK, "");

    if (effect == NULL) {
        return;
    }
    for (pb_size_t i = 0; i < answer->path_count; i++) {
        effect->lookup.path[i] = (struct node_id){message_id(answer->path[i])};
    }
    effect->lookup.path_count = answer->path_count;
    if (answer->path_count > 0) {
        effect->lookup.responsible = effect->lookup.path[answer->path_count - 1];
    }
    for (pb_size_t i = 0; i < answer->holders_count && i < RECORD_COPIES; i++) {
        effect->lookup.holders[i] = (struct node_id){message_id(answer->holders[i])};
    }
    for (pb_size_t i = 0; i < answer->contacts_count; i++) {
        contact_learn(overlay, &answer->contacts[i]);
    }
    effect->lookup.holder_count =
        answer->holders_count < RECORD_COPIES ? answer->holders_count : (uint32_t)RECORD_COPIES;
}

void asks_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival)
{
    const minga_Message *message = arrival->message;
    struct overlay_effect *effect;

    if (request->kind == REQUEST_ROUTE_RELAY || request->kind == REQUEST_LOOKUP_RELAY) {
        minga_Message onward = *message;

        peer_reply(overlay, &request->asker, &onward, NULL);
    } else if (request->kind == REQUEST_LOOKUP &&
               message->which_kind == minga_Message_lookup_reply_tag) {
        done_lookup(overlay, request->token, &message->kind.lookup_reply);
    } else if (request->kind != REQUEST_LOOKUP && message->which_kind == minga_Message_answer_tag) {
        const minga_Payload *payload = &message->kind.answer.payload;

        effect = effect_done(overlay, request->token, OVERLAY_OK, "");
        if (effect != NULL) {
            effect->payload =
                effect_keep(overlay, (struct bytes){payload->bytes.bytes, payload->bytes.size});
        }
    } else {
        (void)effect_done(overlay, request->token, OVERLAY_REFUSED, "an answer makes no sense");
    }
}

void asks_on_timeout(struct overlay *overlay, const struct request *request)
{
    (void)effect_done(overlay, request->token, OVERLAY_TIMED_OUT, "nobody answered in time");
}

/* --- lookups */

static void fill_lookup(const struct overlay *overlay, const struct ring_key *key,
                        const minga_Lookup *lookup, minga_LookupReply *answer)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count = overlay->routing->replica_set(&overlay->router, key, RECORD_COPIES, holders);

    answer->path_count = 0;
    for (pb_size_t i = 0; i < lookup->path_count && i < ROUTE_HOPS_MAX - 1; i++) {
        memcpy(answer->path[answer->path_count++], lookup->path[i], ID_BYTES);
    }
    message_put_id(answer->path[answer->path_count++], &overlay->self.id);
    for (uint32_t i = 0; i < count; i++) {
        message_put_id(answer->holders[i], &holders[i].id);
        if (overlay->large &&
            contact_fill(overlay, &holders[i], &answer->contacts[answer->contacts_count])) {
            answer->contacts_count++;
        }
    }
    answer->holders_count = (pb_size_t)count;
    if (overlay->large) {
        message_put_id(answer->from, &overlay->ring.arc_from.id);
    }
}

void asks_on_lookup(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Lookup *lookup = &arrival->message->kind.lookup;
    struct ring_key key = {message_id(lookup->key)};
    minga_Message message;

    if (ring_responsible(&overlay->ring, &key, overlay->now_ms)) {
        message_init(&message, minga_Message_lookup_reply_tag);
        fill_lookup(overlay, &key, lookup, &message.kind.lookup_reply);
        peer_reply(overlay, &arrival->asker, &message, NULL);
        return;
    }
    if (lookup->path_count >= ROUTE_HOPS_MAX - 1) {
        answer_busy(overlay, arrival);
        return;
    }
    message = *arrival->message;
    message_put_id(message.kind.lookup.path[message.kind.lookup.path_count++], &overlay->self.id);
    asks_relay(overlay, arrival, REQUEST_LOOKUP_RELAY, &key, &message);
}

void asks_found(struct overlay *overlay, const struct search_result *result)
{
    struct overlay_effect *effect = result->found
                                        ? effect_done(overlay, result->number, OVERLAY_OK, "")
                                        : effect_done(overlay, result->number, OVERLAY_TIMED_OUT,
                                                      "nobody was found who answers for the key");

    if (effect == NULL || !result->found) {
        return;
    }
    effect->lookup.path_count = result->path_count;
    memcpy(effect->lookup.path, result->path, sizeof(result->path));
    effect->lookup.responsible =
        result->count > 0 ? result->holders[0] : result->path[result->path_count - 1];
    effect->lookup.holder_count = result->count;
    memcpy(effect->lookup.holders, result->holders, sizeof(result->holders));
}

void overlay_lookup(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                    const struct ring_key *key, struct overlay_effects *effects)
{
    minga_Message message;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    message_init(&message, minga_Message_lookup_tag);
    message_put_id(message.kind.lookup.key, &key->id);
    if (ring_responsible(&overlay->ring, key, overlay->now_ms)) {
        minga_LookupReply answer = minga_LookupReply_init_zero;

        fill_lookup(overlay, key, &message.kind.lookup, &answer);
        done_lookup(overlay, token, &answer);
    } else if (overlay->large && !search_is_known(overlay, key)) {
        if (!search_start(overlay, key, SEARCH_AGENT, token)) {
            (void)effect_done(overlay, token, OVERLAY_FULL, "too many look-ups are under way");
        }
    } else {
        message_put_id(message.kind.lookup.path[0], &overlay->self.id);
        message.kind.lookup.path_count = 1;
        start_routed(overlay, REQUEST_LOOKUP, token, key, &message);
    }
    state_leave(overlay);
}

/* --- repetitions find their way anew */

static void deliver_rerouted(struct overlay *overlay, const struct request *request)
{
    minga_Message message;
    minga_LookupReply answer = minga_LookupReply_init_zero;

    if (message_decode((struct bytes){request->bytes, request->length_bytes}, &message) < 0) {
        return;
    }
    if (request->kind == REQUEST_LOOKUP) {
        fill_lookup(overlay, &request->key, &(minga_Lookup){0}, &answer);
        done_lookup(overlay, request->token, &answer);
    } else if (request->kind == REQUEST_ROUTE) {
        const minga_Payload *payload = &message.kind.route.payload;

        deliver_local(overlay, request->token,
                      (struct bytes){payload->bytes.bytes, payload->bytes.size}, &request->key,
                      ROUTE_MS);
    }
}

bool asks_other(struct overlay *overlay, struct request *request)
{
    struct node_id nodes[3];
    uint32_t count;

    if (request->kind != REQUEST_ROUTE && request->kind != REQUEST_LOOKUP) {
        return false; /* only the responsible node can write a record */
    }
    count = overlay->large
                ? overlay->routing->local_lookup(&overlay->router, &request->key, false, 3, nodes)
                : overlay->routing->replica_set(&overlay->router, &request->key, 3, nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (!peer_is_self(overlay, &nodes[i]) && !id_equal(&nodes[i].id, &request->to.id)) {
            request->other = nodes[i];
            request->has_other = true;
            return true;
        }
    }
    return false;
}

bool asks_reroute(struct overlay *overlay, struct request *request)
{
    struct node_id next;

    if (ring_responsible(&overlay->ring, &request->key, overlay->now_ms)) {
        if (request->kind == REQUEST_RECORD_PUT) {
            return !record_put_here(overlay, request);
        }
        deliver_rerouted(overlay, request);
        return false;
    }
    if (request->has_way) {
        request->has_way = false;
    } else if (overlay->routing->next_hop(&overlay->router, &request->key, &next)) {
        request->to = next;
    }
    return true;
}
