// SPDX-License-Identifier: GPL-3.0-or-later
/* What the executor says to managers and members, and what they say of its replicas. */
#include <stdio.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"

static const enum replica_state states[PHASE_COUNT] = {
    [PHASE_KEPT] = REPLICA_RUNNING,      [PHASE_SCANNING] = REPLICA_FETCHING,
    [PHASE_FETCHING] = REPLICA_FETCHING, [PHASE_BUILDING] = REPLICA_FETCHING,
    [PHASE_READY] = REPLICA_STARTING,    [PHASE_STARTING] = REPLICA_STARTING,
    [PHASE_RUNNING] = REPLICA_RUNNING,   [PHASE_WAITING] = REPLICA_WAITING,
    [PHASE_STOPPING] = REPLICA_STOPPING, [PHASE_OVER] = REPLICA_ENDED,
};

enum replica_state replica_state_of(const struct executor *executor, const struct replica *replica)
{
    CHECK(replica->used);
    if (replica->phase == PHASE_OVER && replica->failed) {
        return REPLICA_FAILED;
    }
    if (executor->paused && replica->phase == PHASE_RUNNING) {
        return REPLICA_WAITING;
    }
    return states[replica->phase];
}

const char *executor_disk_refuses(const struct executor *executor)
{
    if (executor->disk_refuses[0] == '\0' && executor->config.storage_bytes == 0) {
        return "contribute.storage is 0"; /* it is where bundles are kept, too */
    }
    return executor->disk_refuses;
}

struct sandbox_limits executor_free_limits(const struct executor *executor)
{
    struct sandbox_limits promised = executor_promised(executor);

    if (!executor->config.runs || !executor->sandbox_up || executor->paused || executor->draining ||
        executor->owner.keeping || executor->isolated ||
        executor_disk_refuses(executor)[0] != '\0') {
        return (struct sandbox_limits){0};
    }
    return limits_minus(&executor->owner.target, &promised);
}

static struct policy_facts facts_of(struct executor *executor, const struct service_id *service)
{
    struct policy_facts facts = {
        .config = &executor->config,
        .target = executor->owner.target,
        .promised = executor_promised(executor),
        .sandbox_up = executor->sandbox_up,
        .isolated = executor->isolated,
        .disk_refuses = executor_disk_refuses(executor),
        .paused = executor->paused,
        .draining = executor->draining,
        .keeping = executor->owner.keeping,
        .has_replica = replica_of_service(executor, service) != NULL,
        .free_port_count = ports_free_count(executor),
    };

    for (uint32_t i = 0; i < executor->top; i++) {
        facts.replica_count += executor->replicas[i].used ? 1 : 0;
    }
    return facts;
}

bool executor_find(struct executor *executor, struct turn *turn, const minga_Find *find,
                   minga_Offer *offer_out)
{
    struct policy_need need = {.limits = limits_of(find->has_need, &find->need)};
    struct policy_facts facts;
    struct sandbox_limits free = executor_free_limits(executor);

    memcpy(need.service.id.bytes, find->service, ID_BYTES);
    memcpy(need.owner.id.bytes, find->owner, ID_BYTES);
    need.port_count = find->port_count;
    need.egress = find->egress;
    need.arch_count = find->archs_count;
    for (pb_size_t i = 0; i < find->archs_count; i++) {
        need.archs[i] = (enum manifest_arch)find->archs[i];
    }
    need.label_count = find->labels_count;
    for (pb_size_t i = 0; i < find->labels_count; i++) {
        need.labels[i] = find->labels[i];
    }
    facts = facts_of(executor, &need.service);
    *offer_out = (minga_Offer)minga_Offer_init_zero;
    memcpy(offer_out->service, find->service, ID_BYTES);
    offer_out->round = find->round;
    offer_out->refusal = (uint32_t)policy_admit(&facts, &need, offer_out->reason);
    offer_out->has_free = true;
    offer_out->free = limits_to_wire(&free);
    offer_out->has_contribution = true;
    offer_out->contribution = limits_to_wire(&executor->owner.target);
    offer_out->replica_count = facts.replica_count;
    offer_out->uptime_ms = turn->now_ms - executor->started_ms;
    return true;
}

