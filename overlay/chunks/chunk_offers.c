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

static uint32_t name(minga_ChunkOffers *offers, const struct overlay_reference *reference,
                     uint32_t age_s)
{
    pb_size_t i = 0;

    while (i < offers->named_count &&
           (memcmp(offers->named[i].tree, reference->tree.id.bytes, ID_BYTES) != 0 ||
            memcmp(offers->named[i].service, reference->service.id.bytes, ID_BYTES) != 0)) {
        i++;
    }
    if (i == offers->named_count) {
        if (i == ARRAY_COUNT(offers->named)) {
            return 0;
        }
        message_put_id(offers->named[i].service, &reference->service.id);
        message_put_id(offers->named[i].tree, &reference->tree.id);
        offers->named[i].age_s = age_s;
        offers->named_count++;
    }
    return UINT32_C(1) << i; /* eight at most */
}

bool chunk_offers_fill(minga_ChunkOffers *offers, const struct chunk_put *put, uint64_t bytes)
{
    minga_ChunkOffer *offer = &offers->offers[offers->offers_count];

    CHECK(offers->offers_count < ARRAY_COUNT(offers->offers));
    *offer = (minga_ChunkOffer)minga_ChunkOffer_init_zero;
    for (uint32_t i = 0; i < put->references.count; i++) {
        uint32_t bit = name(offers, &put->references.list[i], put->references.age_s[i]);

        if (bit == 0) {
            return false;
        }
        offer->references = (uint8_t)(offer->references | bit);
    }
    message_put_id(offer->chunk, &put->chunk.id);
    offer->bytes = (uint32_t)bytes;
    offer->repair = put->is_repair;
    offer->common = put->references.is_common;
    offers->offers_count++;
    return true;
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

/* Puts that have ended meanwhile are left out; those whose names have no room go alone. */
static void fill_group(struct overlay *overlay, struct bulk_group *group, minga_ChunkOffers *offers)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < group->count; i++) {
        struct bulk_key key = group->keys[i];
        const struct chunk_put *put = chunk_put_find(overlay, key.token);

        if (put == NULL) {
            continue;
        }
        if (chunk_offers_fill(offers, put, key.size_bytes)) {
            group->keys[count++] = key;
        } else {
            chunk_put_offer_alone(overlay, key.token, &group->to);
        }
    }
    group->count = count;
}

static void ask_group(struct overlay *overlay, struct bulk_group *group)
{
    minga_Message message;
    minga_ChunkOffers *offers = &message.kind.chunk_offers;
    int index = membership_find(&overlay->membership, &group->to);
    struct request *request = NULL;

    message_init(&message, minga_Message_chunk_offers_tag);
    fill_group(overlay, group, offers);
    if (group->count == 0) {
        bulk_end(group);
        return;
    }
    if (index != MEMBER_NONE && membership_in_ring(&overlay->membership.list[index])) {
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
        answer->answers[i] = chunk_receive_judge(overlay, arrival, &asked->offers[i]);
    }
    answer->answers_count = asked->offers_count;
    if (asked->offers_count == 1 && answer->answers[0] == minga_ChunkAnswer_CHUNK_BUSY) {
        message_init(&message, minga_Message_busy_tag); /* it is repeated */
    }
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
