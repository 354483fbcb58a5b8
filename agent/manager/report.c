// SPDX-License-Identifier: GPL-3.0-or-later
/* What executors report, and the manager's word on each replica. */
#include <stdio.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

struct reported { /* one replica of a report */
    const struct node_id *from;
    enum executor_mood mood;
    const minga_ReplicaReport *wire;
};

static bool reported_runs(const struct reported *reported)
{
    return reported->wire->state == REPLICA_RUNNING && reported->mood != MOOD_PAUSED &&
           reported->mood != MOOD_DRAINING && reported->wire->health != HEALTH_FAILING;
}

static bool is_over(const minga_ReplicaReport *wire)
{
    return wire->state == REPLICA_ENDED || wire->state == REPLICA_FAILED;
}

static void slot_take(struct slot *slot, const struct reported *reported, uint64_t now_ms)
{
    const minga_ReplicaReport *wire = reported->wire;

    slot->heard_ms = now_ms;
    slot->leaving = reported->mood == MOOD_PAUSED || reported->mood == MOOD_DRAINING;
    slot->state = (enum replica_state)wire->state;
    slot->health = (enum replica_health)wire->health;
    slot->state_ms = now_ms - wire->age_ms;
    (void)text_copy(slot->reason, sizeof(slot->reason), wire->reason);
    slot->restart_count = wire->restart_count;
    slot->next_try_at_ms = wire->next_try_s == 0 ? 0 : now_ms + wire->next_try_s * 1000UL;
    slot->port_count = wire->host_ports_count;
    for (pb_size_t i = 0; i < wire->host_ports_count; i++) {
        slot->host_ports[i] = (uint16_t)wire->host_ports[i];
    }
    slot->used = limits_of(wire->has_used, &wire->used);
    slot->activity = activity_of(wire->has_activity, &wire->activity);
    slot->version = wire->version;
    if (slot->phase == SLOT_SAVING || slot->phase == SLOT_ASKING ||
        (slot->phase == SLOT_DONE && !is_over(wire))) {
        slot_enter(slot, SLOT_PLACED, now_ms);
    }
}

/* Its version is one that our own record does not name yet: that will come. Not for ever, or a
 * version of which two machines have written in two parts, and lost one, would run on. */
static bool awaits_record(struct service *service, uint64_t version, uint64_t now_ms)
{
    if (version <= service->version) {
        return false;
    }
    if (service->newer_ms == 0 || version > service->newer_version) {
        service->newer_version = version;
        service->newer_ms = now_ms;
    }
    return now_ms < service->newer_ms + NEWER_MS;
}

/* Nobody knows yet what its manifest wants of one that has ended by itself. */
static bool is_undecided(struct service *service, const struct slot *slot, uint64_t now_ms)
{
    uint32_t index = (uint32_t)(slot - service->slots);

    if (!service->known || awaits_record(service, slot->version, now_ms)) {
        return true;
    }
    return index < service_wanted(service) && !service_outdates(service, slot->version) &&
           service->version_known != service->version;
}

static bool is_done(const struct service *service, const struct slot *slot)
{
    return service->version_known != 0 && service->version_known == slot->version &&
           !service_outdates(service, slot->version) &&
           service->manifest.restart != MANIFEST_RESTART_ALWAYS;
}

/*
 * The occupant of a slot has ended: for good, or to be filled again. Its end is reported again until
 * it is answered END: what is done only when a secondary knows it, too, so that no later manager
 * takes it for lost.
 */
