// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What concerns everyone is told to everyone: as a broadcast by interval (broadcast.h), whose
 * children acknowledge. What is lost all the same, the comparison of digests will carry.
 */
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "overlay/signed.h"
#include "overlay/state.h"

enum {
    TELLS_MAX = 3, /* so often is one node told, as long as it stays silent */
    /* Giving a part to others for nothing tells them all twice: not as soon as asking again. */
    ACKNOWLEDGE_MS_MIN = 100,
    /* What is known here already others may lack; but it can be sent again and again. */
    KNOWN_BURST = LIMIT(512, 64),
    KNOWN_INTERVAL_MS = 20,
    NEWCOMER_MS = 2000, /* so long what a newcomer tells everyone goes through its sponsor */
};

static struct id name_of(const minga_Broadcast *broadcast)
{
    uint8_t bytes[minga_Item_size];
    uint8_t number[sizeof(broadcast->number)];
    struct hash hash;
    struct id name;
    int length = signed_encode_body(minga_Item_fields, &broadcast->item, bytes, sizeof(bytes));

    CHECK(length >= 0);
    memcpy(number, &broadcast->number, sizeof(number)); /* the name stays on this node */
    hash_init(&hash, "minga broadcast");
    hash_add(&hash, (struct bytes){broadcast->origin, ID_BYTES});
    hash_add(&hash, (struct bytes){number, sizeof(number)});
    hash_add(&hash, (struct bytes){bytes, (size_t)length});
    hash_done(&hash, &name);
    return name;
}

/* The nodes of an interval in ring order, as far as they are known here; `silent` is left out. */
static uint32_t gather(const struct overlay *overlay, const struct ring_key *from,
                       const struct ring_key *until, const struct node_id *silent,
                       struct broadcast_node nodes_out[MEMBERS_MAX])
{
    const struct membership *membership = &overlay->membership;
    uint32_t place = membership->count == 0 ? 0 : membership_place(membership, &from->id);
    uint32_t count = 0;

    for (uint32_t i = 0; i < membership->count; i++) {
        int index = membership->by_position[(place + i) % membership->count];
        const struct member *member = &membership->list[index];

        if (index == overlay->self_index) {
            continue;
        }
        if (!broadcast_covers(&overlay->place.position, from, until, &member->position)) {
            break;
        }
        if (membership_is_up(member) &&
            (silent == NULL || !id_equal(&silent->id, &member->view.node.id))) {
            nodes_out[count++] = (struct broadcast_node){{member->view.node, member->position},
                                                         peer_is_linked(member)};
        }
    }
    return count;
}

static void tell(struct overlay *overlay, const struct broadcast_part *part, minga_Message *message,
                 uint64_t tells_before)
{
    uint64_t patience_ms = peer_timeout_ms(overlay, &part->to.node);
    struct request *request;

    if (patience_ms < ACKNOWLEDGE_MS_MIN) {
        patience_ms = ACKNOWLEDGE_MS_MIN;
    }
    patience_ms <<= tells_before; /* a broken link is dialled, and greeted on, meanwhile */
    message_put_id(message->kind.broadcast.until, &part->until.id);
    request = peer_request(overlay, REQUEST_BROADCAST, &part->to.node, message, patience_ms);
    if (request != NULL) {
        request->repeat_ms = 0; /* its interval is given to others instead */
        request->token = tells_before;
    } else {
        message->request = 0;
        peer_send(overlay, &part->to.node, message, NULL);
    }
}

/* `first_out` is the first node told, with which the interval of one who was silent now ends.
 * Returns false when there is nobody to tell. */
static bool spread(struct overlay *overlay, minga_Message *message, const struct ring_key *from,
                   const struct ring_key *until, const struct node_id *silent,
                   struct ring_key *first_out)
{
    struct broadcast_node nodes[MEMBERS_MAX];
    struct broadcast_part parts[BROADCAST_FANOUT];
    uint32_t count = gather(overlay, from, until, silent, nodes);

    if (count == 0 || message->kind.broadcast.hops >= ROUTE_HOPS_MAX) {
        return false;
    }
    *first_out = nodes[0].node.position;
    message->reply = false;
    message->kind.broadcast.hops++;
    count = broadcast_split(nodes, count, until, parts);
    for (uint32_t i = 0; i < count; i++) {
        tell(overlay, &parts[i], message, 0);
    }
    return true;
}

static bool is_ban(const minga_Item *item)
{
    return item->kind == minga_ItemKind_ITEM_EXPULSION ||
           item->kind == minga_ItemKind_ITEM_REVOCATION;
}

/* A newcomer has links to few, and who let it in to many: that one tells all others, itself first. */
static const struct member *find_sponsor(const struct overlay *overlay)
{
    int index = membership_find(&overlay->membership, &overlay->sponsor);
    const struct member *member = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];

    return member != NULL && overlay->now_ms - overlay->started_ms < NEWCOMER_MS &&
                   membership_in_ring(member) && peer_is_linked(member)
               ? member
               : NULL;
}

