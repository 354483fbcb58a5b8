// SPDX-License-Identifier: GPL-3.0-or-later
/* A pass for a port that is for members only: asked of the replica's node, see agent/core/pass.h. */
#include <errno.h>
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/limits.h"
#include "agent/api/route.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "overlay/signed.h"

static void on_pass(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    struct node_id self = overlay_self(core_overlay(exchange_core(exchange)));

    (void)context;
    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "pass", answer);
        return;
    }
    exchange_reply(exchange, 200,
                   json_pack("{so so sI}", "member", document_id(&self.id), "secret",
                             document_base64(answer->data), "until",
                             (json_int_t)answer->pass_until));
}

static int read_id(struct exchange *exchange, const json_t *body, const char *name,
                   struct id *id_out)
{
    const char *text = json_string_value(json_object_get(body, name));

    if (text == NULL || id_from_hex(text, id_out) < 0) {
        exchange_fail(exchange, 400, name, "is no id", "");
        return -EINVAL;
    }
    return 0;
}

void handle_pass(struct exchange *exchange)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    struct core_request request = {.kind = CORE_ASK_PASS};
    minga_PassAsk ask = minga_PassAsk_init_zero;
    uint8_t encoded[minga_PassAsk_size];
    struct service_id service;
    const char *port;
    json_int_t slot;
    int length;

    if (body == NULL || read_id(exchange, body, "node", &request.node.id) < 0 ||
        read_id(exchange, body, "service", &service.id) < 0) {
        return;
    }
    port = json_string_value(json_object_get(body, "port_name"));
    slot = json_integer_value(json_object_get(body, "slot"));
    if (port == NULL || text_copy(ask.port_name, sizeof(ask.port_name), port) < 0 || slot < 1 ||
        slot > REPLICAS_PER_SERVICE_MAX) {
        exchange_fail(exchange, 400, "pass", "no port_name, or no slot", "");
        return;
    }
    memcpy(ask.service, service.id.bytes, ID_BYTES);
    ask.slot = (uint32_t)slot;
    length = signed_encode_body(minga_PassAsk_fields, &ask, encoded, sizeof(encoded));
    CHECK(length >= 0);
    request.signed_bytes = (struct bytes){encoded, (size_t)length};
    exchange_request(exchange, &request, on_pass, 0);
}
