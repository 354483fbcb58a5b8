// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/request.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"
#include "sandbox/spec.h"

static_assert(SPEC_BYTES_MAX + 64 <= HELPER_MESSAGE_BYTES_MAX, "a start request fits a message");
static_assert(LOGS_WINDOW_BYTES_MAX + 128 <= HELPER_MESSAGE_BYTES_MAX, "so does a full window");

bool replica_key_equal(const struct replica_key *a, const struct replica_key *b)
{
    return a->slot == b->slot && a->incarnation == b->incarnation &&
           id_equal(&a->service.id, &b->service.id);
}

static void put_key(struct wire_writer *wire, const struct replica_key *key)
{
    wire_put_id(wire, &key->service.id);
    wire_put_u32(wire, key->slot);
    wire_put_u64(wire, key->incarnation);
}

static void get_key(struct wire_reader *wire, struct replica_key *key_out)
{
    wire_id(wire, &key_out->service.id);
    key_out->slot = wire_u32(wire);
    key_out->incarnation = wire_u64(wire);
}

static void put_limits(struct wire_writer *wire, const struct sandbox_limits *limits)
{
    wire_put_u64(wire, limits->cpu_permille);
    wire_put_u64(wire, limits->memory_bytes);
    wire_put_u64(wire, limits->disk_bytes);
    wire_put_u64(wire, limits->pid_count);
}

static void get_limits(struct wire_reader *wire, struct sandbox_limits *limits_out)
{
    limits_out->cpu_permille = wire_u64(wire);
    limits_out->memory_bytes = wire_u64(wire);
    limits_out->disk_bytes = wire_u64(wire);
    limits_out->pid_count = wire_u64(wire);
}

static void put_spec(struct wire_writer *wire, const struct sandbox_spec *spec)
{
    uint8_t encoded[SPEC_BYTES_MAX];
    size_t length_bytes = 0;

    if (spec_encode(spec, encoded, sizeof(encoded), &length_bytes) < 0) {
        wire->failed = true;
        return;
    }
    wire_put_blob(wire, (struct bytes){encoded, length_bytes});
}

static void get_spec(struct wire_reader *wire, struct sandbox_spec *spec_out)
{
    struct bytes encoded = wire_blob(wire, SPEC_BYTES_MAX);

    if (!wire->failed && spec_decode(encoded, spec_out) < 0) {
        wire->failed = true;
    }
}

int helper_request_encode(const struct helper_request *request, uint8_t *bytes_out,
                          size_t capacity_bytes)
{
    struct wire_writer wire = wire_writer(bytes_out, capacity_bytes);

    CHECK(request->kind >= REQUEST_HELLO && request->kind < REQUEST_KIND_COUNT);
    wire_put_u8(&wire, (uint8_t)request->kind);
    switch (request->kind) {
    case REQUEST_HELLO:
        wire_put_u32(&wire, request->version);
        break;
    case REQUEST_START:
        put_spec(&wire, &request->spec);
        break;
    case REQUEST_LOGS:
        put_key(&wire, &request->spec.key);
        wire_put_u64(&wire, request->offset);
        wire_put_u32(&wire, request->bytes_max);
        break;
    case REQUEST_ALLOW:
        wire_put_u64(&wire, request->allowance.cpu_permille);
        wire_put_u64(&wire, request->allowance.memory_bytes);
        wire_put_u64(&wire, request->allowance.upload_bytes_per_s);
        wire_put_u64(&wire, request->allowance.download_bytes_per_s);
        break;
    case REQUEST_RENEW:
    case REQUEST_STOP:
    case REQUEST_FREEZE:
    case REQUEST_THAW:
    case REQUEST_STATS:
    case REQUEST_EXEC:
        put_key(&wire, &request->spec.key);
        break;
    case REQUEST_LIST:
    case REQUEST_PROGRAMS:
    case REQUEST_KIND_COUNT:
        break;
    }
    return wire_ok(&wire) ? (int)wire.written_bytes : -EMSGSIZE;
}

