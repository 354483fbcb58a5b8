// SPDX-License-Identifier: GPL-3.0-or-later
/* Handlers that hand one request to the core and wait for its end. */
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/limits.h"
#include "agent/api/moment.h"
#include "agent/api/route.h"
#include "base/cleanup.h"
#include "overlay/signed.h"

static void cleanup_buffer(struct buffer *buffer)
{
    buffer_done(buffer);
}

/* ------------------------------------------------------------------ node */

static void simple(struct exchange *exchange, enum core_request_kind kind)
{
    struct core_request request = {.kind = kind};

    exchange_request(exchange, &request, exchange_on_done, 0);
}

/* A time of a year at most; absent: 0. False: the exchange has failed. */
static bool read_ms(struct exchange *exchange, const json_t *body, const char *key,
                    uint64_t *ms_out)
{
    static const json_int_t year_ms = (json_int_t)ORDER_DAYS_MAX * 24 * 3600 * 1000;
    json_int_t ms = json_integer_value(json_object_get(body, key));

    if (ms < 0 || ms > year_ms) {
        exchange_fail(exchange, 400, key, "is negative, or more than a year", "");
        return false;
    }
    *ms_out = (uint64_t)ms;
    return true;
}

void handle_pause(struct exchange *exchange)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    struct core_request request = {.kind = CORE_PAUSE};

    if (body == NULL || !read_ms(exchange, body, "duration_ms", &request.duration_ms) ||
        !read_ms(exchange, body, "within_ms", &request.within_ms)) {
        return;
    }
    request.at_once = json_is_true(json_object_get(body, "now"));
    exchange_request(exchange, &request, exchange_on_done, 0);
}

void handle_resume(struct exchange *exchange)
{
    simple(exchange, CORE_RESUME);
}

void handle_drain(struct exchange *exchange)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    struct core_request request = {.kind = CORE_DRAIN};

    if (body != NULL && read_ms(exchange, body, "within_ms", &request.within_ms)) {
        exchange_request(exchange, &request, exchange_on_done, 0);
    }
}

/* ------------------------------------------------------------------ membership */

/* Only for the founder: a request that names this node, while it has no community. */
static bool may_sign(struct exchange *exchange, struct bytes bytes)
{
    const struct api_host *host = exchange_host(exchange);
    minga_AdmissionRequest request = minga_AdmissionRequest_init_zero;

    if (overlay_belongs(core_overlay(exchange_core(exchange)))) {
        exchange_fail(exchange, 409, "community", "this node belongs to one already",
                      "sudo minga leave");
        return false;
    }
    if (signed_decode_body(minga_AdmissionRequest_fields, bytes, &request) < 0 ||
        memcmp(request.node_key, host->node_key(host->self)->bytes, PUBLIC_KEY_BYTES) != 0) {
        exchange_fail(exchange, 400, "admission", "it does not name this node", "");
        return false;
    }
    return true;
}

void handle_sign(struct exchange *exchange)
{
    const struct api_host *host = exchange_host(exchange);
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    CLEANUP(cleanup_buffer) struct buffer request = {0};
    struct signature signature;

    if (body == NULL || exchange_binary(exchange, body, "request", &request) < 0 ||
        !may_sign(exchange, buffer_bytes(&request))) {
        return;
    }
    signature = host->sign_admission(host->self, buffer_bytes(&request));
    exchange_reply(exchange, 200,
                   json_pack("{so}", "signature",
                             document_base64((struct bytes){signature.bytes, SIGNATURE_BYTES})));
}

void handle_create(struct exchange *exchange)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    CLEANUP(cleanup_buffer) struct buffer community = {0};
    CLEANUP(cleanup_buffer) struct buffer admission = {0};
    struct core_request request = {.kind = CORE_CREATE_COMMUNITY};

    if (body == NULL || exchange_binary(exchange, body, "community", &community) < 0 ||
        exchange_binary(exchange, body, "admission", &admission) < 0) {
        return;
    }
    request.community = buffer_bytes(&community);
    request.admission = buffer_bytes(&admission);
    exchange_request(exchange, &request, exchange_on_done, 0);
}

static int read_fixed(struct exchange *exchange, const json_t *body, const char *name,
                      uint8_t *room, size_t room_bytes)
{
    CLEANUP(cleanup_buffer) struct buffer bytes = {0};
    int r = exchange_binary(exchange, body, name, &bytes);

    if (r >= 0 && bytes.length_bytes != room_bytes) {
        exchange_fail(exchange, 400, name, "has a wrong length", "");
        return -1;
    }
    if (r >= 0) {
        memcpy(room, bytes.data, room_bytes);
    }
    return r;
}

