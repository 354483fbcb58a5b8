// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The whole core of one node, a community of its own: requests in, answers out, one for each. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/core.h"
#include "agent/core/message.h"
#include "overlay/signed.h"
#include "tests/unit/agent/volunteer.h"

enum { QUEUE_MAX = 256, TOKENS_MAX = 128 };

static const uint64_t wall_unix_s = 1790000000;

struct edge {
    struct core *core;
    struct core_config config;
    struct core_effects *effects;
    struct secret_key community;
    struct secret_key owner;
    struct service_id service;
    uint64_t now_ms;
    uint64_t wake_ms;
    uint32_t queue_count;
    struct core_event *queue;
    struct sandbox_event sandbox[QUEUE_MAX];
    struct overlay_event overlay[QUEUE_MAX];
    uint32_t answer_count[TOKENS_MAX];
    struct core_answer answer;    /* the last one */
    struct service_status status; /* of the last one */
    uint32_t services_in_answer;
    char logs[64];
    uint32_t start_count;
    uint32_t stop_count;
    uint64_t next_token;
    bool disk_is_slow; /* what is awaited of it is left in store_token */
    bool disk_is_full; /* ... fails */
    uint64_t store_token;
    bool exec_is_silent;   /* commands print nothing, and go on */
    uint32_t exec_count;   /* of what was asked of the edge about commands */
    struct core_exec exec; /* the last one */
    struct replica_key exec_replica;
    uint64_t exec_token;
    uint8_t exec_data[4096];
};

/* ------------------------------------------------------------------ the edge */

static inline struct core_event *queue(struct edge *edge, enum core_event_kind kind)
{
    struct core_event *event;

    cr_assert_lt(edge->queue_count, QUEUE_MAX);
    event = &edge->queue[edge->queue_count];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->sandbox = &edge->sandbox[edge->queue_count];
    event->overlay = &edge->overlay[edge->queue_count];
    memset(&edge->sandbox[edge->queue_count], 0, sizeof(edge->sandbox[0]));
    memset(&edge->overlay[edge->queue_count], 0, sizeof(edge->overlay[0]));
    edge->queue_count++;
    return event;
}

static inline void queue_sandbox(struct edge *edge, const struct replica_key *key,
                                 enum sandbox_event_kind kind)
{
    uint32_t index = edge->queue_count;

    (void)queue(edge, CORE_SANDBOX);
    edge->sandbox[index].kind = kind;
    edge->sandbox[index].key = *key;
    edge->sandbox[index].end = SANDBOX_END_STOPPED;
}

static inline void take_answer(struct edge *edge, const struct core_answer *answer)
{
    cr_assert(answer->token > 0 && answer->token < TOKENS_MAX);
    edge->answer_count[answer->token]++;
    edge->answer = *answer;
    edge->services_in_answer = answer->status_count;
    if (answer->status != NULL) {
        edge->status = *answer->status;
    }
    if (answer->data.length_bytes > 0 && answer->data.length_bytes < sizeof(edge->logs)) {
        memcpy(edge->logs, answer->data.data, answer->data.length_bytes);
        edge->logs[answer->data.length_bytes] = '\0';
    }
}

static inline void stored(struct edge *edge, uint64_t token)
{
    uint32_t index = edge->queue_count;

    (void)queue(edge, CORE_OVERLAY);
    edge->overlay[index].kind = OVERLAY_STORED;
    edge->overlay[index].token = token;
    edge->overlay[index].failed = edge->disk_is_full;
}

static inline void perform_io(struct edge *edge, const struct overlay_effect *effect)
{
    if (effect->kind != OVERLAY_STORE || effect->token == 0) {
        return;
    }
    if (edge->disk_is_slow) {
        edge->store_token = effect->token;
    } else {
        stored(edge, effect->token);
    }
}