static enum verdict occupant_ended(struct manager *manager, struct turn *turn,
                                   struct service *service, struct slot *slot,
                                   const struct reported *reported)
{
    bool failed = reported->wire->state == REPLICA_FAILED;
    /* The manager before us may have told it to end. */
    bool by_itself = slot->phase != SLOT_ENDING && slot->state != REPLICA_STOPPING && !failed;

    slot_take(slot, reported, turn->now_ms);
    if (by_itself && is_undecided(service, slot, turn->now_ms)) {
        return VERDICT_KEEP;
    }
    slot_note_ended(service, slot, slot->state, slot->reason, slot->state_ms);
    if (by_itself && is_done(service, slot)) {
        if (slot->phase != SLOT_DONE) {
            slot_enter(slot, SLOT_DONE, turn->now_ms);
            slot->revision = service->revision + 1;
            if (service->lead == LEAD_LEADING) { /* else when it has listened */
                service_save(manager, turn, service);
            }
        }
        return service->lead == LEAD_LEADING && service->revision_saved >= slot->revision
                   ? VERDICT_END
                   : VERDICT_KEEP;
    }
    slot_clear(slot, turn->now_ms);
    if (failed && reported->mood == MOOD_NORMAL) {
        service_avoid(service, reported->from, turn->now_ms + FAILED_MS);
        (void)text_copy(slot->reason, sizeof(slot->reason), reported->wire->reason);
    }
    service->find.retry_ms = turn->now_ms;
    return VERDICT_END;
}

