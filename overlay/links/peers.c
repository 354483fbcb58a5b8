// SPDX-License-Identifier: GPL-3.0-or-later
/* Messages to others, and the greeting that comes first on each link. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

enum { WELCOME_MS = 2000 }; /* after a refusal, to be greeted again */

bool peer_is_self(const struct overlay *overlay, const struct node_id *node)
{
    return id_equal(&node->id, &overlay->self.id);
}

static void fill_addresses(struct overlay_peer *peer, const minga_NodeRecord *record)
{
    peer->address_count = record->addresses_count;
    CHECK(peer->address_count <= ADDRESSES_MAX);
    for (size_t i = 0; i < peer->address_count; i++) {
        memcpy(peer->addresses[i], record->addresses[i], sizeof(peer->addresses[i]));
    }
}

/* How to reach a node: from its record, from the token while joining, or as others have named it. */
static bool find_peer(const struct overlay *overlay, const struct node_id *node,
                      struct overlay_peer *peer_out)
{
    int index = membership_find(&overlay->membership, node);

    memset(peer_out, 0, sizeof(*peer_out));
    if (index != MEMBER_NONE && overlay->membership.list[index].record_bytes > 0) {
        peer_out->node = *node;
        peer_out->key = overlay->membership.list[index].view.key;
        fill_addresses(peer_out, &overlay->membership.list[index].view.record);
        return overlay->membership.list[index].view.state != MEMBER_EXPELLED;
    }
    for (uint32_t i = 0; i < overlay->join.contact_count; i++) {
        if (id_equal(&overlay->join.contacts[i].node.id, &node->id)) {
            *peer_out = overlay->join.contacts[i];
            return membership_banned(&overlay->membership.expulsions, &node->id) == NULL;
        }
    }
    if (contact_look(overlay, node) != NULL) {
        *peer_out = contact_look(overlay, node)->peer;
        return peer_out->address_count > 0 &&
               membership_banned(&overlay->membership.expulsions, &node->id) == NULL;
    }
    return false;
}

static void send_bytes(struct overlay *overlay, const struct overlay_peer *peer,
                       struct bytes message, const struct chunk_id *chunk)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_SEND);

    if (effect == NULL) {
        return;
    }
    effect->peer = *peer;
    effect->message = effect_keep(overlay, message);
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

static void send_message(struct overlay *overlay, const struct overlay_peer *peer,
                         const minga_Message *message, const struct chunk_id *chunk)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length = message_encode(message, bytes, sizeof(bytes));

    CHECK(length > 0);
    send_bytes(overlay, peer, (struct bytes){bytes, (size_t)length}, chunk);
}

static void put_bytes(pb_size_t *size_out, pb_byte_t *out, size_t capacity_bytes,
                      struct bytes bytes)
{
    CHECK(bytes.length_bytes <= capacity_bytes);
    memcpy(out, bytes.data, bytes.length_bytes);
    *size_out = (pb_size_t)bytes.length_bytes;
}

/* Own admission and its countersigner's, from the membership or from the join under way. */
static void fill_admissions(const struct overlay *overlay, minga_Hello *hello)
{
    const struct member *self;
    struct bytes voucher;

    if (overlay->self_index == MEMBER_NONE) {
        put_bytes(&hello->admission.size, hello->admission.bytes, sizeof(hello->admission.bytes),
                  (struct bytes){overlay->join.admission, overlay->join.admission_bytes});
        put_bytes(&hello->countersigner_admission.size, hello->countersigner_admission.bytes,
                  sizeof(hello->countersigner_admission.bytes),
                  (struct bytes){overlay->join.countersigner, overlay->join.countersigner_bytes});
        return;
    }
    self = &overlay->membership.list[overlay->self_index];
    put_bytes(&hello->admission.size, hello->admission.bytes, sizeof(hello->admission.bytes),
              (struct bytes){self->admission, self->admission_bytes});
    voucher = chain_countersigner(overlay);
    if (voucher.length_bytes > 0) {
        put_bytes(&hello->countersigner_admission.size, hello->countersigner_admission.bytes,
                  sizeof(hello->countersigner_admission.bytes), voucher);
    }
}

