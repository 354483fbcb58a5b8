// SPDX-License-Identifier: GPL-3.0-or-later
/* Would that node run one more replica of the service? What a manager asks it, for people. */
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/route.h"
#include "agent/core/message.h"
#include "base/check.h"
#include "base/units.h"
#include "overlay/signed.h"

/* Of what is asked for, so that who has asked all nodes can place it as a manager would. */
static json_t *asked(const struct node_id *node, const struct manifest *manifest)
{
    struct sandbox_limits need = manifest_limits(manifest);

    return json_pack("{so so ss}", "node", document_id(&node->id), "need", document_limits(&need),
                     "spread", manifest->spread == MANIFEST_SPREAD_NODE ? "node" : "zone");
}

static void on_offer(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    json_t *document = exchange->work;
    minga_Offer offer = minga_Offer_init_zero;
    struct sandbox_limits free;
    struct sandbox_limits contribution;

    (void)context;
    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "offer", answer);
        return;
    }
    if (answer->data.length_bytes == 0 ||
        signed_decode_body(minga_Offer_fields, answer->data, &offer) < 0) {
        exchange_fail(exchange, 503, "offer", "too many answers at once", "try again");
        return;
    }
    free = limits_of(offer.has_free, &offer.free);
    contribution = limits_of(offer.has_contribution, &offer.contribution);
    json_object_update_new(
        document,
        json_pack("{sb so so so sI sI}", "admitted", offer.refusal == REFUSAL_NONE, "reason",
                  document_text(offer.reason), "free", document_limits(&free), "contribution",
                  document_limits(&contribution), "replicas", (json_int_t)offer.replica_count,
                  "uptime_ms", (json_int_t)offer.uptime_ms));
    exchange_reply(exchange, 200, json_incref(document));
}

static void free_document(void *document)
{
    json_decref(document);
}

static void on_version(struct exchange *exchange, uint64_t context,
                       const struct core_answer *answer)
{
    struct core_request request = {.kind = CORE_ASK_OFFER};
    struct manifest manifest;
    struct public_key owner_key;
    uint8_t encoded[minga_Find_size];
    minga_Version version;
    minga_Record record;
    minga_Find find;
    int length;

    (void)context;
    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "version", answer);
        return;
    }
    if (exchange_parameter_id(exchange, 0, &request.service.id) < 0 ||
        exchange_parameter_id(exchange, 2, &request.node.id) < 0) {
        return;
    }
    if (owner_record_open(answer->record, &request.service, &record) < 0 ||
        version_open(&record, &version, &manifest) < 0) {
        exchange_fail(exchange, 422, "version", "its record is not valid", "");
        return;
    }
    memcpy(owner_key.bytes, record.owner_key, PUBLIC_KEY_BYTES);
    find = find_of(&request.service, &owner_key, &manifest);
    length = signed_encode_body(minga_Find_fields, &find, encoded, sizeof(encoded));
    CHECK(length >= 0);
    request.signed_bytes = (struct bytes){encoded, (size_t)length};
    exchange->work = asked(&request.node, &manifest);
    exchange->work_free = free_document;
    exchange_request(exchange, &request, on_offer, 0);
}

void handle_offer(struct exchange *exchange)
{
    struct core_request request = {.kind = CORE_GET_RECORD,
                                   .record_kind = minga_RecordKind_RECORD_VERSION};
    struct node_id node;

    if (units_parse_number(exchange->parameters[1], &request.number) < 0 || request.number == 0) {
        exchange_fail(exchange, 400, "version", "not a whole number above 0", "");
        return;
    }
    if (exchange_parameter_id(exchange, 0, &request.service.id) == 0 &&
        exchange_parameter_id(exchange, 2, &node.id) == 0) {
        exchange_request(exchange, &request, on_version, 0);
    }
}
