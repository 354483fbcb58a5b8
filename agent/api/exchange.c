// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/internal.h"
#include "agent/api/route.h"
#include "base/check.h"
#include "base/units.h"

struct exchange *exchange_new(struct api *api, struct MHD_Connection *connection,
                              const struct api_peer *peer)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange != NULL) {
        exchange->api = api;
        exchange->connection = connection;
        exchange->peer = peer;
    }
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL) {
        return;
    }
    CHECK(exchange->pending_count == 0);
    CHECK(exchange->api->bodies_bytes >= exchange->reserved_bytes);
    exchange->api->bodies_bytes -= exchange->reserved_bytes;
    CHECK(exchange->api->entry_count >= exchange->entry_count);
    exchange->api->entry_count -= exchange->entry_count;
    if (exchange->work != NULL) {
        exchange->work_free(exchange->work);
    }
    json_decref(exchange->document);
    buffer_done(&exchange->bytes);
    buffer_done(&exchange->body);
    free(exchange);
}

const struct api_host *exchange_host(const struct exchange *exchange)
{
    return &exchange->api->host;
}

const struct core *exchange_core(const struct exchange *exchange)
{
    return exchange->api->host.core(exchange->api->host.self);
}

const char *exchange_right(const struct exchange *exchange)
{
    static const char *const names[] = {
        [API_LOOK] = "look", [API_ACT] = "act", [API_GOVERN] = "govern"};
    enum api_right right = API_GOVERN;

    while (right != API_LOOK &&
           !peer_may(exchange->peer, right, exchange->api->group, exchange->api->own_uid)) {
        right--;
    }
    return names[right];
}

/* ------------------------------------------------------------------ waiting for the host */

/* Wakes the connection once there is a reply and nothing can come any more. */
static void settle(struct exchange *exchange)
{
    if (exchange->status == 0 || exchange->pending_count > 0 ||
        exchange->state != EXCHANGE_WORKING) {
        return;
    }
    exchange->state = EXCHANGE_READY;
    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(exchange->connection);
        api_wake(exchange->api);
    }
}

void exchange_start(struct exchange *exchange)
{
    CHECK(exchange->state == EXCHANGE_READING);
    exchange->state = EXCHANGE_WORKING;
    exchange->pending_count++; /* an answer that comes at once must not settle it in between */
    exchange->route->handler(exchange);
    exchange->pending_count--;
    CHECK(exchange->status != 0 || exchange->pending_count > 0);
    settle(exchange);
}

bool exchange_is_awaited(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd poll_fd = {.fd = info == NULL ? -1 : info->connect_fd};

    /* Not POLLRDHUP: one that has no more to say may still listen. */
    return poll(&poll_fd, 1, 0) <= 0 || (poll_fd.revents & (POLLHUP | POLLERR)) == 0;
}

bool exchange_add_entry(struct exchange *exchange)
{
    if (exchange->entry_count >= API_LISTING_ENTRIES_MAX ||
        exchange->api->entry_count >= API_ENTRIES_MAX) {
        return false;
    }
    exchange->entry_count++;
    exchange->api->entry_count++;
    return true;
}

static struct pending *pending_new(struct exchange *exchange)
{
    struct api *api = exchange->api;

    for (uint32_t i = 0; i < API_PENDING_MAX; i++) {
        struct pending *pending = &api->pending[i];

        if (pending->token == 0) {
            /* The slot is part of the token; the counter tells a late answer from a new one. */
            *pending = (struct pending){.exchange = exchange,
                                        .asked_ms = api->host.now_ms(api->host.self)};
            pending->token = API_TOKEN_BIT | (api->token_next << 16) | i;
            api->token_next++;
            exchange->pending_count++;
            return pending;
        }
    }
    exchange_fail(exchange, 503, "agent busy", "too many requests at once", "try again");
    return NULL;
}

