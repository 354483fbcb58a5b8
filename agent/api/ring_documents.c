// SPDX-License-Identifier: GPL-3.0-or-later
/* What a node sees of the ring. */
#include "agent/api/documents.h"

static json_t *ids_of_nodes(const struct node_id *nodes, uint32_t count)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(array, document_id(&nodes[i].id));
    }
    return array;
}

static json_t *address_of(const struct overlay_member *member)
{
    return member == NULL || member->record.addresses_count == 0
               ? json_null()
               : document_text(member->record.addresses[0]);
}

static json_t *rtt_of(const struct overlay *overlay, const struct node_id *node)
{
    uint32_t rtt_ms = overlay_rtt_ms(overlay, node);

    return rtt_ms == UINT32_MAX ? json_null() : json_integer(rtt_ms);
}

/* A node as this one knows it; null where it does not. `role`: "successor", "hop" ... */
static json_t *sight_of(const struct overlay *overlay, const char *role, const struct node_id *node)
{
    const struct overlay_member *member = overlay_member_by_id(overlay, node);
    struct ring_key position = {{{0}}};

    if (member != NULL) {
        position = keys_position(&member->key, 0);
    }
    return json_pack("{ss so so so so so so}", "role", role, "node", document_id(&node->id),
                     "node_name", member == NULL ? json_null() : document_text(member->record.name),
                     "address", address_of(member), "state",
                     member == NULL ? json_null()
                                    : json_string(document_member_state(member->state)),
                     "position", member == NULL ? json_null() : document_id(&position.id), "rtt_ms",
                     rtt_of(overlay, node));
}

/* ------------------------------------------------------------------ the ring */

static json_t *neighbours(const struct overlay *overlay, const struct overlay_ring_view *ring)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < ring->predecessor_count; i++) {
        json_array_append_new(array, sight_of(overlay, "predecessor", &ring->predecessors[i]));
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        json_array_append_new(array, sight_of(overlay, "successor", &ring->successors[i]));
    }
    return array;
}

/* The part of the ring between the first predecessor and this node: [0, 1]. */
static double share_of(const struct overlay *overlay, const struct overlay_ring_view *ring)
{
    const struct overlay_member *before =
        ring->predecessor_count > 0 ? overlay_member_by_id(overlay, &ring->predecessors[0]) : NULL;
    double share = 0;
    double scale = 1.0 / 256;
    struct ring_key from;
    struct id distance;

    if (before == NULL || before->is_self || ring->position_count == 0) {
        return ring->position_count == 0 ? 0 : 1;
    }
    from = keys_position(&before->key, 0);
    distance = id_distance(&from.id, &ring->positions[0].id);
    for (int i = 0; i < 8; i++) {
        share += distance.bytes[i] * scale;
        scale /= 256;
    }
    return share;
}

/* By what right it answers for its arc, and how long without being granted it anew. */
static json_t *lease_of(const struct overlay_ring_view *ring, uint64_t now_ms)
{
    const char *state = "none";
    uint64_t left_ms = 0;

    if (ring->is_alone) {
        state = "alone";
    } else if (ring->has_arc && now_ms < ring->lease_until_ms) {
        state = "held";
        left_ms = ring->lease_until_ms - now_ms;
    } else if (ring->has_arc) {
        state = "lapsed";
    }
    return json_pack("{ss sI so}", "state", state, "left_ms", (json_int_t)left_ms, "keeper",
                     ring->has_keeper ? document_id(&ring->keeper.id) : json_null());
}

json_t *document_ring(const struct core *core, struct document_time time)
{
    const struct overlay *overlay = core_overlay(core);
    struct node_id self = overlay_self(overlay);
    struct overlay_ring_view ring;
    json_t *positions = json_array();
    uint32_t up_count = 0;

    overlay_ring(overlay, &ring);
    for (uint32_t i = 0; i < ring.position_count; i++) {
        json_array_append_new(positions, document_id(&ring.positions[i].id));
    }
    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        enum member_state state = overlay_member(overlay, i)->state;

        up_count += state == MEMBER_UP || state == MEMBER_SUSPECT ? 1 : 0;
    }
    return json_pack(
        "{so so so so sI sI so sf so}", "node", document_id(&self.id), "positions", positions,
        "predecessors", ids_of_nodes(ring.predecessors, ring.predecessor_count), "successors",
        ids_of_nodes(ring.successors, ring.successor_count), "nodes", (json_int_t)up_count, "epoch",
        (json_int_t)ring.epoch, "lease", lease_of(&ring, time.now_ms), "share",
        share_of(overlay, &ring), "neighbours", neighbours(overlay, &ring));
}

/* ------------------------------------------------------------------ a lookup */

static const char *role_in_path(const struct overlay_lookup *lookup, uint32_t index)
{
    if (index + 1 == lookup->path_count) {
        return "responsible";
    }
    return index == 0 ? "asker" : "hop";
}

json_t *document_lookup(const struct core *core, const struct ring_key *key,
                        const struct overlay_lookup *lookup, uint64_t took_us)
{
    const struct overlay *overlay = core_overlay(core);
    struct node_id believed;
    json_t *trace = json_array();

    for (uint32_t i = 0; i < lookup->path_count; i++) {
        json_array_append_new(trace, sight_of(overlay, role_in_path(lookup, i), &lookup->path[i]));
    }
    for (uint32_t i = 0; i < lookup->holder_count; i++) {
        json_array_append_new(trace, sight_of(overlay, "holder", &lookup->holders[i]));
    }
    return json_pack("{so so so sI so so sI so}", "key", document_id(&key->id), "responsible",
                     document_id(&lookup->responsible.id), "holders",
                     ids_of_nodes(lookup->holders, lookup->holder_count), "hops",
                     (json_int_t)(lookup->path_count > 0 ? lookup->path_count - 1 : 0), "path",
                     ids_of_nodes(lookup->path, lookup->path_count), "believed",
                     overlay_local_lookup(overlay, key, &believed) ? document_id(&believed.id)
                                                                   : json_null(),
                     "took_us", (json_int_t)took_us, "trace", trace);
}
