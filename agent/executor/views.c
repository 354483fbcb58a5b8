// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "agent/core/pass.h"
#include "agent/executor/internal.h"
#include "base/check.h"

bool executor_is_empty(const struct executor *executor)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        if (replica_counts(&executor->replicas[i])) {
            return false;
        }
    }
    return true;
}

bool executor_is_paused(const struct executor *executor)
{
    return executor->paused;
}

uint32_t executor_count(const struct executor *executor)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < executor->top; i++) {
        count += executor->replicas[i].used ? 1 : 0;
    }
    return count;
}

static const struct replica *replica_at(const struct executor *executor, uint32_t index)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        if (executor->replicas[i].used && index-- == 0) {
            return &executor->replicas[i];
        }
    }
    return NULL;
}

void executor_replica(const struct executor *executor, uint32_t index, uint64_t now_ms,
                      struct core_replica *replica_out)
{
    const struct replica *replica = replica_at(executor, index);
    struct replica_status *status = &replica_out->status;

    CHECK(replica != NULL);
    memset(replica_out, 0, sizeof(*replica_out));
    replica_out->key = replica->key;
    memcpy(replica_out->service_name, replica->manifest.name, sizeof(replica_out->service_name));
    replica_out->owner_key = replica->owner_key;
    replica_out->is_frozen = replica->frozen;
    status->slot = replica->key.slot;
    status->incarnation = replica->key.incarnation;
    status->placed = true;
    status->port_count = replica->manifest.port_count;
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        memcpy(status->ports[i].name, replica->manifest.ports[i].name,
               sizeof(status->ports[i].name));
        status->ports[i].host_port = replica->host_ports[i];
        status->ports[i].is_udp = replica->manifest.ports[i].protocol == MANIFEST_UDP;
        status->ports[i].for_members = replica->manifest.ports[i].visibility == MANIFEST_MEMBERS;
    }
    status->state = replica_state_of(executor, replica);
    status->health = replica->health;
    replica_reason(executor, replica, status->reason);
    status->age_ms = now_ms > replica->since_ms ? now_ms - replica->since_ms : 0;
    status->restart_count = replica->restart_count;
    status->next_try_s = replica_next_try_s(replica, now_ms);
    status->version = replica->version;
    status->used = replica->used_limits;
    status->activity = replica->activity;
    status->limits = replica->limits;
}

bool executor_find_slot(const struct executor *executor, const struct service_id *service,
                        uint32_t slot, struct replica_key *key_out)
{
    bool found = false;

    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        if (replica->used && replica->key.slot == slot &&
            id_equal(&replica->key.service.id, &service->id) &&
            (!found || replica->key.incarnation > key_out->incarnation)) {
            *key_out = replica->key;
            found = true;
        }
    }
    return found;
}

const char *executor_exec_fault(const struct executor *executor, const struct replica_key *key,
                                const struct public_key *owner_key)
{
    const struct replica *replica = NULL;

    for (uint32_t i = 0; i < executor->top && replica == NULL; i++) {
        const struct replica *found = &executor->replicas[i];

        if (found->used && found->key.slot == key->slot &&
            found->key.incarnation == key->incarnation &&
            id_equal(&found->key.service.id, &key->service.id)) {
            replica = found;
        }
    }
    if (replica == NULL) {
        return "this replica is not here, or not any more";
    }
    if (memcmp(replica->owner_key.bytes, owner_key->bytes, PUBLIC_KEY_BYTES) != 0) {
        return "the service is somebody else's";
    }
    if (replica->phase != PHASE_RUNNING) {
        return "the replica does not run";
    }
    if (executor->paused || replica->frozen) {
        return "the replica is frozen: its node is paused, or waits for the manager";
    }
    return executor->sandbox_up ? NULL : "its node has no sandbox helper at the moment";
}

static const struct replica *running(const struct executor *executor, const minga_PassAsk *ask)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        if (replica->used && replica->phase == PHASE_RUNNING && replica->key.slot == ask->slot &&
            memcmp(replica->key.service.id.bytes, ask->service, ID_BYTES) == 0) {
            return replica;
        }
    }
    return NULL;
}