static void send_hello(struct overlay *overlay, const struct overlay_peer *peer)
{
    minga_Message message;
    minga_Hello *hello = &message.kind.hello;

    message_init(&message, minga_Message_hello_tag);
    memcpy(hello->node_key, overlay->key.bytes, PUBLIC_KEY_BYTES);
    memcpy(hello->community_key, overlay->community.bytes, PUBLIC_KEY_BYTES);
    hello->has_digest = true;
    gossip_fill_digest(overlay, &hello->digest);
    put_bytes(&hello->node_record.size, hello->node_record.bytes, sizeof(hello->node_record.bytes),
              (struct bytes){overlay->record_encoded, overlay->record_bytes});
    fill_admissions(overlay, hello);
    send_message(overlay, peer, &message, NULL);
}

/* Only JOIN goes to a link without a greeting. */
static void greet_first(struct overlay *overlay, const struct overlay_peer *peer)
{
    int index = membership_find(&overlay->membership, &peer->node);
    struct member *member;

    if (index == MEMBER_NONE) {
        if (contact_greets(overlay, &peer->node)) {
            send_hello(overlay, peer);
        }
        return;
    }
    member = &overlay->membership.list[index];
    member->sent_ms = overlay->now_ms;
    member->linked = true;
    if (!member->greeted) {
        member->greeted = true;
        send_hello(overlay, peer);
    }
}

void peer_send(struct overlay *overlay, const struct node_id *to, const minga_Message *message,
               const struct chunk_id *chunk)
{
    struct overlay_peer peer;

    if (peer_is_self(overlay, to) || caller_send(overlay, to, message, chunk) ||
        !find_peer(overlay, to, &peer)) {
        return;
    }
    if (message->which_kind != minga_Message_join_tag || message->kind.join.relayed) {
        greet_first(overlay, &peer);
    }
    send_message(overlay, &peer, message, chunk);
}

void peer_greet(struct overlay *overlay, const struct node_id *to)
{
    struct overlay_peer peer;
    int index = membership_find(&overlay->membership, to);

    if (peer_is_self(overlay, to) || !find_peer(overlay, to, &peer)) {
        return;
    }
    if (index != MEMBER_NONE) {
        overlay->membership.list[index].greeted = false;
    }
    greet_first(overlay, &peer);
}

/* Expelled since it asked: of an answer that took its time it hears no more than that it is out. */
static bool is_too_late(const struct overlay *overlay, const struct asker *asker, pb_size_t kind)
{
    return kind != minga_Message_refused_tag && kind != minga_Message_item_tag &&
           kind != minga_Message_join_reply_tag && kind != minga_Message_busy_tag &&
           kind != minga_Message_acknowledged_tag &&
           membership_banned(&overlay->membership.expulsions, &asker->node.id) != NULL;
}

void peer_reply(struct overlay *overlay, const struct asker *asker, minga_Message *message,
                const struct chunk_id *chunk)
{
    if (is_too_late(overlay, asker, message->which_kind)) {
        return;
    }
    message->reply = true;
    message->request = asker->request;
    if (asker->inbound) {
        caller_send_on(overlay, asker->link, message, chunk);
    } else {
        peer_send(overlay, &asker->node, message, chunk);
    }
}

void peer_refuse(struct overlay *overlay, const struct asker *asker, minga_RefusedCode code,
                 const char *reason)
{
    minga_Message message;

    message_init(&message, minga_Message_refused_tag);
    message.kind.refused.code = code;
    (void)snprintf(message.kind.refused.reason, sizeof(message.kind.refused.reason), "%s", reason);
    peer_reply(overlay, asker, &message, NULL);
}

uint64_t peer_timeout_ms(const struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    /* The first words on a link wait for it to be built. */
    if (index == MEMBER_NONE || !peer_is_linked(&overlay->membership.list[index])) {
        return REPLY_MS;
    }
    return rtt_timeout_ms(&overlay->membership.list[index].rtt);
}

struct request *peer_request_later(struct overlay *overlay, enum request_kind kind,
                                   const struct node_id *to, minga_Message *message,
                                   uint64_t timeout_ms)
{
    struct request *request = requests_new(&overlay->requests, kind);
    int index;
    int length;

    if (request == NULL) {
        effect_trace(overlay, "requests: table full");
        return NULL;
    }
    message->request = request->id;
    request->to = *to;
    index = membership_find(&overlay->membership, to);
    request->is_measured = request_is_prompt(kind) && index != MEMBER_NONE &&
                           peer_is_linked(&overlay->membership.list[index]);
    request->sent_ms = overlay->now_ms;
    request->deadline_ms = overlay->now_ms + timeout_ms;
    length = message_encode(message, request->bytes, sizeof(request->bytes));
    CHECK(length > 0);
    request->length_bytes = (size_t)length;
    return request;
}

