// SPDX-License-Identifier: GPL-3.0-or-later
/* Records and chunks: what `minga push` hands over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/limits.h"
#include "agent/api/route.h"
#include "base/check.h"
#include "base/units.h"
#include "base/wire.h"

/* ------------------------------------------------------------------ records */

static void on_record(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    (void)context;
    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "record", answer);
        return;
    }
    exchange_reply(exchange, 200, json_pack("{so}", "record", document_base64(answer->record)));
}

static void get_record(struct exchange *exchange, minga_RecordKind kind, uint64_t number)
{
    struct core_request request = {.kind = CORE_GET_RECORD, .record_kind = kind, .number = number};

    if (exchange_parameter_id(exchange, 0, &request.service.id) == 0) {
        exchange_request(exchange, &request, on_record, 0);
    }
}

void handle_record_service(struct exchange *exchange)
{
    get_record(exchange, minga_RecordKind_RECORD_SERVICE, 0);
}

void handle_record_version(struct exchange *exchange)
{
    uint64_t number = 0;

    if (units_parse_number(exchange->parameters[1], &number) < 0 || number == 0) {
        exchange_fail(exchange, 400, "version", "not a whole number above 0", "");
        return;
    }
    get_record(exchange, minga_RecordKind_RECORD_VERSION, number);
}

/* ------------------------------------------------------------------ chunks */

/* A batch of chunks on its way through store and overlay, API_WINDOW_MAX at a time. */
struct batch {
    bool stores; /* false: a check, nothing is stored */
    uint32_t count;
    uint32_t next;
    uint32_t in_flight;
    bool pumping;              /* answers that come at once must not recurse */
    struct service_id service; /* whose chunks they are, and of which tree; all zero: not said */
    struct tree_id tree;
    uint64_t new_bytes;
    uint32_t copies_least; /* of those that have been spread; 0: none yet */
    json_t *missing;       /* check: indexes */
    struct bytes chunks[]; /* borrowed from the exchange's body: bytes, or ids */
};

static void batch_free(void *work)
{
    struct batch *batch = work;

    json_decref(batch->missing);
    free(batch);
}

/* "?service=HASH&tree=HASH", or neither. */
static int read_reference(struct exchange *exchange, struct service_id *service_out,
                          struct tree_id *tree_out)
{
    const char *service = exchange_query(exchange, "service");
    const char *tree = exchange_query(exchange, "tree");

    if (service == NULL && tree == NULL) {
        return 0;
    }
    if (service == NULL || tree == NULL || id_from_hex(service, &service_out->id) < 0 ||
        id_from_hex(tree, &tree_out->id) < 0) {
        exchange_fail(exchange, 400, "chunks",
                      "service and tree are two hashes, or neither is there", "");
        return -EINVAL;
    }
    return 0;
}

static struct batch *batch_new(struct exchange *exchange, uint32_t count_max)
{
    struct service_id service = {{{0}}};
    struct tree_id tree = {{{0}}};

    if (read_reference(exchange, &service, &tree) < 0) {
        return NULL;
    }
    struct batch *batch = calloc(1, sizeof(*batch) + count_max * sizeof(batch->chunks[0]));

    if (batch == NULL || (batch->missing = json_array()) == NULL) {
        free(batch);
        exchange_fail(exchange, 500, "chunks", "no memory", "");
        return NULL;
    }
    batch->service = service;
    batch->tree = tree;
    exchange->work = batch;
    exchange->work_free = batch_free;
    return batch;
}

static void batch_pump(struct exchange *exchange);

static void batch_step_done(struct exchange *exchange)
{
    struct batch *batch = exchange->work;

    CHECK(batch->in_flight > 0);
    batch->in_flight--;
    batch_pump(exchange);
}

/* Enough others have a copy, or it failed. */
static void on_spread(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    struct batch *batch = exchange->work;

    if (answer->outcome == OVERLAY_FAILED && !batch->stores) {
        /* This disk has lost it, as it turns out. */
        json_array_append_new(batch->missing, json_integer((json_int_t)context));
    } else if (answer->outcome == OVERLAY_FAILED) {
        exchange_fail(exchange, 507, "push", answer->reason,
                      "mend that disk, or give nothing of it (contribute.storage: 0)");
    } else if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "push", answer);
    } else {
        batch->new_bytes +=
            batch->stores && answer->is_new ? batch->chunks[context].length_bytes : 0;
        if (batch->copies_least == 0 || answer->copies < batch->copies_least) {
            batch->copies_least = answer->copies;
        }
    }
    batch_step_done(exchange);
}

