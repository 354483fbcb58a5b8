// SPDX-License-Identifier: GPL-3.0-or-later
/* Expulsions are compared first in every greeting, so that they hold for who was away. */
#include <string.h>

#include "overlay/state.h"

enum { BANS_TOLD_MAX = 16 }; /* at once; the comparison that follows a greeting has more */

void bans_tell(struct overlay *overlay, const struct asker *asker, const minga_Digest *theirs)
{
    const struct ban_table *expulsions = &overlay->membership.expulsions;
    struct asker untold = *asker;
    minga_Message message;

    if (memcmp(theirs->bans, overlay->membership.digest_bans.bytes, ID_BYTES) == 0) {
        return;
    }
    untold.request = 0; /* the greeting's own answer follows */
    for (uint32_t i = 0; i < expulsions->count && i < BANS_TOLD_MAX; i++) {
        message_init(&message, minga_Message_item_tag);
        message.kind.item.kind = minga_ItemKind_ITEM_EXPULSION;
        memcpy(message.kind.item.content.bytes, expulsions->list[i].bytes,
               expulsions->list[i].length_bytes);
        message.kind.item.content.size = (pb_size_t)expulsions->list[i].length_bytes;
        peer_reply(overlay, &untold, &message, NULL);
    }
}