/* Any question that is answered at once shows whether its receiver is there. */
static void note_asked(struct overlay *overlay, enum request_kind kind, const struct node_id *to)
{
    int index = membership_find(&overlay->membership, to);

    if (request_is_prompt(kind) && kind != REQUEST_PING && index != MEMBER_NONE) {
        watch_event(overlay, DETECTOR_SENT, index);
    }
}

struct request *peer_request(struct overlay *overlay, enum request_kind kind,
                             const struct node_id *to, minga_Message *message, uint64_t timeout_ms)
{
    struct request *request = peer_request_later(overlay, kind, to, message, timeout_ms);

    if (request != NULL) {
        request->repeat_every_ms =
            request_is_prompt(kind) ? peer_timeout_ms(overlay, to) : (uint64_t)REPLY_MS;
        request->repeat_ms = overlay->now_ms + request->repeat_every_ms;
        peer_send(overlay, to, message, NULL);
        note_asked(overlay, kind, to);
    }
    return request;
}

struct request *peer_request_data(struct overlay *overlay, const struct node_id *to,
                                  const struct chunk_id *chunk, uint64_t timeout_ms)
{
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_chunk_data_tag);
    message_put_id(message.kind.chunk_data.chunk, &chunk->id);
    request = peer_request_later(overlay, REQUEST_CHUNK_DATA, to, &message, timeout_ms);
    if (request != NULL) {
        peer_send(overlay, to, &message, chunk);
    }
    return request;
}

void peer_hang_up(struct overlay *overlay, const struct node_id *node)
{
    struct overlay_effect *effect;
    int index = membership_find(&overlay->membership, node);

    if (index != MEMBER_NONE) {
        overlay->membership.list[index].greeted = false;
        overlay->membership.list[index].linked = false;
        overlay->membership.list[index].is_up = false;
        overlay->membership.list[index].is_broken = false;
        /* What a leaf has dialled itself is the better way. */
        overlay->membership.list[index].has_caller =
            overlay->membership.list[index].has_caller &&
            membership_is_leaf(&overlay->membership.list[index]);
    }
    effect = effect_add(overlay, OVERLAY_HANG_UP);
    if (effect != NULL) {
        effect->peer.node = *node;
    }
}

void peer_on_link_up(struct overlay *overlay, const struct node_id *node)
{
    int index = membership_find(&overlay->membership, node);

    joining_met(overlay, node);
    if (index == MEMBER_NONE && contact_look(overlay, node) == NULL) {
        return;
    }
    if (index != MEMBER_NONE) {
        overlay->membership.list[index].is_up = true;
        overlay->membership.list[index].is_broken = false;
        overlay->membership.list[index].is_refused = false;
    }
    /* What opened the link lies in its queue, first of all, unless an earlier attempt took it along. */
    if (overlay->phase != PHASE_OUTSIDE &&
        (index == MEMBER_NONE || !overlay->membership.list[index].greeted)) {
        peer_greet(overlay, node);
    }
}

void peer_on_link_lost(struct overlay *overlay, const struct node_id *node, bool refused)
{
    int index = membership_find(&overlay->membership, node);
    struct member *member;

    if (overlay->join.active) {
        dispatch_gone(overlay, node); /* the next contact's turn */
    }
    contact_lost(overlay, node);
    if (index == MEMBER_NONE || index == overlay->self_index) {
        return;
    }
    member = &overlay->membership.list[index];
    /* Who refuses in a leaf's name is its relay. */
    refused = refused && !membership_is_leaf(member);
    member->greeted = false;
    member->is_up = false;
    member->is_broken = true;
    member->has_caller = member->has_caller && membership_is_leaf(member);
    member->is_refused = refused;
    dispatch_link_lost(overlay, node, refused);
    if (!membership_is_up(member)) {
        if (member->linked) {
            peer_hang_up(overlay, node); /* dialled again in its turn, not by the transport */
        }
        return;
    }
    if (overlay->large) {
        detector_accuse(&overlay->detector, index, overlay->now_ms); /* nobody else may tell us */
    }
    watch_event(overlay, refused ? DETECTOR_REFUSED : DETECTOR_LINK_LOST, index);
}

/* Does the key in a greeting belong to the X25519 key that CURVE has proved? Deriving it costs as
 * much as a signature, so a member's is kept. */
