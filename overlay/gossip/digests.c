// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/state.h"

void digests_note(struct overlay *overlay)
{
    uint64_t digest = membership_digest(&overlay->membership);

    if (digest != overlay->news_digest) {
        overlay->news_digest = digest;
        overlay->news_ms = overlay->now_ms;
    }
}

void digests_differ(struct overlay *overlay, int index)
{
    if (overlay->now_ms - overlay->news_ms < NEWS_MS &&
        overlay->now_ms - overlay->differ_ms < DIFFER_MS_MAX) {
        overlay->has_overlooked = true; /* neighbours show their digests every second */
        overlay->overlooked = overlay->membership.list[index].view.node;
        return;
    }
    overlay->has_overlooked = false;
    overlay->differ_ms = overlay->now_ms;
    sync_want(overlay, index);
}

uint64_t digests_wake(const struct overlay *overlay)
{
    return overlay->has_overlooked ? overlay->news_ms + NEWS_MS : 0;
}

void digests_tick(struct overlay *overlay)
{
    if (!overlay->has_overlooked || overlay->now_ms < digests_wake(overlay)) {
        return;
    }
    overlay->has_overlooked = false;
    overlay->differ_ms = overlay->now_ms;
    sync_want(overlay, membership_find(&overlay->membership, &overlay->overlooked));
}