static enum refusal admit(struct executor *executor, const struct replica *fresh,
                          char reason_out[REASON_CHARS_MAX + 1])
{
    const struct manifest *manifest = &fresh->manifest;
    struct policy_facts facts = facts_of(executor, &fresh->key.service);
    struct policy_need need = {
        .service = fresh->key.service,
        .owner = keys_owner_id(&fresh->owner_key),
        .limits = fresh->limits,
        .port_count = manifest->port_count,
        .arch_count = manifest->arch_count,
        .label_count = manifest->label_count,
        .egress = manifest->egress == MANIFEST_EGRESS_INTERNET,
    };

    memcpy(need.archs, manifest->archs, sizeof(need.archs));
    for (uint32_t i = 0; i < manifest->label_count; i++) {
        need.labels[i] = manifest->labels[i];
    }
    return policy_admit(&facts, &need, reason_out);
}

/* Everything of a new replica that the request and its version record say. */
static int replica_fill(struct replica *replica, const minga_AskStart *ask)
{
    struct bytes encoded = {ask->version_record.bytes, ask->version_record.size};
    minga_Record record;
    minga_Version version;

    memset(replica, 0, sizeof(*replica));
    memcpy(replica->key.service.id.bytes, ask->service, ID_BYTES);
    replica->key.slot = ask->slot;
    replica->key.incarnation = ask->incarnation;
    replica->epoch = epoch_of(ask->has_epoch, &ask->epoch);
    if (owner_record_open(encoded, &replica->key.service, &record) < 0 ||
        version_open(&record, &version, &replica->manifest) < 0) {
        return -1;
    }
    replica->version = record.number;
    memcpy(replica->owner_key.bytes, record.owner_key, PUBLIC_KEY_BYTES);
    memcpy(replica->tree.id.bytes, version.tree, ID_BYTES);
    replica->limits = manifest_limits(&replica->manifest);
    replica->version_record_bytes = encoded.length_bytes;
    memcpy(replica->version_record, encoded.data, encoded.length_bytes);
    replica->other_count = ask->others_count;
    for (pb_size_t i = 0; i < ask->others_count; i++) {
        memcpy(replica->others[i].id.bytes, ask->others[i], ID_BYTES);
    }
    return 0;
}

static struct replica *replica_place(struct executor *executor)
{
    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (!executor->replicas[i].used) {
            return &executor->replicas[i];
        }
    }
    return NULL;
}

static enum refusal accept_start(struct executor *executor, struct turn *turn,
                                 const minga_AskStart *ask, char *reason_out)
{
    struct replica *place = replica_place(executor);
    struct replica_key key = {.slot = ask->slot, .incarnation = ask->incarnation};
    enum refusal refusal;

    memcpy(key.service.id.bytes, ask->service, ID_BYTES);
    if (key.incarnation <= floor_of(executor, &key)) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "a later one has run here");
        return REFUSAL_STALE;
    }

    if (place == NULL) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "its table of replicas is full");
        return REFUSAL_FULL;
    }
    if (replica_fill(place, ask) < 0) {
        memset(place, 0, sizeof(*place));
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "the version record is not valid");
        return REFUSAL_RECORD;
    }
    refusal = admit(executor, place, reason_out);
    if (refusal != REFUSAL_NONE) {
        memset(place, 0, sizeof(*place));
        return refusal;
    }
    replica_use(executor, place);
    floor_raise(executor, &key);
    executor->free_changed = true;
    trees_need(executor, turn, &place->tree);
    replica_scan(executor, turn, place);
    return REFUSAL_NONE;
}

/* May who asks command what is done for the service? It names itself in the epoch, and may be its
 * manager. In a large community that is looked up first: it asks again. */
static enum refusal refusal_of(const struct turn *turn, const struct replica_key *key,
                               const struct node_id *from, const struct epoch *epoch)
{
    if (!id_equal(&from->id, &epoch->node.id)) {
        return REFUSAL_STALE;
    }
    return may_manage(turn->around, &key->service, from) ? REFUSAL_NONE : REFUSAL_MANAGER;
}

/* It may, and its epoch is at least as high as what was obeyed before. */
static enum refusal obeys(const struct turn *turn, const struct replica *replica,
                          const struct node_id *from, const struct epoch *epoch)
{
    enum refusal refusal = refusal_of(turn, &replica->key, from, epoch);

    return refusal == REFUSAL_NONE && epoch_compare(epoch, &replica->epoch) < 0 ? REFUSAL_STALE
                                                                                : refusal;
}

