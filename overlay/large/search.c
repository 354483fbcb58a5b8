// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who holds a key? Where everyone is known, and among the own neighbours, the table says it at
 * once; otherwise it is looked up first, and the operation waits for the answer.
 */
#include "overlay/state.h"

enum { FAR_BEHIND = 2 };

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

/* Does the key lie behind us, no farther than so many times what our successors reach ahead? */
static bool is_behind(const struct overlay *overlay, const struct ring_key *key, uint64_t times)
{
    const struct ring *ring = &overlay->ring;
    const struct id *self = &ring->self.position.id;
    struct id reach = id_distance(self, &ring->successors[SUCCESSORS_MAX - 1].position.id);
    struct id behind = id_distance(&key->id, self);

    return id_top(&behind) / times <= id_top(&reach);
}

/* Near enough for this node or a neighbour to be among the holders. Behind us we know those who
 * have greeted us, most likely all: good enough for anti-entropy, which may offer too much. */
static bool is_near(const struct overlay *overlay, const struct ring_key *key)
{
    return !overlay->large || overlay->ring.successor_count < SUCCESSORS_MAX ||
           is_behind(overlay, key, 1) || search_is_known(overlay, key);
}

uint32_t search_holders(const struct overlay *overlay, const struct ring_key *key,
                        uint32_t count_max, struct node_id *nodes_out)
{
    if (!is_near(overlay, key)) {
        return 0;
    }
    return overlay->routing->replica_set(&overlay->router, key, count_max, nodes_out);
}

/* Eight nodes behind us may take more room than sixteen ahead. */
uint32_t search_own(const struct overlay *overlay, const struct ring_key *key, uint32_t count_max,
                    struct node_id *nodes_out)
{
    uint32_t count = 0;

    if (is_behind(overlay, key, FAR_BEHIND)) {
        count = overlay->routing->replica_set(&overlay->router, key, count_max, nodes_out);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (peer_is_self(overlay, &nodes_out[i])) {
            return count;
        }
    }
    return 0;
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
    case SEARCH_IMAGE: /* one of several */
    case SEARCH_COMPARE:
        break;
    }
    return false;
}

bool search_start(struct overlay *overlay, const struct ring_key *key, enum search_for purpose,
                  uint64_t number)
{
    struct wanted wanted = {purpose, number, is_careful(overlay, key, purpose)};

    return seeks_start(overlay, key, &wanted);
}

bool search_is_wanted(const struct overlay *overlay, const struct ring_key *key)
{
    return overlay->large && !search_is_known(overlay, key) && !located_is_fresh(overlay, key);
}

bool search_first(struct overlay *overlay, struct request *request)
{
    request->repeat_ms = 0;
    return search_start(overlay, &request->key, request->is_image ? SEARCH_IMAGE : SEARCH_ROUTE,
                        request->id);
}

/* The way is known now: the request sets out, straight to who answers for the key. Else by the tables,
 * which have nobody's word; a newcomer's rather ends, and comes again, and one to an image ends. */
static void set_out(struct overlay *overlay, const struct search_result *result)
{
    struct request *request = requests_find(&overlay->requests, result->number);
    bool is_own = result->count > 0 && peer_is_self(overlay, &result->holders[0]);

    if (request == NULL) {
        return;
    }
    if (result->count > 0 && !(request->is_image && is_own)) {
        request->has_way = true;
        request->to = result->holders[0];
    } else if (request->kind == REQUEST_JOIN_RELAY || request->is_image) {
        request->deadline_ms = overlay->now_ms;
    }
    request->repeat_ms = overlay->now_ms;
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
    case SEARCH_IMAGE:
        set_out(overlay, result);
        break;
    case SEARCH_COMPARE:
        images_found(overlay, result);
        break;
    case SEARCH_FINGER:
    case SEARCH_PLACE: /* who answered is known now */
        break;
    }
}