static void begin(struct overlay *overlay, minga_Message *message, const struct ring_key *from)
{
    const struct member *sponsor = find_sponsor(overlay);
    struct ring_key first;

    if (sponsor == NULL) {
        (void)spread(overlay, message, from, &overlay->place.position, NULL, &first);
        return;
    }
    message->kind.broadcast.hops++;
    tell(overlay,
         &(struct broadcast_part){{sponsor->view.node, sponsor->position}, sponsor->position},
         message, 0);
}

void tell_everyone(struct overlay *overlay, const minga_Item *item)
{
    const struct ring_key *self = &overlay->place.position;
    minga_Message message;
    minga_Broadcast *broadcast = &message.kind.broadcast;
    struct ring_key from;
    struct id name;

    if (overlay->large && !is_ban(item)) {
        around_tell(overlay, item);
        return;
    }
    message_init(&message, minga_Message_broadcast_tag);
    broadcast->has_item = true;
    broadcast->item = *item;
    broadcast->item.flooded = true;
    if (item->kind == minga_ItemKind_ITEM_DEATH) {
        /* Several notice one death at a time: what they say is one broadcast. */
        memcpy(broadcast->origin, item->node, ID_BYTES);
        broadcast->number = item->incarnation;
    } else {
        message_put_id(broadcast->origin, &overlay->self.id);
        broadcast->number = ++overlay->last_token;
    }
    name = name_of(broadcast);
    if (broadcast_claim(&overlay->broadcasts, &name, self, self, overlay->now_ms, &from)) {
        begin(overlay, &message, &from);
    }
}

/* --- passing on */

static bool same_bytes(const minga_Item *item, const uint8_t *bytes, size_t length_bytes)
{
    return item->content.size == length_bytes && length_bytes > 0 &&
           memcmp(item->content.bytes, bytes, length_bytes) == 0;
}

static bool is_banned_by(const struct ban_table *table, const minga_Item *item)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (same_bytes(item, table->list[i].bytes, table->list[i].length_bytes)) {
            return true;
        }
    }
    return false;
}

/* Is an item that brought nothing new known here, byte for byte? Others in the interval may lack
 * it; but nonsense is not passed on, or one message of a liar would make n. */
static bool is_known(const struct overlay *overlay, const minga_Item *item)
{
    const struct membership *membership = &overlay->membership;

    if (item->kind == minga_ItemKind_ITEM_EXPULSION) {
        return is_banned_by(&membership->expulsions, item);
    }
    if (item->kind == minga_ItemKind_ITEM_REVOCATION) {
        return is_banned_by(&membership->revocations, item);
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct member *member = &membership->list[i];

        if ((item->kind == minga_ItemKind_ITEM_ADMISSION &&
             same_bytes(item, member->admission, member->admission_bytes)) ||
            (item->kind == minga_ItemKind_ITEM_NODE &&
             same_bytes(item, member->record, member->record_bytes)) ||
            (item->kind == minga_ItemKind_ITEM_DEATH && member->life == LIFE_DEAD &&
             member->incarnation == item->incarnation &&
             memcmp(item->node, member->view.node.id.bytes, ID_BYTES) == 0)) {
            return true;
        }
    }
    return false;
}

static void acknowledge(struct overlay *overlay, const struct arrival *arrival)
{
    minga_Message message;

    if (arrival->asker.request != 0) {
        message_init(&message, minga_Message_acknowledged_tag);
        peer_reply(overlay, &arrival->asker, &message, NULL);
    }
}

void tell_on_broadcast(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Broadcast *broadcast = &arrival->message->kind.broadcast;
    struct ring_key until = {message_id(broadcast->until)};
    struct id name = name_of(broadcast);
    minga_Message onward;
    struct ring_key from;
    struct ring_key first;

    acknowledge(overlay, arrival);
    if (!broadcast_claim(&overlay->broadcasts, &name, &overlay->place.position, &until,
                         overlay->now_ms, &from)) {
        return;
    }
    if (gossip_apply(overlay, &broadcast->item) ||
        (is_known(overlay, &broadcast->item) &&
         allowance_take(&overlay->broadcasts.known, KNOWN_BURST, KNOWN_INTERVAL_MS,
                        overlay->now_ms))) {
        onward = *arrival->message;
        (void)spread(overlay, &onward, &from, &until, NULL, &first);
    }
}

/* A child stays silent: the others in its interval are told by us, and it itself once more, if it
 * is still up, with nothing to cover. */
void tell_on_timeout(struct overlay *overlay, const struct request *request)
{
    int index = membership_find(&overlay->membership, &request->to);
    struct broadcast_part part = {.to.node = request->to};
    struct ring_key until;
    minga_Message message;

    if (index == MEMBER_NONE ||
        message_decode((struct bytes){request->bytes, request->length_bytes}, &message) < 0) {
        return;
    }
    part.to.position = overlay->membership.list[index].position;
    until = (struct ring_key){message_id(message.kind.broadcast.until)};
    part.until = until;
    if (request->token == 0) {
        minga_Message others = message;

        others.kind.broadcast.hops--; /* they stand where the silent one stood */
        (void)spread(overlay, &others, &part.to.position, &until, &request->to, &part.until);
    }
    if (request->token + 1 < TELLS_MAX && membership_is_up(&overlay->membership.list[index])) {
        tell(overlay, &part, &message, request->token + 1);
    }
}