static enum refusal start_beside(struct executor *executor, struct turn *turn,
                                 const struct epoch *epoch, const minga_AskStart *ask,
                                 struct replica *present)
{
    if (epoch_compare(epoch, &present->epoch) < 0 ||
        (present->key.slot == ask->slot && ask->incarnation < present->key.incarnation)) {
        return REFUSAL_STALE;
    }
    if (present->key.slot == ask->slot && present->key.incarnation == ask->incarnation) {
        present->epoch = *epoch; /* a repeated request */
        return present->phase == PHASE_STOPPING ? REFUSAL_STALE : REFUSAL_NONE;
    }
    /* The manager wants another incarnation here: the present one is surplus. */
    present->epoch = *epoch;
    present->manager_ended = true;
    replica_stop(executor, turn, present, "replaced by its manager");
    return REFUSAL_HAS_REPLICA;
}

void executor_ask_start(struct executor *executor, struct turn *turn, const struct node_id *from,
                        const minga_AskStart *ask, minga_AskReply *reply_out)
{
    struct epoch epoch = epoch_of(ask->has_epoch, &ask->epoch);
    struct replica_key key = {.slot = ask->slot};
    struct replica *present;
    enum refusal refusal;

    memcpy(key.service.id.bytes, ask->service, ID_BYTES);
    *reply_out = (minga_AskReply)minga_AskReply_init_zero;
    memcpy(reply_out->service, ask->service, ID_BYTES);
    reply_out->slot = ask->slot;
    reply_out->incarnation = ask->incarnation;
    present = replica_of_service(executor, &key.service);
    refusal = refusal_of(turn, &key, from, &epoch);
    if (refusal == REFUSAL_NONE && present != NULL) {
        refusal = start_beside(executor, turn, &epoch, ask, present);
    } else if (refusal == REFUSAL_NONE) {
        refusal = accept_start(executor, turn, ask, reply_out->reason);
    }
    reply_out->refusal = (uint32_t)refusal;
    if (refusal == REFUSAL_STALE) { /* a manager that forgot learns what it must exceed */
        reply_out->incarnation = floor_of(executor, &key);
    }
    executor_check(executor);
}

void executor_ask_stop(struct executor *executor, struct turn *turn, const struct node_id *from,
                       const minga_AskStop *ask, minga_AskReply *reply_out)
{
    struct epoch epoch = epoch_of(ask->has_epoch, &ask->epoch);
    struct replica_key key = {.slot = ask->slot, .incarnation = ask->incarnation};
    struct replica *replica;
    enum refusal refusal;

    memcpy(key.service.id.bytes, ask->service, ID_BYTES);
    *reply_out = (minga_AskReply)minga_AskReply_init_zero;
    memcpy(reply_out->service, ask->service, ID_BYTES);
    reply_out->slot = ask->slot;
    reply_out->incarnation = ask->incarnation;
    replica = replica_by_key(executor, &key);
    if (replica == NULL) {
        reply_out->refusal = REFUSAL_UNKNOWN;
        return;
    }
    refusal = obeys(turn, replica, from, &epoch);
    if (refusal != REFUSAL_NONE) {
        reply_out->refusal = (uint32_t)refusal;
        return;
    }
    replica->epoch = epoch;
    replica->manager_ended = true;
    replica_stop(executor, turn, replica, ask->reason[0] != '\0' ? ask->reason : "stopped");
}

static void take_verdict(struct executor *executor, struct turn *turn, struct replica *replica,
                         enum verdict verdict)
{
    struct outgoing thaw = {.kind = OUT_THAW, .replica = replica->key};

    if (verdict == VERDICT_KEEP) {
        if (replica->frozen && !executor->paused && replica->phase == PHASE_RUNNING) {
            replica->frozen = false;
            outbox_local(turn, &thaw);
        }
        return;
    }
    if (replica->phase == PHASE_OVER) {
        replica_forget(executor, turn, replica);
        return;
    }
    replica->manager_ended = true;
    replica->drop_when_ended = true;
    replica_stop(executor, turn, replica, "ended by its manager");
}

