// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/recording.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "agent/core/codec.h"
#include "agent/core/recording_owner.h"
#include "base/attributes.h"
#include "base/check.h"

enum { SIGNED_BYTES_MAX = 4096, HEADER_BYTES_MAX = 6 };

/* ------------------------------------------------------------------ parts */

/* As on the wire: unknown fields of a later version are skipped. */
static void code_description(struct codec *codec, minga_NodeRecord *description)
{
    uint8_t encoded[minga_NodeRecord_size];
    struct bytes bytes = {encoded, 0};

    if (!codec->reads) {
        pb_ostream_t stream = pb_ostream_from_buffer(encoded, sizeof(encoded));

        CHECK(pb_encode(&stream, minga_NodeRecord_fields, description));
        bytes.length_bytes = stream.bytes_written;
    }
    codec_blob(codec, &bytes, sizeof(encoded));
    if (codec->reads) {
        pb_istream_t stream = pb_istream_from_buffer(bytes.data, bytes.length_bytes);

        codec->failed = codec->failed || !pb_decode(&stream, minga_NodeRecord_fields, description);
    }
}

void recording_code_limits(struct codec *codec, struct sandbox_limits *limits)
{
    codec_u64(codec, &limits->cpu_permille);
    codec_u64(codec, &limits->memory_bytes);
    codec_u64(codec, &limits->disk_bytes);
    codec_u64(codec, &limits->pid_count);
}

static void code_replica(struct codec *codec, struct replica_key *replica)
{
    codec_id(codec, &replica->service.id);
    codec_u32(codec, &replica->slot);
    codec_u64(codec, &replica->incarnation);
}

static void code_peer(struct codec *codec, struct overlay_peer *peer)
{
    uint32_t count;

    codec_id(codec, &peer->node.id);
    codec_raw(codec, peer->key.bytes, PUBLIC_KEY_BYTES);
    count = codec_upto(codec, (uint32_t)peer->address_count, ADDRESSES_MAX);
    peer->address_count = count;
    for (uint32_t i = 0; i < count; i++) {
        codec_text(codec, peer->addresses[i], sizeof(peer->addresses[i]));
    }
}

/* The public half of the key only. */
static void code_key(struct codec *codec, struct secret_key *secret)
{
    struct public_key key = keys_public(secret);

    codec_raw(codec, key.bytes, PUBLIC_KEY_BYTES);
    if (codec->reads) {
        keys_from_public(&key, secret);
    }
}

static void code_life(struct codec *codec, struct recording_entry *entry)
{
    struct core_config *config = &entry->config;

    codec_text(codec, entry->version, sizeof(entry->version));
    code_key(codec, &config->overlay.node_key);
    codec_u64(codec, &config->overlay.seed);
    code_description(codec, &config->overlay.description);
    codec_bool(codec, &config->overlay.finds_reach);
    config->arch = (enum manifest_arch)codec_upto(codec, (uint32_t)config->arch, UINT8_MAX);
    recording_code_terms(codec, config);
}

/* ------------------------------------------------------------------ events */

static void code_source(struct codec *codec, struct overlay_source *source)
{
    codec_bool(codec, &source->inbound);
    if (source->inbound) {
        codec_u64(codec, &source->link);
        codec_raw(codec, source->curve_key, sizeof(source->curve_key));
    } else {
        codec_id(codec, &source->node.id);
    }
    codec_text(codec, source->host, sizeof(source->host));
}

static void code_overlay(struct codec *codec, struct overlay_event *event)
{
    event->kind = (enum overlay_event_kind)codec_upto(codec, (uint32_t)event->kind, UINT8_MAX);
    switch (event->kind) {
    case OVERLAY_RECEIVED:
        code_source(codec, &event->source);
        codec_blob(codec, &event->message, FRAME_BYTES_MAX);
        codec_size(codec, &event->data.length_bytes); /* see recording.h */
        break;
    case OVERLAY_LINK_UP:
    case OVERLAY_RELAY_UP:
    case OVERLAY_RELAY_DOWN:
        codec_id(codec, &event->node.id);
        break;
    case OVERLAY_CALLER_LOST:
        codec_u64(codec, &event->source.link);
        break;
    case OVERLAY_PORT_REFUSED:
        codec_u16(codec, &event->port);
        break;
    case OVERLAY_PORT_MAPPED:
        codec_u16(codec, &event->port);
        codec_u16(codec, &event->outside_port);
        codec_bool(codec, &event->is_udp);
        codec_bool(codec, &event->is_ipv6);
        break;
    case OVERLAY_LINK_LOST:
        codec_id(codec, &event->node.id);
        codec_bool(codec, &event->refused);
        break;
    case OVERLAY_STORED:
        codec_u64(codec, &event->token);
        codec_bool(codec, &event->failed);
        break;
    case OVERLAY_CHUNK_STORED:
    case OVERLAY_CHUNK_ABSENT:
    case OVERLAY_CHUNK_READ:
        codec_u64(codec, &event->token);
        codec_id(codec, &event->chunk.id);
        codec_u64(codec, &event->chunk_bytes);
        event->outcome = (enum overlay_chunk_outcome)codec_upto(codec, (uint32_t)event->outcome,
                                                                OVERLAY_CHUNK_REFUSED);
        codec_bool(codec, &event->was_there);
        break;
    case OVERLAY_TICK:
        break;
    default: /* a later version's */
        codec->failed = true;
        break;
    }
}

