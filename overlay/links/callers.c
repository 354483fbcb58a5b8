// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * One connection is enough for two: while ours to a member is not up, what we have to say goes back
 * on the one that it has dialled. When that ends, or nothing is answered, we dial.
 */
#include "base/check.h"
#include "overlay/state.h"

void caller_send_on(struct overlay *overlay, uint64_t link, const minga_Message *message,
                    const struct chunk_id *chunk)
{
    struct overlay_effect *effect;
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length = message_encode(message, bytes, sizeof(bytes));

    CHECK(length > 0);
    effect = effect_add(overlay, OVERLAY_REPLY);
    if (effect == NULL) {
        return;
    }
    effect->link = link;
    effect->message = effect_keep(overlay, (struct bytes){bytes, (size_t)length});
    if (effect->message.length_bytes == 0) {
        effect_drop(overlay);
        return;
    }
    if (chunk != NULL) {
        effect->has_chunk = true;
        effect->chunk = *chunk;
    }
    overlay->counters.sent_messages++;
}

bool caller_send(struct overlay *overlay, const struct node_id *to, const minga_Message *message,
                 const struct chunk_id *chunk)
{
    int index = membership_find(&overlay->membership, to);
    const struct member *member = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];

    if (member == NULL || !member->has_caller || member->is_up ||
        member->view.state == MEMBER_EXPELLED) {
        return false;
    }
    caller_send_on(overlay, member->caller, message, chunk);
    return true;
}

void peer_called(struct overlay *overlay, int index, uint64_t link)
{
    overlay->membership.list[index].has_caller = true;
    overlay->membership.list[index].caller = link;
}

void peer_unheard(struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    if (index != MEMBER_NONE) {
        overlay->membership.list[index].has_caller = false;
    }
}

void peer_caller_lost(struct overlay *overlay, uint64_t link)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        struct member *member = &overlay->membership.list[i];

        if (!member->has_caller || member->caller != link) {
            continue;
        }
        member->has_caller = false;
        if (!member->is_up) {
            dispatch_caller_lost(overlay, &member->view.node);
        }
    }
}

bool peer_is_linked(const struct member *member)
{
    return member->is_up || member->has_caller;
}
