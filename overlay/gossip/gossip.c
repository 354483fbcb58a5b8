// SPDX-License-Identifier: GPL-3.0-or-later
/* What everyone is told: admissions, expulsions, revocations, node records, deaths. */
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

enum {
    /* Each tells everyone: who accuses without end is refuted so often. */
    REFUTES_BURST = 8,
    REFUTE_MS = 500,
    REACH_WAIT_MS = 500, /* a newcomer finds out how it is reached before it tells everyone */
};

void gossip_fill_digest(const struct overlay *overlay, minga_Digest *digest_out)
{
    message_put_id(digest_out->bans, &overlay->membership.digest_bans);
    message_put_id(digest_out->admissions, &overlay->membership.digest_admissions);
    message_put_id(digest_out->nodes, &overlay->membership.digest_nodes);
    if (overlay->large) {
        digest_out->large = true;
        digest_out->size = (uint32_t)(overlay->size_average & UINT32_MAX);
    }
}

void gossip_arc_digest(const struct overlay *overlay, const struct sync_arc *arc,
                       minga_Digest *digest_out)
{
    struct id admissions;
    struct id nodes;

    membership_digest_arc(&overlay->membership, &arc->from, &arc->to, &admissions, &nodes);
    message_put_id(digest_out->admissions, &admissions);
    message_put_id(digest_out->nodes, &nodes);
}

static void tell_member(struct overlay *overlay, const struct member *member)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_MEMBER);

    if (effect != NULL) {
        effect->node = member->view.node;
        effect->state = member->view.state;
    }
}

/* A leaf has no place on the ring: who becomes one has given its arc up before it says so. */
static void take_place(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];
    bool in_ring = membership_in_ring(member);
    bool was_placed = member->is_placed;

    member->is_placed = in_ring;
    if (index == overlay->self_index) {
        joining_place(overlay, in_ring);
    } else if (in_ring && !was_placed) {
        place_known(overlay, index);
    } else if (!in_ring && was_placed) {
        far_lost(overlay, index);
        place_lost(overlay, index);
        settled_drop(overlay, &member->view.node);
    }
}

static void on_gone(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];

    if (index == overlay->self_index) {
        return;
    }
    dispatch_gone(overlay, &member->view.node);
    member->has_caller = false;
    if (member->linked) {
        peer_hang_up(overlay, &member->view.node);
    }
    if (member->view.state == MEMBER_EXPELLED) {
        links_forget(&overlay->links, index);
    }
}

void gossip_refresh(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];
    enum member_state state = membership_state(&overlay->membership, index);
    bool was_up = membership_is_up(member);
    bool is_other = state != member->view.state;

    if (is_other) {
        bool was_expelled = member->view.state == MEMBER_EXPELLED;

        member->view.state = state;
        member->view.changed_ms = overlay->now_ms;
        if (was_expelled || state == MEMBER_EXPELLED) {
            record_owners_weigh(overlay, &member->view.owner_key);
        }
    }
    if (!is_other && membership_in_ring(member) == member->is_placed) {
        return;
    }
    tell_member(overlay, member); /* a leaf that has become none, too: it may be who manages now */
    take_place(overlay, index);
    /* An expelled one that was down may be dialled at this moment. */
    if ((was_up || state == MEMBER_EXPELLED) && !membership_is_up(member)) {
        on_gone(overlay, index);
    }
    watch_neighbours(overlay);
}

void gossip_heard(struct overlay *overlay, int index)
{
    struct member *member = &overlay->membership.list[index];
    bool was_dead = member->life == LIFE_DEAD;

    if (index == overlay->self_index) {
        return;
    }
    member->heard_ms = overlay->now_ms;
    member->told_dead = 0;
    member->refused = false;
    overlay->heard_ms = overlay->now_ms;
    if (member->back_soon_ms != 0) {
        member->back_soon_ms = 0;
    }
    watch_event(overlay, DETECTOR_HEARD, index);
    if (membership_revive(&overlay->membership, index)) {
        gossip_refresh(overlay, index);
        far_known(overlay, index);
        if (was_dead && member->view.state == MEMBER_UP) {
            /* The others still hold it for dead: only its own word can change that. */
            watch_ping(overlay, index, member->incarnation);
        }
    }
}

