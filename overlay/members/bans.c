// SPDX-License-Identifier: GPL-3.0-or-later
/* Expulsions are compared first in every greeting, so that they hold for who was away; who is no
 * member, and does not know it, is shown why. */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
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

void bans_refuse_expelled(struct overlay *overlay, const struct asker *asker, const struct ban *ban)
{
    minga_Message message;
    char reason[REASON_CHARS_MAX + 1];

    (void)snprintf(reason, sizeof(reason), "this node was expelled: %.90s", ban->reason);
    peer_refuse(overlay, asker, minga_RefusedCode_REFUSED_EXPELLED, reason);
    message_init(&message, minga_Message_item_tag);
    message.kind.item.kind = minga_ItemKind_ITEM_EXPULSION;
    memcpy(message.kind.item.content.bytes, ban->bytes, ban->length_bytes);
    message.kind.item.content.size = (pb_size_t)ban->length_bytes;
    peer_reply(overlay, asker, &message, NULL);
}

static void show_admission(struct overlay *overlay, const struct asker *asker, struct bytes encoded)
{
    minga_Message message;

    message_init(&message, minga_Message_item_tag);
    message.kind.item.kind = minga_ItemKind_ITEM_ADMISSION;
    memcpy(message.kind.item.content.bytes, encoded.data, encoded.length_bytes);
    message.kind.item.content.size = (pb_size_t)encoded.length_bytes;
    peer_reply(overlay, asker, &message, NULL);
}

/* Of those that came before it one with each greeting, and who vouches for that one, from the
 * community's end on: a void member greets again and again. */
static void show_before(struct overlay *overlay, const struct asker *asker, int index)
{
    struct asker untold = *asker;
    uint16_t before[MEMBERS_MAX];
    struct chain_link links[CHAIN_MAX];
    const struct member *shown;
    uint32_t count = membership_let_in_before(&overlay->membership, index, MEMBERS_MAX, before);
    int link_count;

    if (count == 0) {
        return;
    }
    shown = &overlay->membership.list[before[random_below(&overlay->random, count)]];
    link_count = chain_from(overlay, &shown->countersigner, links);
    untold.request = 0; /* that was answered */
    while (link_count > 0) {
        show_admission(overlay, &untold, links[--link_count].encoded);
    }
    show_admission(overlay, &untold, (struct bytes){shown->admission, shown->admission_bytes});
}

/* `index`: of a void member, or MEMBER_NONE. */
void bans_refuse_no_member(struct overlay *overlay, const struct asker *asker, int index)
{
    peer_refuse(overlay, asker, minga_RefusedCode_REFUSED_NOT_MEMBER,
                index == MEMBER_NONE ? "this node is not known as a member"
                                     : "the invitation that let this node in had been used up");
    if (index != MEMBER_NONE) {
        show_before(overlay, asker, index);
    }
}