static int read_contact(struct exchange *exchange, const json_t *entry,
                        struct overlay_peer *peer_out)
{
    const json_t *addresses = json_object_get(entry, "addresses");

    if (read_fixed(exchange, entry, "key", peer_out->key.bytes, PUBLIC_KEY_BYTES) < 0) {
        return -1;
    }
    peer_out->node = keys_node_id(&peer_out->key);
    if (json_array_size(addresses) == 0 || json_array_size(addresses) > ADDRESSES_MAX) {
        exchange_fail(exchange, 400, "contacts", "no address, or too many", "");
        return -1;
    }
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const char *text = json_string_value(json_array_get(addresses, i));

        if (text == NULL ||
            text_copy(peer_out->addresses[i], sizeof(peer_out->addresses[i]), text) < 0) {
            exchange_fail(exchange, 400, "contacts", "an address is no text, or too long", "");
            return -1;
        }
        peer_out->address_count = i + 1;
    }
    return 0;
}

static int read_contacts(struct exchange *exchange, const json_t *body, struct overlay_join *join)
{
    const json_t *contacts = json_object_get(body, "contacts");

    if (json_array_size(contacts) == 0 || json_array_size(contacts) > TOKEN_MEMBERS_MAX) {
        exchange_fail(exchange, 400, "contacts", "none, or too many", "");
        return -1;
    }
    for (size_t i = 0; i < json_array_size(contacts); i++) {
        if (read_contact(exchange, json_array_get(contacts, i), &join->contacts[i]) < 0) {
            return -1;
        }
        join->contact_count = (uint32_t)i + 1;
    }
    return 0;
}

void handle_join(struct exchange *exchange)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    CLEANUP(cleanup_buffer) struct buffer community = {0};
    CLEANUP(cleanup_buffer) struct buffer admission = {0};
    struct overlay_join join = {0};
    struct core_request request = {.kind = CORE_JOIN, .join = &join};

    if (body == NULL || exchange_binary(exchange, body, "community", &community) < 0 ||
        exchange_binary(exchange, body, "request", &admission) < 0 ||
        read_fixed(exchange, body, "owner_signature", join.owner_signature.bytes, SIGNATURE_BYTES) <
            0 ||
        read_fixed(exchange, body, "invitation_signature", join.invitation_signature.bytes,
                   SIGNATURE_BYTES) < 0 ||
        read_contacts(exchange, body, &join) < 0 || !may_sign(exchange, buffer_bytes(&admission))) {
        return;
    }
    join.community = buffer_bytes(&community);
    join.request = buffer_bytes(&admission);
    exchange_request(exchange, &request, exchange_on_done, 0);
}

void handle_leave(struct exchange *exchange)
{
    simple(exchange, CORE_LEAVE);
}

static void submit_signed(struct exchange *exchange, enum core_request_kind kind, const char *name,
                          exchange_on_answer *answered)
{
    CLEANUP(document_release) json_t *body = exchange_body(exchange);
    CLEANUP(cleanup_buffer) struct buffer bytes = {0};
    struct core_request request = {.kind = kind};

    if (body == NULL || exchange_binary(exchange, body, name, &bytes) < 0) {
        return;
    }
    request.signed_bytes = buffer_bytes(&bytes);
    exchange_request(exchange, &request, answered, 0);
}

void handle_expel(struct exchange *exchange)
{
    submit_signed(exchange, CORE_EXPEL, "expulsion", exchange_on_done);
}

void handle_revoke(struct exchange *exchange)
{
    submit_signed(exchange, CORE_REVOKE, "revocation", exchange_on_done);
}

static void on_record_put(struct exchange *exchange, uint64_t context,
                          const struct core_answer *answer)
{
    (void)context;
    if (answer->outcome == OVERLAY_OK) {
        exchange_reply(exchange, 200, json_pack("{so}", "copies", document_copies(answer->copies)));
    } else {
        exchange_fail_answer(exchange, "record", answer);
    }
}

void handle_record_put(struct exchange *exchange)
{
    submit_signed(exchange, CORE_PUT_RECORD, "record", on_record_put);
}

/* ------------------------------------------------------------------ lookup */

static void on_lookup(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    struct ring_key key;

    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "lookup", answer);
    } else if (exchange_parameter_id(exchange, 0, &key.id) == 0) {
        exchange_reply(exchange, 200,
                       document_lookup(exchange_core(exchange), &key, &answer->lookup,
                                       exchange_stopwatch_us() - context));
    }
}

void handle_lookup(struct exchange *exchange)
{
    struct core_request request = {.kind = CORE_LOOKUP};

    if (exchange_parameter_id(exchange, 0, &request.key.id) == 0) {
        exchange_request(exchange, &request, on_lookup, exchange_stopwatch_us());
    }
}
