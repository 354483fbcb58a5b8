// SPDX-License-Identifier: GPL-3.0-or-later
/* What the effects of one step ask for, as one number. Fields, not structs: padding is noise. */
#include <string.h>

#include "agent/core/recording.h"
#include "base/hash.h"

#define HASH_EFFECTS "minga effects"

static void add_number(struct hash *hash, uint64_t number)
{
    uint8_t bytes[8];

    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
    hash_add(hash, (struct bytes){bytes, sizeof(bytes)});
}

static void add_id(struct hash *hash, const struct id *id)
{
    hash_add(hash, (struct bytes){id->bytes, ID_BYTES});
}

static void add_bytes(struct hash *hash, struct bytes bytes)
{
    add_number(hash, bytes.length_bytes);
    if (bytes.length_bytes > 0) {
        hash_add(hash, bytes);
    }
}

static void add_text(struct hash *hash, const char *text, size_t capacity_bytes)
{
    add_bytes(hash, (struct bytes){(const uint8_t *)text, strnlen(text, capacity_bytes)});
}

static void add_replica(struct hash *hash, const struct replica_key *replica)
{
    add_id(hash, &replica->service.id);
    add_number(hash, (uint64_t)replica->slot);
    add_number(hash, replica->incarnation);
}

static void add_limits(struct hash *hash, const struct sandbox_limits *limits)
{
    add_number(hash, limits->cpu_permille);
    add_number(hash, limits->memory_bytes);
    add_number(hash, limits->disk_bytes);
    add_number(hash, limits->pid_count);
}

static void add_relay(struct hash *hash, const struct overlay_effect *effect)
{
    add_id(hash, &effect->peer.node.id);
    add_number(hash, effect->relay.door);
    for (uint32_t i = 0; i < effect->relay.port_count; i++) {
        add_number(hash, effect->relay.ports[i].at_relay);
        add_number(hash, effect->relay.ports[i].at_leaf);
        add_number(hash, effect->relay.ports[i].is_udp);
    }
}

static void add_overlay(struct hash *hash, const struct overlay_effect *effect)
{
    add_number(hash, (uint64_t)effect->kind);
    switch (effect->kind) {
    case OVERLAY_SEND:
    case OVERLAY_REPLY:
    case OVERLAY_TRACE:
        add_id(hash, &effect->peer.node.id);
        add_number(hash, effect->peer.address_count);
        add_number(hash, effect->link);
        add_bytes(hash, effect->message);
        add_number(hash, effect->has_chunk ? 1 : 0);
        add_id(hash, &effect->chunk.id);
        break;
    case OVERLAY_DIAL_BACK:
        add_id(hash, &effect->peer.node.id);
        add_text(hash, effect->peer.addresses[0], sizeof(effect->peer.addresses[0]));
        add_bytes(hash, effect->message);
        break;
    case OVERLAY_RELAY:
    case OVERLAY_RELAYED:
        add_relay(hash, effect);
        break;
    case OVERLAY_STORE:
        add_number(hash, (uint64_t)effect->blob.kind);
        add_id(hash, &effect->blob.key);
        add_number(hash, effect->blob.number);
        add_bytes(hash, effect->blob.bytes);
        add_number(hash, effect->token);
        break;
    case OVERLAY_STORE_CHUNK:
    case OVERLAY_DROP_CHUNK:
        add_id(hash, &effect->chunk.id);
        add_number(hash, effect->data.length_bytes);
        add_number(hash, effect->token);
        break;
    case OVERLAY_HANG_UP:
    case OVERLAY_WAKE:
    case OVERLAY_DELIVER:
    case OVERLAY_MEMBER:
    case OVERLAY_ARC:
    case OVERLAY_RECORD:
    case OVERLAY_DONE:
    default:
        add_id(hash, &effect->peer.node.id);
        add_number(hash, effect->wake_ms);
        break;
    }
}

static void add_replica_status(struct hash *hash, const struct replica_status *status)
{
    add_number(hash, (uint64_t)status->slot);
    add_number(hash, status->incarnation);
    add_id(hash, &status->node.id);
    add_number(hash, (uint64_t)status->state);
    add_number(hash, (uint64_t)status->health);
    add_text(hash, status->reason, sizeof(status->reason));
    add_number(hash, status->age_ms);
    add_number(hash, (uint64_t)status->restart_count);
    add_number(hash, (uint64_t)status->next_try_s);
    add_number(hash, status->version);
    add_limits(hash, &status->used);
}

