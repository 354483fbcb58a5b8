// SPDX-License-Identifier: GPL-3.0-or-later
/* Requests of the API. Each ends in exactly one CORE_ANSWER, at the latest at its until_ms. */
#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

enum { JOIN_MS = 30000, LAST_MS = 500 };

static struct ask ask_of(const struct core *core, const struct request *request, enum ask_kind kind)
{
    struct ask ask = {.kind = kind, .service = request->service, .slot = request->slot};

    ask.number = (uint64_t)(request - core->requests) << 32 | request->attempt;
    return ask;
}

/* NULL when it has been answered, or asked someone else since. */
static struct request *request_of(struct core *core, const struct ask *ask)
{
    uint64_t index = ask->number >> 32;
    struct request *request;

    CHECK(index < CORE_REQUESTS_MAX);
    request = &core->requests[index];
    return request->used && request->attempt == (uint32_t)ask->number ? request : NULL;
}

static uint64_t request_pend(struct core *core, struct request *request)
{
    struct ask ask = ask_of(core, request, ASK_REQUEST);
    uint64_t token = core_pend(core, &ask);

    if (token == 0) {
        request_answer(core, request, OVERLAY_FULL, "this agent has too many requests under way");
    }
    return token;
}

static void begin_create(struct core *core, struct request *request,
                         const struct core_request *from)
{
    int result =
        overlay_create(core->overlay, &core->now, from->community, from->admission, &core->io);

    core->looks_around = true;
    request_answer(core, request, result == 0 ? OVERLAY_OK : OVERLAY_REFUSED,
                   result == 0 ? "" : "the community's record or admission is not valid here");
}

/* ------------------------------------------------------------------ through the overlay */

static void begin_join(struct core *core, struct request *request, const struct core_request *from)
{
    uint64_t token = request_pend(core, request);

    request->until_ms = core->turn.now_ms + JOIN_MS;
    if (token != 0) {
        overlay_join(core->overlay, &core->now, token, from->join, &core->io);
    }
}

static void say_goodbye(struct core *core, struct request *request)
{
    uint64_t token;

    request->stage = STAGE_OVERLAY;
    token = request_pend(core, request);
    if (token != 0) {
        overlay_goodbye(core->overlay, &core->now, token, request->kind != CORE_BACK_SOON,
                        &core->io);
    }
}

static void begin_leave(struct core *core, struct request *request, const struct core_request *from)
{
    (void)from;
    executor_shut_down(core->executor, &core->turn, DRAIN_FAST_MS);
    request->stage = STAGE_DRAIN;
    request->until_ms = core->turn.now_ms + SHUTDOWN_MS - (uint64_t)(2 * LAST_MS);
}

static void begin_back_soon(struct core *core, struct request *request,
                            const struct core_request *from)
{
    (void)from;
    executor_back_soon(core->executor, &core->turn);
    executor_flush(core->executor, &core->turn); /* the word goes out before the goodbye */
    while (core->out_next < core->out.count) {
        core_send(core, &core->out.list[core->out_next++]);
    }
    say_goodbye(core, request);
}

static void put_record(struct core *core, struct request *request)
{
    uint64_t token;

    request->stage = STAGE_OVERLAY;
    request->attempt++;
    token = request_pend(core, request);
    if (token != 0) {
        overlay_record_put(core->overlay, &core->now, token,
                           (struct bytes){request->signed_bytes, request->signed_length_bytes},
                           &core->io);
    }
}

/* NULL when a service record may be kept; *version_out is the version that must exist, or 0. */
static const char *service_fault(const minga_Record *record, uint64_t *version_out)
{
    minga_Service service = minga_Service_init_zero;

    *version_out = 0;
    if (record->removed) {
        return NULL;
    }
    if (service_content_read(record, &service) < 0) {
        return "the service record is not readable";
    }
    if (service.replicas < 1 || service.replicas > REPLICAS_PER_SERVICE_MAX) {
        return "a service has 1 to 32 replicas";
    }
    if (service.active && service.version == 0) {
        return "no version of this service was pushed yet";
    }
    *version_out = service.version;
    return NULL;
}