static bool pending_take(struct api *api, uint64_t token, struct pending *pending_out)
{
    uint32_t slot = (uint32_t)(token & 0xffff);

    if (token == 0 || slot >= API_PENDING_MAX || api->pending[slot].token != token) {
        return false;
    }
    *pending_out = api->pending[slot];
    api->pending[slot].token = 0;
    return true;
}

int exchange_request(struct exchange *exchange, struct core_request *request,
                     exchange_on_answer *on_answer, uint64_t context)
{
    struct pending *pending = pending_new(exchange);

    if (pending == NULL) {
        return -EBUSY;
    }
    pending->on_answer = on_answer;
    pending->context = context;
    request->token = pending->token;
    exchange->api->host.request(exchange->api->host.self, request);
    return 0;
}

int exchange_push(struct exchange *exchange, const struct push *push, exchange_on_answer *on_answer,
                  uint64_t context)
{
    struct pending *pending = pending_new(exchange);

    if (pending == NULL) {
        return -EBUSY;
    }
    pending->on_answer = on_answer;
    pending->context = context;
    push->request->token = pending->token;
    exchange->api->host.push_chunk(exchange->api->host.self, push->request, push->chunk);
    return 0;
}

void api_answer(struct api *api, const struct core_answer *answer)
{
    struct pending pending;

    if (!pending_take(api, answer->token, &pending)) {
        return;
    }
    CHECK(pending.on_answer != NULL);
    pending.on_answer(pending.exchange, pending.context, answer);
    pending.exchange->pending_count--;
    settle(pending.exchange);
}

/* ------------------------------------------------------------------ replies */

void exchange_reply(struct exchange *exchange, unsigned status, json_t *document)
{
    if (exchange->status != 0) {
        json_decref(document);
        return;
    }
    exchange->status = document == NULL ? 500 : status; /* NULL: no memory */
    exchange->document = document;
}

void exchange_fail(struct exchange *exchange, unsigned status, const char *what, const char *why,
                   const char *advice)
{
    exchange_reply(exchange, status,
                   json_pack("{s{ss ss ss}}", "error", "what", what, "why", why, "do", advice));
}

void exchange_fail_answer(struct exchange *exchange, const char *what,
                          const struct core_answer *answer)
{
    static const struct {
        unsigned status;
        const char *why;
        const char *advice;
    } outcomes[] = {
        [OVERLAY_OK] = {500, "nothing came back", ""},
        [OVERLAY_REFUSED] = {422, "refused", ""},
        [OVERLAY_TIMED_OUT] = {504, "no answer in time", "try again; minga nodes says who is up"},
        [OVERLAY_NOT_FOUND] = {404, "no such thing", ""},
        [OVERLAY_CONFLICT] = {409, "changed by someone else meanwhile", "try again"},
        [OVERLAY_FULL] = {507, "no room left", "free some, or give more storage"},
        [OVERLAY_FAILED] = {500, "this node could not store it", "see the agent's log"},
    };

    CHECK(answer->outcome < ARRAY_COUNT(outcomes));
    exchange_fail(exchange, outcomes[answer->outcome].status, what,
                  answer->reason[0] != '\0' ? answer->reason : outcomes[answer->outcome].why,
                  outcomes[answer->outcome].advice);
}

void exchange_on_done(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    (void)context;
    if (answer->outcome == OVERLAY_OK) {
        exchange_reply(exchange, 200, json_object());
    } else {
        exchange_fail_answer(exchange, exchange->route->what, answer);
    }
}

static struct MHD_Response *response_of_bytes(struct exchange *exchange)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        exchange->bytes.length_bytes, exchange->bytes.data, MHD_RESPMEM_MUST_COPY);
    char number[24];

    if (response != NULL) {
        snprintf(number, sizeof(number), "%" PRIu64, exchange->bytes_offset);
        MHD_add_response_header(response, "Minga-Offset", number);
        MHD_add_response_header(response, "Minga-Ended", exchange->bytes_ended ? "1" : "0");
        MHD_add_response_header(response, "Content-Type",
                                exchange->bytes_type != NULL ? exchange->bytes_type
                                                             : "application/octet-stream");
    }
    return response;
}