static bool node_holds_other(const struct service *service, const struct slot *slot,
                             const struct node_id *node)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *other = &service->slots[i];

        if (other != slot && slot_holds_node(other) && id_equal(&other->node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* Of two that fill one slot, after two sides met again: a healthy one, then the older, stays. */
static bool challenger_wins(const struct service *service, const struct slot *slot,
                            const struct reported *reported, uint64_t now_ms)
{
    bool occupant_runs = slot->phase == SLOT_PLACED && slot->heard_ms != 0 &&
                         slot->state == REPLICA_RUNNING && slot->health != HEALTH_FAILING &&
                         !slot->leaving;
    uint64_t occupant_age_ms = now_ms - slot->state_ms;

    if (!reported_runs(reported) || node_holds_other(service, slot, reported->from) ||
        slot->phase == SLOT_DONE) {
        return false;
    }
    return !occupant_runs || reported->wire->age_ms > occupant_age_ms;
}

static void slot_adopt(struct service *service, struct slot *slot, const struct reported *reported,
                       uint64_t now_ms)
{
    CHECK(reported->wire->incarnation <= slot->incarnation_max);
    if (slot_retires(slot, reported->from, reported->wire->incarnation)) {
        slot->retiring.there = false; /* its node goes on after all */
    }
    slot_clear(slot, now_ms);
    slot->incarnation = reported->wire->incarnation;
    slot->node = *reported->from;
    slot_enter(slot, SLOT_PLACED, now_ms);
    slot_take(slot, reported, now_ms);
    service_check(service);
}

/* Not (any more) the one of its slot, and ended or told to end. */
static void note_challenger(struct service *service, const struct slot *slot,
                            const struct reported *reported, uint64_t now_ms)
{
    const minga_ReplicaReport *wire = reported->wire;
    bool over = is_over(wire);
    struct ended ended = {
        .slot = wire->slot,
        .incarnation = wire->incarnation,
        .node = *reported->from,
        .state = wire->state == REPLICA_FAILED ? REPLICA_FAILED : REPLICA_ENDED,
        .ended_ms = over ? now_ms - wire->age_ms : now_ms,
        .restart_count = wire->restart_count,
    };

    CHECK(slot == &service->slots[wire->slot - 1]);
    if (over) {
        (void)text_copy(ended.reason, sizeof(ended.reason), wire->reason);
    } else if (service_outdates(service, wire->version)) {
        (void)snprintf(ended.reason, sizeof(ended.reason), "not wanted: version %llu is",
                       (unsigned long long)service->version);
    } else {
        (void)text_copy(ended.reason, sizeof(ended.reason),
                        "not wanted: its slot is filled, or no more in use");
    }
    service_note_ended(service, &ended);
}

/* On a node that drains: does it serve until the slot's occupant can? */
static bool is_kept_on(const struct service *service, struct slot *slot,
                       const struct reported *reported, uint64_t now_ms)
{
    const minga_ReplicaReport *wire = reported->wire;
    struct retiring retiring = {
        .there = true,
        .node = *reported->from,
        .incarnation = wire->incarnation,
        .heard_ms = now_ms,
        .health = (enum replica_health)wire->health,
        .state_ms = now_ms - wire->age_ms,
        .restart_count = wire->restart_count,
        .port_count = wire->host_ports_count,
        .used = limits_of(wire->has_used, &wire->used),
        .activity = activity_of(wire->has_activity, &wire->activity),
        .version = wire->version,
    };

    for (pb_size_t i = 0; i < wire->host_ports_count; i++) {
        retiring.host_ports[i] = (uint16_t)wire->host_ports[i];
    }
    if (slot->retiring.there && !slot_retires(slot, reported->from, wire->incarnation)) {
        return false;
    }
    slot->retiring.there = false;
    if (reported->mood == MOOD_DRAINING && wire->state == REPLICA_RUNNING &&
        wire->health != HEALTH_FAILING && !slot_relieves(service, slot, now_ms)) {
        slot->retiring = retiring;
    }
    return slot->retiring.there;
}

static enum verdict judge_challenger(struct manager *manager, struct turn *turn,
                                     struct service *service, struct slot *slot,
                                     const struct reported *reported)
{
    bool listening = service->lead != LEAD_LEADING;
    uint32_t index = (uint32_t)(slot - service->slots);
    bool wanted = index < service_wanted(service);

    if (is_over(reported->wire)) {
        if (slot_retires(slot, reported->from, reported->wire->incarnation)) {
            slot->retiring.there = false;
        }
        return VERDICT_END;
    }
    if (service->known && service->removed) {
        return VERDICT_END; /* for good: once nothing runs there is no manager to say it later */
    }
    if (service_outdates(service, reported->wire->version)) {
        if (slot_retires(slot, reported->from, reported->wire->incarnation)) {
            slot->retiring.there = false;
        }
        return VERDICT_END; /* whatever its slot holds */
    }
    /* Before the service record is known nobody can say what is wanted. */
    if (wanted && challenger_wins(service, slot, reported, turn->now_ms)) {
        slot_adopt(service, slot, reported, turn->now_ms);
        trace_slot(turn, service, slot, "adopted");
        if (!listening) {
            service_save(manager, turn, service);
        }
        return VERDICT_KEEP;
    }
    if (listening || !service->known ||
        awaits_record(service, reported->wire->version, turn->now_ms)) {
        return VERDICT_KEEP;
    }
    if (!wanted) {
        return VERDICT_END;
    }
    if (is_kept_on(service, slot, reported, turn->now_ms)) {
        return VERDICT_KEEP;
    }
    if (reported->mood == MOOD_PAUSED) {
        return VERDICT_KEEP; /* frozen: judged when it is resumed */
    }
    return VERDICT_END;
}

/* Of one that is done it is another report of its end; or it runs on, whatever was said of it. */
static bool is_occupant(const struct service *service, const struct slot *slot,
                        const struct reported *reported)
{
    bool may_run = slot->phase == SLOT_DONE && !node_holds_other(service, slot, reported->from);

    return (slot_holds_node(slot) || may_run ||
            (slot->phase == SLOT_DONE && is_over(reported->wire))) &&
           slot->incarnation == reported->wire->incarnation &&
           id_equal(&slot->node.id, &reported->from->id);
}

static enum verdict judge(struct manager *manager, struct turn *turn, struct service *service,
                          const struct reported *reported)
{
    const minga_ReplicaReport *wire = reported->wire;
    struct epoch epoch = epoch_of(wire->has_epoch, &wire->epoch);
    struct slot *slot = &service->slots[wire->slot - 1];
    bool ended = is_over(wire);
    enum verdict verdict;

    CHECK(wire->slot >= 1 && wire->slot <= REPLICAS_PER_SERVICE_MAX);
    if (service->lead == LEAD_FETCHING) {
        return VERDICT_NOT_MANAGER;
    }
    if (epoch_compare(&epoch, &service->epoch) > 0) {
        service_pass(manager, turn, service, epoch.generation); /* someone else led it meanwhile */
    }
    CHECK(wire->incarnation <= slot->incarnation_max);
    if (is_occupant(service, slot, reported)) {
        if (ended) {
            return occupant_ended(manager, turn, service, slot, reported);
        }
        if (!slot->leaving && (reported->mood == MOOD_PAUSED || reported->mood == MOOD_DRAINING)) {
            service->find.retry_ms = turn->now_ms; /* find another at once */
        }
        slot_take(slot, reported, turn->now_ms);
        return VERDICT_KEEP; /* ENDING too: its end is to be reported, STOP is asked again */
    }
    verdict = judge_challenger(manager, turn, service, slot, reported);
    if (verdict == VERDICT_END) {
        note_challenger(service, slot, reported, turn->now_ms);
    }
    return verdict;
}

/* Reported though we know nothing of it: are we to manage it? */
static struct service *service_reported(struct manager *manager, struct turn *turn,
                                        const struct service_id *id)
{
    struct service *service = service_by_id(manager, id);

    if (service != NULL && service->lead != LEAD_NOT) {
        return service;
    }
    if (!service_leads(id, turn)) {
        return NULL;
    }
    service = service_make(manager, turn, id);
    if (service == NULL) {
        return NULL;
    }
    service->history = true;
    service_elect(manager, turn, service);
    return service;
}

static void note_mood(struct manager *manager, const struct node_id *node, enum executor_mood mood,
                      uint64_t now_ms)
{
    struct avoided *place = &manager->back_soon[0];

    for (uint32_t i = 0; i < manager->back_soon_count; i++) {
        struct avoided *known = &manager->back_soon[i];

        if (id_equal(&known->node.id, &node->id)) {
            known->until_ms = mood == MOOD_BACK_SOON ? now_ms + BACK_SOON_MS : 0;
            return;
        }
        place = known->until_ms < place->until_ms ? known : place;
    }
    if (mood != MOOD_BACK_SOON) {
        return;
    }
    if (manager->back_soon_count < BACK_SOON_MAX) {
        place = &manager->back_soon[manager->back_soon_count++];
    }
    *place = (struct avoided){*node, now_ms + BACK_SOON_MS};
}

static void verdict_fill(minga_Verdict *verdict_out, const struct service *service,
                         const minga_ReplicaReport *wire, enum verdict verdict)
{
    *verdict_out = (minga_Verdict)minga_Verdict_init_zero;
    memcpy(verdict_out->service, wire->service, ID_BYTES);
    verdict_out->slot = wire->slot;
    verdict_out->incarnation = wire->incarnation;
    verdict_out->verdict = (uint32_t)verdict;
    if (service != NULL) {
        verdict_out->has_epoch = true;
        verdict_out->epoch = epoch_to_wire(&service->epoch);
    }
}

void manager_report(struct manager *manager, struct turn *turn, const struct node_id *from,
                    const minga_Report *report, minga_ReportReply *reply_out)
{
    *reply_out = (minga_ReportReply)minga_ReportReply_init_zero;
    note_mood(manager, from, (enum executor_mood)report->mood, turn->now_ms);
    for (pb_size_t i = 0; i < report->replicas_count; i++) {
        const minga_ReplicaReport *wire = &report->replicas[i];
        struct reported reported = {from, (enum executor_mood)report->mood, wire};
        enum verdict verdict = VERDICT_NOT_MANAGER;
        struct service_id id;
        struct service *service;

        memcpy(id.id.bytes, wire->service, ID_BYTES);
        service = service_reported(manager, turn, &id);
        if (service != NULL && service_told(manager, turn, service, wire)) {
            verdict = judge(manager, turn, service, &reported);
        }
        verdict_fill(&reply_out->verdicts[reply_out->verdicts_count++], service, wire, verdict);
        if (service != NULL) {
            service_takeover_tick(manager, turn, service);
            service_pursue(manager, turn, service);
        }
    }
}