static const char *record_fault(const struct core_request *from, minga_Record *record,
                                uint64_t *version_out)
{
    minga_Signed signed_thing;
    minga_Version version;
    struct manifest manifest;

    *version_out = 0;
    if (from->signed_bytes.length_bytes > SIGNED_BYTES_MAX ||
        signed_decode(from->signed_bytes, &signed_thing) < 0 ||
        record_read(from->signed_bytes, record) < 0) {
        return "the record is not readable";
    }
    if (memcmp(signed_thing.key, record->owner_key, PUBLIC_KEY_BYTES) != 0) {
        return "the record is not signed by its owner"; /* who decides checks the signature */
    }
    if (record->kind == minga_RecordKind_RECORD_SERVICE) {
        return service_fault(record, version_out);
    }
    if (record->kind != minga_RecordKind_RECORD_VERSION || record->number == 0) {
        return "unknown kind of record";
    }
    return record->removed || version_open(record, &version, &manifest) == 0
               ? NULL
               : "the manifest in the version record is not valid";
}

static void begin_put_record(struct core *core, struct request *request,
                             const struct core_request *from)
{
    minga_Record record;
    struct public_key owner;
    uint64_t version;
    uint64_t token;
    const char *fault = record_fault(from, &record, &version);

    if (fault != NULL) {
        request_answer(core, request, OVERLAY_REFUSED, fault);
        return;
    }
    memcpy(owner.bytes, record.owner_key, PUBLIC_KEY_BYTES);
    request->service = keys_service_id(&owner, record.name);
    request->signed_length_bytes = from->signed_bytes.length_bytes;
    memcpy(request->signed_bytes, from->signed_bytes.data, from->signed_bytes.length_bytes);
    if (version == 0 ||
        overlay_record(core->overlay, &request->service, minga_RecordKind_RECORD_VERSION, version)
                .length_bytes > 0) {
        put_record(core, request);
        return;
    }
    request->stage = STAGE_VERSION;
    token = request_pend(core, request);
    if (token != 0) {
        struct record_key key =
            record_key(&request->service, minga_RecordKind_RECORD_VERSION, version);

        overlay_record_get(core->overlay, &core->now, token, &key, &core->io);
    }
}

static void begin_get_record(struct core *core, struct request *request,
                             const struct core_request *from)
{
    uint64_t token = request_pend(core, request);

    if (token != 0) {
        struct record_key key = record_key(&from->service, from->record_kind, from->number);

        overlay_record_get(core->overlay, &core->now, token, &key, &core->io);
    }
}

static void begin_put_chunk(struct core *core, struct request *request,
                            const struct core_request *from)
{
    uint64_t token = request_pend(core, request);

    if (token != 0) {
        struct overlay_spread spread = {
            from->chunk, from->carried_bytes, {from->service, from->tree}};

        overlay_chunk_put(core->overlay, &core->now, token, &spread, &core->io);
    }
}

static void begin_lookup(struct core *core, struct request *request,
                         const struct core_request *from)
{
    uint64_t token = request_pend(core, request);

    if (token != 0) {
        overlay_lookup(core->overlay, &core->now, token, &from->key, &core->io);
    }
}

void core_request_done(struct core *core, const struct ask *ask, const struct overlay_effect *done)
{
    struct request *request = request_of(core, ask);
    struct core_answer *answer;

    if (request == NULL) {
        return;
    }
    if (request->stage == STAGE_VERSION) {
        if (done->outcome == OVERLAY_OK) {
            put_record(core, request);
        } else {
            request_answer(core, request, OVERLAY_REFUSED,
                           "the version of the service record is not known");
        }
        return;
    }
    if (request->kind == CORE_JOIN) {
        core->looks_around = true;
    }
    if (request->kind == CORE_PUT_RECORD && done->outcome == OVERLAY_OK) {
        overlay_record_stands(core->overlay, &core->now,
                              (struct bytes){request->signed_bytes, request->signed_length_bytes},
                              &core->io);
    }
    answer = request_answer_begin(core, request);
    answer->outcome = done->outcome;
    (void)text_copy(answer->reason, sizeof(answer->reason), done->reason);
    answer->record = done->record;
    answer->is_new = done->is_new;
    answer->copies = done->copies;
    answer->lookup = done->lookup;
}

