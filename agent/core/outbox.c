// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/outbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"

enum { TRACE_BYTES_MAX = 160 };

void outbox_clear(struct outbox *outbox)
{
    outbox->count = 0;
    outbox->arena_used_bytes = 0;
}

static struct outgoing *outbox_add(struct outbox *outbox, uint32_t count_max)
{
    struct outgoing *outgoing;

    CHECK(outbox->count <= OUTBOX_MAX);
    if (outbox->count >= count_max) {
        outbox->dropped_count++;
        return NULL;
    }
    outgoing = &outbox->list[outbox->count++];
    memset(outgoing, 0, sizeof(*outgoing));
    return outgoing;
}

bool outbox_message(struct turn *turn, const struct ask *ask, const minga_AgentMessage *message)
{
    struct outbox *outbox = turn->out;
    uint8_t *place = outbox->arena + outbox->arena_used_bytes;
    struct outgoing *outgoing;
    int length;

    if (OUTBOX_ARENA_BYTES - outbox->arena_used_bytes < PAYLOAD_BYTES_MAX) {
        outbox->dropped_count++;
        return false;
    }
    length = signed_encode_body(minga_AgentMessage_fields, message, place, PAYLOAD_BYTES_MAX);
    CHECK(length >= 0);
    outgoing = outbox_add(outbox, OUTBOX_MESSAGES_MAX);
    if (outgoing == NULL) {
        return false;
    }
    outgoing->kind = OUT_MESSAGE;
    outgoing->ask = *ask;
    outgoing->payload = (struct bytes){place, (size_t)length};
    outbox->arena_used_bytes += (size_t)length;
    return true;
}

void outbox_get_record(struct turn *turn, const struct ask *ask)
{
    struct outgoing *outgoing = outbox_add(turn->out, OUTBOX_MESSAGES_MAX);

    if (outgoing != NULL) {
        outgoing->kind = OUT_RECORD;
        outgoing->ask = *ask;
        outgoing->ask.kind = ASK_RECORD;
    }
}

bool outbox_get_chunk(struct turn *turn, const struct ask *ask, const struct node_id *others,
                      uint32_t other_count)
{
    struct outgoing *outgoing = outbox_add(turn->out, OUTBOX_MESSAGES_MAX);

    CHECK(other_count <= 4);
    if (outgoing == NULL) {
        return false;
    }
    outgoing->kind = OUT_CHUNK;
    outgoing->ask = *ask;
    outgoing->ask.kind = ASK_CHUNK;
    outgoing->other_count = other_count;
    memcpy(outgoing->others, others, other_count * sizeof(*others));
    return true;
}

void outbox_store(struct turn *turn, const struct overlay_blob *blob)
{
    (void)outbox_store_awaited(turn, blob, 0);
}

bool outbox_store_awaited(struct turn *turn, const struct overlay_blob *blob, uint64_t token)
{
    struct outbox *outbox = turn->out;
    uint8_t *place = outbox->arena + outbox->arena_used_bytes;
    struct outgoing *outgoing;

    if (blob->bytes.length_bytes > OUTBOX_ARENA_BYTES - outbox->arena_used_bytes) {
        outbox->dropped_count++;
        return false;
    }
    outgoing = outbox_add(outbox, OUTBOX_MAX);
    if (outgoing == NULL) {
        return false;
    }
    outgoing->kind = OUT_STORE;
    outgoing->blob_kind = blob->kind;
    outgoing->blob_key = blob->key;
    outgoing->blob_number = blob->number;
    outgoing->store_token = token;
    if (blob->bytes.length_bytes > 0) {
        memcpy(place, blob->bytes.data, blob->bytes.length_bytes);
        outgoing->payload = (struct bytes){place, blob->bytes.length_bytes};
        outbox->arena_used_bytes += blob->bytes.length_bytes;
    }
    return true;
}

void outbox_trace(struct turn *turn, const char *format, ...)
{
    struct outbox *outbox = turn->out;
    char *place = (char *)outbox->arena + outbox->arena_used_bytes;
    struct outgoing *outgoing;
    va_list arguments;

    if (OUTBOX_ARENA_BYTES - outbox->arena_used_bytes < TRACE_BYTES_MAX) {
        return;
    }
    outgoing = outbox_add(outbox, OUTBOX_MESSAGES_MAX);
    if (outgoing == NULL) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(place, TRACE_BYTES_MAX, format, arguments);
    va_end(arguments);
    outgoing->kind = OUT_TRACE;
    outgoing->payload = bytes_of_text(place);
    outbox->arena_used_bytes += outgoing->payload.length_bytes + 1;
}

void outbox_unready(struct turn *turn, const struct replica_key *replica, const char *why)
{
    uint32_t count = turn->out->count;

    outbox_trace(turn, "%s", why);
    if (turn->out->count > count) {
        turn->out->list[count].kind = OUT_UNREADY;
        turn->out->list[count].replica = *replica;
    }
}

void outbox_local(struct turn *turn, const struct outgoing *outgoing)
{
    struct outgoing *place;

    CHECK(outgoing->kind >= OUT_SCAN_TREE);
    place = outbox_add(turn->out, OUTBOX_MAX);
    if (place != NULL) {
        *place = *outgoing;
    }
}
