// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * After a start nobody counts as up before it is heard, or told of. The ring neighbours are greeted
 * at once; the others one after the other, outwards along the ring, and only as long as nobody has
 * told of them: handshakes of all with all at one time would keep everyone from the ring.
 */
#include "overlay/state.h"

enum { AT_ONCE_COUNT = 4, DIAL_MS = 20 };

void dials_begin(struct overlay *overlay)
{
    uint32_t others = overlay->membership.count - 1;

    overlay->dial_count = 0;
    overlay->dials_max = others < START_DIALS_MAX ? others : (uint32_t)START_DIALS_MAX;
    overlay->dial_ms = overlay->now_ms;
    dials_tick(overlay);
}

/* The number-th nearest of the others: one behind, one before, two behind ... */
static int nth_nearest(const struct overlay *overlay, uint32_t number)
{
    const struct membership *membership = &overlay->membership;
    uint32_t place = membership_place(membership, &overlay->place.position.id);
    uint32_t away = number / 2 + 1;
    uint32_t at = number % 2 == 0 ? place + away : place + membership->count - away;

    return membership->by_position[at % membership->count];
}

static void dial_next(struct overlay *overlay)
{
    int index = nth_nearest(overlay, overlay->dial_count++);
    const struct member *member = &overlay->membership.list[index];

    if (index != overlay->self_index && !membership_is_up(member) &&
        member->view.state != MEMBER_EXPELLED) {
        peer_greet(overlay, &member->view.node);
    }
}

void dials_tick(struct overlay *overlay)
{
    if (overlay->now_ms < dials_wake(overlay)) {
        return;
    }
    while (overlay->dial_count < overlay->dials_max) {
        dial_next(overlay);
        if (overlay->dial_count >= AT_ONCE_COUNT) {
            overlay->dial_ms = overlay->now_ms + DIAL_MS;
            return;
        }
    }
}

uint64_t dials_wake(const struct overlay *overlay)
{
    return overlay->dial_count < overlay->dials_max ? overlay->dial_ms : 0;
}
