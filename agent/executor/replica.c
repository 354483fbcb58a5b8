// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

static bool key_equal(const struct replica_key *a, const struct replica_key *b)
{
    return a->slot == b->slot && a->incarnation == b->incarnation &&
           id_equal(&a->service.id, &b->service.id);
}

struct replica *replica_by_key(struct executor *executor, const struct replica_key *key)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica->used && key_equal(&replica->key, key)) {
            return replica;
        }
    }
    return NULL;
}

/* One that is not ended; there is at most one that is not ending either. */
struct replica *replica_of_service(struct executor *executor, const struct service_id *service)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica_counts(replica) && id_equal(&replica->key.service.id, &service->id)) {
            return replica;
        }
    }
    return NULL;
}

bool phase_makes_tree(enum phase phase)
{
    return phase == PHASE_SCANNING || phase == PHASE_FETCHING || phase == PHASE_BUILDING;
}

void replica_say(struct replica *replica, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(replica->reason, sizeof(replica->reason), format, arguments);
    va_end(arguments);
}

/* In hundredths of its chunks, which are about as long as each other. */
static uint32_t percent_here(const struct replica *replica)
{
    uint32_t lacking = replica->missing_count + replica->asked_count;
    uint32_t here = replica->found_count - lacking;

    return (uint32_t)((uint64_t)here * 100 / replica->chunk_count);
}

void replica_reason(const struct executor *executor, const struct replica *replica,
                    char text_out[REASON_CHARS_MAX + 1])
{
    if (executor->paused) {
        (void)snprintf(text_out, REASON_CHARS_MAX + 1, "paused by its owner");
    } else if (replica->reason[0] != '\0' || !phase_makes_tree(replica->phase)) {
        (void)snprintf(text_out, REASON_CHARS_MAX + 1, "%s", replica->reason);
    } else if (replica->phase == PHASE_BUILDING) {
        (void)snprintf(text_out, REASON_CHARS_MAX + 1, "its bundle is being unpacked");
    } else if (replica->chunk_count > 0) {
        (void)snprintf(text_out, REASON_CHARS_MAX + 1, "%u %% of its bundle is here",
                       percent_here(replica));
    } else {
        text_out[0] = '\0';
    }
}

static const char *const phase_names[PHASE_COUNT] = {
    [PHASE_KEPT] = "kept",         [PHASE_SCANNING] = "scanning", [PHASE_FETCHING] = "fetching",
    [PHASE_BUILDING] = "building", [PHASE_READY] = "ready",       [PHASE_STARTING] = "starting",
    [PHASE_RUNNING] = "running",   [PHASE_WAITING] = "waiting",   [PHASE_STOPPING] = "stopping",
    [PHASE_OVER] = "over",
};

void replica_enter(struct executor *executor, struct turn *turn, struct replica *replica,
                   enum phase phase)
{
    CHECK(replica->used);
    CHECK(phase < PHASE_COUNT);
    /* What is told of it, is told since then: a tree is scanned and fetched in turns. */
    if (!phase_makes_tree(phase) || !phase_makes_tree(replica->phase)) {
        replica->since_ms = turn->now_ms;
    }
    replica->phase = phase;
    outbox_trace(turn, "%s/%u.%llu %s%s%.80s", replica->manifest.name, replica->key.slot,
                 (unsigned long long)replica->key.incarnation, phase_names[phase],
                 replica->reason[0] != '\0' ? ": " : "", replica->reason);
    executor->report_now = true;
}

static const struct floor *floor_find(const struct executor *executor,
                                      const struct replica_key *key)
{
    for (uint32_t i = 0; i < FLOORS_MAX; i++) {
        if (executor->floors[i].slot == key->slot &&
            id_equal(&executor->floors[i].service.id, &key->service.id)) {
            return &executor->floors[i];
        }
    }
    return NULL;
}

uint64_t floor_of(const struct executor *executor, const struct replica_key *key)
{
    const struct floor *known = floor_find(executor, key);

    return known != NULL ? known->incarnation : 0;
}

void floor_raise(struct executor *executor, const struct replica_key *key)
{
    const struct floor *known = floor_find(executor, key);
    struct floor *place = known != NULL ? &executor->floors[known - executor->floors]
                                        : &executor->floors[executor->floor_cursor++ % FLOORS_MAX];

    CHECK(key->slot > 0);
    if (known == NULL || known->incarnation < key->incarnation) {
        *place = (struct floor){key->service, key->slot, key->incarnation};
    }
}

bool replica_counts(const struct replica *replica)
{
    return replica->used && replica->phase != PHASE_OVER;
}

struct sandbox_limits executor_promised(const struct executor *executor)
{
    struct sandbox_limits sum = {0};

    for (uint32_t i = 0; i < executor->top; i++) {
        if (replica_counts(&executor->replicas[i])) {
            limits_add(&sum, &executor->replicas[i].limits);
        }
    }
    return sum;
}

