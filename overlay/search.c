// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who holds a key? Where everyone is known, and among the own neighbours, the table says it at
 * once; otherwise it is looked up first, and the operation waits for the answer.
 */
#include "overlay/state.h"

bool search_is_known(const struct overlay *overlay, const struct ring_key *key)
{
    const struct ring *ring = &overlay->ring;
    const struct ring_key *last;

    if (!overlay->large || ring->successor_count < SUCCESSORS_MAX) {
        return true;
    }
    /* The whole set of holders must lie within the list. */
    last = &ring->successors[SUCCESSORS_MAX - 1 - RECORD_COPIES].position;
    return ring->predecessor_count > 0 &&
           id_in_arc(&key->id, &ring->predecessors[0].position.id, &last->id);
}

/* Near enough for this node or a neighbour to be among the holders. Behind us we know those who
 * have greeted us, most likely all: good enough for anti-entropy, which may offer too much. */
static bool is_near(const struct overlay *overlay, const struct ring_key *key)
{
    const struct ring *ring = &overlay->ring;
    const struct id *self = &ring->self.position.id;
    struct id behind;
    struct id reach;

    if (!overlay->large || ring->successor_count < SUCCESSORS_MAX) {
        return true;
    }
    reach = id_distance(self, &ring->successors[SUCCESSORS_MAX - 1].position.id);
    behind = id_distance(&key->id, self);
    return id_compare(&behind, &reach) <= 0 || search_is_known(overlay, key);
}

uint32_t search_holders(const struct overlay *overlay, const struct ring_key *key,
                        uint32_t count_max, struct node_id *nodes_out)
{
    if (!is_near(overlay, key)) {
        return 0;
    }
    return overlay->routing->replica_set(&overlay->router, key, count_max, nodes_out);
}

/* Where a lie does harm that nothing else shows, at the cost of some twenty questions. Chunks are
 * verified against their names, and fingers are only hints. */
static bool is_careful(const struct overlay *overlay, const struct ring_key *key,
                       enum search_for purpose)
{
    switch (purpose) {
    case SEARCH_RECORD_GET:
    case SEARCH_AGENT:
    case SEARCH_ROUTE:
        return true;
    case SEARCH_LOCATE:
        return located_is_doubtful(overlay, key);
    case SEARCH_CHUNK_PUT:
    case SEARCH_CHUNK_GET:
    case SEARCH_FINGER:
    case SEARCH_PLACE:
        break;
    }
    return false;
}

/* When too many are under way: hop by hop. */
static bool start_recursive(struct overlay *overlay, const struct ring_key *key,
                            enum search_for purpose, uint64_t number)
{
    struct request *request = asks_start_lookup(overlay, key);

    if (request == NULL) {
        return false;
    }
    request->purpose = (uint8_t)purpose;
    request->token = number;
    return true;
}

bool search_start(struct overlay *overlay, const struct ring_key *key, enum search_for purpose,
                  uint64_t number)
{
    struct wanted wanted = {purpose, number, is_careful(overlay, key, purpose)};

    if (seeks_start(overlay, key, &wanted)) {
        return true;
    }
    return purpose != SEARCH_FINGER && purpose != SEARCH_PLACE && purpose != SEARCH_AGENT &&
           purpose != SEARCH_ROUTE && start_recursive(overlay, key, purpose, number);
}

bool search_is_wanted(const struct overlay *overlay, const struct ring_key *key)
{
    return overlay->large && !search_is_known(overlay, key) && !located_is_fresh(overlay, key);
}

void search_first(struct overlay *overlay, struct request *request)
{
    request->repeat_ms = overlay->now_ms;
    if (search_start(overlay, &request->key, SEARCH_ROUTE, request->id)) {
        request->repeat_ms = 0;
    }
}

/* The way is known now, or will not be: the request sets out. */
static void set_out(struct overlay *overlay, uint64_t id)
{
    struct request *request = requests_find(&overlay->requests, id);

    if (request != NULL) {
        request->repeat_ms = overlay->now_ms;
    }
}

void search_done(struct overlay *overlay, const struct search_result *result)
{
    switch (result->purpose) {
    case SEARCH_RECORD_GET:
        record_get_on_holders(overlay, result->number, result->holders, result->count);
        break;
    case SEARCH_CHUNK_PUT:
        chunk_put_on_holders(overlay, result->number, result->holders, result->count);
        break;
    case SEARCH_CHUNK_GET:
        chunk_get_on_holders(overlay, result->number, result->holders, result->count);
        break;
    case SEARCH_LOCATE:
        located_found(overlay, &result->key, result->holders, result->count);
        break;
    case SEARCH_AGENT:
        asks_found(overlay, result);
        break;
    case SEARCH_ROUTE:
        set_out(overlay, result->number);
        break;
    case SEARCH_FINGER:
    case SEARCH_PLACE: /* who answered is known now */
        break;
    }
}

/* ------------------------------------------------------------------ hop by hop */

static struct search_result result_of(const struct request *request)
{
    return (struct search_result){.purpose = (enum search_for)request->purpose,
                                  .number = request->token,
                                  .key = request->key};
}

void search_found(struct overlay *overlay, const struct request *request,
                  const minga_LookupReply *answer)
{
    struct search_result result = result_of(request);
    struct ring_key from = {message_id(answer->from)};

    for (pb_size_t i = 0; i < answer->holders_count && i < RECORD_COPIES; i++) {
        result.holders[result.count++] = (struct node_id){message_id(answer->holders[i])};
    }
    if (result.count > 0) {
        far_found(overlay, &request->key, &result.holders[0], id_is_zero(&from.id) ? NULL : &from);
    }
    search_done(overlay, &result);
}

void search_on_reply(struct overlay *overlay, const struct request *request,
                     const struct arrival *arrival)
{
    const minga_LookupReply *answer = &arrival->message->kind.lookup_reply;

    if (arrival->message->which_kind != minga_Message_lookup_reply_tag) {
        search_on_timeout(overlay, request);
        return;
    }
    for (pb_size_t i = 0; i < answer->contacts_count; i++) {
        contact_learn(overlay, &answer->contacts[i]);
    }
    search_found(overlay, request, answer);
}

void search_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct search_result result = result_of(request);

    search_done(overlay, &result);
}
