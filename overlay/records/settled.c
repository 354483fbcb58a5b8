// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * With which other holders of its arc has the responsible node compared all records, since it is
 * responsible and since they are there? Such a one has no version that is newer than its own, for
 * every write goes through it: it need not be asked.
 *
 * A term begins when the arc grows, or when a lease is there again: then somebody else may have been
 * responsible before.
 */
#include <string.h>

#include "overlay/state.h"

void settled_begin(struct overlay *overlay)
{
    overlay->settled.term++;
    overlay->settled.count = 0;
}

bool settled_has(const struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay->settled.count; i++) {
        if (id_equal(&overlay->settled.nodes[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

void settled_want(struct overlay *overlay, const struct node_id *node)
{
    sync_want(overlay, membership_find(&overlay->membership, node));
}

void settled_drop(struct overlay *overlay, const struct node_id *node)
{
    struct settled *settled = &overlay->settled;

    for (uint32_t i = 0; i < settled->count; i++) {
        if (id_equal(&settled->nodes[i].id, &node->id)) {
            settled->nodes[i] = settled->nodes[--settled->count];
            return;
        }
    }
}

void settled_add(struct overlay *overlay, const struct node_id *node)
{
    struct settled *settled = &overlay->settled;

    if (settled_has(overlay, node)) {
        return;
    }
    if (settled->count == SETTLED_MAX) {
        settled->count--;
        memmove(&settled->nodes[0], &settled->nodes[1], settled->count * sizeof(settled->nodes[0]));
    }
    settled->nodes[settled->count++] = *node;
}

bool settled_is_whole(struct overlay *overlay, const struct ring_key *key)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count = holders_of(overlay, key, 0, holders);
    bool is_whole =
        ring_responsible(&overlay->ring, key, overlay->now_ms) && images_are_compared(overlay);

    for (uint32_t i = 0; i < count && ring_has(&overlay->ring, key); i++) {
        if (!peer_is_self(overlay, &holders[i]) && !settled_has(overlay, &holders[i])) {
            settled_want(overlay, &holders[i]);
            is_whole = false;
        }
    }
    return is_whole;
}
