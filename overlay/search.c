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

bool search_start(struct overlay *overlay, const struct ring_key *key, enum search_for purpose,
                  uint64_t number)
{
    struct request *request = asks_start_lookup(overlay, key);

    if (request == NULL) {
        return false;
    }
    request->purpose = (uint8_t)purpose;
    request->token = number;
    return true;
}

static void hand_over(struct overlay *overlay, const struct request *request,
                      const struct node_id *holders, uint32_t count)
{
    switch ((enum search_for)request->purpose) {
    case SEARCH_RECORD_GET:
        record_get_on_holders(overlay, request->token, holders, count);
        break;
    case SEARCH_CHUNK_PUT:
        chunk_put_on_holders(overlay, request->token, holders, count);
        break;
    case SEARCH_FINGER: /* far_found has it */
        break;
    case SEARCH_LOCATE:
        located_found(overlay, &request->key, holders, count);
        break;
    case SEARCH_CHUNK_GET:
        chunk_get_on_holders(overlay, request->token, holders, count);
        break;
    }
}

void search_found(struct overlay *overlay, const struct request *request,
                  const minga_LookupReply *answer)
{
    struct node_id holders[RECORD_COPIES];
    struct ring_key from = {message_id(answer->from)};
    uint32_t count =
        answer->holders_count < RECORD_COPIES ? answer->holders_count : (uint32_t)RECORD_COPIES;

    for (uint32_t i = 0; i < count; i++) {
        holders[i] = (struct node_id){message_id(answer->holders[i])};
    }
    if (count > 0) {
        far_found(overlay, &request->key, &holders[0], id_is_zero(&from.id) ? NULL : &from);
    }
    hand_over(overlay, request, holders, count);
}

void search_on_reply(struct overlay *overlay, const struct request *request,
                     const struct arrival *arrival)
{
    const minga_LookupReply *answer = &arrival->message->kind.lookup_reply;

    if (arrival->message->which_kind != minga_Message_lookup_reply_tag) {
        hand_over(overlay, request, NULL, 0);
        return;
    }
    for (pb_size_t i = 0; i < answer->contacts_count; i++) {
        contact_learn(overlay, &answer->contacts[i]);
    }
    search_found(overlay, request, answer);
}

void search_on_timeout(struct overlay *overlay, const struct request *request)
{
    hand_over(overlay, request, NULL, 0);
}
