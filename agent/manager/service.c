// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

struct service *service_by_id(struct manager *manager, const struct service_id *id)
{
    for (uint32_t i = 0; i < manager->high_water; i++) {
        struct service *service = &manager->services[i];

        if (service->used && id_equal(&service->id.id, &id->id)) {
            return service;
        }
    }
    return NULL;
}

bool service_leads(const struct service_id *id, const struct turn *turn)
{
    struct node_id leader;

    return !turn->around->alone &&
           turn->around->candidates(turn->around->self, id, 1, &leader) == 1 &&
           id_equal(&leader.id, &turn->around->node.id);
}

void slot_enter(struct slot *slot, enum slot_phase phase, uint64_t now_ms)
{
    slot->phase = phase;
    slot->phase_ms = now_ms;
    slot->put_off = false;
}

/* Empties a slot; what its next filling must know stays. */
void slot_clear(struct slot *slot, uint64_t now_ms)
{
    uint64_t incarnation_max = slot->incarnation_max;
    struct retiring retiring = slot->retiring;
    struct walk walk = slot->walk;

    memset(slot, 0, sizeof(*slot));
    slot->incarnation_max = incarnation_max;
    slot->walk = walk;
    slot->retiring = retiring;
    slot->state = REPLICA_WAITING;
    slot->state_ms = now_ms;
    slot_enter(slot, SLOT_EMPTY, now_ms);
}

bool slot_holds_node(const struct slot *slot)
{
    return slot->phase == SLOT_SAVING || slot->phase == SLOT_ASKING || slot->phase == SLOT_PLACED ||
           slot->phase == SLOT_ENDING;
}

uint32_t service_wanted(const struct service *service)
{
    return service->known && service->active && !service->removed ? service->wanted_count : 0;
}

bool service_outdates(const struct service *service, uint64_t version)
{
    return service->known && version != 0 && version < service->version;
}

static bool slot_runs(const struct service *service, const struct slot *slot)
{
    if (slot->retiring.there) {
        return true; /* the one before still answers */
    }
    return slot->phase == SLOT_PLACED && !service_outdates(service, slot->version) &&
           slot->heard_ms != 0 && !slot->down && slot->state == REPLICA_RUNNING &&
           slot->health != HEALTH_FAILING;
}

uint32_t service_running_count(const struct service *service)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < service_wanted(service); i++) {
        count += slot_runs(service, &service->slots[i]) ? 1 : 0;
    }
    return count;
}

/* Never two slots of a service on one node. */
static bool has_node_alone(const struct service *service, uint32_t index)
{
    const struct slot *slot = &service->slots[index];

    for (uint32_t i = index + 1; i < REPLICAS_PER_SERVICE_MAX && slot_holds_node(slot); i++) {
        if (slot_holds_node(&service->slots[i]) &&
            id_equal(&slot->node.id, &service->slots[i].node.id)) {
            return false;
        }
    }
    return true;
}

void service_check(const struct service *service)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];

        CHECK(slot->incarnation <= slot->incarnation_max);
        CHECK(has_node_alone(service, i));
    }
}

/* ------------------------------------------------------------------ nodes to leave alone */

static bool listed(const struct avoided *list, uint32_t count, const struct node_id *node,
                   uint64_t now_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&list[i].node.id, &node->id) && now_ms < list[i].until_ms) {
            return true;
        }
    }
    return false;
}

void service_avoid(struct service *service, const struct node_id *node, uint64_t until_ms)
{
    struct avoided *place = &service->avoided[0];

    for (uint32_t i = 0; i < service->avoided_count; i++) {
        if (id_equal(&service->avoided[i].node.id, &node->id)) {
            service->avoided[i].until_ms = until_ms;
            return;
        }
        if (service->avoided[i].until_ms < place->until_ms) {
            place = &service->avoided[i]; /* full: the one to be forgiven first gives way */
        }
    }
    if (service->avoided_count < AVOID_MAX) {
        place = &service->avoided[service->avoided_count++];
    }
    *place = (struct avoided){*node, until_ms};
}

bool service_avoids(const struct service *service, const struct node_id *node, uint64_t now_ms)
{
    return listed(service->avoided, service->avoided_count, node, now_ms);
}

