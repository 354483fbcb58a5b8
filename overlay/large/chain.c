// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Chains of countersigners: how a member proves itself to one that knows neither it nor those who
 * admitted it. The holder of a token can sign requests, but no countersignature of a member.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static bool find_link(const struct overlay *overlay, const struct public_key *countersigner,
                      struct chain_link *link_out)
{
    struct node_id node = keys_node_id(countersigner);
    const struct voucher *voucher = vouchers_find(&overlay->vouchers, &node);
    int index = membership_find(&overlay->membership, &node);

    if (voucher != NULL) {
        *link_out =
            (struct chain_link){{voucher->bytes, voucher->length_bytes}, voucher->countersigner};
        return true;
    }
    if (index != MEMBER_NONE) {
        const struct member *member = &overlay->membership.list[index];

        *link_out = (struct chain_link){{member->admission, member->admission_bytes},
                                        member->countersigner};
        return true;
    }
    return false;
}

int chain_from(const struct overlay *overlay, const struct public_key *countersigner,
               struct chain_link links_out[CHAIN_MAX])
{
    struct public_key next = *countersigner;
    int count = 0;

    while (!keys_equal(&next, &overlay->community)) {
        if (count == CHAIN_MAX || !find_link(overlay, &next, &links_out[count])) {
            return -1;
        }
        next = links_out[count++].countersigner;
    }
    return count;
}

/* Room is left for the one that is going to be admitted. */
bool chain_is_long(const struct overlay *overlay)
{
    const struct member *self = &overlay->membership.list[overlay->self_index];
    struct chain_link links[CHAIN_MAX];

    return overlay->large && chain_from(overlay, &self->countersigner, links) >= CHAIN_MAX - 1;
}

static void keep_link(struct overlay *overlay, struct bytes encoded)
{
    struct admission admission;

    if (admission_open(encoded, &overlay->community, &admission) < 0 ||
        !vouchers_keep(&overlay->vouchers, &admission, encoded)) {
        return;
    }
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_VOUCHER, .key = admission.node.id, .bytes = encoded},
        0);
}

void chain_keep(struct overlay *overlay)
{
    const struct member *self = &overlay->membership.list[overlay->self_index];
    struct chain_link links[CHAIN_MAX];
    int count = chain_from(overlay, &self->countersigner, links);

    for (int i = 0; i < count; i++) {
        keep_link(overlay, links[i].encoded);
    }
}

void chain_store(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->vouchers.count; i++) {
        const struct voucher *voucher = &overlay->vouchers.list[i];

        effect_store(overlay,
                     &(struct overlay_blob){.kind = BLOB_VOUCHER,
                                            .key = voucher->node.id,
                                            .bytes = {voucher->bytes, voucher->length_bytes}},
                     0);
    }
}

bool chain_vouches(const struct overlay *overlay, const struct admission *admission)
{
    struct node_id voucher = keys_node_id(&admission->countersigner);
    const struct ban *ban = membership_banned(&overlay->membership.expulsions, &voucher.id);

    if (!admission_is_timely(admission)) {
        return false;
    }
    if (admission_is_vouched(&overlay->membership, &overlay->community, admission)) {
        return true;
    }
    return vouchers_since(&overlay->vouchers, &voucher) < admission->admitted_unix_s &&
           admission_precedes(admission, ban);
}

bool chain_may_greet(const struct overlay *overlay, const struct admission *admission)
{
    const struct membership *membership = &overlay->membership;
    struct node_id voucher = keys_node_id(&admission->countersigner);
    struct id invitation = membership_invitation_id(&admission->invitation_key);
    int known = membership_find(membership, &voucher);

    if (overlay->large) {
        return true;
    }
    return (known == MEMBER_NONE || !membership->list[known].is_void) &&
           membership_banned(&membership->expulsions, &voucher.id) == NULL &&
           membership_banned(&membership->revocations, &invitation) == NULL;
}