/* ------------------------------------------------------------------ the directory */

void request_query(struct core *core, struct request *request, const struct node_id *to,
                   const minga_AgentMessage *message)
{
    enum ask_kind kind = ASK_STATUS;
    struct ask ask;

    if (request->kind == CORE_ASK_EXEC) {
        kind = ASK_EXEC;
    } else if (request->kind == CORE_ASK_PASS) {
        kind = ASK_PASS;
    } else if (request->kind == CORE_ASK_OFFER) {
        kind = ASK_OFFER;
    } else if (request->stage == STAGE_READ) {
        kind = ASK_LOGS;
    } else if (request->kind == CORE_SERVICES) {
        kind = ASK_SERVICES;
    }
    request->attempt++;
    request->attempt_until_ms = core->turn.now_ms + ATTEMPT_MS;
    ask = ask_of(core, request, kind);
    ask.to = *to;
    ask.via = request->manager;
    if (!outbox_message(&core->turn, &ask, message)) {
        request->attempt_until_ms = core->turn.now_ms + 1;
    }
}

/* Asks the next candidate; without one left the request has failed. */
static void ask_next(struct core *core, struct request *request)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;

    /* The question or its answer was lost, or the replica is elsewhere now. */
    if (request->stage == STAGE_READ && request->kind == CORE_LOGS && !request->is_again) {
        request->is_again = true;
        request->stage = STAGE_ASK;
        request->candidate_next = 0;
    }
    if (request->candidate_next >= request->candidate_count || request->stage == STAGE_READ) {
        request_answer(core, request, request->heard ? OVERLAY_NOT_FOUND : OVERLAY_TIMED_OUT,
                       request->heard ? "no such service is known"
                                      : "nobody who should know it answers");
        return;
    }
    if (request->kind == CORE_SERVICES) {
        message.which_body = minga_AgentMessage_services_query_tag;
        message.body.services_query.cursor = request->cursor;
    } else {
        message.which_body = minga_AgentMessage_status_query_tag;
        memcpy(message.body.status_query.service, request->service.id.bytes, ID_BYTES);
        message.body.status_query.slot = request->slot;
        message.body.status_query.history = request->history;
    }
    request_query(core, request, &request->candidates[request->candidate_next++], &message);
}

static void begin_directory(struct core *core, struct request *request,
                            const struct core_request *from)
{
    request->stage = STAGE_ASK;
    if (from->kind == CORE_SERVICES) {
        request->candidates[0] = from->node;
        request->candidate_count = 1;
    } else {
        core_find_candidates(core, request);
    }
    if (request->attempt_until_ms == 0) {
        ask_next(core, request);
    }
}

static void status_done(struct core *core, struct request *request, const minga_StatusPage *page)
{
    struct service_status *status = core_statuses(core, 1);

    if (status == NULL) {
        request_answer(core, request, OVERLAY_FULL, "too many answers at once");
        return;
    }
    status_from_page(core, page, status);
    request_answer_begin(core, request)->status = status;
}

static void services_done(struct core *core, struct request *request,
                          const minga_ServicesPage *page)
{
    struct service_status *statuses = core_statuses(core, page->services_count);
    struct core_answer *answer;

    if (statuses == NULL) {
        request_answer(core, request, OVERLAY_FULL, "too many answers at once");
        return;
    }
    for (pb_size_t i = 0; i < page->services_count; i++) {
        status_from_head(&page->services[i], &statuses[i]);
    }
    answer = request_answer_begin(core, request);
    answer->status = page->services_count > 0 ? statuses : NULL;
    answer->status_count = page->services_count;
    answer->next_cursor = page->next_cursor;
}