static void get_request(struct wire_reader *wire, struct helper_request *request)
{
    switch (request->kind) {
    case REQUEST_HELLO:
        request->version = wire_u32(wire);
        break;
    case REQUEST_START:
        get_spec(wire, &request->spec);
        break;
    case REQUEST_LOGS:
        get_key(wire, &request->spec.key);
        request->offset = wire_u64(wire);
        request->bytes_max = wire_u32(wire);
        wire->failed = wire->failed || request->bytes_max > LOGS_WINDOW_BYTES_MAX;
        break;
    case REQUEST_ALLOW:
        request->allowance.cpu_permille = wire_u64(wire);
        request->allowance.memory_bytes = wire_u64(wire);
        request->allowance.upload_bytes_per_s = wire_u64(wire);
        request->allowance.download_bytes_per_s = wire_u64(wire);
        break;
    case REQUEST_RENEW:
    case REQUEST_STOP:
    case REQUEST_FREEZE:
    case REQUEST_THAW:
    case REQUEST_STATS:
    case REQUEST_EXEC:
        get_key(wire, &request->spec.key);
        break;
    case REQUEST_LIST:
    case REQUEST_PROGRAMS:
    case REQUEST_KIND_COUNT:
        break;
    }
}

int helper_request_decode(struct bytes bytes, struct helper_request *request_out)
{
    struct wire_reader wire = wire_reader(bytes);
    struct helper_request request = {.kind = REQUEST_HELLO};
    uint8_t kind = wire_u8(&wire);

    if (kind < REQUEST_HELLO || kind >= REQUEST_KIND_COUNT) {
        return -EBADMSG;
    }
    request.kind = (enum helper_request_kind)kind;
    get_request(&wire, &request);
    if (!wire_done(&wire)) {
        return -EBADMSG;
    }
    *request_out = request;
    return 0;
}

static void put_event(struct wire_writer *wire, const struct sandbox_event *event)
{
    wire_put_u8(wire, (uint8_t)event->kind);
    put_key(wire, &event->key);
    wire_put_u8(wire, (uint8_t)event->end);
    wire_put_u32(wire, (uint32_t)event->status);
    wire_put_bool(wire, event->healthy != 0);
    wire_put_text(wire, event->reason);
    put_limits(wire, &event->used);
    put_limits(wire, &event->limits);
    wire_put_id(wire, &event->tree.id);
    wire_put_u8(wire, (uint8_t)event->port_count);
    for (uint32_t i = 0; i < event->port_count; i++) {
        wire_put_u8(wire, (uint8_t)event->ports[i].protocol);
        wire_put_u16(wire, event->ports[i].container_port);
        wire_put_u16(wire, event->ports[i].host_port);
    }
    wire_put_u64(wire, event->age_ms);
    wire_put_u64(wire, event->activity.connection_count);
    wire_put_u64(wire, event->activity.refused_count);
    wire_put_u64(wire, event->activity.io_read_bytes);
    wire_put_u64(wire, event->activity.io_written_bytes);
    wire_put_u64(wire, event->activity.sent_bytes);
    wire_put_u64(wire, event->activity.received_bytes);
    wire_put_bool(wire, event->activity.send_waits);
    wire_put_bool(wire, event->activity.receive_waits);
    wire_put_u8(wire, (uint8_t)event->activity.egress);
}

static void get_event(struct wire_reader *wire, struct sandbox_event *event)
{
    uint8_t kind = wire_u8(wire);

    get_key(wire, &event->key);
    uint8_t end = wire_u8(wire);
    event->status = (int)wire_u32(wire);
    event->healthy = wire_bool(wire);
    wire_text(wire, event->reason, sizeof(event->reason));
    get_limits(wire, &event->used);
    get_limits(wire, &event->limits);
    wire_id(wire, &event->tree.id);
    event->port_count = wire_u8(wire);
    if (kind > SANDBOX_LISTED || end > SANDBOX_END_LOST ||
        event->port_count > PORTS_PER_SERVICE_MAX) {
        wire->failed = true;
        return;
    }
    event->kind = (enum sandbox_event_kind)kind;
    event->end = (enum sandbox_end)end;
    for (uint32_t i = 0; i < event->port_count; i++) {
        uint8_t protocol = wire_u8(wire);

        wire->failed = wire->failed || protocol > SANDBOX_MEMBERS_UDP;
        event->ports[i].protocol =
            protocol > SANDBOX_MEMBERS_UDP ? SANDBOX_TCP : (enum sandbox_protocol)protocol;
        event->ports[i].container_port = wire_u16(wire);
        event->ports[i].host_port = wire_u16(wire);
    }
    event->age_ms = wire_u64(wire);
    event->activity.connection_count = wire_u64(wire);
    event->activity.refused_count = wire_u64(wire);
    event->activity.io_read_bytes = wire_u64(wire);
    event->activity.io_written_bytes = wire_u64(wire);
    event->activity.sent_bytes = wire_u64(wire);
    event->activity.received_bytes = wire_u64(wire);
    event->activity.send_waits = wire_bool(wire);
    event->activity.receive_waits = wire_bool(wire);
    uint8_t egress = wire_u8(wire);

    wire->failed = wire->failed || egress > SANDBOX_EGRESS_LOST;
    event->activity.egress = wire->failed ? SANDBOX_EGRESS_NONE : (enum sandbox_egress)egress;
}