static void code_join(struct codec *codec, struct overlay_join *join)
{
    codec_blob(codec, &join->community, SIGNED_BYTES_MAX);
    codec_blob(codec, &join->request, SIGNED_BYTES_MAX);
    codec_raw(codec, join->owner_signature.bytes, SIGNATURE_BYTES);
    codec_raw(codec, join->invitation_signature.bytes, SIGNATURE_BYTES);
    join->contact_count = codec_upto(codec, join->contact_count, TOKEN_MEMBERS_MAX);
    for (uint32_t i = 0; i < join->contact_count; i++) {
        code_peer(codec, &join->contacts[i]);
    }
}

static void code_request_parts(struct codec *codec, struct recorded_event *recorded)
{
    struct core_request *request = &recorded->request;
    bool has_join = request->join != NULL;
    bool has_description = request->description != NULL;

    codec_bool(codec, &has_join);
    request->join = has_join ? &recorded->join : NULL;
    if (has_join) {
        code_join(codec, &recorded->join);
    }
    codec_bool(codec, &has_description);
    request->description = has_description ? &recorded->description : NULL;
    if (has_description) {
        code_description(codec, &recorded->description);
    }
}

static void code_request(struct codec *codec, struct recorded_event *recorded)
{
    struct core_request *request = &recorded->request;

    request->kind = (enum core_request_kind)codec_upto(codec, (uint32_t)request->kind, UINT8_MAX);
    codec_u64(codec, &request->token);
    codec_blob(codec, &request->community, SIGNED_BYTES_MAX);
    codec_blob(codec, &request->admission, SIGNED_BYTES_MAX);
    codec_blob(codec, &request->signed_bytes, SIGNED_BYTES_MAX);
    codec_u64(codec, &request->duration_ms);
    codec_u64(codec, &request->within_ms);
    codec_bool(codec, &request->at_once);
    codec_id(codec, &request->service.id);
    request->record_kind = (minga_RecordKind)codec_upto(codec, (uint32_t)request->record_kind,
                                                        (uint32_t)_minga_RecordKind_MAX);
    codec_u64(codec, &request->number);
    codec_u32(codec, &request->slot);
    codec_bool(codec, &request->history);
    codec_u64(codec, &request->offset_bytes);
    codec_id(codec, &request->chunk.id);
    codec_u32(codec, &request->carried_bytes);
    codec_id(codec, &request->tree.id);
    codec_id(codec, &request->node.id);
    codec_u32(codec, &request->cursor);
    codec_id(codec, &request->key.id);
    code_request_parts(codec, recorded);
}

static void code_sandbox(struct codec *codec, struct sandbox_event *event)
{
    uint32_t status = (uint32_t)event->status;

    event->kind = (enum sandbox_event_kind)codec_upto(codec, (uint32_t)event->kind, SANDBOX_LISTED);
    code_replica(codec, &event->key);
    event->end = (enum sandbox_end)codec_upto(codec, (uint32_t)event->end, SANDBOX_END_LOST);
    codec_u32(codec, &status);
    event->status = (int)status;
    event->healthy = (int)codec_upto(codec, (uint32_t)event->healthy, 1);
    codec_text(codec, event->reason, sizeof(event->reason));
    recording_code_limits(codec, &event->used);
    recording_code_limits(codec, &event->limits);
    codec_id(codec, &event->tree.id);
    event->port_count = codec_upto(codec, event->port_count, PORTS_PER_SERVICE_MAX);
    for (uint32_t i = 0; i < event->port_count; i++) {
        event->ports[i].protocol = (enum sandbox_protocol)codec_upto(
            codec, (uint32_t)event->ports[i].protocol, SANDBOX_MEMBERS_UDP);
        codec_u16(codec, &event->ports[i].container_port);
        codec_u16(codec, &event->ports[i].host_port);
    }
    codec_u64(codec, &event->age_ms);
    codec_u64(codec, &event->activity.connection_count);
    codec_u64(codec, &event->activity.refused_count);
    codec_u64(codec, &event->activity.io_read_bytes);
    codec_u64(codec, &event->activity.io_written_bytes);
    codec_u64(codec, &event->activity.sent_bytes);
    codec_u64(codec, &event->activity.received_bytes);
    event->activity.egress = (enum sandbox_egress)codec_upto(
        codec, (uint32_t)event->activity.egress, SANDBOX_EGRESS_LOST);
}