static void add_service_status(struct hash *hash, const struct service_status *status)
{
    add_id(hash, &status->service.id);
    add_text(hash, status->name, sizeof(status->name));
    add_number(hash, status->version);
    add_number(hash, status->sequence);
    add_number(hash, (uint64_t)status->state);
    add_text(hash, status->reason, sizeof(status->reason));
    add_number(hash, (uint64_t)status->wanted_count);
    add_number(hash, (uint64_t)status->running_count);
    add_id(hash, &status->manager.id);
    add_number(hash, status->epoch_generation);
    for (uint32_t i = 0; i < status->replica_count; i++) {
        add_replica_status(hash, &status->replicas[i]);
    }
}

static void add_lookup(struct hash *hash, const struct overlay_lookup *lookup)
{
    add_id(hash, &lookup->responsible.id);
    for (uint32_t i = 0; i < lookup->holder_count; i++) {
        add_id(hash, &lookup->holders[i].id);
    }
    for (uint32_t i = 0; i < lookup->path_count; i++) {
        add_id(hash, &lookup->path[i].id);
    }
}

static void add_answer(struct hash *hash, const struct core_answer *answer)
{
    uint32_t status_count = answer->status == NULL      ? 0
                            : answer->status_count == 0 ? 1
                                                        : answer->status_count;

    add_number(hash, answer->token);
    add_number(hash, (uint64_t)answer->outcome);
    add_text(hash, answer->reason, sizeof(answer->reason));
    add_bytes(hash, answer->record);
    add_number(hash, answer->is_new ? 1 : 0);
    add_number(hash, (uint64_t)answer->copies);
    for (uint32_t i = 0; i < status_count; i++) {
        add_service_status(hash, &answer->status[i]);
    }
    add_number(hash, (uint64_t)answer->next_cursor);
    add_bytes(hash, answer->data);
    add_number(hash, answer->data_offset_bytes);
    add_number(hash, answer->pass_until);
    add_lookup(hash, &answer->lookup);
}

static void add_start(struct hash *hash, const struct sandbox_spec *spec)
{
    add_replica(hash, &spec->key);
    add_id(hash, &spec->tree.id);
    hash_add(hash, (struct bytes){(const uint8_t *)spec->arguments, sizeof(spec->arguments)});
    hash_add(hash, (struct bytes){(const uint8_t *)spec->environment, sizeof(spec->environment)});
    add_limits(hash, &spec->limits);
    add_number(hash, (uint64_t)spec->connections_max << 1 | (spec->egress ? 1 : 0));
    for (uint32_t i = 0; i < spec->port_count; i++) {
        add_number(hash, (uint64_t)spec->ports[i].protocol << 32 |
                             (uint64_t)spec->ports[i].container_port << 16 |
                             spec->ports[i].host_port);
    }
}

static void add_exec(struct hash *hash, const struct core_exec *exec)
{
    add_number(hash, (uint64_t)exec->what);
    add_number(hash, exec->number);
    add_number(hash, exec->taken_bytes);
    add_number(hash, exec->wait ? 1 : 0);
    add_bytes(hash, exec->data);
}

static void add_effect(struct hash *hash, const struct core_effect *effect)
{
    add_number(hash, (uint64_t)effect->kind);
    if (effect->kind == CORE_IO) {
        add_overlay(hash, effect->overlay);
    } else if (effect->kind == CORE_ANSWER) {
        add_answer(hash, &effect->answer);
    } else if (effect->kind == CORE_START) {
        add_start(hash, effect->spec);
    } else {
        add_id(hash, &effect->tree.id);
        add_replica(hash, &effect->replica);
        add_number(hash, effect->offset_bytes);
        add_number(hash, effect->token);
        if (effect->kind == CORE_EXEC) {
            add_exec(hash, &effect->exec);
        }
        if (effect->kind == CORE_ALLOW) {
            add_number(hash, effect->allowed.cpu_permille);
            add_number(hash, effect->allowed.memory_bytes);
            add_number(hash, effect->allowed.upload_bytes_per_s);
            add_number(hash, effect->allowed.download_bytes_per_s);
        }
        add_number(hash, effect->wake_ms);
        add_text(hash, effect->text, sizeof(effect->text));
    }
}

uint64_t effects_digest(const struct core_effects *effects)
{
    uint64_t digest = 0;
    struct hash hash;
    struct id id;

    hash_init(&hash, HASH_EFFECTS);
    for (uint32_t i = 0; i < effects->count; i++) {
        add_effect(&hash, &effects->list[i]);
    }
    hash_done(&hash, &id);
    for (int i = 7; i >= 0; i--) {
        digest = digest << 8 | id.bytes[i];
    }
    return digest;
}