static struct MHD_Response *response_of_document(struct exchange *exchange)
{
    char *text = exchange->document == NULL
                     ? NULL
                     : json_dumps(exchange->document, JSON_COMPACT | JSON_REAL_PRECISION(6));
    struct MHD_Response *response;

    if (text == NULL) {
        return NULL;
    }
    response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return NULL;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    return response;
}

int exchange_send(struct exchange *exchange)
{
    struct MHD_Response *response =
        exchange->document != NULL ? response_of_document(exchange) : response_of_bytes(exchange);
    enum MHD_Result result;

    CHECK(exchange->status != 0);
    if (response == NULL) {
        return MHD_NO;
    }
    result = MHD_queue_response(exchange->connection, exchange->status, response);
    MHD_destroy_response(response);
    return (int)result;
}

/* ------------------------------------------------------------------ what was asked */

const char *exchange_query(const struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, name);
}

int exchange_query_number(struct exchange *exchange, const char *name, uint64_t fallback,
                          uint64_t *number_out)
{
    const char *text = exchange_query(exchange, name);

    if (text == NULL) {
        *number_out = fallback;
        return 0;
    }
    if (units_parse_number(text, number_out) < 0) {
        exchange_fail(exchange, 400, name, "not a whole number", "");
        return -EINVAL;
    }
    return 0;
}

/* jansson recurses: a body of many brackets would exhaust the stack of a small thread. */
static bool is_shallow(struct bytes text)
{
    uint32_t depth = 0;

    for (size_t i = 0; i < text.length_bytes; i++) {
        if (text.data[i] == '[' || text.data[i] == '{') {
            depth++;
        } else if ((text.data[i] == ']' || text.data[i] == '}') && depth > 0) {
            depth--;
        }
        if (depth > API_JSON_DEPTH_MAX) {
            return false;
        }
    }
    return true;
}

json_t *exchange_body(struct exchange *exchange)
{
    struct bytes text = buffer_bytes(&exchange->body);
    json_error_t error;
    json_t *body;

    if (text.length_bytes == 0) {
        return json_object();
    }
    if (!is_shallow(text)) {
        exchange_fail(exchange, 400, "request", "its body is nested too deeply", "");
        return NULL;
    }
    body = json_loadb((const char *)text.data, text.length_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(body)) {
        json_decref(body);
        exchange_fail(exchange, 400, "request", "its body is no JSON object", "");
        return NULL;
    }
    return body;
}

int exchange_parameter_id(struct exchange *exchange, uint32_t index, struct id *id_out)
{
    CHECK(index < ROUTE_PARAMETERS_MAX);
    if (id_from_hex(exchange->parameters[index], id_out) < 0) {
        exchange_fail(exchange, 400, "id", "not 64 hexadecimal digits", "");
        return -EINVAL;
    }
    return 0;
}

int exchange_binary(struct exchange *exchange, const json_t *body, const char *name,
                    struct buffer *bytes_out)
{
    const char *text = json_string_value(json_object_get(body, name));
    uint8_t bytes[API_SIGNED_BYTES_MAX];
    int length_bytes = text == NULL ? -EINVAL : bytes_from_base64(text, bytes, sizeof(bytes));

    if (length_bytes <= 0) {
        exchange_fail(exchange, 400, name, "missing, too long, or no base64", "");
        return -EINVAL;
    }
    bytes_out->bytes_max = sizeof(bytes);
    if (buffer_append(bytes_out, bytes, (size_t)length_bytes) < 0) {
        exchange_fail(exchange, 500, name, "no memory", "");
        return -ENOMEM;
    }
    return length_bytes;
}
