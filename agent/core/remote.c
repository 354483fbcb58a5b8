// SPDX-License-Identifier: GPL-3.0-or-later
/* Requests of the API that a node is asked for: a replica's output, commands inside it, whether the
 * node would run one. */
#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

/* The service's manager has said where the replica is: ask there for its output. */
void logs_located(struct core *core, struct request *request, const minga_StatusPage *page)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    const minga_SlotStatus *slot = page->slots_count > 0 ? &page->slots[0] : NULL;
    struct node_id node;

    if (slot == NULL || slot->slot != request->slot || slot->node.size != ID_BYTES) {
        request_answer(core, request, OVERLAY_NOT_FOUND, "this replica is on no node now");
        return;
    }
    memcpy(node.id.bytes, slot->node.bytes, ID_BYTES);
    message.which_body = minga_AgentMessage_logs_query_tag;
    memcpy(message.body.logs_query.service, request->service.id.bytes, ID_BYTES);
    message.body.logs_query.slot = request->slot;
    message.body.logs_query.offset_bytes = request->offset_bytes;
    request->stage = STAGE_READ;
    request->heard = false;
    request_query(core, request, &node, &message);
    request->attempt_until_ms = request->until_ms;
}

void logs_done(struct core *core, struct request *request, const minga_LogsPage *page)
{
    struct core_answer *answer;

    if (!page->found) {
        request_answer(core, request, OVERLAY_NOT_FOUND, "its node keeps no output of it");
        return;
    }
    answer = request_answer_begin(core, request);
    answer->data = core_copy(core, (struct bytes){page->data.bytes, page->data.size});
    answer->data_offset_bytes = page->offset_bytes;
    answer->data_ended = page->ended;
}

/* Asks a node what the request has encoded for it: the body of an agent's message. */
static void begin_ask(struct core *core, struct request *request, const struct core_request *from,
                      const pb_msgdesc_t *fields, minga_AgentMessage *message)
{
    if (signed_decode_body(fields, from->signed_bytes, &message->body) < 0) {
        request_answer(core, request, OVERLAY_REFUSED, "the request is not readable");
        return;
    }
    request->stage = STAGE_READ;
    request_query(core, request, &from->node, message);
    request->attempt_until_ms = request->until_ms;
}

void begin_exec(struct core *core, struct request *request, const struct core_request *from)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_exec_ask_tag};

    begin_ask(core, request, from, minga_ExecAsk_fields, &message);
}

void exec_done(struct core *core, struct request *request, const minga_ExecAnswer *from)
{
    struct core_answer *answer;

    if (from->refusal[0] != '\0') {
        request_answer(core, request, OVERLAY_REFUSED, from->refusal);
        return;
    }
    answer = request_answer_begin(core, request);
    answer->data = core_copy(core, (struct bytes){from->data.bytes, from->data.size});
    answer->data_offset_bytes = from->offset_bytes;
    answer->data_ended = from->ended;
}

void begin_pass(struct core *core, struct request *request, const struct core_request *from)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_pass_ask_tag};

    begin_ask(core, request, from, minga_PassAsk_fields, &message);
}

void pass_done(struct core *core, struct request *request, const minga_PassAnswer *from)
{
    struct core_answer *answer;

    if (from->refusal[0] != '\0' || from->secret.size != RELAY_SECRET_BYTES) {
        request_answer(core, request, OVERLAY_REFUSED,
                       from->refusal[0] != '\0' ? from->refusal : "its node gives none");
        return;
    }
    answer = request_answer_begin(core, request);
    answer->data = core_copy(core, (struct bytes){from->secret.bytes, from->secret.size});
    answer->pass_until = from->until;
}

void begin_offer(struct core *core, struct request *request, const struct core_request *from)
{
    minga_AgentMessage message = {.which_body = minga_AgentMessage_find_tag};

    begin_ask(core, request, from, minga_Find_fields, &message);
}

void offer_done(struct core *core, struct request *request, const minga_Offer *from)
{
    uint8_t encoded[minga_Offer_size];
    int length = signed_encode_body(minga_Offer_fields, from, encoded, sizeof(encoded));

    CHECK(length >= 0);
    request_answer_begin(core, request)->data =
        core_copy(core, (struct bytes){encoded, (size_t)length});
}
