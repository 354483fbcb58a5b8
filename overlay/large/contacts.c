// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Nodes that are not known as members yet, but can be dialled: others have named them with key and
 * addresses. Nothing is believed of a contact but that CURVE proves its key; once it has welcomed
 * us with an admission that verifies it is a member like any other.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum {
    GREET_AGAIN_MS = 2000,
    CONTACT_IDLE_MS = 20000,
    NAMED_AGAIN_MS = 2000, /* one that is down here is looked at again so often */
};

static int index_of(const struct overlay *overlay, const struct node_id *node)
{
    for (int i = 0; i < CONTACTS_MAX; i++) {
        const struct contact *contact = &overlay->contacts[i];

        if (contact->used && id_equal(&contact->peer.node.id, &node->id)) {
            return i;
        }
    }
    return -1;
}

const struct contact *contact_look(const struct overlay *overlay, const struct node_id *node)
{
    int index = index_of(overlay, node);

    return index < 0 ? NULL : &overlay->contacts[index];
}

struct contact *contact_find(struct overlay *overlay, const struct node_id *node)
{
    int index = index_of(overlay, node);

    return index < 0 ? NULL : &overlay->contacts[index];
}

static void drop(struct overlay *overlay, struct contact *contact)
{
    if (contact->linked &&
        membership_find(&overlay->membership, &contact->peer.node) == MEMBER_NONE) {
        peer_hang_up(overlay, &contact->peer.node);
    }
    contact->used = false;
}

static struct contact *make_room(struct overlay *overlay)
{
    struct contact *oldest = &overlay->contacts[0];

    for (uint32_t i = 0; i < CONTACTS_MAX; i++) {
        struct contact *contact = &overlay->contacts[i];

        if (!contact->used) {
            return contact;
        }
        if (contact->used_ms < oldest->used_ms) {
            oldest = contact;
        }
    }
    drop(overlay, oldest);
    return oldest;
}

/* The one, or a new one without key and address. */
static struct contact *take_up(struct overlay *overlay, const struct node_id *node)
{
    struct contact *contact = contact_find(overlay, node);

    if (contact == NULL) {
        contact = make_room(overlay);
        memset(contact, 0, sizeof(*contact));
        contact->used = true;
        contact->peer.node = *node;
    }
    contact->used_ms = overlay->now_ms;
    return contact;
}

void contact_learn(struct overlay *overlay, const minga_Contact *named)
{
    struct contact *contact;
    struct public_key key;
    struct node_id node;
    int index;

    memcpy(key.bytes, named->node_key, PUBLIC_KEY_BYTES);
    node = keys_node_id(&key);
    index = membership_find(&overlay->membership, &node);
    if (named->addresses_count == 0 || peer_is_self(overlay, &node) ||
        membership_banned(&overlay->membership.expulsions, &node.id) != NULL ||
        (index != MEMBER_NONE && overlay->membership.list[index].record_bytes > 0)) {
        return;
    }
    contact = take_up(overlay, &node);
    contact->peer.key = key;
    contact->stores = named->stores;
    contact->manages = named->manages;
    contact->peer.address_count = named->addresses_count;
    for (pb_size_t i = 0; i < named->addresses_count; i++) {
        memcpy(contact->peer.addresses[i], named->addresses[i], sizeof(named->addresses[i]));
    }
}

static void fill(minga_Contact *out, const struct public_key *key, const minga_NodeRecord *record)
{
    *out = (minga_Contact)minga_Contact_init_zero;
    memcpy(out->node_key, key->bytes, PUBLIC_KEY_BYTES);
    out->stores = record->stores;
    out->manages = record->manages;
    for (pb_size_t i = 0; i < record->addresses_count && i < ARRAY_COUNT(out->addresses); i++) {
        memcpy(out->addresses[i], record->addresses[i], sizeof(out->addresses[i]));
        out->addresses_count++;
    }
}

bool contact_fill(const struct overlay *overlay, const struct node_id *node, minga_Contact *out)
{
    int index = membership_find(&overlay->membership, node);

    if (peer_is_self(overlay, node)) {
        fill(out, &overlay->key, &overlay->record);
        return true;
    }
    if (index == MEMBER_NONE || overlay->membership.list[index].record_bytes == 0 ||
        overlay->membership.list[index].view.state == MEMBER_EXPELLED) {
        return false;
    }
    fill(out, &overlay->membership.list[index].view.key,
         &overlay->membership.list[index].view.record);
    return true;
}