static struct bytes blob_key_of(const struct replica *replica, struct overlay_blob *blob_out)
{
    blob_out->kind = BLOB_AGENT;
    blob_out->key = replica->key.service.id;
    blob_out->number = replica->key.slot;
    return (struct bytes){NULL, 0};
}

void replica_keep(struct turn *turn, const struct replica *replica)
{
    minga_KeptReplica kept = minga_KeptReplica_init_zero;
    uint8_t encoded[minga_KeptReplica_size];
    struct overlay_blob blob;
    int length;

    memcpy(kept.service, replica->key.service.id.bytes, ID_BYTES);
    kept.slot = replica->key.slot;
    kept.incarnation = replica->key.incarnation;
    kept.has_epoch = true;
    kept.epoch = epoch_to_wire(&replica->epoch);
    kept.restart_count = replica->restart_count;
    kept.host_ports_count = (pb_size_t)replica->manifest.port_count;
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        kept.host_ports[i] = replica->host_ports[i];
    }
    kept.version_record.size = (pb_size_t)replica->version_record_bytes;
    memcpy(kept.version_record.bytes, replica->version_record, replica->version_record_bytes);
    length = signed_encode_body(minga_KeptReplica_fields, &kept, encoded, sizeof(encoded));
    CHECK(length > 0);
    (void)blob_key_of(replica, &blob);
    blob.bytes = (struct bytes){encoded, (size_t)length};
    outbox_store(turn, &blob);
}

/* Only while no newer incarnation of the slot has been kept in its place. */
static void replica_unkeep(struct executor *executor, struct turn *turn,
                           const struct replica *replica)
{
    struct overlay_blob blob;

    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *other = &executor->replicas[i];

        if (other != replica && replica_counts(other) && other->key.slot == replica->key.slot &&
            id_equal(&other->key.service.id, &replica->key.service.id)) {
            return;
        }
    }
    blob.bytes = blob_key_of(replica, &blob);
    outbox_store(turn, &blob);
}

void replica_use(struct executor *executor, struct replica *replica)
{
    uint32_t index = (uint32_t)(replica - executor->replicas);

    CHECK(index < REPLICAS_PER_NODE_MAX && !replica->used);
    replica->used = true;
    if (index >= executor->top) {
        executor->top = index + 1;
    }
}

void replica_forget(struct executor *executor, struct turn *turn, struct replica *replica)
{
    (void)turn;
    CHECK(!replica_counts(replica));
    memset(replica, 0, sizeof(*replica));
    while (executor->top > 0 && !executor->replicas[executor->top - 1].used) {
        executor->top--;
    }
    executor->report_now = true;
}

void replica_over(struct executor *executor, struct turn *turn, struct replica *replica,
                  bool failed)
{
    CHECK(replica->phase != PHASE_OVER);
    trees_need(executor, turn, &replica->tree);
    replica_unkeep(executor, turn, replica);
    replica->failed = failed;
    if (failed && replica->phase >= PHASE_SCANNING && replica->phase <= PHASE_BUILDING) {
        outbox_unready(turn, &replica->key, replica->reason);
    }
    ended_note(executor, turn, replica);
    replica_health_unknown(replica);
    executor->free_changed = true;
    replica_enter(executor, turn, replica, PHASE_OVER);
    if (replica->drop_when_ended) {
        replica_forget(executor, turn, replica);
    }
}

void replica_stop(struct executor *executor, struct turn *turn, struct replica *replica,
                  const char *reason)
{
    struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};

    if (replica->phase == PHASE_OVER || replica->phase == PHASE_STOPPING) {
        return;
    }
    replica_say(replica, "%s", reason);
    if (replica->phase == PHASE_STARTING || replica->phase == PHASE_RUNNING ||
        replica->phase == PHASE_KEPT) {
        replica_enter(executor, turn, replica, PHASE_STOPPING);
        outbox_local(turn, &stop);
        return;
    }
    replica_over(executor, turn, replica, !replica->manager_ended);
}

static void check_pair(const struct replica *a, const struct replica *b)
{
    if (a->phase == PHASE_STOPPING || b->phase == PHASE_STOPPING) {
        return;
    }
    CHECK(!id_equal(&a->key.service.id, &b->key.service.id));
}

void executor_check(const struct executor *executor)
{
    struct sandbox_limits promised = executor_promised(executor);
    enum refusal lacking;

    CHECK(limits_fit(&promised, &executor->owner.ceiling, &lacking));
    for (uint32_t i = 0; i < executor->top; i++) {
        for (uint32_t j = i + 1; j < executor->top; j++) {
            if (replica_counts(&executor->replicas[i]) && replica_counts(&executor->replicas[j])) {
                check_pair(&executor->replicas[i], &executor->replicas[j]);
            }
        }
    }
}