static inline void take_exec(struct edge *edge, const struct core_effect *effect)
{
    static const uint8_t output[] = "output";
    struct core_event *event;

    edge->exec_count++;
    edge->exec = effect->exec;
    edge->exec_replica = effect->replica;
    edge->exec_token = effect->token;
    cr_assert_leq(effect->exec.data.length_bytes, sizeof(edge->exec_data));
    if (effect->exec.data.length_bytes > 0) {
        memcpy(edge->exec_data, effect->exec.data.data, effect->exec.data.length_bytes);
    }
    if (effect->token != 0) {
        event = queue(edge, CORE_EXEC_DONE);
        event->token = effect->token;
        event->logs_offset_bytes = effect->offset_bytes;
        if (effect->exec.what == EXEC_ASK_READ && !edge->exec_is_silent) {
            event->logs = (struct bytes){output, 6};
            event->logs_ended = true;
        }
    }
}

static inline void perform_one(struct edge *edge, const struct core_effect *effect)
{
    static const uint8_t output[] = "hello";
    struct core_event *event;

    switch (effect->kind) {
    case CORE_IO:
        perform_io(edge, effect->overlay);
        break;
    case CORE_ANSWER:
        take_answer(edge, &effect->answer);
        break;
    case CORE_SCAN_TREE:
    case CORE_BUILD_TREE:
        event = queue(edge, effect->kind == CORE_SCAN_TREE ? CORE_TREE_SCANNED : CORE_TREE_BUILT);
        event->tree = effect->tree;
        break;
    case CORE_START:
        edge->start_count++;
        queue_sandbox(edge, &effect->spec->key, SANDBOX_STARTED);
        break;
    case CORE_STOP:
        edge->stop_count++;
        queue_sandbox(edge, &effect->replica, SANDBOX_ENDED);
        break;
    case CORE_READ_LOGS:
        event = queue(edge, CORE_LOGS_READ);
        event->token = effect->token;
        event->logs = (struct bytes){output, 5};
        event->logs_offset_bytes = effect->offset_bytes;
        break;
    case CORE_EXEC:
        take_exec(edge, effect);
        break;
    case CORE_WAKE:
        edge->wake_ms = effect->wake_ms;
        break;
    case CORE_DROP_TREE:
    case CORE_FREEZE:
    case CORE_THAW:
    case CORE_RENEW:
    case CORE_STATS:
    case CORE_ALLOW:
    case CORE_TRACE:
    case CORE_UNREADY:
        break;
    }
}

static inline void step(struct edge *edge, struct core_event *event)
{
    event->now_ms = edge->now_ms;
    event->wall_unix_s = wall_unix_s;
    if (event->kind == CORE_OVERLAY) {
        struct overlay_event *inner = &edge->overlay[event->overlay - edge->overlay];

        inner->now_ms = edge->now_ms;
        inner->wall_unix_s = wall_unix_s;
    }
    core_step(edge->core, event, edge->effects);
    for (uint32_t i = 0; i < edge->effects->count; i++) {
        perform_one(edge, &edge->effects->list[i]);
    }
}

static inline void settle(struct edge *edge)
{
    for (uint32_t i = 0; i < edge->queue_count; i++) {
        step(edge, &edge->queue[i]);
    }
    edge->queue_count = 0;
}

static inline void run(struct edge *edge, uint64_t duration_ms)
{
    uint64_t end_ms = edge->now_ms + duration_ms;

    settle(edge);
    while (edge->now_ms < end_ms) {
        struct core_event tick = {.kind = CORE_TICK};

        edge->now_ms = edge->wake_ms < end_ms ? edge->wake_ms : end_ms;
        step(edge, &tick);
        settle(edge);
    }
}

static inline uint64_t request(struct edge *edge, struct core_request *request)
{
    struct core_event event = {.kind = CORE_REQUEST, .request = request};

    request->token = edge->next_token++;
    step(edge, &event);
    settle(edge);
    return request->token;
}

