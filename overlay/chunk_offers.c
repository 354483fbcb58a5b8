// SPDX-License-Identifier: GPL-3.0-or-later
/* Offers of many chunks to one holder in one message (bulk.h), each with its own answer. */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

bool chunk_offers_add(struct overlay *overlay, const struct node_id *to,
                      const struct chunk_id *chunk, uint64_t bytes, uint64_t put)
{
    struct bulk_key key = {chunk->id, bytes, put};

    return bulk_add(&overlay->offers, to, &key, overlay->now_ms);
}

/* Each of the group's puts goes on without this holder. */
static void fail(struct overlay *overlay, struct bulk_group *group)
{
    struct bulk_group failed = *group; /* they may begin to fill a group again */

    bulk_end(group);
    for (uint32_t i = 0; i < failed.count; i++) {
        chunk_put_not_answered(overlay, failed.keys[i].token);
    }
}

static void ask_group(struct overlay *overlay, struct bulk_group *group)
{
    minga_Message message;
    minga_ChunkOffers *offers = &message.kind.chunk_offers;
    int index = membership_find(&overlay->membership, &group->to);
    struct request *request = NULL;

    message_init(&message, minga_Message_chunk_offers_tag);
    for (uint32_t i = 0; i < group->count; i++) {
        message_put_id(offers->offers[i].chunk, &group->keys[i].key);
        offers->offers[i].bytes = group->keys[i].size_bytes;
    }
    offers->offers_count = (pb_size_t)group->count;
    if (index != MEMBER_NONE && membership_is_up(&overlay->membership.list[index])) {
        request = peer_request(overlay, REQUEST_CHUNK_OFFERS, &group->to, &message, CHUNK_OFFER_MS);
    }
    if (request == NULL) {
        fail(overlay, group);
        return;
    }
    request->token = bulk_number(&overlay->offers, group);
}

void chunk_offers_tick(struct overlay *overlay)
{
    struct bulk_group *group;

    while ((group = bulk_take(&overlay->offers, overlay->now_ms)) != NULL) {
        if (group->count == 1) {
            struct bulk_key key = group->keys[0];

            bulk_end(group);
            chunk_put_offer_alone(overlay, key.token, &group->to);
        } else {
            ask_group(overlay, group);
        }
    }
}

void chunk_offers_on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_ChunkOffers *asked = &arrival->message->kind.chunk_offers;
    minga_Message message;
    minga_ChunkOffersReply *answer = &message.kind.chunk_offers_reply;

    message_init(&message, minga_Message_chunk_offers_reply_tag);
    for (pb_size_t i = 0; i < asked->offers_count; i++) {
        answer->answers[i] = chunk_put_judge(overlay, arrival, &asked->offers[i]);
    }
    answer->answers_count = asked->offers_count;
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

void chunk_offers_on_reply(struct overlay *overlay, const struct request *request,
                           const struct arrival *arrival)
{
    const minga_ChunkOffersReply *answer = &arrival->message->kind.chunk_offers_reply;
    struct bulk_group *group = bulk_asked(&overlay->offers, request->token);
    struct bulk_group answered;

    CHECK(group != NULL);
    if (arrival->message->which_kind != minga_Message_chunk_offers_reply_tag) {
        fail(overlay, group);
        return;
    }
    answered = *group;
    bulk_end(group);
    for (uint32_t i = 0; i < answered.count; i++) {
        if (i < answer->answers_count) {
            chunk_put_answered(overlay, answered.keys[i].token, &answered.to, answer->answers[i]);
        } else {
            chunk_put_not_answered(overlay, answered.keys[i].token);
        }
    }
}

void chunk_offers_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct bulk_group *group = bulk_asked(&overlay->offers, request->token);

    CHECK(group != NULL);
    fail(overlay, group);
}