/* --- who is that? */

static bool can_be_dialled(const struct overlay *overlay, const struct node_id *node)
{
    const struct contact *contact = contact_look(overlay, node);

    return contact != NULL && contact->peer.address_count > 0;
}

void contacts_named(struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);
    struct member *member = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];

    if (!overlay->large || id_is_zero(&node->id) || index == overlay->self_index) {
        return;
    }
    if (member != NULL && member->record_bytes > 0) {
        if (member->view.state != MEMBER_EXPELLED &&
            (member->sent_ms == 0 || overlay->now_ms - member->sent_ms >= NAMED_AGAIN_MS)) {
            peer_greet(overlay, node); /* others see it: is it back? */
        }
        return;
    }
    if (can_be_dialled(overlay, node)) {
        peer_greet(overlay, node);
    } else if (overlay->named_count < ARRAY_COUNT(overlay->named)) {
        overlay->named[overlay->named_count++] = *node;
    }
}

void contacts_ask(struct overlay *overlay, const struct node_id *from)
{
    minga_Message message;
    struct request *request;

    if (overlay->named_count == 0) {
        return;
    }
    message_init(&message, minga_Message_who_tag);
    for (uint32_t i = 0; i < overlay->named_count; i++) {
        message_put_id(message.kind.who.nodes[i], &overlay->named[i].id);
    }
    message.kind.who.nodes_count = (pb_size_t)overlay->named_count;
    overlay->named_count = 0;
    request = peer_request(overlay, REQUEST_WHO, from, &message, STABILISE_MS);
    if (request != NULL) {
        request->repeat_ms = 0; /* they will be named again */
    }
}

