// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/seek_nodes.h"

enum {
    WITNESS_GAPS = 10, /* so near before the key a successor list of 16 holds its owner */
};

static bool same(const struct ring_node *a, const struct ring_node *b)
{
    return id_equal(&a->position.id, &b->position.id);
}

bool seek_within(const struct seek *seek, uint64_t distance, uint64_t gaps)
{
    return distance / gaps <= seek->gap;
}

int seek_find(const struct seek *seek, const struct ring_node *node)
{
    for (uint32_t i = 0; i < seek->node_count; i++) {
        if (same(&seek->nodes[i].node, node)) {
            return (int)i;
        }
    }
    return SEEK_NONE;
}

static uint64_t farness(const struct seek_node *node)
{
    return node->before < node->behind ? node->before : node->behind;
}

/* The table is full: the farthest that was not asked makes room for a nearer one. */
static int worst_fresh(const struct seek *seek, uint64_t farther_than)
{
    int worst = SEEK_NONE;

    for (uint32_t i = 0; i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        if (node->state == SEEK_FRESH && !node->presumed && farness(node) > farther_than) {
            worst = (int)i;
            farther_than = farness(node);
        }
    }
    return worst;
}

int seek_add(struct seek *seek, const struct ring_node *contact, int parent)
{
    struct id before = id_distance(&contact->position.id, &seek->key.id);
    struct id behind = id_distance(&seek->key.id, &contact->position.id);
    struct seek_node node = {.node = *contact,
                             .before = id_top(&before),
                             .behind = id_top(&behind),
                             .parent = parent,
                             .patience_ms = SEEK_PATIENCE_MS};
    int place = seek_find(seek, contact);

    if (place != SEEK_NONE || same(contact, &seek->self)) {
        return place;
    }
    if (seek->node_count < SEEK_NODES_MAX) {
        place = (int)seek->node_count++;
    } else {
        place = worst_fresh(seek, farness(&node));
    }
    if (place != SEEK_NONE) {
        node.depth = parent == SEEK_NONE ? 1 : seek->nodes[parent].depth + 1;
        seek->nodes[place] = node;
    }
    return place;
}

static uint64_t distance_on(const struct seek_node *node, enum seek_side side)
{
    return side == SEEK_BEFORE ? node->before : node->behind;
}

int seek_nearest(const struct seek *seek, enum seek_side side,
                 bool (*suits)(const struct seek *seek, const struct seek_node *node))
{
    int best = SEEK_NONE;

    for (uint32_t i = 0; i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        if (suits(seek, node) && (best == SEEK_NONE || distance_on(node, side) <
                                                           distance_on(&seek->nodes[best], side))) {
            best = (int)i;
        }
    }
    return best;
}

bool seek_claims(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->claims;
}

bool seek_is_fresh(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->state == SEEK_FRESH;
}

bool seek_is_fresh_and_presumed(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->state == SEEK_FRESH && node->presumed;
}

bool seek_is_fresh_close_behind(const struct seek *seek, const struct seek_node *node)
{
    return node->state == SEEK_FRESH && seek_within(seek, node->behind, SEEK_PLAUSIBLE_GAPS);
}

bool seek_is_fresh_of_start(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->state == SEEK_FRESH && node->from_start;
}

bool seek_is_close_before(const struct seek *seek, const struct seek_node *node)
{
    return seek_within(seek, node->before, WITNESS_GAPS);
}

bool seek_is_fresh_close_before(const struct seek *seek, const struct seek_node *node)
{
    return node->state == SEEK_FRESH && seek_is_close_before(seek, node);
}

bool seek_is_gone_close_behind(const struct seek *seek, const struct seek_node *node)
{
    return node->state == SEEK_GONE && seek_within(seek, node->behind, SEEK_PLAUSIBLE_GAPS);
}

bool seek_has_answered(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->state == SEEK_ANSWERED;
}

bool seek_is_waiting(const struct seek *seek, const struct seek_node *node)
{
    (void)seek;
    return node->state == SEEK_ANSWERED && node->waiting;
}

uint32_t seek_witnesses(const struct seek *seek, bool with_asked)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < seek->node_count; i++) {
        const struct seek_node *node = &seek->nodes[i];

        count += seek_is_close_before(seek, node) &&
                 (node->state == SEEK_ANSWERED ||
                  (with_asked && node->state == SEEK_ASKED && !node->late));
    }
    return count;
}

uint32_t seek_awaited(const struct seek *seek)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < seek->node_count; i++) {
        count += seek->nodes[i].state == SEEK_ASKED && !seek->nodes[i].late;
    }
    return count;
}