static struct core_request put_of(const struct batch *batch)
{
    return (struct core_request){
        .kind = CORE_PUT_CHUNK, .service = batch->service, .tree = batch->tree};
}

static int push_one(struct exchange *exchange, const struct batch *batch, uint32_t index)
{
    struct core_request request = put_of(batch);

    return exchange_push(exchange, &(struct push){&request, batch->chunks[index]}, on_spread,
                         index);
}

static int check_one(struct exchange *exchange, struct batch *batch, uint32_t index)
{
    struct core_request request = put_of(batch);

    memcpy(request.chunk.id.bytes, batch->chunks[index].data, ID_BYTES);
    if (!overlay_has_chunk(core_overlay(exchange_core(exchange)), &request.chunk)) {
        json_array_append_new(batch->missing, json_integer(index));
        batch->in_flight--;
        return 0;
    }
    /* Here, but are there copies? */
    return exchange_request(exchange, &request, on_spread, index);
}

static void batch_start_next(struct exchange *exchange)
{
    struct batch *batch = exchange->work;
    uint32_t index = batch->next++;
    int r;

    batch->in_flight++;
    r = batch->stores ? push_one(exchange, batch, index) : check_one(exchange, batch, index);
    if (r < 0) {
        batch->in_flight--; /* replied: too busy */
    }
}

static void batch_pump(struct exchange *exchange)
{
    struct batch *batch = exchange->work;

    if (batch->pumping) {
        return;
    }
    batch->pumping = true;
    while (exchange->status == 0 && batch->next < batch->count &&
           batch->in_flight < API_WINDOW_MAX) {
        batch_start_next(exchange);
    }
    batch->pumping = false;
    if (exchange->status != 0 || batch->in_flight > 0) {
        return;
    }
    exchange_reply(exchange, 200,
                   batch->stores ? json_pack("{sI sI so}", "chunks", (json_int_t)batch->count,
                                             "new_bytes", (json_int_t)batch->new_bytes, "copies",
                                             document_copies(batch->copies_least))
                                 : json_pack("{sO so}", "missing", batch->missing, "copies",
                                             document_copies(batch->copies_least)));
}

/* Body: chunk ids, 32 bytes each. Reply: the indexes of those that have to be sent. */
void handle_chunks_check(struct exchange *exchange)
{
    struct bytes body = buffer_bytes(&exchange->body);
    uint32_t count = (uint32_t)(body.length_bytes / ID_BYTES);
    struct batch *batch;

    if (body.length_bytes % ID_BYTES != 0 || count > API_CHECK_CHUNKS_MAX) {
        exchange_fail(exchange, 400, "chunks", "not a list of ids, or too many", "");
        return;
    }
    batch = batch_new(exchange, count);
    if (batch == NULL) {
        return;
    }
    batch->count = count;
    for (uint32_t i = 0; i < count; i++) {
        batch->chunks[i] = (struct bytes){body.data + (size_t)i * ID_BYTES, ID_BYTES};
    }
    batch_pump(exchange);
}

/* Body: chunks, each with its length as 32-bit big-endian number in front. */
void handle_chunks_put(struct exchange *exchange)
{
    struct wire_reader wire = wire_reader(buffer_bytes(&exchange->body));
    struct batch *batch = batch_new(exchange, API_BATCH_CHUNKS_MAX);

    if (batch == NULL) {
        return;
    }
    batch->stores = true;
    while (!wire.failed && wire.left_bytes > 0 && batch->count < API_BATCH_CHUNKS_MAX) {
        struct bytes chunk = wire_blob(&wire, CHUNK_BYTES_MAX);

        wire.failed = wire.failed || chunk.length_bytes == 0;
        batch->chunks[batch->count++] = chunk;
    }
    if (!wire_done(&wire)) {
        exchange_fail(exchange, 400, "chunks", "cut off, an empty one, or too many", "");
        return;
    }
    batch_pump(exchange);
}