/* Is it of one that was verified, and says nothing earlier of it? */
static bool is_old_link(const struct overlay *overlay, const struct admission *peeked)
{
    uint64_t since_unix_s = vouchers_since(&overlay->vouchers, &peeked->node);

    return since_unix_s != UINT64_MAX && since_unix_s <= peeked->admitted_unix_s;
}

bool chain_take(struct overlay *overlay, struct bytes encoded)
{
    struct public_key community;
    struct admission admission;

    if (admission_peek(encoded, &admission, &community) < 0) {
        return false;
    }
    if (is_old_link(overlay, &admission)) {
        return true;
    }
    if (admission_open(encoded, &overlay->community, &admission) < 0 ||
        !chain_vouches(overlay, &admission) || !chain_may_greet(overlay, &admission)) {
        return false;
    }
    vouchers_note(&overlay->vouchers, &admission.node, admission.admitted_unix_s);
    return true;
}

void chain_ask(struct overlay *overlay, const struct asker *asker)
{
    struct asker unasked = *asker;
    minga_Message message;

    unasked.request = 0;
    message_init(&message, minga_Message_vouchers_ask_tag);
    peer_reply(overlay, &unasked, &message, NULL);
}

static void add_link(minga_Vouchers *page, struct bytes encoded)
{
    CHECK(encoded.length_bytes <= sizeof(page->admissions[0].bytes));
    memcpy(page->admissions[page->admissions_count].bytes, encoded.data, encoded.length_bytes);
    page->admissions[page->admissions_count++].size = (pb_size_t)encoded.length_bytes;
}

/* The chain goes out from the community's end on, so that each link can be verified at once; then
 * the greeting comes again, which can be understood now. */
void chain_on_ask(struct overlay *overlay, const struct arrival *arrival)
{
    struct chain_link links[CHAIN_MAX];
    struct asker asker = arrival->asker;
    minga_Message message;
    int count = -1;

    if (overlay->self_index != MEMBER_NONE) {
        count = chain_from(overlay, &overlay->membership.list[overlay->self_index].countersigner,
                           links);
    }
    asker.request = 0;
    while (count > 0) {
        message_init(&message, minga_Message_vouchers_tag);
        while (count > 0 && message.kind.vouchers.admissions_count <
                                ARRAY_COUNT(message.kind.vouchers.admissions)) {
            add_link(&message.kind.vouchers, links[--count].encoded);
        }
        peer_reply(overlay, &asker, &message, NULL);
    }
    if (!asker.inbound) {
        peer_greet(overlay, &asker.node);
    } else if (arrival->member != MEMBER_NONE) {
        peer_welcome(overlay, &asker, arrival->member);
    }
}

void chain_on_vouchers(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Vouchers *vouchers = &arrival->message->kind.vouchers;

    if (overlay->phase != PHASE_MEMBER) {
        return;
    }
    for (pb_size_t i = 0; i < vouchers->admissions_count; i++) {
        struct bytes encoded = {vouchers->admissions[i].bytes, vouchers->admissions[i].size};
        struct public_key community;
        struct admission peeked;

        if (admission_peek(encoded, &peeked, &community) < 0) {
            return;
        }
        if (is_old_link(overlay, &peeked)) {
            continue;
        }
        /* Each new link costs signatures, whoever sends it. */
        if (!links_admit_stranger(&overlay->links, overlay->now_ms) ||
            !chain_take(overlay, encoded)) {
            return;
        }
    }
}

struct bytes chain_countersigner(const struct overlay *overlay)
{
    const struct member *self = &overlay->membership.list[overlay->self_index];
    struct node_id node = keys_node_id(&self->countersigner);
    const struct voucher *voucher = vouchers_find(&overlay->vouchers, &node);
    int index = membership_find(&overlay->membership, &node);

    if (voucher != NULL) {
        return (struct bytes){voucher->bytes, voucher->length_bytes};
    }
    if (index == MEMBER_NONE) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){overlay->membership.list[index].admission,
                          overlay->membership.list[index].admission_bytes};
}