static void status_came(struct core *core, struct request *request, const minga_StatusPage *page)
{
    bool is_known = page->found && page->has_head;

    request->heard = request->heard || !is_known;
    if ((!is_known || page->hearsay) && core_find_others(core, request)) {
        if (request->attempt_until_ms == 0) {
            ask_next(core, request);
        }
    } else if (!is_known) {
        ask_next(core, request);
    } else if (request->kind == CORE_LOGS) {
        logs_located(core, request, page);
    } else {
        status_done(core, request, page);
    }
}

void core_request_message(struct core *core, const struct ask *ask,
                          const minga_AgentMessage *message)
{
    struct request *request = request_of(core, ask);
    pb_size_t which = message != NULL ? message->which_body : 0;

    if (request == NULL) {
        return;
    }
    if (ask->kind == ASK_STATUS && which == minga_AgentMessage_status_page_tag) {
        request->manager = ask->to;
        status_came(core, request, &message->body.status_page);
    } else if (ask->kind == ASK_SERVICES && which == minga_AgentMessage_services_page_tag) {
        services_done(core, request, &message->body.services_page);
    } else if (ask->kind == ASK_LOGS && which == minga_AgentMessage_logs_page_tag) {
        logs_done(core, request, &message->body.logs_page);
    } else if (ask->kind == ASK_EXEC && which == minga_AgentMessage_exec_answer_tag) {
        exec_done(core, request, &message->body.exec_answer);
    } else if (ask->kind == ASK_PASS && which == minga_AgentMessage_pass_answer_tag) {
        pass_done(core, request, &message->body.pass_answer);
    } else if (ask->kind == ASK_OFFER && which == minga_AgentMessage_offer_tag) {
        offer_done(core, request, &message->body.offer);
    } else {
        ask_next(core, request);
    }
}

static void begin_describe(struct core *core, struct request *request,
                           const struct core_request *from)
{
    minga_NodeRecord description = *from->description;

    description.runs = core->config.runs;
    description.stores = core->config.stores;
    description.manages = core->config.manages;
    overlay_describe(core->overlay, &core->now, &description, &core->io);
    core->looks_around = true; /* who manages what may be another question now */
    request_answer(core, request, OVERLAY_OK, "");
}

/* ------------------------------------------------------------------ the table of requests */

static void (*const begins[])(struct core *core, struct request *request,
                              const struct core_request *from) = {
    [CORE_CREATE_COMMUNITY] = begin_create,
    [CORE_JOIN] = begin_join,
    [CORE_LEAVE] = begin_leave,
    [CORE_EXPEL] = begin_ban,
    [CORE_REVOKE] = begin_ban,
    [CORE_PAUSE] = begin_owner,
    [CORE_RESUME] = begin_owner,
    [CORE_DRAIN] = begin_owner,
    [CORE_SHUT_DOWN] = begin_leave,
    [CORE_BACK_SOON] = begin_back_soon,
    [CORE_PUT_RECORD] = begin_put_record,
    [CORE_GET_RECORD] = begin_get_record,
    [CORE_PUT_CHUNK] = begin_put_chunk,
    [CORE_STATUS] = begin_directory,
    [CORE_SERVICES] = begin_directory,
    [CORE_LOGS] = begin_directory,
    [CORE_LOOKUP] = begin_lookup,
    [CORE_ASK_EXEC] = begin_exec,
    [CORE_ASK_PASS] = begin_pass,
    [CORE_DESCRIBE] = begin_describe,
    [CORE_STEP_ASIDE] = begin_step_aside,
    [CORE_COME_BACK] = begin_come_back,
    [CORE_ASK_OFFER] = begin_offer,
};

static struct request *request_place(struct core *core)
{
    for (uint32_t i = 0; i < CORE_REQUESTS_MAX; i++) {
        if (!core->requests[i].used) {
            return &core->requests[i];
        }
    }
    return NULL;
}