static bool is_proven(struct overlay *overlay, const struct overlay_source *source,
                      const struct public_key *key, int index)
{
    struct member *member = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];
    uint8_t curve_key[32];

    if (!source->inbound) {
        return false;
    }
    if (member != NULL && member->has_curve_key) {
        return memcmp(member->curve_key, source->curve_key, sizeof(curve_key)) == 0;
    }
    if (keys_curve_public(key, curve_key) < 0) {
        return false;
    }
    if (member != NULL) {
        memcpy(member->curve_key, curve_key, sizeof(curve_key));
        member->has_curve_key = true;
    }
    return memcmp(curve_key, source->curve_key, sizeof(curve_key)) == 0;
}

/* Where only parts are kept, the countersigner is verified without taking up a place. */
static bool admit_greeting(struct overlay *overlay, const minga_Hello *hello)
{
    struct bytes voucher = {hello->countersigner_admission.bytes,
                            hello->countersigner_admission.size};

    if (!links_admit_stranger(&overlay->links, overlay->now_ms)) {
        return false;
    }
    if (voucher.length_bytes > 0) {
        (void)(overlay->large || hello->digest.large
                   ? chain_take(overlay, voucher)
                   : gossip_admit(overlay, voucher, ADMIT_GREETS));
    }
    return gossip_admit(overlay, (struct bytes){hello->admission.bytes, hello->admission.size},
                        ADMIT_GREETS);
}

/* `index`: of a void member, or MEMBER_NONE. */
static void refuse_stranger(struct overlay *overlay, const struct asker *asker, bool is_large,
                            int index)
{
    if (index != MEMBER_NONE || !is_large) {
        bans_refuse_no_member(overlay, asker, index);
    } else if (!overlay->no_room) {
        chain_ask(overlay, asker);
    }
}

void peer_welcome(struct overlay *overlay, const struct asker *asker, int index)
{
    const struct member *member = &overlay->membership.list[index];
    minga_Message message;
    minga_Welcome *answer = &message.kind.welcome;

    message_init(&message, minga_Message_welcome_tag);
    put_bytes(&answer->node_record.size, answer->node_record.bytes,
              sizeof(answer->node_record.bytes),
              (struct bytes){overlay->record_encoded, overlay->record_bytes});
    answer->has_digest = true;
    gossip_fill_digest(overlay, &answer->digest);
    answer->known_sequence = member->view.record.sequence;
    answer->known_incarnation = member->incarnation;
    if (overlay->self_index != MEMBER_NONE && (overlay->large || member->is_large)) {
        const struct member *self = &overlay->membership.list[overlay->self_index];
        struct bytes voucher = chain_countersigner(overlay);

        put_bytes(&answer->admission.size, answer->admission.bytes, sizeof(answer->admission.bytes),
                  (struct bytes){self->admission, self->admission_bytes});
        if (voucher.length_bytes > 0) {
            put_bytes(&answer->countersigner_admission.size, answer->countersigner_admission.bytes,
                      sizeof(answer->countersigner_admission.bytes), voucher);
        }
    }
    peer_reply(overlay, asker, &message, NULL);
}

bool peer_digest_differs(const struct overlay *overlay, const minga_Digest *theirs)
{
    minga_Digest ours = minga_Digest_init_zero;

    gossip_fill_digest(overlay, &ours);
    if (memcmp(ours.bans, theirs->bans, sizeof(ours.bans)) != 0) {
        return true;
    }
    /* Parts of a membership differ, as they should. */
    return !overlay->large && !theirs->large &&
           (memcmp(ours.admissions, theirs->admissions, sizeof(ours.admissions)) != 0 ||
            memcmp(ours.nodes, theirs->nodes, sizeof(ours.nodes)) != 0);
}

/* What a node says of itself in a greeting: its record, and whether we know the same. */
static void take_greeting(struct overlay *overlay, int index, struct bytes record,
                          const minga_Digest *digest)
{
    minga_Item item = minga_Item_init_zero;

    if (record.length_bytes > 0 && record.length_bytes <= sizeof(item.content.bytes)) {
        item.kind = minga_ItemKind_ITEM_NODE;
        item.life = minga_Life_LIFE_ALIVE;
        memcpy(item.content.bytes, record.data, record.length_bytes);
        item.content.size = (pb_size_t)record.length_bytes;
        (void)gossip_apply(overlay, &item);
    }
    if (digest == NULL) {
        return;
    }
    overlay->membership.list[index].is_large = digest->large;
    scale_hear(overlay, digest);
    if (peer_digest_differs(overlay, digest)) {
        digests_differ(overlay, index);
    }
}