static inline enum overlay_outcome outcome_of(struct edge *edge, struct core_request *asked)
{
    uint64_t token = request(edge, asked);

    for (uint32_t i = 0; i < 20 && edge->answer_count[token] == 0; i++) {
        run(edge, 1000);
    }
    cr_assert_eq(edge->answer_count[token], 1, "exactly one answer");
    return edge->answer.outcome;
}

/* ------------------------------------------------------------------ papers */

static inline struct secret_key key_of(uint8_t number)
{
    uint8_t seed[KEY_SEED_BYTES] = {number};
    struct secret_key key;

    keys_from_seed(seed, &key);
    return key;
}

static inline enum overlay_outcome create(struct edge *edge)
{
    uint8_t community[512];
    uint8_t admission[1152];
    uint8_t bytes[768];
    minga_Community body = minga_Community_init_zero;
    minga_AdmissionRequest asked = minga_AdmissionRequest_init_zero;
    minga_Countersigned countersigned = minga_Countersigned_init_zero;
    minga_Signed envelope;
    struct public_key community_key = keys_public(&edge->community);
    struct public_key node_key = keys_public(&edge->config.overlay.node_key);
    struct public_key owner_key = keys_public(&edge->owner);
    struct core_request create = {.kind = CORE_CREATE_COMMUNITY};
    struct signature signature;
    int length;

    memcpy(body.name, "allotment", 10);
    memcpy(body.key, community_key.bytes, 32);
    cr_assert_eq(
        signed_make(minga_Community_fields, &body, PURPOSE_COMMUNITY, &edge->community, &envelope),
        0);
    length = signed_encode(&envelope, community, sizeof(community));
    create.community = (struct bytes){community, (size_t)length};
    memcpy(asked.community, community_key.bytes, 32);
    memcpy(asked.node_key, node_key.bytes, 32);
    memcpy(asked.owner_key, owner_key.bytes, 32);
    memcpy(asked.node_name, "oak", 4);
    memcpy(asked.owner_name, "ann", 4);
    asked.positions = 1;
    asked.requested_unix_s = wall_unix_s;
    length = signed_encode_body(minga_AdmissionRequest_fields, &asked, bytes, sizeof(bytes));
    memcpy(countersigned.request.bytes, bytes, (size_t)length);
    countersigned.request.size = (pb_size_t)length;
    signature = keys_sign(&edge->config.overlay.node_key, PURPOSE_ADMISSION,
                          (struct bytes){bytes, (size_t)length});
    memcpy(countersigned.node_signature, signature.bytes, 64);
    signature = keys_sign(&edge->owner, PURPOSE_ADMISSION, (struct bytes){bytes, (size_t)length});
    memcpy(countersigned.owner_signature, signature.bytes, 64);
    countersigned.admitted_unix_s = wall_unix_s;
    cr_assert_eq(signed_make(minga_Countersigned_fields, &countersigned, PURPOSE_COUNTERSIGNATURE,
                             &edge->community, &envelope),
                 0);
    length = signed_encode(&envelope, admission, sizeof(admission));
    create.admission = (struct bytes){admission, (size_t)length};
    return outcome_of(edge, &create);
}

static inline struct edge *edge_new(void)
{
    struct edge *edge = calloc(1, sizeof(*edge));
    struct core_event event = {.kind = CORE_SANDBOX_UP};

    edge->effects = calloc(1, sizeof(*edge->effects));
    edge->queue = calloc(QUEUE_MAX, sizeof(*edge->queue));
    edge->next_token = 1;
    edge->now_ms = 1000;
    edge->wake_ms = UINT64_MAX;
    edge->community = key_of(1);
    edge->owner = key_of(2);
    volunteer(&edge->config);
    edge->config.overlay.node_key = key_of(3);
    edge->config.overlay.seed = 5;
    edge->config.overlay.storage_bytes_max = (uint64_t)1 << 30;
    edge->config.overlay.description.runs = true;
    edge->config.overlay.description.stores = true;
    edge->config.overlay.description.manages = true;
    edge->config.overlay.description.addresses_count = 1;
    memcpy(edge->config.overlay.description.name, "oak", 4);
    memcpy(edge->config.overlay.description.addresses[0], "10.77.0.1:7400", 15);
    edge->core = core_new(&edge->config);
    core_start(edge->core, edge->now_ms, wall_unix_s, edge->effects);
    step(edge, &event);
    event.kind = CORE_SANDBOX_LISTED;
    step(edge, &event);
    return edge;
}

