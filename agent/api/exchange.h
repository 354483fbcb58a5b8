// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One HTTP request and its reply, while the core works on it. Inside the API only.
 *
 * A handler either replies at once, or asks the host (exchange_request, exchange_push) and
 * replies when answers come. The reply leaves when it is set and nothing is outstanding, so an
 * answer never meets an exchange that is gone.
 */
#include <jansson.h>

#include "agent/api/api.h"
#include "agent/api/peer.h"

struct exchange;
struct route;
struct MHD_Connection;

enum { ROUTE_PARAMETERS_MAX = 3, ROUTE_PARAMETER_CHARS_MAX = 80, EXCHANGE_QUERY_CHARS_MAX = 80 };

enum exchange_state { EXCHANGE_READING, EXCHANGE_WORKING, EXCHANGE_READY };

/* `context` is what the handler gave with its request. */
typedef void exchange_on_answer(struct exchange *exchange, uint64_t context,
                                const struct core_answer *answer);

struct exchange {
    struct api *api;
    struct MHD_Connection *connection;
    const struct route *route;
    const struct api_peer *peer;
    char parameters[ROUTE_PARAMETERS_MAX][ROUTE_PARAMETER_CHARS_MAX + 1];
    struct buffer body;
    size_t reserved_bytes; /* of the API's budget for bodies */
    uint32_t entry_count;  /* of its budget for lists */
    enum exchange_state state;
    bool suspended;
    uint32_t pending_count;
    unsigned status;        /* of the reply; 0: none yet */
    json_t *document;       /* the reply, or NULL when it is bytes */
    struct buffer bytes;    /* the reply's bytes (logs) */
    const char *bytes_type; /* of its content; NULL: bytes */
    uint64_t bytes_offset;
    bool bytes_ended;
    void *work; /* the handler's own */
    void (*work_free)(void *work);
};

/* The host, the core's views and the present time, for handlers. */
const struct api_host *exchange_host(const struct exchange *exchange);
const struct core *exchange_core(const struct exchange *exchange);

/* What its client may do here at most: "look", "act" or "govern". */
const char *exchange_right(const struct exchange *exchange);

/* False once the client has hung up (which a suspended connection does not notice by itself): what
 * takes long need not go on. */
bool exchange_is_awaited(const struct exchange *exchange);

/* Room for one more entry of a list, until the exchange ends. False: there is none. */
bool exchange_add_entry(struct exchange *exchange);

/* Submits a request; its token is filled in here. When too many are outstanding, fails the
 * exchange and returns -EBUSY. */
int exchange_request(struct exchange *exchange, struct core_request *request,
                     exchange_on_answer *on_answer, uint64_t context);
/* The same with the bytes of a chunk that is new here. */
struct push { /* a PUT_CHUNK */
    struct core_request *request;
    struct bytes chunk;
};
int exchange_push(struct exchange *exchange, const struct push *push, exchange_on_answer *on_answer,
                  uint64_t context);

/* The first reply stands, later ones are dropped. `document` is taken. */
void exchange_reply(struct exchange *exchange, unsigned status, json_t *document);
/* {"error": {"what", "why", "do"}} */
void exchange_fail(struct exchange *exchange, unsigned status, const char *what, const char *why,
                   const char *advice);
/* The same for an answer that is not OVERLAY_OK. */
void exchange_fail_answer(struct exchange *exchange, const char *what,
                          const struct core_answer *answer);
/* The usual on_answer of requests that return nothing: {} or the error. */
void exchange_on_done(struct exchange *exchange, uint64_t context,
                      const struct core_answer *answer);

/* A number of the query ("?slot=2"); `fallback` when absent. Returns 0, or -EINVAL, replied. */
int exchange_query_number(struct exchange *exchange, const char *name, uint64_t fallback,
                          uint64_t *number_out);
/* A text of the query, or NULL. */
const char *exchange_query(const struct exchange *exchange, const char *name);
/* Parses the body as a JSON object. Returns a new reference, or NULL, replied. */
json_t *exchange_body(struct exchange *exchange);
/* Parses a parameter as a full id. Returns 0, or -EINVAL, replied. */
int exchange_parameter_id(struct exchange *exchange, uint32_t index, struct id *id_out);
/* Decodes the base64 text `name` of a body into `bytes_out`. Returns its length, or -EINVAL,
 * replied. */
int exchange_binary(struct exchange *exchange, const json_t *body, const char *name,
                    struct buffer *bytes_out);
