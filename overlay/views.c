// SPDX-License-Identifier: GPL-3.0-or-later
/* What the agent may look at. */
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "overlay/state.h"

bool overlay_belongs(const struct overlay *overlay)
{
    return overlay->phase == PHASE_MEMBER;
}

struct community_id overlay_community(const struct overlay *overlay)
{
    return keys_community_id(&overlay->community);
}

const char *overlay_community_name(const struct overlay *overlay)
{
    return overlay->community_name;
}

struct bytes overlay_community_record(const struct overlay *overlay)
{
    if (!overlay_belongs(overlay)) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){overlay->community_encoded, overlay->community_bytes};
}

struct node_id overlay_self(const struct overlay *overlay)
{
    return overlay->self;
}

uint32_t overlay_member_count(const struct overlay *overlay)
{
    return overlay->membership.count;
}

bool overlay_knows_all(const struct overlay *overlay)
{
    return !overlay->large;
}

bool overlay_manages(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);
    const struct contact *contact = contact_look(overlay, node);

    return index != MEMBER_NONE ? overlay->membership.list[index].view.record.manages
                                : contact != NULL && contact->manages;
}

uint32_t overlay_size(const struct overlay *overlay)
{
    return scale_size(overlay);
}

static const struct overlay_member *view_of(const struct overlay *overlay, int index)
{
    return &overlay->membership.list[index].view;
}

const struct overlay_member *overlay_member(const struct overlay *overlay, uint32_t index)
{
    CHECK(index < overlay->membership.count);
    return view_of(overlay, (int)index);
}

const struct overlay_member *overlay_member_by_id(const struct overlay *overlay,
                                                  const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    return index == MEMBER_NONE ? NULL : view_of(overlay, index);
}

bool overlay_has_greeted(const struct overlay *overlay, const uint8_t curve_key[32])
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        if (member->has_curve_key && member->view.state != MEMBER_EXPELLED &&
            memcmp(member->curve_key, curve_key, sizeof(member->curve_key)) == 0) {
            return true;
        }
    }
    return false;
}

bool overlay_is_welcome(const struct overlay *overlay, const struct node_id *node)
{
    const struct overlay_member *member = overlay_member_by_id(overlay, node);

    if (membership_banned(&overlay->membership.expulsions, &node->id) != NULL) {
        return false;
    }
    return member != NULL ? member->state != MEMBER_EXPELLED && member->state != MEMBER_LEFT
                          : !overlay_knows_all(overlay);
}

void overlay_secret(const struct overlay *overlay, const char *purpose, struct bytes what,
                    uint8_t secret_out[RELAY_SECRET_BYTES])
{
    struct signature signature = keys_sign(&overlay->secret, purpose, what);
    struct id id = hash_of(purpose, (struct bytes){signature.bytes, sizeof(signature.bytes)});

    static_assert((int)RELAY_SECRET_BYTES == (int)ID_BYTES, "a hash makes the secret");
    memcpy(secret_out, id.bytes, RELAY_SECRET_BYTES);
}

bool overlay_owner_is_member(const struct overlay *overlay, const struct public_key *owner)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct overlay_member *view = &overlay->membership.list[i].view;

        if (view->state != MEMBER_EXPELLED && keys_equal(&view->owner_key, owner)) {
            return true;
        }
    }
    return false;
}

bool overlay_isolated(const struct overlay *overlay, uint64_t now_ms)
{
    uint64_t heard_ms = overlay->heard_ms + state_slept_ms(overlay, now_ms);
    bool others = false;

    for (uint32_t i = 0; i < overlay->membership.count && !others; i++) {
        enum member_state state = overlay->membership.list[i].view.state;

        others = (int)i != overlay->self_index && state != MEMBER_LEFT && state != MEMBER_EXPELLED;
    }
    return overlay_belongs(overlay) && others && now_ms > heard_ms &&
           now_ms - heard_ms >= ISOLATED_MS;
}

bool overlay_responsible(const struct overlay *overlay, const struct ring_key *key, uint64_t now_ms)
{
    return ring_responsible(&overlay->ring, key, now_ms);
}

bool overlay_local_lookup(const struct overlay *overlay, const struct ring_key *key,
                          struct node_id *node_out)
{
    return overlay->routing->local_lookup(&overlay->router, key, false, 1, node_out) > 0;
}

bool overlay_next_hop(const struct overlay *overlay, const struct ring_key *key,
                      struct node_id *node_out)
{
    return overlay->routing->next_hop(&overlay->router, key, node_out);
}