/* Whoever greets on an inbound link has dialled one of our addresses: say that it can be done. */
static void note_dialled(struct overlay *overlay)
{
    minga_NodeRecord *record = &overlay->record;

    if (!overlay->reach.is_used && overlay->phase == PHASE_MEMBER && record->addresses_count > 0 &&
        record->reachable == minga_Reachable_REACHABLE_UNKNOWN) {
        record->reachable = minga_Reachable_REACHABLE_DIRECT;
        overlay->describe_ms = overlay->now_ms + DESCRIBE_MS;
    }
}

void peer_on_hello(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Hello *hello = &arrival->message->kind.hello;
    bool is_large = overlay->large || hello->digest.large;
    const struct ban *ban;
    struct public_key key;
    struct node_id node;
    int index;

    memcpy(key.bytes, hello->node_key, PUBLIC_KEY_BYTES);
    if (overlay->phase == PHASE_OUTSIDE ||
        memcmp(hello->community_key, overlay->community.bytes, PUBLIC_KEY_BYTES) != 0) {
        peer_refuse(overlay, &arrival->asker, minga_RefusedCode_REFUSED_OTHER,
                    "this node is not of that community");
        return;
    }
    node = keys_node_id(&key);
    index = membership_find(&overlay->membership, &node);
    overlay->no_room = false;
    if (!is_proven(overlay, arrival->source, &key, index)) {
        overlay->counters.refused_messages++;
        return;
    }
    ban = membership_banned(&overlay->membership.expulsions, &node.id);
    if (ban != NULL) {
        bans_refuse_expelled(overlay, &arrival->asker, ban);
        return;
    }
    if (peer_is_self(overlay, &node)) {
        peer_refuse(overlay, &arrival->asker, minga_RefusedCode_REFUSED_OTHER,
                    "this is another node with the same key: was a disk copied?");
        return;
    }
    if ((index == MEMBER_NONE || overlay->membership.list[index].is_void) &&
        admit_greeting(overlay, hello)) {
        index = membership_find(&overlay->membership, &node);
    }
    if (index == MEMBER_NONE || overlay->membership.list[index].is_void) {
        refuse_stranger(overlay, &arrival->asker, is_large, index);
        return;
    }
    overlay->speaker = index;
    memcpy(overlay->membership.list[index].curve_key, arrival->source->curve_key,
           sizeof(arrival->source->curve_key)); /* proven, perhaps before it was a member */
    overlay->membership.list[index].has_curve_key = true;
    links_greeted(&overlay->links, arrival->source->link, index, overlay->now_ms);
    peer_called(overlay, index, arrival->source->link);
    if (hello->has_digest) {
        bans_tell(overlay, &arrival->asker, &hello->digest);
    }
    take_greeting(overlay, index, (struct bytes){hello->node_record.bytes, hello->node_record.size},
                  hello->has_digest ? &hello->digest : NULL);
    gossip_heard(overlay, index);
    note_dialled(overlay);
    peer_welcome(overlay, &arrival->asker, index);
}

void peer_on_welcome(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Welcome *answer = &arrival->message->kind.welcome;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (answer->has_digest) {
        bans_tell(overlay, &arrival->asker, &answer->digest);
    }
    take_greeting(overlay, arrival->member,
                  (struct bytes){answer->node_record.bytes, answer->node_record.size},
                  answer->has_digest ? &answer->digest : NULL);
    /* Others may know a later record of ours than we do (an old disk): go beyond it. */
    if (answer->known_sequence > overlay->record.sequence &&
        answer->known_sequence - overlay->record.sequence < UINT32_MAX) {
        overlay->record.sequence = answer->known_sequence;
        gossip_refute(overlay, answer->known_incarnation);
    }
    if (overlay->large &&
        overlay->now_ms - overlay->membership.list[arrival->member].refused_ms < WELCOME_MS) {
        overlay->membership.list[arrival->member].refused_ms = 0;
        dispatch_welcomed(overlay, &arrival->asker.node);
    }
}

void peer_on_refused(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Refused *refused = &arrival->message->kind.refused;

    effect_trace(overlay, "refused: %.100s", refused->reason);
    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (refused->code == minga_RefusedCode_REFUSED_HELLO_FIRST) {
        overlay->membership.list[arrival->member].refused_ms = overlay->now_ms;
        peer_greet(overlay, &overlay->membership.list[arrival->member].view.node);
    } else if (refused->code == minga_RefusedCode_REFUSED_NOT_MEMBER) {
        overlay->membership.list[arrival->member].greeted = false;
    }
}