static void code_tree(struct codec *codec, struct core_event *event)
{
    codec_id(codec, &event->tree.id);
    codec_bool(codec, &event->failed);
    codec_text(codec, event->reason, sizeof(event->reason));
    event->missing_count = codec_upto(codec, event->missing_count, SCAN_MISSING_MAX);
    for (uint32_t i = 0; i < event->missing_count; i++) {
        codec_id(codec, &event->missing[i].id);
    }
    codec_u32(codec, &event->here_count);
    codec_u32(codec, &event->chunk_count);
}

static void code_logs(struct codec *codec, struct core_event *event)
{
    codec_u64(codec, &event->token);
    codec_blob(codec, &event->logs, RECORDING_LOGS_BYTES_MAX);
    codec_u64(codec, &event->logs_offset_bytes);
    codec_bool(codec, &event->logs_ended);
}

static void code_event_body(struct codec *codec, struct recorded_event *recorded)
{
    struct core_event *event = &recorded->event;

    switch (event->kind) {
    case CORE_OVERLAY:
        event->overlay = &recorded->overlay;
        code_overlay(codec, &recorded->overlay);
        break;
    case CORE_REQUEST:
        event->request = &recorded->request;
        code_request(codec, recorded);
        break;
    case CORE_SANDBOX:
        event->sandbox = &recorded->sandbox;
        code_sandbox(codec, &recorded->sandbox);
        break;
    case CORE_SANDBOX_DOWN:
        codec_text(codec, event->reason, sizeof(event->reason));
        break;
    case CORE_TREE_SCANNED:
    case CORE_TREE_BUILT:
    case CORE_TREE_FOUND:
        code_tree(codec, event);
        break;
    case CORE_LOGS_READ:
        code_logs(codec, event);
        break;
    case CORE_EXEC_DONE:
        code_logs(codec, event);
        codec_bool(codec, &event->failed);
        codec_text(codec, event->reason, sizeof(event->reason));
        break;
    case CORE_PORTS_REFUSED:
        code_replica(codec, &event->replica);
        codec_u16(codec, &event->host_port);
        codec_text(codec, event->reason, sizeof(event->reason));
        break;
    case CORE_SENSED:
        event->senses = &recorded->senses;
        recording_code_senses(codec, &recorded->senses);
        break;
    case CORE_CONFIGURED:
        event->config = &recorded->config;
        recording_code_terms(codec, &recorded->config);
        break;
    case CORE_DISK:
        codec_text(codec, event->reason, sizeof(event->reason));
        break;
    case CORE_LINE:
        codec_u64(codec, &event->line.upload_bytes_per_s);
        codec_u64(codec, &event->line.download_bytes_per_s);
        break;
    case CORE_TICK:
    case CORE_SANDBOX_UP:
    case CORE_SANDBOX_LISTED:
        break;
    default: /* a later version's */
        codec->failed = true;
        break;
    }
}

static void code_event(struct codec *codec, struct recorded_event *recorded)
{
    struct core_event *event = &recorded->event;

    event->kind = (enum core_event_kind)codec_upto(codec, (uint32_t)event->kind, UINT8_MAX);
    codec_u64(codec, &event->now_ms);
    codec_u64(codec, &event->wall_unix_s);
    code_event_body(codec, recorded);
    if (codec->reads) {
        recorded->overlay.now_ms = event->now_ms;
        recorded->overlay.wall_unix_s = event->wall_unix_s;
    }
}

void recording_event(struct recording_entry *entry, const struct core_event *event)
{
    struct recorded_event *recorded = &entry->event;

    entry->kind = RECORDING_EVENT;
    recorded->event = *event;
    if (event->overlay != NULL) {
        recorded->overlay = *event->overlay;
    }
    if (event->sandbox != NULL) {
        recorded->sandbox = *event->sandbox;
    }
    if (event->senses != NULL) {
        recorded->senses = *event->senses;
    }
    if (event->config != NULL) {
        recorded->config = *event->config;
    }
    if (event->request == NULL) {
        return;
    }
    recorded->request = *event->request;
    if (event->request->join != NULL) {
        recorded->join = *event->request->join;
    }
    if (event->request->description != NULL) {
        recorded->description = *event->request->description;
    }
}

