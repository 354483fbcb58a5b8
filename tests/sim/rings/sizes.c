// SPDX-License-Identifier: GPL-3.0-or-later
/* What a message is on the wire, by the real encoder. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/message.h"
#include "tests/sim/rings/rings.h"

static void put_contact(minga_Contact *contact, const struct ring_node *node)
{
    message_put_id(contact->node_key, &node->node.id);
    contact->addresses_count = 1;
    (void)snprintf(contact->addresses[0], sizeof(contact->addresses[0]), "203.0.113.%u:7400",
                   (unsigned int)node->node.id.bytes[0]);
    contact->stores = true;
}

static void put_answer(minga_SeekReply *reply, const struct seek_answer *answer)
{
    reply->owns = answer->owns;
    reply->waiting = answer->waiting;
    reply->has_arc = answer->has_arc;
    message_put_id(reply->from, &answer->from.id);
    reply->epoch = answer->epoch;
    reply->presumed = answer->presumed;
    for (uint32_t i = 0; i < answer->contact_count; i++) {
        put_contact(&reply->contacts[i], &answer->contacts[i]);
    }
    reply->contacts_count = (pb_size_t)answer->contact_count;
}

static void put_question(minga_Stabilise *question, const struct ring_payload *ring)
{
    question->joining = ring->joining;
    question->digest = UINT32_MAX;
    question->version = ring->version;
    question->known = ring->known;
    question->pace = ring->pace > 1 ? ring->pace : 0;
    question->paces = ring->answer.paces > 1 ? ring->answer.paces : 0;
    question->epoch = ring->has_list ? ring->epoch : 0;
    for (uint32_t i = 0; ring->has_list && i < ring->list_count; i++) {
        message_put_id(question->predecessors[i], &ring->list[i].node.id);
        question->predecessors_count = (pb_size_t)(i + 1);
    }
}

static void put_reply(minga_StabiliseReply *reply, const struct ring_payload *ring)
{
    reply->verdict = (minga_LeaseAnswer)ring->answer.verdict;
    reply->digest = UINT32_MAX;
    reply->told = ring->answer.told_version;
    reply->version = ring->version;
    reply->paces = ring->answer.paces > 1 ? ring->answer.paces : 0;
    if (ring->answer.is_handed || ring->answer.verdict == RING_OTHER) {
        message_put_id(reply->from.bytes, &ring->answer.other.node.id);
        reply->from.size = ID_BYTES;
    }
    reply->epoch = ring->answer.is_handed ? ring->answer.epoch : 0;
    reply->change = ring->is_change;
    reply->kept = ring->kept;
    for (uint32_t i = 0; ring->is_change && i < ring->list_count; i++) {
        put_contact(&reply->added[i], &ring->list[i]);
        reply->added_count = (pb_size_t)(i + 1);
    }
    for (uint32_t i = 0; ring->has_list && !ring->is_change && i < ring->list_count; i++) {
        message_put_id(reply->successors[i], &ring->list[i].node.id);
        reply->successors_count = (pb_size_t)(i + 1);
    }
}

static void put_ring(minga_Message *encoded, const struct message *message)
{
    switch (message->kind) {
    case RING_QUESTION:
        message_init(encoded, minga_Message_stabilise_tag);
        put_question(&encoded->kind.stabilise, message->ring);
        break;
    case RING_REPLY:
        message_init(encoded, minga_Message_stabilise_reply_tag);
        put_reply(&encoded->kind.stabilise_reply, message->ring);
        break;
    case RING_GOODBYE:
    case SEEK_NEXT:
    case SEEK_REPLY:
    case PING:
    case PONG:
    case WHO:
    case CONTACTS:
    case KINDS:
        message_init(encoded, minga_Message_goodbye_tag);
        encoded->kind.goodbye.epoch = message->ring->epoch;
        encoded->kind.goodbye.predecessors_count = (pb_size_t)message->ring->list_count;
        for (uint32_t i = 0; i < message->ring->list_count; i++) {
            message_put_id(encoded->kind.goodbye.predecessors[i], &message->ring->list[i].node.id);
        }
        break;
    }
}

/* Who and Contacts, which a node sends for those of a list that it has never heard of, have no
 * part in the ring: a list of ids, and one of contacts. */
static void put_contacts(minga_Message *encoded, const struct message *message)
{
    if (message->kind == WHO) {
        message_init(encoded, minga_Message_stabilise_reply_tag);
        put_reply(&encoded->kind.stabilise_reply, message->ring);
        return;
    }
    message_init(encoded, minga_Message_seek_reply_tag);
    for (uint32_t i = 0; i < message->ring->list_count; i++) {
        put_contact(&encoded->kind.seek_reply.contacts[i], &message->ring->list[i]);
    }
    encoded->kind.seek_reply.contacts_count = (pb_size_t)message->ring->list_count;
}

size_t size_of_message(const struct message *message)
{
    static minga_Message encoded; /* the simulator's, not the core's */
    static uint8_t bytes[MESSAGE_BYTES_MAX];
    int length;

    switch (message->kind) {
    case SEEK_NEXT:
        message_init(&encoded, minga_Message_seek_next_tag);
        message_put_id(encoded.kind.seek_next.key, &message->key.id);
        encoded.kind.seek_next.contacts = message->contacts_wanted;
        break;
    case SEEK_REPLY:
        message_init(&encoded, minga_Message_seek_reply_tag);
        put_answer(&encoded.kind.seek_reply, message->answer);
        break;
    case RING_QUESTION:
    case RING_REPLY:
    case RING_GOODBYE:
        put_ring(&encoded, message);
        break;
    case WHO:
    case CONTACTS:
        put_contacts(&encoded, message);
        break;
    case PING:
    case PONG:
    case KINDS:
        message_init(&encoded, minga_Message_pong_tag);
        encoded.kind.pong.digest = message->kind == PONG ? UINT64_MAX : 0;
        break;
    }
    encoded.request = 1 << 20; /* a node that has run for long */
    encoded.reply = message->kind == SEEK_REPLY || message->kind == RING_REPLY;
    length = message_encode(&encoded, bytes, sizeof(bytes));
    CHECK(length > 0);
    return (size_t)length;
}