/* --- taking in */

/* It, or who let it in, is not known here. One that stands near is asked itself: of two on the ring
 * lists tell, but neither does a leaf get any, nor is it in one. */
static void ask_stranger(struct overlay *overlay, const struct public_key *key)
{
    struct ring_key position = keys_position(key, 0);
    struct node_id node = keys_node_id(key);

    if (overlay->large && book_is_near(overlay, &position)) {
        contacts_named(overlay, &node);
    }
}

/* Who was let in beyond an invitation's uses, or is not any more; or was expelled before it was known. */
static void refresh_void(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        if (member->is_void || member->is_expelled || member->view.state == MEMBER_EXPELLED) {
            gossip_refresh(overlay, (int)i);
        }
    }
}

/* In a large community, where its countersigner may be forgotten, one will do as well as another that has no
 * uses to count. */
static bool will_do(const struct overlay *overlay, const struct member *member,
                    const struct admission *other)
{
    return overlay->large && !member->is_void && member->uses_max == 0 && other->uses_max == 0;
}

/* Another admission of a member: all have to hold the same. */
static bool readmit(struct overlay *overlay, int index, struct bytes encoded, enum admit_how how)
{
    struct member *member = &overlay->membership.list[index];
    struct admission admission;

    if ((encoded.length_bytes == member->admission_bytes &&
         memcmp(encoded.data, member->admission, member->admission_bytes) == 0) ||
        admission_open(encoded, &overlay->community, &admission) < 0 ||
        !keys_equal(&admission.owner_key, &member->view.owner_key) ||
        will_do(overlay, member, &admission) || !chain_vouches(overlay, &admission) ||
        (how == ADMIT_GREETS && !chain_may_greet(overlay, &admission)) ||
        !membership_prefers(&overlay->membership, index, &admission, encoded)) {
        return false;
    }
    membership_readmit(&overlay->membership, index, &admission, encoded);
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_ADMISSION, .key = admission.node.id, .bytes = encoded},
        0);
    refresh_void(overlay);
    return true;
}

bool gossip_admit(struct overlay *overlay, struct bytes encoded, enum admit_how how)
{
    struct admission admission;
    struct public_key community;
    int index;

    if (admission_peek(encoded, &admission, &community) < 0) {
        return false;
    }
    index = membership_find(&overlay->membership, &admission.node);
    if (index != MEMBER_NONE) {
        if (how == ADMIT_MET || how == ADMIT_GREETS) {
            (void)readmit(overlay, index, encoded, how);
        }
        return true;
    }
    if (admission_open(encoded, &overlay->community, &admission) < 0) {
        return false;
    }
    if (how != ADMIT_LOADED && !chain_vouches(overlay, &admission)) {
        if (how == ADMIT_TOLD) {
            ask_stranger(overlay, &admission.node_key);
        }
        return false;
    }
    if (how == ADMIT_GREETS && !chain_may_greet(overlay, &admission)) {
        return false;
    }
    index = book_admit(overlay, &admission, encoded, how == ADMIT_MET || how == ADMIT_GREETS);
    overlay->no_room = index < 0;
    if (index < 0) {
        return how == ADMIT_LOADED; /* the table may be smaller than it was */
    }
    overlay->membership.list[index].view.changed_ms = overlay->now_ms;
    overlay->membership.list[index].admitted_ms = overlay->now_ms;
    if (id_equal(&admission.node.id, &overlay->self.id)) {
        overlay->self_index = index;
        overlay->membership.list[index].view.is_self = true;
        overlay->router.self = index;
    }
    if (how == ADMIT_LOADED) {
        return true;
    }
    record_owners_weigh(overlay, &admission.owner_key);
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_ADMISSION, .key = admission.node.id, .bytes = encoded},
        0);
    refresh_void(overlay);
    return true;
}

