// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Who has a place in the table. Any member can name any service, in a record or a report of its own:
 * what this node need not know of yields to what it must, and goes by itself after a while.
 */
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

enum {
    FOREIGN_MS = 60 * 60 * 1000,
    IN_VAIN_MS = 60 * 1000, /* its record was looked up six times by then */
    FULL_MS = 1000,         /* nothing yields: looked at again then */
};

static bool has_record(const struct turn *turn, const struct service_id *id)
{
    const struct surroundings *around = turn->around;

    return around->record(around->self, id, minga_RecordKind_RECORD_SERVICE, 0).length_bytes > 0;
}

static bool knows_candidates(const struct turn *turn, const struct service_id *id)
{
    const struct surroundings *around = turn->around;
    struct node_id node;

    return around->candidates(around->self, id, 1, &node) > 0;
}

bool may_save(const struct turn *turn, const struct service_id *id, const struct node_id *from)
{
    return !knows_candidates(turn, id) || (may_manage(turn->around, id, from) &&
                                           may_manage(turn->around, id, &turn->around->node));
}

/* This node neither leads it nor may be next. Where that is not known here, in a large community,
 * it is no holder of the service's record either. */
static bool is_foreign(const struct turn *turn, const struct service *service)
{
    if (service->lead != LEAD_NOT) {
        return false;
    }
    return knows_candidates(turn, &service->id)
               ? !may_manage(turn->around, &service->id, &turn->around->node)
               : !has_record(turn, &service->id);
}

void service_drop(struct turn *turn, struct service *service)
{
    struct overlay_blob blob = {.kind = BLOB_MANAGER, .key = service->id.id};

    CHECK(service->used);
    outbox_store(turn, &blob);
    memset(service, 0, sizeof(*service));
}

/* Of a service that somebody has made up nothing runs, and nothing is done. */
static bool has_slots(const struct service *service)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        const struct slot *slot = &service->slots[i];

        if (slot_holds_node(slot) || slot->phase == SLOT_DONE) {
            return true;
        }
    }
    return false;
}

bool service_expires(struct turn *turn, struct service *service)
{
    bool led_in_vain = service->lead == LEAD_LEADING && !service->known && !has_slots(service) &&
                       turn->now_ms - service->lead_ms >= IN_VAIN_MS;

    if (!is_foreign(turn, service)) {
        service->foreign_ms = 0;
    } else if (service->foreign_ms == 0) {
        service->foreign_ms = turn->now_ms;
    }
    if (led_in_vain ||
        (service->foreign_ms != 0 && turn->now_ms - service->foreign_ms >= FOREIGN_MS)) {
        service_drop(turn, service);
        return true;
    }
    return false;
}

/* Of a table that is full the next one goes that is foreign, or of which no service record is known. */
static struct service *make_room(struct manager *manager, struct turn *turn)
{
    for (uint32_t i = 0; i < SERVICES_MAX && turn->now_ms >= manager->full_until_ms; i++) {
        uint32_t index = (manager->yielded + 1 + i) % SERVICES_MAX;
        struct service *service = &manager->services[index];

        CHECK(service->used);
        if (is_foreign(turn, service) || (!service->known && !has_record(turn, &service->id))) {
            manager->yielded = index;
            trace_service(turn, service, "yields its place");
            service_drop(turn, service);
            return service;
        }
    }
    if (turn->now_ms >= manager->full_until_ms) {
        manager->full_until_ms = turn->now_ms + FULL_MS;
    }
    return NULL;
}

struct service *service_make(struct manager *manager, struct turn *turn,
                             const struct service_id *id)
{
    struct service *service = service_by_id(manager, id);
    struct service *place = NULL;

    if (service != NULL) {
        return service;
    }
    for (uint32_t i = 0; place == NULL && i < SERVICES_MAX; i++) {
        if (!manager->services[i].used) {
            place = &manager->services[i];
            manager->high_water = i >= manager->high_water ? i + 1 : manager->high_water;
        }
    }
    if (place == NULL && turn != NULL) {
        place = make_room(manager, turn);
    }
    if (place != NULL) {
        place->used = true;
        place->id = *id;
    }
    return place;
}