static bool needs_community(enum core_request_kind kind)
{
    return kind == CORE_PUT_RECORD || kind == CORE_GET_RECORD || kind == CORE_PUT_CHUNK ||
           kind == CORE_STATUS || kind == CORE_SERVICES || kind == CORE_LOGS ||
           kind == CORE_LOOKUP || kind == CORE_ASK_EXEC || kind == CORE_ASK_PASS ||
           kind == CORE_ASK_OFFER || kind == CORE_EXPEL || kind == CORE_REVOKE;
}

void core_request_begin(struct core *core, const struct core_request *from)
{
    struct request *request = request_place(core);
    struct core_answer *answer;

    CHECK(from->token != 0);
    if (request == NULL) {
        answer = &core_emit(core, CORE_ANSWER)->answer;
        answer->token = from->token;
        answer->outcome = OVERLAY_FULL;
        (void)text_copy(answer->reason, sizeof(answer->reason), "too many requests at once");
        return;
    }
    request->used = true;
    if (request >= &core->requests[core->request_top]) {
        core->request_top = (uint32_t)(request - core->requests) + 1;
    }
    request->token = from->token;
    request->kind = from->kind;
    request->stage = STAGE_OVERLAY;
    request->attempt++; /* goes on from the place's last tenant: its late answers are not ours */
    request->until_ms = core->turn.now_ms + OWNER_REQUEST_MS;
    request->attempt_until_ms = 0;
    request->service = from->service;
    request->slot = from->slot > 0 ? from->slot : 1;
    request->history = from->history;
    request->offset_bytes = from->offset_bytes;
    request->cursor = from->cursor;
    request->heard = false;
    request->is_located = false;
    request->located_until_ms = 0;
    request->is_again = false;
    memset(&request->manager, 0, sizeof(request->manager));
    request->attempt_until_ms = 0;
    request->candidate_count = 0;
    request->candidate_next = 0;
    if (needs_community(from->kind) && !overlay_belongs(core->overlay)) {
        request_answer(core, request, OVERLAY_REFUSED, "this node belongs to no community");
        return;
    }
    begins[from->kind](core, request, from);
}

static void request_tick(struct core *core, struct request *request)
{
    bool over = core->turn.now_ms >= request->until_ms;

    if (request->stage == STAGE_DRAIN) {
        if (over || executor_is_empty(core->executor)) {
            request->until_ms = core->turn.now_ms + LAST_MS;
            say_goodbye(core, request);
        }
        return;
    }
    if (request->stage == STAGE_ASIDE && !executor_is_aside(core->executor)) {
        request_answer(core, request, OVERLAY_OK, "");
    } else if (over && (request->kind == CORE_LEAVE || request->kind == CORE_SHUT_DOWN)) {
        request_answer(core, request, OVERLAY_OK, ""); /* told or not: we go */
    } else if (over) {
        request_answer(core, request, OVERLAY_TIMED_OUT, "no answer in time");
    } else if (request->attempt_until_ms != 0 && core->turn.now_ms >= request->attempt_until_ms) {
        if (request->stage == STAGE_ASK && request->candidate_count == 0) {
            core_find_candidates(core, request);
        }
        if (request->candidate_count > 0 || request->attempt_until_ms == 0) {
            ask_next(core, request);
        }
    }
}

void core_requests_tick(struct core *core)
{
    for (uint32_t i = 0; i < core->request_top; i++) {
        if (core->requests[i].used) {
            request_tick(core, &core->requests[i]);
        }
    }
    while (core->request_top > 0 && !core->requests[core->request_top - 1].used) {
        core->request_top--;
    }
}

uint64_t core_requests_wake_ms(const struct core *core)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t i = 0; i < core->request_top; i++) {
        const struct request *request = &core->requests[i];

        if (request->used && request->until_ms < wake_ms) {
            wake_ms = request->until_ms;
        }
        if (request->used && request->attempt_until_ms != 0 &&
            request->attempt_until_ms < wake_ms) {
            wake_ms = request->attempt_until_ms;
        }
    }
    return wake_ms;
}