static inline void edge_free(struct edge *edge)
{
    core_free(edge->core);
    free(edge->effects);
    free(edge->queue);
    free(edge);
}

static inline enum overlay_outcome put(struct edge *edge, minga_Record *record)
{
    struct core_request put = {.kind = CORE_PUT_RECORD};
    struct public_key owner = keys_public(&edge->owner);
    minga_Signed envelope;
    uint8_t bytes[3400];
    int length;

    memcpy(record->owner_key, owner.bytes, 32);
    memcpy(record->name, "wiki", 5);
    edge->service = keys_service_id(&owner, "wiki");
    cr_assert_eq(signed_make(minga_Record_fields, record, PURPOSE_RECORD, &edge->owner, &envelope),
                 0);
    length = signed_encode(&envelope, bytes, sizeof(bytes));
    put.signed_bytes = (struct bytes){bytes, (size_t)length};
    return outcome_of(edge, &put);
}

static inline enum overlay_outcome put_version(struct edge *edge)
{
    static const char yaml[] = "name: wiki\ncommand: [/bin/wiki]\n"
                               "ports:\n  - {name: http, container: 8080}\n"
                               "  - {name: club, container: 8081, visibility: members}\n"
                               "  - {name: voice, container: 8081, protocol: udp,"
                               " visibility: members}\n";
    minga_Record record = {.kind = minga_RecordKind_RECORD_VERSION, .number = 1, .sequence = 1};
    minga_Version version = minga_Version_init_zero;
    struct manifest manifest;
    struct err err = {0};

    cr_assert_eq(manifest_parse(bytes_of_text(yaml), "service.yaml", &manifest, &err), 0);
    version.manifest.size = (pb_size_t)manifest_encode(&manifest, version.manifest.bytes);
    memset(version.tree, 9, sizeof(version.tree));
    record.content.size = (pb_size_t)signed_encode_body(
        minga_Version_fields, &version, record.content.bytes, sizeof(record.content.bytes));
    return put(edge, &record);
}

static inline enum overlay_outcome put_service(struct edge *edge, uint64_t sequence, bool active,
                                               uint32_t replicas, uint64_t version)
{
    minga_Record record = {.kind = minga_RecordKind_RECORD_SERVICE, .sequence = sequence};
    minga_Service service = {.active = active, .replicas = replicas, .version = version};

    record.content.size = (pb_size_t)signed_encode_body(
        minga_Service_fields, &service, record.content.bytes, sizeof(record.content.bytes));
    return put(edge, &record);
}

/* A community of one, whose service runs. */
static inline struct edge *edge_running(void)
{
    struct edge *edge = edge_new();

    cr_assert_eq(create(edge), OVERLAY_OK);
    cr_assert_eq(put_version(edge), OVERLAY_OK, "%s", edge->answer.reason);
    cr_assert_eq(put_service(edge, 1, true, 1, 1), OVERLAY_OK, "%s", edge->answer.reason);
    run(edge, 200);
    cr_assert_eq(edge->start_count, 1);
    return edge;
}

static inline enum overlay_outcome ask_history(struct edge *edge)
{
    struct core_request status = {.kind = CORE_STATUS, .service = edge->service, .history = true};

    return outcome_of(edge, &status);
}

static inline enum overlay_outcome ask_status(struct edge *edge)
{
    struct core_request status = {.kind = CORE_STATUS, .service = edge->service};

    return outcome_of(edge, &status);
}