void executor_verdicts(struct executor *executor, struct turn *turn, const struct node_id *from,
                       const minga_ReportReply *reply)
{
    for (pb_size_t i = 0; i < reply->verdicts_count; i++) {
        const minga_Verdict *wire = &reply->verdicts[i];
        struct replica_key key = {.slot = wire->slot, .incarnation = wire->incarnation};
        struct epoch epoch = epoch_of(wire->has_epoch, &wire->epoch);
        struct replica *replica;

        memcpy(key.service.id.bytes, wire->service, ID_BYTES);
        replica = replica_by_key(executor, &key);
        if (replica == NULL || wire->verdict == VERDICT_NOT_MANAGER ||
            obeys(turn, replica, from, &epoch) != REFUSAL_NONE) {
            continue;
        }
        replica->epoch = epoch;
        take_verdict(executor, turn, replica, (enum verdict)wire->verdict);
    }
}

/* At the host a port for members is TCP, whatever passes there. */
static bool is_udp_outside(const struct replica *replica, uint32_t index)
{
    const struct manifest_port *port = &replica->manifest.ports[index];

    return port->protocol == MANIFEST_UDP && port->visibility != MANIFEST_MEMBERS;
}

/* Where others reach the port: on a leaf, at its relay. */
static uint16_t port_outside(const struct turn *turn, const struct replica *replica, uint32_t index)
{
    uint16_t port = replica->host_ports[index];

    return turn->around->port_outside == NULL || port == 0
               ? port
               : turn->around->port_outside(turn->around->self, port,
                                            is_udp_outside(replica, index));
}

uint32_t executor_published(const struct executor *executor, uint32_t count_max,
                            struct overlay_port *ports_out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &executor->replicas[i];

        for (uint32_t k = 0; replica->used && k < replica->manifest.port_count; k++) {
            if (count < count_max && replica->host_ports[k] != 0) {
                ports_out[count++] =
                    (struct overlay_port){replica->host_ports[k], is_udp_outside(replica, k)};
            }
        }
    }
    return count;
}

static void report_fill(const struct executor *executor, const struct replica *replica,
                        const struct turn *turn, minga_ReplicaReport *report)
{
    *report = (minga_ReplicaReport)minga_ReplicaReport_init_zero;
    memcpy(report->service, replica->key.service.id.bytes, ID_BYTES);
    report->slot = replica->key.slot;
    report->incarnation = replica->key.incarnation;
    report->has_epoch = true;
    report->epoch = epoch_to_wire(&replica->epoch);
    report->version = replica->version;
    report->state = (uint32_t)replica_state_of(executor, replica);
    /* What is frozen answers no probe, whatever it answered before. */
    report->health = (uint32_t)(replica->frozen ? HEALTH_UNKNOWN : replica->health);
    replica_reason(executor, replica, report->reason);
    report->age_ms = turn->now_ms - replica->since_ms;
    report->restart_count = replica->restart_count;
    report->next_try_s = replica_next_try_s(replica, turn->now_ms);
    report->host_ports_count = (pb_size_t)replica->manifest.port_count;
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        report->host_ports[i] = port_outside(turn, replica, i);
    }
    report->has_used = true;
    report->used = limits_to_wire(&replica->used_limits);
    report->has_activity = true;
    report->activity = activity_to_wire(&replica->activity);
}

static enum executor_mood mood_of(const struct executor *executor, bool leaving)
{
    if (executor->draining || leaving) {
        return MOOD_DRAINING;
    }
    if (executor->paused) {
        return MOOD_PAUSED;
    }
    return executor->back_soon ? MOOD_BACK_SOON : MOOD_NORMAL;
}

static void report_send(struct executor *executor, struct turn *turn, const struct node_id *to,
                        bool leaving, minga_AgentMessage *message)
{
    struct sandbox_limits free = executor_free_limits(executor);
    struct ask ask = {.kind = ASK_REPORT, .to = *to};

    message->which_body = minga_AgentMessage_report_tag;
    message->body.report.mood = (uint32_t)mood_of(executor, leaving);
    message->body.report.has_free = true;
    message->body.report.free = limits_to_wire(&free);
    (void)outbox_message(turn, &ask, message);
    message->body.report.replicas_count = 0;
}

/* The manager of a service (rank 0) or one of its secondaries, as this node sees it. */
static bool candidate_at(const struct turn *turn, const struct service_id *service, uint32_t rank,
                         struct node_id *node_out)
{
    struct node_id nodes[CANDIDATES_MAX];

