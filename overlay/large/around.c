// SPDX-License-Identifier: GPL-3.0-or-later
/* In a large community: news of a member goes to those who stand near it, and is passed on. */
#include <string.h>

#include "overlay/signed.h"
#include "overlay/state.h"

enum { LEAVES_TOLD_MAX = 8 }; /* of those whose position one node answers for */

void around_tell(struct overlay *overlay, const minga_Item *item)
{
    minga_Message message;
    uint32_t sent_count = 0;

    message_init(&message, minga_Message_item_tag);
    message.kind.item = *item;
    message.kind.item.flooded = true;
    for (uint32_t i = 0; i < overlay->membership.count && sent_count < SENDS_MAX / 2; i++) {
        if (book_is_told(overlay, (int)i)) {
            peer_send(overlay, &overlay->membership.list[i].view.node, &message, NULL);
            sent_count++;
        }
    }
}

static int pick_neighbour(struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;
    const struct node_id *node;
    uint32_t drawn;

    if (ring->predecessor_count == 0 || ring->successor_count == 0) {
        return MEMBER_NONE;
    }
    drawn = (uint32_t)random_below(&overlay->random, (uint64_t)2 * ring->successor_count);
    node = drawn < ring->successor_count
               ? &ring->successors[drawn].node
               : &ring->predecessors[drawn % ring->predecessor_count].node;
    return membership_find(&overlay->membership, node);
}

/* Each node passes on each news of a member once. (What a member that left on purpose was last
 * heard of, and that it died, contradict each other, and would chase each other for ever.) */
static bool is_passed_on(struct member *member, const minga_Item *item)
{
    uint64_t sequence = member->view.record.sequence;

    switch (item->kind) {
    case minga_ItemKind_ITEM_DEATH:
        if (item->incarnation < member->passed_death) {
            return true;
        }
        member->passed_death = item->incarnation + 1;
        return false;
    case minga_ItemKind_ITEM_NODE:
        if (sequence <= member->passed_sequence) {
            return true;
        }
        member->passed_sequence = sequence;
        return false;
    case minga_ItemKind_ITEM_ADMISSION:
        return false;
    case minga_ItemKind_ITEM_EXPULSION:
    case minga_ItemKind_ITEM_REVOCATION:
    case minga_ItemKind_ITEM_NONE:
    default:
        return true; /* not about one member */
    }
}

/* Whom an item is about, or MEMBER_NONE. */
static int find_subject(const struct overlay *overlay, const minga_Item *item)
{
    struct bytes encoded = {item->content.bytes, item->content.size};
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key;
    struct node_id node = {message_id(item->node)};
    struct admission peeked;

    if (item->kind == minga_ItemKind_ITEM_ADMISSION) {
        if (admission_peek(encoded, &peeked, &key) < 0) {
            return MEMBER_NONE;
        }
        node = peeked.node;
    } else if (item->kind == minga_ItemKind_ITEM_NODE) {
        if (signed_decode(encoded, &envelope) < 0) {
            return MEMBER_NONE;
        }
        memcpy(key.bytes, envelope.key, PUBLIC_KEY_BYTES);
        node = keys_node_id(&key);
    }
    return membership_find(&overlay->membership, &node);
}

static void forward_to(struct overlay *overlay, const struct node_id *to, int subject,
                       const minga_Message *message)
{
    if (!peer_is_self(overlay, to) &&
        !id_equal(&to->id, &overlay->membership.list[subject].view.node.id)) {
        peer_send(overlay, to, message, NULL);
    }
}

/* Leaves are in nobody's lists: they hear it from whoever answers for their position. */
static void forward_to_leaves(struct overlay *overlay, int subject, const minga_Message *message)
{
    uint32_t sent_count = 0;

    for (uint32_t i = 0; i < overlay->membership.count && sent_count < LEAVES_TOLD_MAX; i++) {
        if (book_has_leaf(overlay, (int)i)) {
            forward_to(overlay, &overlay->membership.list[i].view.node, subject, message);
            sent_count++;
        }
    }
}

/*
 * Whoever has a node in its successor list must hear of it, and none of them knows all the others:
 * each passes it back to its nearest and its farthest predecessor. So it comes to all sixteen in a
 * few steps, on two ways. The other way it goes to the next, as far as predecessors are remembered;
 * and to a few by chance, should neighbours be strangers to each other just now.
 */
void around_forward(struct overlay *overlay, const minga_Item *item)
{
    const struct ring *ring = &overlay->ring;
    int subject = find_subject(overlay, item);
    minga_Message message;

    if (subject == MEMBER_NONE || is_passed_on(&overlay->membership.list[subject], item)) {
        return;
    }
    message_init(&message, minga_Message_item_tag);
    message.kind.item = *item;
    if (book_is_near(overlay, &overlay->membership.list[subject].position)) {
        if (ring->predecessor_count > 0) {
            forward_to(overlay, &ring->predecessors[0].node, subject, &message);
        }
        if (ring->predecessor_count > 1) {
            forward_to(overlay, &ring->predecessors[ring->predecessor_count - 1].node, subject,
                       &message);
        }
        if (ring->successor_count > 0) {
            forward_to(overlay, &ring->successors[0].node, subject, &message);
        }
        forward_to_leaves(overlay, subject, &message);
    }
    for (uint32_t i = 0; i < FORWARD_COUNT; i++) {
        int drawn = pick_neighbour(overlay);

        if (drawn != MEMBER_NONE) {
            forward_to(overlay, &overlay->membership.list[drawn].view.node, subject, &message);
        }
    }
}