static bool apply_admission(struct overlay *overlay, const minga_Item *item)
{
    struct bytes encoded = {item->content.bytes, item->content.size};
    struct public_key community;
    struct admission peeked;
    int index;

    if (admission_peek(encoded, &peeked, &community) < 0) {
        return false;
    }
    index = membership_find(&overlay->membership, &peeked.node);
    return index == MEMBER_NONE ? gossip_admit(overlay, encoded, ADMIT_TOLD)
                                : readmit(overlay, index, encoded, ADMIT_TOLD);
}

static bool apply_expulsion(struct overlay *overlay, const minga_Item *item)
{
    struct bytes encoded = {item->content.bytes, item->content.size};
    struct node_id node;
    struct ban ban;
    int index;

    if (admission_open_expulsion(encoded, &overlay->community, &ban) < 0 ||
        membership_ban(&overlay->membership, &overlay->membership.expulsions, &ban) <= 0) {
        return false;
    }
    effect_store(overlay,
                 &(struct overlay_blob){.kind = BLOB_EXPULSION, .key = ban.key, .bytes = encoded},
                 0);
    node = (struct node_id){ban.key};
    index = membership_find(&overlay->membership, &node);
    if (index != MEMBER_NONE) {
        gossip_refresh(overlay, index);
        refresh_void(overlay); /* who came behind it may not be too late any more */
    }
    return true;
}

static void forget_outlived(struct overlay *overlay, const struct ban *comes)
{
    const struct ban *outlived =
        membership_outlived(&overlay->membership, comes, overlay->wall_unix_s);

    if (outlived != NULL) {
        effect_store(overlay, &(struct overlay_blob){.kind = BLOB_REVOCATION, .key = outlived->key},
                     0);
        membership_unban(&overlay->membership, &overlay->membership.revocations, &outlived->key);
    }
}

static bool apply_revocation(struct overlay *overlay, const minga_Item *item)
{
    struct bytes encoded = {item->content.bytes, item->content.size};
    struct ban ban;

    if (admission_open_revocation(encoded, &overlay->community, &ban) < 0) {
        return false;
    }
    forget_outlived(overlay, &ban);
    if (membership_ban(&overlay->membership, &overlay->membership.revocations, &ban) <= 0) {
        return false;
    }
    effect_store(overlay,
                 &(struct overlay_blob){.kind = BLOB_REVOCATION, .key = ban.key, .bytes = encoded},
                 0);
    return true;
}

void gossip_accuse(struct overlay *overlay, int index, uint64_t incarnation)
{
    detector_accuse(&overlay->detector, index, overlay->now_ms);
    watch_ping(overlay, index, incarnation);
}

/* What others hold of a member's life, where the record itself brings nothing new. Fresh news
 * (flooded) is believed; an old belief that contradicts ours is put to the member itself. */
static bool weigh_life(struct overlay *overlay, int index, const minga_Item *item)
{
    struct member *member = &overlay->membership.list[index];
    bool says_dead = item->life == minga_Life_LIFE_DEAD;

    if (item->life == minga_Life_LIFE_UNKNOWN) {
        return false;
    }
    /* One that left on purpose may be gone or not: that is nobody's concern. */
    if (member->life == LIFE_UNKNOWN || member->view.record.leaving) {
        return says_dead ? membership_bury(&overlay->membership, index, item->incarnation)
                         : membership_revive(&overlay->membership, index);
    }
    if (says_dead && member->life == LIFE_ALIVE && item->incarnation >= member->incarnation) {
        if (membership_may_die(member, item->incarnation)) {
            member->told_dead = item->incarnation + 1;
        }
        gossip_accuse(overlay, index, item->incarnation);
    } else if (!says_dead && member->life == LIFE_DEAD) {
        watch_ping(overlay, index, member->incarnation);
    }
    return false;
}

/* Returns the member whom a signed node record describes, or MEMBER_NONE. The signature is only
 * looked at when the record is news: most come in many times. */