    CHECK(rank < CANDIDATES_MAX);
    if (turn->around->candidates(turn->around->self, service, rank + 1, nodes) <= rank) {
        return false;
    }
    *node_out = nodes[rank];
    return true;
}

/* One batch (or more, when it is full) per manager; what leaves by itself has its own mood, hence
 * its own batch. */
static void report_all(struct executor *executor, struct turn *turn, uint32_t rank)
{
    struct node_id managers[REPLICAS_PER_NODE_MAX];
    bool told[REPLICAS_PER_NODE_MAX] = {false};
    minga_AgentMessage message = minga_AgentMessage_init_zero;

    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        told[i] = !replica->used || !candidate_at(turn, &replica->key.service, rank, &managers[i]);
    }
    for (uint32_t i = 0; i < executor->top; i++) {
        minga_Report *report = &message.body.report;

        if (told[i]) {
            continue;
        }
        for (uint32_t j = i; j < executor->top; j++) {
            if (told[j] || !id_equal(&managers[i].id, &managers[j].id) ||
                executor->replicas[i].leaving != executor->replicas[j].leaving) {
                continue;
            }
            told[j] = true;
            report_fill(executor, &executor->replicas[j], turn,
                        &report->replicas[report->replicas_count++]);
            if (report->replicas_count == REPORT_REPLICAS_MAX) {
                report_send(executor, turn, &managers[i], executor->replicas[i].leaving, &message);
            }
        }
        if (report->replicas_count > 0) {
            report_send(executor, turn, &managers[i], executor->replicas[i].leaving, &message);
        }
    }
}

static void tell_free(struct executor *executor, struct turn *turn, const struct node_id *to)
{
    minga_AgentMessage message = minga_AgentMessage_init_zero;
    struct sandbox_limits free = executor_free_limits(executor);
    struct ask ask = {.kind = ASK_NOTHING, .to = *to};

    message.which_body = minga_AgentMessage_free_tag;
    message.body.free.has_free = true;
    message.body.free.free = limits_to_wire(&free);
    (void)outbox_message(turn, &ask, &message);
}

/* Where many join at once each would otherwise dial all others at that moment, and all would wait
 * for the handshakes. */
void executor_member_up(struct executor *executor, struct turn *turn, const struct node_id *node)
{
    if (id_equal(&node->id, &turn->around->node.id) || executor->newcomer_count == NEWCOMERS_MAX) {
        return; /* the change of what is free will tell */
    }
    for (uint32_t i = 0; i < executor->newcomer_count; i++) {
        if (id_equal(&executor->newcomers[i].id, &node->id)) {
            return;
        }
    }
    if (executor->newcomer_count == 0) {
        executor->newcomer_at_ms =
            turn->now_ms + NEWCOMER_MS + random_below(&executor->random, NEWCOMER_MS);
    }
    executor->newcomers[executor->newcomer_count++] = *node;
}

static void tell_newcomer(struct executor *executor, struct turn *turn)
{
    tell_free(executor, turn, &executor->newcomers[0]);
    executor->newcomer_count--;
    memmove(&executor->newcomers[0], &executor->newcomers[1],
            executor->newcomer_count * sizeof(executor->newcomers[0]));
    executor->newcomer_at_ms = turn->now_ms + NEWCOMER_NEXT_MS;
}

void executor_flush(struct executor *executor, struct turn *turn)
{
    struct node_id others[64];
    uint32_t count;

    if (executor->report_now || turn->now_ms >= executor->report_at_ms) {
        executor->report_now = false;
        executor->report_at_ms = turn->now_ms + HEARTBEAT_MS;
        report_all(executor, turn, 0);
        /* This node may be the manager too: whoever leads next must know that it is back soon. */
        for (uint32_t rank = 1; executor->back_soon && rank <= BACK_SOON_TOLD; rank++) {
            report_all(executor, turn, rank);
        }
    }
    if (executor->newcomer_count > 0 && turn->now_ms >= executor->newcomer_at_ms) {
        tell_newcomer(executor, turn);
    }
    if (executor->free_changed) {
        executor->free_changed = false;
        count = turn->around->others(turn->around->self, 64, others);
        for (uint32_t i = 0; i < count; i++) {
            tell_free(executor, turn, &others[i]);
        }
    }
}
