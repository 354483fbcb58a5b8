// SPDX-License-Identifier: GPL-3.0-or-later
/* Beginning to act as a member: after a start, after a join, and as the first one of all. */
#include "overlay/state.h"

/* Whom a member let in, and who does not even know that one, may have lost its table: the others dial it
 * soon. (Where they all have left, it only waits in vain.) */
static bool knows_its_voucher(const struct overlay *overlay)
{
    const struct member *self = &overlay->membership.list[overlay->self_index];
    struct node_id voucher = keys_node_id(&self->countersigner);

    return keys_equal(&self->countersigner, &overlay->community) ||
           membership_find(&overlay->membership, &voucher) >= 0;
}

bool joining_is_alone(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        if ((int)i != overlay->self_index &&
            overlay->membership.list[i].view.state != MEMBER_EXPELLED) {
            return false;
        }
    }
    return knows_its_voucher(overlay);
}

void joining_place(struct overlay *overlay, bool in_ring)
{
    struct ring_event event = {.kind = in_ring ? RING_BEGIN : RING_LEAVE};

    if (in_ring != (overlay->ring.phase == RING_OUT) || (in_ring && !overlay->may_begin)) {
        return;
    }
    event.alone = joining_is_alone(overlay);
    place_event(overlay, &event);
}

void joining_begin(struct overlay *overlay)
{
    overlay->phase = PHASE_MEMBER;
    overlay->started_ms = overlay->now_ms;
    overlay->heard_ms = overlay->now_ms;
    overlay->record.leaving = false;
    /* What was said last may never have become durable: a sequence must not be used twice. */
    overlay->record.sequence += random_below(&overlay->random, SEQUENCE_LEAP_MAX);
    if (overlay->reach.is_used && reach_is_leaf(overlay)) {
        gossip_describe_soon(overlay, overlay->record.incarnation + 1);
    } else {
        gossip_describe(overlay, overlay->record.incarnation + 1);
    }
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        gossip_refresh(overlay, (int)i);
    }
    record_owners_weigh_all(overlay);
    overlay->may_begin = true;
    joining_place(overlay, membership_in_ring(&overlay->membership.list[overlay->self_index]));
    dials_begin(overlay);
    overlay->sync_ms = overlay->now_ms + SYNC_MS;
    overlay->redial_ms = overlay->now_ms + scale_redial_ms(scale_seen(overlay));
}
