// SPDX-License-Identifier: GPL-3.0-or-later
/* The keeper's list of successors: told, heard, and what follows for those that it does not name. */
#include <string.h>

#include "overlay/ring/ring_internal.h"
#include "overlay/state.h"

struct ring_node place_of_member(const struct member *member)
{
    return (struct ring_node){member->view.node, member->position};
}

/* Of any member we know where it stands. */
bool place_find(struct overlay *overlay, const pb_byte_t bytes[ID_BYTES], bool only_up,
                struct ring_node *node_out)
{
    struct node_id node = {message_id(bytes)};
    int index = membership_find(&overlay->membership, &node);

    if (index == MEMBER_NONE || !membership_in_ring(&overlay->membership.list[index])) {
        contacts_named(overlay, &node);
        if (index == MEMBER_NONE || only_up) {
            return false;
        }
    }
    *node_out = place_of_member(&overlay->membership.list[index]);
    return true;
}

/* ------------------------------------------------------------------ telling */

/* Where not everyone knows everyone, who is new is named with its address. */
static void fill_change(const struct overlay *overlay, const struct list_change *change,
                        minga_StabiliseReply *reply)
{
    reply->change = true;
    reply->kept = change->kept;
    for (uint32_t i = 0; i < change->added_count; i++) {
        const struct node_id *node = &change->added[i].node;

        if (overlay->large && contact_fill(overlay, node, &reply->added[reply->added_count])) {
            reply->added_count++;
        } else {
            message_put_id(reply->successors[reply->successors_count++], &node->id);
        }
    }
}

void news_fill(const struct overlay *overlay, uint32_t known, minga_StabiliseReply *reply)
{
    const struct ring *ring = &overlay->ring;
    struct list_change change;

    if (list_history_change(&overlay->lists, ring, known, &change)) {
        fill_change(overlay, &change, reply);
        return;
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        message_put_id(reply->successors[reply->successors_count++], &ring->successors[i].node.id);
    }
}

/* ------------------------------------------------------------------ hearing */

/* The keeper's list as it is after this answer; false: as it was. */
static bool hear_list(struct overlay *overlay, const minga_StabiliseReply *reply, uint32_t base,
                      const struct node_id *from)
{
    bool is_from =
        id_equal(&overlay->list_from.id, &from->id) && overlay->list.version == base && base != 0;
    struct node_id nodes[SUCCESSORS_MAX + LIST_ADDED_MAX];
    uint32_t count = 0;

    for (pb_size_t i = 0; i < reply->successors_count && count < SUCCESSORS_MAX; i++) {
        nodes[count++] = (struct node_id){message_id(reply->successors[i])};
    }
    for (pb_size_t i = 0; i < reply->added_count && i < LIST_ADDED_MAX; i++) {
        struct public_key key;

        memcpy(key.bytes, reply->added[i].node_key, PUBLIC_KEY_BYTES);
        nodes[count++] = keys_node_id(&key);
        contact_learn(overlay, &reply->added[i]);
    }
    if (reply->change) {
        return is_from &&
               list_copy_change(&overlay->list, reply->version, reply->kept, nodes, count);
    }
    if (count > 0 && count <= SUCCESSORS_MAX) {
        overlay->list_from = *from;
        list_copy_set(&overlay->list, reply->version, nodes, count);
        return true;
    }
    return false;
}

/* Who was not known, or not up, may be so now. */
void news_take(struct overlay *overlay, const minga_StabiliseReply *reply, uint32_t base,
               struct ring_event *event)
{
    bool is_news = hear_list(overlay, reply, base, &event->node.node);
    bool is_from = id_equal(&overlay->list_from.id, &event->node.node.id);

    if (!is_news && !(is_from && overlay->list_open)) {
        return;
    }
    event->has_list = true;
    for (uint32_t i = 0; i < overlay->list.count; i++) {
        if (place_find(overlay, overlay->list.nodes[i].id.bytes, true,
                       &event->list[event->list_count])) {
            event->list_count++;
        }
    }
    overlay->list_open = event->list_count < overlay->list.count;
}

static bool is_listed(const struct list_copy *list, const struct node_id *node)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (id_equal(&list->nodes[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* Farthest behind us of those that the keeper names. */
static const struct ring_node *last_of(const struct overlay *overlay,
                                       const struct ring_event *event)
{
    const struct ring_node *last = NULL;

    for (uint32_t i = 0; i < event->list_count; i++) {
        if (last == NULL || ring_between(last, &overlay->ring.self, &event->list[i])) {
            last = &event->list[i];
        }
    }
    return last;
}

/* In a large community nobody else may tell: who stands between those that the keeper names, and is
 * not named, may have gone from there. It is asked. */
void news_doubt(struct overlay *overlay, const struct ring_event *event)
{
    const struct ring *ring = &overlay->ring;
    const struct ring_node *last = last_of(overlay, event);

    if (!overlay->large || last == NULL || ring->phase != RING_IN || ring_keeper(ring) == NULL ||
        !ring_same(ring_keeper(ring), &event->node)) {
        return;
    }
    for (uint32_t i = 0; i < ring->successor_count; i++) {
        const struct ring_node *node = &ring->successors[i];
        int index = membership_find(&overlay->membership, &node->node);

        if (index != MEMBER_NONE && ring_between(node, &event->node, last) &&
            !is_listed(&overlay->list, &node->node)) {
            gossip_accuse(overlay, index, 0);
        }
    }
}