static void put_logs(struct wire_writer *wire, const struct sandbox_logs *logs)
{
    CHECK(logs->length_bytes <= LOGS_WINDOW_BYTES_MAX);
    put_key(wire, &logs->key);
    wire_put_u64(wire, logs->offset);
    wire_put_blob(wire, (struct bytes){logs->bytes, logs->length_bytes});
}

static void get_logs(struct wire_reader *wire, struct sandbox_logs *logs)
{
    get_key(wire, &logs->key);
    logs->offset = wire_u64(wire);
    struct bytes kept = wire_blob(wire, LOGS_WINDOW_BYTES_MAX);

    if (!wire->failed && kept.length_bytes > 0) {
        memcpy(logs->bytes, kept.data, kept.length_bytes);
        logs->length_bytes = (uint32_t)kept.length_bytes;
    }
}

static void put_programs(struct wire_writer *wire, const struct sandbox_programs *programs)
{
    CHECK(programs->count <= SANDBOX_PROGRAMS_MAX);
    wire_put_u8(wire, (uint8_t)programs->count);
    for (uint32_t i = 0; i < programs->count; i++) {
        wire_put_text(wire, programs->names[i]);
    }
}

static void get_programs(struct wire_reader *wire, struct sandbox_programs *programs)
{
    programs->count = wire_u8(wire);
    if (programs->count > SANDBOX_PROGRAMS_MAX) {
        programs->count = 0;
        wire->failed = true;
    }
    for (uint32_t i = 0; i < programs->count; i++) {
        wire_text(wire, programs->names[i], sizeof(programs->names[i]));
    }
}

int helper_answer_encode(const struct helper_answer *answer, uint8_t *bytes_out,
                         size_t capacity_bytes)
{
    struct wire_writer wire = wire_writer(bytes_out, capacity_bytes);

    wire_put_u8(&wire, (uint8_t)answer->kind);
    switch (answer->kind) {
    case ANSWER_READY:
        wire_put_u32(&wire, answer->version);
        wire_put_text(&wire, answer->problem);
        break;
    case ANSWER_EVENT:
        put_event(&wire, &answer->event);
        break;
    case ANSWER_LOGS:
        put_logs(&wire, &answer->logs);
        break;
    case ANSWER_EXEC:
        put_key(&wire, &answer->exec.key);
        wire_put_text(&wire, answer->exec.reason);
        break;
    case ANSWER_PROGRAMS:
        put_programs(&wire, &answer->programs);
        break;
    case ANSWER_LIST_END:
        break;
    case ANSWER_KIND_COUNT:
        CHECK(answer->kind != ANSWER_KIND_COUNT);
    }
    return wire_ok(&wire) ? (int)wire.written_bytes : -EMSGSIZE;
}

/* Another version may say more or less: it is known by its number. */
static void get_ready(struct wire_reader *wire, struct helper_answer *answer)
{
    answer->version = wire_u32(wire);
    if (answer->version == HELPER_PROTOCOL_VERSION) {
        wire_text(wire, answer->problem, sizeof(answer->problem));
    } else {
        wire->left_bytes = 0;
    }
}

int helper_answer_decode(struct bytes bytes, struct helper_answer *answer_out)
{
    struct wire_reader wire = wire_reader(bytes);
    uint8_t kind = wire_u8(&wire);

    memset(answer_out, 0, sizeof(*answer_out));
    if (kind == ANSWER_READY) {
        get_ready(&wire, answer_out);
    } else if (kind == ANSWER_EVENT) {
        get_event(&wire, &answer_out->event);
    } else if (kind == ANSWER_LOGS) {
        get_logs(&wire, &answer_out->logs);
    } else if (kind == ANSWER_EXEC) {
        get_key(&wire, &answer_out->exec.key);
        wire_text(&wire, answer_out->exec.reason, sizeof(answer_out->exec.reason));
    } else if (kind == ANSWER_PROGRAMS) {
        get_programs(&wire, &answer_out->programs);
    } else if (kind != ANSWER_LIST_END) {
        return -EBADMSG;
    }
    if (!wire_done(&wire)) {
        return -EBADMSG;
    }
    answer_out->kind = (enum helper_answer_kind)kind;
    return 0;
}