/* ------------------------------------------------------------------ entries */

static void code_entry(struct codec *codec, struct recording_entry *entry)
{
    switch (entry->kind) {
    case RECORDING_LIFE:
        code_life(codec, entry);
        break;
    case RECORDING_BLOB:
        entry->blob.kind =
            (enum overlay_blob_kind)codec_upto(codec, (uint32_t)entry->blob.kind, UINT8_MAX);
        codec_id(codec, &entry->blob.key);
        codec_u64(codec, &entry->blob.number);
        codec_blob(codec, &entry->blob.bytes, RECORDING_BLOB_BYTES_MAX);
        break;
    case RECORDING_CHUNK:
        codec_id(codec, &entry->chunk.id);
        codec_u64(codec, &entry->chunk_bytes);
        break;
    case RECORDING_START:
        codec_u64(codec, &entry->now_ms);
        codec_u64(codec, &entry->wall_unix_s);
        break;
    case RECORDING_EVENT:
        code_event(codec, &entry->event);
        break;
    case RECORDING_SIGNATURE:
        codec_raw(codec, entry->signature.bytes, SIGNATURE_BYTES);
        break;
    case RECORDING_DONE:
        codec_u32(codec, &entry->effect_count);
        codec_raw(codec, &entry->digest, sizeof(entry->digest));
        break;
    case RECORDING_FULL:
        break;
    case RECORDING_KINDS:
    default:
        codec->failed = true;
        break;
    }
}

int recording_encode(struct recording_entry *entry, uint8_t *bytes_out, size_t capacity_bytes)
{
    struct codec body;
    struct codec header;
    uint64_t length_bytes;
    size_t header_bytes;

    if (capacity_bytes < HEADER_BYTES_MAX) {
        return -EMSGSIZE;
    }
    body = codec_writer(bytes_out + HEADER_BYTES_MAX, capacity_bytes - HEADER_BYTES_MAX);
    code_entry(&body, entry);
    if (!codec_ok(&body)) {
        return -EMSGSIZE;
    }
    length_bytes = capacity_bytes - HEADER_BYTES_MAX - body.left_bytes;
    bytes_out[0] = (uint8_t)entry->kind;
    header = codec_writer(bytes_out + 1, HEADER_BYTES_MAX - 1);
    codec_u64(&header, &length_bytes);
    CHECK(codec_ok(&header));
    header_bytes = HEADER_BYTES_MAX - header.left_bytes;
    memmove(bytes_out + header_bytes, bytes_out + HEADER_BYTES_MAX, (size_t)length_bytes);
    return (int)(header_bytes + (size_t)length_bytes);
}

int recording_open(struct bytes *file)
{
    const size_t length_bytes = sizeof(RECORDING_MAGIC) - 1;

    if (file->length_bytes < length_bytes ||
        memcmp(file->data, RECORDING_MAGIC, length_bytes) != 0) {
        return -EBADMSG;
    }
    *file = (struct bytes){file->data + length_bytes, file->length_bytes - length_bytes};
    return 0;
}

int recording_next(struct bytes *file, struct recording_entry *entry_out)
{
    struct codec header = codec_reader(*file);
    struct codec body;
    uint8_t kind = 0;
    uint64_t length_bytes = 0;

    if (file->length_bytes == 0) {
        return -ENODATA;
    }
    codec_raw(&header, &kind, 1);
    codec_u64(&header, &length_bytes);
    if (header.failed && file->length_bytes >= HEADER_BYTES_MAX) {
        return -EBADMSG;
    }
    if (!header.failed && length_bytes > RECORDING_ENTRY_BYTES_MAX) {
        return -EBADMSG;
    }
    if (header.failed || length_bytes > header.left_bytes) {
        return -EAGAIN;
    }
    body = codec_reader((struct bytes){header.in, (size_t)length_bytes});
    memset(entry_out, 0, sizeof(*entry_out));
    entry_out->kind = (enum recording_kind)kind;
    code_entry(&body, entry_out);
    if (!codec_ok(&body)) {
        return -EBADMSG;
    }
    *file = (struct bytes){header.in + length_bytes, header.left_bytes - (size_t)length_bytes};
    return 0;
}
