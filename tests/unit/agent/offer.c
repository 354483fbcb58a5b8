// SPDX-License-Identifier: GPL-3.0-or-later
/* What a node is asked for people who plan: the same as by a manager. */
#include "agent/core/internal.h"
#include "tests/unit/agent/alone.h"

static enum overlay_outcome ask(struct edge *edge, const minga_Find *find)
{
    uint8_t bytes[minga_Find_size];
    struct core_request request = {.kind = CORE_ASK_OFFER,
                                   .node = overlay_self(core_overlay(edge->core))};
    int length = signed_encode_body(minga_Find_fields, find, bytes, sizeof(bytes));

    cr_assert_gt(length, 0);
    request.signed_bytes = (struct bytes){bytes, (size_t)length};
    return outcome_of(edge, &request);
}

static minga_Offer answered(const struct edge *edge)
{
    minga_Offer offer = minga_Offer_init_zero;

    cr_assert_eq(signed_decode_body(minga_Offer_fields, edge->answer.data, &offer), 0);
    return offer;
}

Test(offer, a_node_says_what_it_has_left_and_why_it_takes_no_other_of_the_same_service)
{
    struct edge *edge = edge_running();
    minga_Find find = minga_Find_init_zero;

    memcpy(find.service, edge->service.id.bytes, ID_BYTES);
    find.has_need = true;
    find.need.memory_bytes = 1;
    cr_assert_eq(ask(edge, &find), OVERLAY_OK, "%s", edge->answer.reason);
    cr_assert_eq(answered(edge).refusal, REFUSAL_HAS_REPLICA);
    find.service[0] ^= 1; /* another one */
    cr_assert_eq(ask(edge, &find), OVERLAY_OK);
    minga_Offer offer = answered(edge);

    cr_assert_eq(offer.refusal, REFUSAL_NONE, "%s", offer.reason);
    cr_assert_eq(offer.replica_count, 1);
    cr_assert_lt(offer.free.memory_bytes, offer.contribution.memory_bytes);
    find.need.memory_bytes = offer.contribution.memory_bytes + 1;
    cr_assert_eq(ask(edge, &find), OVERLAY_OK);
    cr_assert_eq(answered(edge).refusal, REFUSAL_TOO_LARGE);
    cr_assert_eq(core_replica_count(edge->core), 1, "nothing was placed");
    edge_free(edge);
}

Test(offer, what_is_no_question_is_refused_here)
{
    struct edge *edge = edge_running();
    struct core_request request = {.kind = CORE_ASK_OFFER,
                                   .node = overlay_self(core_overlay(edge->core)),
                                   .signed_bytes = bytes_of_text("\xff\xff")};

    cr_assert_eq(outcome_of(edge, &request), OVERLAY_REFUSED);
    edge_free(edge);
}