void contacts_on_who(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Who *who = &arrival->message->kind.who;
    minga_Message message;
    minga_Contacts *answer = &message.kind.contacts;

    message_init(&message, minga_Message_contacts_tag);
    for (pb_size_t i = 0; i < who->nodes_count; i++) {
        struct node_id node = {message_id(who->nodes[i])};

        if (contact_fill(overlay, &node, &answer->contacts[answer->contacts_count])) {
            answer->contacts_count++;
        }
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

static bool was_asked_for(const minga_Message *question, const struct node_id *node)
{
    const minga_Who *who = &question->kind.who;
    bool was_asked = false;

    for (pb_size_t i = 0; question->which_kind == minga_Message_who_tag && i < who->nodes_count;
         i++) {
        struct id asked = message_id(who->nodes[i]);

        was_asked = was_asked || id_equal(&asked, &node->id);
    }
    return was_asked;
}

/* Each is dialled: only those who were asked for, or an answer would send us wherever it likes. */
void contacts_on_reply(struct overlay *overlay, const struct request *request,
                       const struct arrival *arrival)
{
    const minga_Contacts *answer = &arrival->message->kind.contacts;
    minga_Message question = minga_Message_init_zero;

    if (arrival->message->which_kind != minga_Message_contacts_tag ||
        message_decode((struct bytes){request->bytes, request->length_bytes}, &question) < 0) {
        return;
    }
    for (pb_size_t i = 0; i < answer->contacts_count; i++) {
        struct public_key key;
        struct node_id node;

        memcpy(key.bytes, answer->contacts[i].node_key, PUBLIC_KEY_BYTES);
        node = keys_node_id(&key);
        if (!was_asked_for(&question, &node)) {
            continue;
        }
        contact_learn(overlay, &answer->contacts[i]);
        if (contact_find(overlay, &node) != NULL) {
            peer_greet(overlay, &node);
        }
    }
}

void overlay_named(struct overlay *overlay, const struct overlay_event *now,
                   const struct node_id *node, const struct node_id *via,
                   struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (membership_find(&overlay->membership, node) != MEMBER_NONE) {
        if (!peer_is_reachable(overlay, node)) {
            contacts_named(overlay, node);
            contacts_ask(overlay, via);
        }
    } else if (overlay->large && !can_be_dialled(overlay, node) &&
               peer_is_reachable(overlay, via)) {
        contacts_named(overlay, node);
        contacts_ask(overlay, via);
        (void)take_up(overlay, node); /* until the answer comes */
    }
    state_leave(overlay);
}

/* --- greeting them */

bool contact_greets(struct overlay *overlay, const struct node_id *node)
{
    struct contact *contact = contact_find(overlay, node);

    if (contact == NULL) {
        return true; /* the one that lets us in: it forgets nothing if greeted again */
    }
    contact->used_ms = overlay->now_ms;
    contact->linked = true;
    if (contact->greeted_ms != 0 && overlay->now_ms - contact->greeted_ms < GREET_AGAIN_MS) {
        return false;
    }
    contact->greeted_ms = overlay->now_ms;
    return true;
}

static void on_welcome(struct overlay *overlay, const struct arrival *arrival,
                       struct contact *contact)
{
    const minga_Welcome *welcome = &arrival->message->kind.welcome;
    struct arrival known = *arrival;
    struct bytes voucher = {welcome->countersigner_admission.bytes,
                            welcome->countersigner_admission.size};
    struct bytes admission = {welcome->admission.bytes, welcome->admission.size};
    struct member *member;

    if (!links_admit_stranger(&overlay->links, overlay->now_ms) ||
        membership_banned(&overlay->membership.expulsions, &contact->peer.node.id) != NULL) {
        return;
    }
    (void)chain_take(overlay, voucher);
    overlay->no_room = false;
    if (!gossip_admit(overlay, admission, ADMIT_MET)) {
        if (!overlay->no_room) {
            chain_ask(overlay, &arrival->asker);
        }
        return;
    }
    known.member = membership_find(&overlay->membership, &contact->peer.node);
    if (known.member == MEMBER_NONE) {
        return; /* it has shown the admission of another one */
    }
    contact->used = false;
    overlay->speaker = known.member;
    member = &overlay->membership.list[known.member];
    member->greeted = true;
    member->linked = true;
    member->sent_ms = overlay->now_ms;
    member->refused_ms = overlay->now_ms; /* it had not known us either */
    peer_on_welcome(overlay, &known);
    gossip_heard(overlay, known.member);
}

void contacts_received(struct overlay *overlay, const struct arrival *arrival)
{
    struct contact *contact = contact_find(overlay, &arrival->asker.node);

    if (contact == NULL || overlay->phase != PHASE_MEMBER) {
        return;
    }
    switch (arrival->message->which_kind) {
    case minga_Message_welcome_tag:
        on_welcome(overlay, arrival, contact);
        break;
    case minga_Message_vouchers_ask_tag:
        contact->greeted_ms = 0;
        chain_on_ask(overlay, arrival);
        break;
    case minga_Message_vouchers_tag:
        chain_on_vouchers(overlay, arrival);
        break;
    case minga_Message_refused_tag:
        if (arrival->message->kind.refused.code == minga_RefusedCode_REFUSED_HELLO_FIRST) {
            peer_greet(overlay, &contact->peer.node);
        } else {
            drop(overlay, contact);
        }
        break;
    default: /* not before it is known */
        break;
    }
}

void contact_lost(struct overlay *overlay, const struct node_id *node)
{
    struct contact *contact = contact_find(overlay, node);

    if (contact != NULL) {
        drop(overlay, contact);
        dispatch_gone(overlay, node);
    }
}

void contacts_tick(struct overlay *overlay)
{
    if (overlay->now_ms < overlay->contacts_ms) {
        return;
    }
    overlay->contacts_ms = overlay->now_ms + CONTACT_IDLE_MS / 4;
    for (uint32_t i = 0; i < CONTACTS_MAX; i++) {
        struct contact *contact = &overlay->contacts[i];

        if (contact->used && overlay->now_ms - contact->used_ms > CONTACT_IDLE_MS) {
            drop(overlay, contact);
        }
    }
}

bool contacts_is_tried(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    return overlay->large && index != MEMBER_NONE &&
           overlay->membership.list[index].view.state == MEMBER_DOWN &&
           overlay->membership.list[index].greeted;
}

bool peer_is_reachable(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    return index == MEMBER_NONE ? contact_look(overlay, node) != NULL
                                : membership_is_up(&overlay->membership.list[index]);
}