bool manager_back_soon(const struct manager *manager, const struct node_id *node, uint64_t now_ms)
{
    return listed(manager->back_soon, manager->back_soon_count, node, now_ms);
}

/* ------------------------------------------------------------------ records */

static void take_service(struct service *service, struct turn *turn, const minga_Record *record)
{
    minga_Service wanted = minga_Service_init_zero;

    if (service->known && record->sequence <= service->sequence) {
        return;
    }
    if (!record->removed && service_content_read(record, &wanted) < 0) {
        return;
    }
    if (!service->active && wanted.active) {
        service->was_full = false;
        service->constraint[0] = '\0';
    }
    /* The owner has acted, perhaps made room: nodes that failed a moment ago are worth a try. */
    service->avoided_count = 0;
    service->newer_ms = service->newer_version <= wanted.version ? 0 : service->newer_ms;
    service->known = true;
    service->sequence = record->sequence;
    memcpy(service->owner_key.bytes, record->owner_key, PUBLIC_KEY_BYTES);
    (void)text_copy(service->name, sizeof(service->name), record->name);
    service->removed = record->removed;
    service->active = !record->removed && wanted.active;
    service->wanted_count =
        wanted.replicas < REPLICAS_PER_SERVICE_MAX ? wanted.replicas : REPLICAS_PER_SERVICE_MAX;
    service->version = wanted.version;
    service->find.retry_ms = turn->now_ms;
}

static void take_version(struct service *service, struct bytes encoded, const minga_Record *record)
{
    minga_Version version;

    if (record->number != service->version ||
        encoded.length_bytes > sizeof(service->version_record) ||
        version_open(record, &version, &service->manifest) < 0) {
        return;
    }
    memcpy(service->version_record, encoded.data, encoded.length_bytes);
    service->version_record_bytes = encoded.length_bytes;
    service->version_known = record->number;
}

void service_take_record(struct service *service, struct turn *turn, struct bytes encoded,
                         minga_RecordKind kind)
{
    minga_Record record;

    if (record_read(encoded, &record) < 0 || record.kind != kind) {
        return;
    }
    if (kind == minga_RecordKind_RECORD_SERVICE) {
        take_service(service, turn, &record);
    } else if (kind == minga_RecordKind_RECORD_VERSION) {
        take_version(service, encoded, &record);
    }
}

static void ask_record(struct turn *turn, const struct service *service, minga_RecordKind kind,
                       uint64_t number)
{
    struct ask ask = {.service = service->id, .record_kind = kind, .number = number};

    outbox_get_record(turn, &ask);
}

/* Anybody can name services that there are none of: these are not asked for again and again. */
static uint64_t longer(uint64_t pause_ms)
{
    if (pause_ms == 0) {
        return FIND_RETRY_MS;
    }
    return pause_ms < RECORD_AGAIN_MS / 2 ? 2 * pause_ms : RECORD_AGAIN_MS;
}

/* From the local store; what is not there is asked of its holders, once a while. */
void service_read_records(struct manager *manager, struct turn *turn, struct service *service)
{
    const struct surroundings *around = turn->around;
    minga_RecordKind kind = minga_RecordKind_RECORD_SERVICE;
    struct bytes record = around->record(around->self, &service->id, kind, 0);

    (void)manager;
    if (record.length_bytes > 0) {
        service_take_record(service, turn, record, kind);
    } else if (!service->known &&
               turn->now_ms >= service->record_asked_ms + service->record_pause_ms) {
        service->record_asked_ms = turn->now_ms;
        service->record_pause_ms = longer(service->record_pause_ms);
        ask_record(turn, service, kind, 0);
    }
    kind = minga_RecordKind_RECORD_VERSION;
    if (!service->known || service->version == 0 || service->version_known == service->version) {
        return;
    }
    record = around->record(around->self, &service->id, kind, service->version);
    if (record.length_bytes > 0) {
        service_take_record(service, turn, record, kind);
    } else if (turn->now_ms >= service->version_asked_ms + FIND_RETRY_MS) {
        service->version_asked_ms = turn->now_ms;
        ask_record(turn, service, kind, service->version);
    }
}