uint32_t overlay_replica_set(const struct overlay *overlay, const struct ring_key *key,
                             uint32_t count_max, struct node_id *nodes_out)
{
    if (!search_is_known(overlay, key)) {
        return located_holders(overlay, key, count_max, nodes_out);
    }
    return overlay->routing->replica_set(&overlay->router, key, count_max, nodes_out);
}

uint32_t overlay_neighbour_set(const struct overlay *overlay, uint32_t count_max,
                               struct node_id *nodes_out)
{
    return overlay->routing->neighbour_set(&overlay->router, count_max, nodes_out);
}

void overlay_ring(const struct overlay *overlay, struct overlay_ring_view *view_out)
{
    const struct ring *ring = &overlay->ring;

    memset(view_out, 0, sizeof(*view_out));
    if (overlay->phase != PHASE_MEMBER) {
        return;
    }
    view_out->position_count = reach_is_leaf(overlay) ? 0 : 1;
    view_out->positions[0] = ring->self.position;
    for (uint32_t i = 1; i < POSITIONS_MAX && view_out->position_count > 0; i++) {
        if ((overlay->membership.positions.masks[overlay->self_index] >> i & 1) != 0) {
            view_out->positions[view_out->position_count++] = keys_position(&overlay->key, i);
        }
    }
    /* An arc that begins at its own end is the whole ring, and nobody comes before. */
    for (uint32_t i = 0; i < ring->predecessor_count; i++) {
        if (!peer_is_self(overlay, &ring->predecessors[i].node)) {
            view_out->predecessors[view_out->predecessor_count++] = ring->predecessors[i].node;
        }
    }
    view_out->epoch = ring->arc_epoch;
    view_out->has_arc = ring->phase == RING_IN;
    view_out->is_alone = view_out->has_arc && view_out->predecessor_count == 0;
    view_out->lease_until_ms = ring->lease_ms;
    if (ring->keeper < ring->successor_count) {
        view_out->has_keeper = true;
        view_out->keeper = ring->successors[ring->keeper].node;
    }
    view_out->successor_count = ring->successor_count;
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        view_out->successors[i] = ring->successors[i].node;
    }
}

uint32_t overlay_rtt_ms(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    if (index == MEMBER_NONE || !overlay->membership.list[index].rtt.is_known) {
        return UINT32_MAX;
    }
    return overlay->membership.list[index].rtt.smoothed_eighth_ms / 8;
}

struct bytes overlay_record(const struct overlay *overlay, const struct service_id *service,
                            minga_RecordKind kind, uint64_t number)
{
    struct record_key key = record_key(service, kind, number);
    const struct record *record = records_find(&overlay->records, &key);

    if (record == NULL) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){record->bytes, record->length_bytes};
}

bool overlay_record_next(const struct overlay *overlay, minga_RecordKind kind, uint32_t *cursor,
                         struct service_id *service_out)
{
    while (*cursor < overlay->records.count) {
        const struct record *record = &overlay->records.list[(*cursor)++];

        if (record_kind(&record->key) == kind) {
            *service_out = record->key.service;
            return true;
        }
    }
    return false;
}

bool overlay_has_chunk(const struct overlay *overlay, const struct chunk_id *chunk)
{
    return chunks_find(&overlay->chunks, chunk) != NULL;
}

bool overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                        struct chunk_id *chunk_out)
{
    const struct chunk *chunk = chunks_next(&overlay->chunks, cursor);

    while (chunk != NULL && chunk->is_bad != is_bad) {
        chunk = chunks_next(&overlay->chunks, cursor);
    }
    if (chunk != NULL) {
        *chunk_out = chunk->id;
    }
    return chunk != NULL;
}

uint64_t overlay_chunk_cost_bytes(uint64_t bytes)
{
    return chunk_cost_bytes(bytes);
}

bool overlay_has_room(const struct overlay *overlay, uint64_t bytes, uint32_t written_count,
                      uint64_t written_cost_bytes)
{
    struct chunks_promised promised = storage_promised(overlay);

    promised.count += written_count;
    promised.cost_bytes += written_cost_bytes;
    return storage_has_room(overlay, bytes, promised);
}

uint64_t overlay_chunk_bytes(const struct overlay *overlay)
{
    return overlay->chunks.cost_bytes;
}

struct overlay_counters overlay_counters(const struct overlay *overlay)
{
    struct overlay_counters counters = overlay->counters;

    counters.record_count = overlay->records.count;
    counters.chunk_count = overlay->chunks.count;
    counters.chunks_moved = overlay->repair.moved_count;
    counters.chunks_moved_bytes = overlay->repair.moved_bytes;
    counters.chunks_rotten = overlay->repair.rotten_count;
    return counters;
}
