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
        return; /* neighbours show their digests every second */
    }
    overlay->differ_ms = overlay->now_ms;
    sync_want(overlay, index);
}