static int open_node(struct overlay *overlay, const minga_Item *item, minga_NodeRecord *record_out)
{
    minga_Signed envelope = minga_Signed_init_zero;
    struct bytes encoded = {item->content.bytes, item->content.size};
    const struct member *member;
    struct public_key key;
    struct node_id node;
    int index;

    if (encoded.length_bytes > NODE_RECORD_BYTES_MAX || signed_decode(encoded, &envelope) < 0 ||
        signed_decode_body(minga_NodeRecord_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size},
                           record_out) < 0 ||
        record_out->sequence > NODE_NUMBER_MAX || record_out->incarnation > NODE_NUMBER_MAX) {
        return MEMBER_NONE;
    }
    memcpy(key.bytes, envelope.key, PUBLIC_KEY_BYTES);
    node = keys_node_id(&key);
    index = membership_find(&overlay->membership, &node);
    if (index == MEMBER_NONE) {
        ask_stranger(overlay, &key);
        return MEMBER_NONE;
    }
    member = &overlay->membership.list[index];
    if (!membership_is_other(member, record_out, encoded)) {
        return index;
    }
    return signed_open(&envelope, PURPOSE_NODE, minga_NodeRecord_fields, record_out) < 0
               ? MEMBER_NONE
               : index;
}

/* Of its record, signed by its key, that it has not signed, or no longer knows of: goes beyond it. */
static void hear_of_self(struct overlay *overlay, const minga_NodeRecord *record,
                         const minga_Item *item)
{
    bool is_own = item->content.size == overlay->record_bytes &&
                  memcmp(item->content.bytes, overlay->record_encoded, overlay->record_bytes) == 0;
    bool says_dead = item->life == minga_Life_LIFE_DEAD;

    if (record->sequence >= overlay->record.sequence && !is_own) {
        overlay->record.sequence = record->sequence;
        gossip_refute(overlay, record->incarnation);
    } else if (says_dead && item->incarnation >= overlay->record.incarnation) {
        gossip_refute(overlay, item->incarnation);
    }
}

static bool apply_node(struct overlay *overlay, const minga_Item *item)
{
    minga_NodeRecord record = minga_NodeRecord_init_zero;
    struct bytes encoded = {item->content.bytes, item->content.size};
    int index = open_node(overlay, item, &record);
    uint16_t before;
    bool manages;
    bool is_new;

    if (index == MEMBER_NONE) {
        return false;
    }
    if (index == overlay->self_index) {
        hear_of_self(overlay, &record, item);
        return false;
    }
    before = overlay->membership.positions.masks[index];
    manages = overlay->membership.list[index].view.record.manages;
    is_new = membership_describe(&overlay->membership, index, &record, encoded);
    if (is_new) {
        rebalance_described(overlay, index, before);
        effect_store(overlay,
                     &(struct overlay_blob){.kind = BLOB_NODE,
                                            .key = overlay->membership.list[index].view.node.id,
                                            .bytes = encoded},
                     0);
    }
    if (weigh_life(overlay, index, item)) {
        is_new = true;
    }
    gossip_refresh(overlay, index);
    if (overlay->membership.list[index].view.record.manages != manages &&
        membership_is_up(&overlay->membership.list[index])) {
        tell_member(overlay, &overlay->membership.list[index]);
    }
    return is_new;
}

static bool apply_death(struct overlay *overlay, const minga_Item *item)
{
    struct node_id node = {message_id(item->node)};
    int index = membership_find(&overlay->membership, &node);
    struct member *member;

    if (index == MEMBER_NONE || index == overlay->speaker) {
        return false; /* whoever speaks lives, and goes on answering for its keys */
    }
    if (index == overlay->self_index) {
        if (item->incarnation >= overlay->record.incarnation) {
            gossip_refute(overlay, item->incarnation);
        }
        return false;
    }
    member = &overlay->membership.list[index];
    if (member->back_soon_ms > overlay->now_ms ||
        !membership_bury(&overlay->membership, index, item->incarnation)) {
        return false;
    }
    effect_trace(overlay, "told that node %02x%02x is dead", node.id.bytes[0], node.id.bytes[1]);
    gossip_refresh(overlay, index);
    return true;
}