const char *executor_pass_fault(const struct executor *executor, const minga_PassAsk *ask,
                                struct pass *pass_out)
{
    const struct replica *replica = running(executor, ask);

    if (replica == NULL) {
        return "this replica does not run there, or not any more";
    }
    if (executor->paused || replica->frozen) {
        return "the replica is frozen: its node is paused, or waits for the manager";
    }
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        const struct manifest_port *port = &replica->manifest.ports[i];

        if (strcmp(port->name, ask->port_name) == 0 && replica->host_ports[i] != 0) {
            pass_out->replica = replica->key;
            pass_out->host_port = replica->host_ports[i];
            return port->visibility == MANIFEST_MEMBERS ? NULL
                                                        : "the port is public: nobody needs a pass";
        }
    }
    return "the replica has no such port";
}

static const char *state_of(const struct executor *executor)
{
    if (executor->paused) {
        return "paused";
    }
    if (executor->owner.pausing) {
        return "pausing";
    }
    if (executor->draining) {
        return "draining";
    }
    if (executor->owner.keeping) {
        return "keeping";
    }
    if (executor->isolated) {
        return "isolated";
    }
    if (executor->config.runs && !executor->sandbox_up) {
        return "no sandbox";
    }
    if (executor->config.runs && executor_disk_refuses(executor)[0] != '\0') {
        return "disk refuses";
    }
    return "ready";
}

struct core_word executor_word(const struct executor *executor)
{
    const struct owner *owner = &executor->owner;
    const struct owner_allowance *allowance = &owner->policy.allowance;

    if (owner->order != ORDER_NONE) { /* named where no rule is stricter */
        bool is_pause = owner->order == ORDER_PAUSE;
        enum owner_mode ordered = is_pause && executor->paused ? OWNER_FREEZE : OWNER_DRAIN;

        if (ordered >= allowance->then.mode) {
            return (struct core_word){is_pause ? "node pause" : "node drain", ordered};
        }
    } else if (owner->is_aside && allowance->then.mode < OWNER_DRAIN) {
        return (struct core_word){"sleep or shutdown", OWNER_DRAIN};
    }
    return (struct core_word){allowance->rule, allowance->then.mode};
}

static void rule_status(const struct executor *executor, struct owner_clock clock,
                        struct node_status *status_out)
{
    const struct owner *owner = &executor->owner;
    const struct owner_allowance *allowance = &owner->policy.allowance;
    struct core_word word = executor_word(executor);

    status_out->rule_mode = owner_mode_name(word.mode);
    status_out->rule_left_ms = UINT64_MAX;
    status_out->named = allowance->named;
    if (word.rule == allowance->rule && word.rule[0] != '\0') {
        status_out->rule_left_ms = owner_policy_left_ms(&owner->policy, clock);
    } else if (owner->order == ORDER_PAUSE && owner->until_unix_s != 0) {
        status_out->rule_left_ms =
            owner->until_ms > clock.now_ms ? owner->until_ms - clock.now_ms : 0;
    }
    (void)text_copy(status_out->rule, sizeof(status_out->rule), word.rule);
}

void executor_status(const struct executor *executor, struct owner_clock clock,
                     struct node_status *status_out)
{
    const char *refuses = executor_disk_refuses(executor);

    memset(status_out, 0, sizeof(*status_out));
    status_out->state = state_of(executor);
    rule_status(executor, clock, status_out);
    status_out->allowed = executor->owner.allowed;
    status_out->runs = executor->config.runs && executor->sandbox_up;
    if (executor->config.runs) { /* else nobody misses it */
        (void)text_copy(status_out->reason, sizeof(status_out->reason), executor->sandbox_reason);
    }
    if (executor->config.runs && executor->sandbox_up && refuses[0] != '\0') {
        (void)snprintf(status_out->reason, sizeof(status_out->reason),
                       "nothing new is run here: its disk takes nothing: %.78s", refuses);
    }
    status_out->contribution = executor->config.contribution;
    status_out->promised = executor_promised(executor);
    for (uint32_t i = 0; i < executor->top; i++) {
        limits_add(&status_out->used, &executor->replicas[i].used_limits);
    }
}