bool gossip_apply(struct overlay *overlay, const minga_Item *item)
{
    switch (item->kind) {
    case minga_ItemKind_ITEM_ADMISSION:
        return apply_admission(overlay, item);
    case minga_ItemKind_ITEM_EXPULSION:
        return apply_expulsion(overlay, item);
    case minga_ItemKind_ITEM_REVOCATION:
        return apply_revocation(overlay, item);
    case minga_ItemKind_ITEM_NODE:
        return apply_node(overlay, item);
    case minga_ItemKind_ITEM_DEATH:
        return apply_death(overlay, item);
    case minga_ItemKind_ITEM_NONE:
    default: /* of a later version */
        return false;
    }
}

void gossip_on_item(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Item *item = &arrival->message->kind.item;

    if (gossip_apply(overlay, item) && item->flooded && overlay->large) {
        around_forward(overlay, item);
    }
}

/* --- this node's own record */

static void sign_record(struct overlay *overlay)
{
    minga_Signed envelope = minga_Signed_init_zero;
    int length;

    overlay->record.sequence++;
    CHECK(signed_make(minga_NodeRecord_fields, &overlay->record, PURPOSE_NODE, &overlay->secret,
                      &envelope) == 0);
    length = signed_encode(&envelope, overlay->record_encoded, sizeof(overlay->record_encoded));
    CHECK(length > 0);
    overlay->record_bytes = (size_t)length;
}

/* Those who greet this node hear of it; the others are not told. */
static void renew(struct overlay *overlay, uint64_t incarnation)
{
    struct bytes encoded;
    uint16_t before;

    overlay->record.incarnation = incarnation;
    overlay->describe_ms = 0;
    overlay->refute_above = 0;
    sign_record(overlay);
    if (overlay->self_index == MEMBER_NONE) {
        return;
    }
    encoded = (struct bytes){overlay->record_encoded, overlay->record_bytes};
    before = overlay->membership.positions.masks[overlay->self_index];
    (void)membership_describe(&overlay->membership, overlay->self_index, &overlay->record, encoded);
    rebalance_described(overlay, overlay->self_index, before);
    (void)membership_revive(&overlay->membership, overlay->self_index);
    effect_store(
        overlay,
        &(struct overlay_blob){.kind = BLOB_NODE, .key = overlay->self.id, .bytes = encoded}, 0);
    gossip_refresh(overlay, overlay->self_index);
}

void gossip_describe(struct overlay *overlay, uint64_t incarnation)
{
    minga_Item item = minga_Item_init_zero;

    renew(overlay, incarnation);
    if (overlay->self_index == MEMBER_NONE) {
        return;
    }
    item.kind = minga_ItemKind_ITEM_NODE;
    item.life = minga_Life_LIFE_ALIVE;
    memcpy(item.content.bytes, overlay->record_encoded, overlay->record_bytes);
    item.content.size = (pb_size_t)overlay->record_bytes;
    tell_everyone(overlay, &item);
}

void gossip_describe_soon(struct overlay *overlay, uint64_t incarnation)
{
    renew(overlay, incarnation);
    overlay->describe_ms = overlay->now_ms + REACH_WAIT_MS;
}

void gossip_refute(struct overlay *overlay, uint64_t incarnation)
{
    uint64_t own = overlay->record.incarnation;

    if (incarnation > own && incarnation - own > INCARNATION_STEP_MAX) {
        return;
    }
    incarnation = incarnation > own ? incarnation : own;
    if (allowance_take(&overlay->refutes, REFUTES_BURST, REFUTE_MS, overlay->now_ms)) {
        gossip_describe(overlay, incarnation + 1);
        return;
    }
    overlay->refute_above = incarnation;
    if (overlay->describe_ms == 0) {
        overlay->describe_ms = overlay->now_ms + REFUTE_MS;
    }
}
