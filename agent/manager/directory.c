// SPDX-License-Identifier: GPL-3.0-or-later
/* What anyone may ask: the status of one service, the list of services led here. */
#include <stdio.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

static uint64_t age(uint64_t now_ms, uint64_t since_ms)
{
    return since_ms != 0 && now_ms > since_ms ? now_ms - since_ms : 0;
}

static void head_fill(const struct service *service, uint64_t now_ms, minga_ServiceHead *head)
{
    *head = (minga_ServiceHead)minga_ServiceHead_init_zero;
    memcpy(head->service, service->id.id.bytes, ID_BYTES);
    (void)text_copy(head->name, sizeof(head->name), service->name);
    memcpy(head->owner_key, service->owner_key.bytes, PUBLIC_KEY_BYTES);
    head->version = service->version;
    head->sequence = service->sequence;
    head->state = (uint32_t)service_state_now(service);
    service_reason_now(service, head->reason);
    head->wanted_count = service->wanted_count;
    head->running_count = service_running_count(service);
    memcpy(head->manager, service->epoch.node.id.bytes, ID_BYTES);
    head->generation = service->epoch.generation;
    head->age_ms = age(now_ms, service->state_ms);
}

static bool slot_is_shown(const struct service *service, uint32_t index)
{
    return index < service_wanted(service) || slot_holds_node(&service->slots[index]);
}

/* While it is handed over: the one that serves still. */
static void retiring_fill(const struct retiring *retiring, uint64_t now_ms,
                          minga_SlotStatus *status)
{
    status->incarnation = retiring->incarnation;
    status->node.size = ID_BYTES;
    memcpy(status->node.bytes, retiring->node.id.bytes, ID_BYTES);
    status->state = REPLICA_RUNNING;
    status->health = (uint32_t)retiring->health;
    (void)text_copy(status->reason, sizeof(status->reason), "until it runs elsewhere");
    status->age_ms = now_ms - retiring->state_ms;
    status->heard_ms = age(now_ms, retiring->heard_ms);
    status->restart_count = retiring->restart_count;
    status->host_ports_count = (pb_size_t)retiring->port_count;
    for (uint32_t i = 0; i < retiring->port_count; i++) {
        status->host_ports[i] = retiring->host_ports[i];
    }
    status->has_used = true;
    status->used = limits_to_wire(&retiring->used);
    status->has_activity = true;
    status->activity = activity_to_wire(&retiring->activity);
    status->version = retiring->version;
}

static void slot_fill(const struct service *service, uint32_t index, uint64_t now_ms,
                      minga_SlotStatus *status)
{
    const struct slot *slot = &service->slots[index];

    *status = (minga_SlotStatus)minga_SlotStatus_init_zero;
    status->slot = (uint8_t)(index + 1);
    if (slot->retiring.there) {
        retiring_fill(&slot->retiring, now_ms, status);
        return;
    }
    status->incarnation = slot->incarnation;
    if (slot_holds_node(slot) || slot->phase == SLOT_DONE) {
        status->node.size = ID_BYTES;
        memcpy(status->node.bytes, slot->node.id.bytes, ID_BYTES);
    }
    status->state = (uint32_t)(slot->phase == SLOT_ENDING ? REPLICA_STOPPING : slot->state);
    status->health = (uint32_t)slot->health;
    (void)text_copy(status->reason, sizeof(status->reason), slot->reason);
    /* A slot that was never filled waits for as long as its service has been in its state. */
    status->age_ms = slot->state_ms != 0 ? now_ms - slot->state_ms : age(now_ms, service->state_ms);
    status->heard_ms = age(now_ms, slot->heard_ms);
    status->restart_count = slot->restart_count;
    /* At most what was reported: a byte. */
    status->next_try_s =
        slot->next_try_at_ms > now_ms ? (uint8_t)((slot->next_try_at_ms - now_ms + 999) / 1000) : 0;
    status->host_ports_count = (pb_size_t)slot->port_count;
    for (uint32_t i = 0; i < slot->port_count; i++) {
        status->host_ports[i] = slot->host_ports[i];
    }
    status->has_used = true;
    status->used = limits_to_wire(&slot->used);
    status->has_activity = true;
    status->activity = activity_to_wire(&slot->activity);
    status->version = slot->version;
}

static void manifest_fill(const struct service *service, minga_StatusPage *page)
{
    struct sandbox_limits limits = manifest_limits(&service->manifest);

    if (service->version_known == 0) {
        return;
    }
    page->has_limits = true;
    page->limits = limits_to_wire(&limits);
    page->port_names_count = (pb_size_t)service->manifest.port_count;
    for (uint32_t i = 0; i < service->manifest.port_count; i++) {
        const struct manifest_port *port = &service->manifest.ports[i];

        memcpy(page->port_names[i], port->name, sizeof(page->port_names[i]));
        page->udp_ports |= port->protocol == MANIFEST_UDP ? 1U << i : 0;
        page->members_ports |= port->visibility == MANIFEST_MEMBERS ? 1U << i : 0;
    }
}

/* What a secondary knows: where the last manager record has placed the replicas. */
static void secondary_fill(const struct service *service, const minga_StatusQuery *query,
                           minga_StatusPage *page)
{
    minga_Manager record;

    if (manager_record_open((struct bytes){service->stored, service->stored_bytes}, &record) < 0) {
        return;
    }
    memcpy(page->head.manager, record.node, ID_BYTES);
    page->head.generation = record.generation;
    for (pb_size_t i = 0; i < record.placements_count; i++) {
        const minga_Placement *placement = &record.placements[i];
        minga_SlotStatus *status = &page->slots[page->slots_count];

        if (placement->incarnation == 0) { /* nothing is there */
            continue;
        }
        page->head.slot_count = placement->slot;
        if (placement->slot < query->slot || page->slots_count >= STATUS_PAGE_REPLICAS_MAX) {
            continue;
        }
        page->slots_count++;
        *status = (minga_SlotStatus)minga_SlotStatus_init_zero;
        status->slot = (uint8_t)placement->slot;
        status->incarnation = placement->incarnation;
        status->node.size = ID_BYTES;
        memcpy(status->node.bytes, placement->node, ID_BYTES);
        (void)text_copy(status->reason, sizeof(status->reason), "its manager is not heard");
    }
}

/* One that held the record once may have a version from then: it is not told of each newer one. */
static bool is_kept_here(const struct turn *turn, const struct service_id *id)
{
    struct node_id nodes[RECORD_COPIES];
    uint32_t count = turn->around->candidates(turn->around->self, id, RECORD_COPIES, nodes);

    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&nodes[i].id, &turn->around->node.id)) {
            return true;
        }
    }
    return false;
}

/* A service whose record lies here, though this node neither leads nor follows it. */
static void bare_fill(const struct turn *turn, const struct service_id *id, minga_StatusPage *page)
{
    const struct surroundings *around = turn->around;
    struct bytes encoded = around->record(around->self, id, minga_RecordKind_RECORD_SERVICE, 0);
    minga_Record record;
    minga_Service wanted;

    if (record_read(encoded, &record) < 0 || record.removed ||
        record.kind != minga_RecordKind_RECORD_SERVICE || !is_kept_here(turn, id)) {
        return;
    }
    wanted = (minga_Service)minga_Service_init_zero;
    (void)service_content_read(&record, &wanted);
    page->found = true;
    page->hearsay = true;
    page->has_head = true;
    memcpy(page->head.service, id->id.bytes, ID_BYTES);
    memcpy(page->head.name, record.name, sizeof(page->head.name));
    memcpy(page->head.owner_key, record.owner_key, PUBLIC_KEY_BYTES);
    page->head.version = wanted.version;
    page->head.sequence = record.sequence;
    page->head.wanted_count = wanted.replicas;
    page->head.state = wanted.active ? SERVICE_STARTING : SERVICE_OFF;
    (void)text_copy(page->head.reason, sizeof(page->head.reason),
                    wanted.active ? "its manager is not heard" : "");
}

static const struct service *find_service(const struct manager *manager,
                                          const struct service_id *id)
{
    for (uint32_t i = 0; i < manager->high_water; i++) {
        if (manager->services[i].used && id_equal(&manager->services[i].id.id, &id->id)) {
            return &manager->services[i];
        }
    }
    return NULL;
}

void manager_status(const struct manager *manager, const struct turn *turn,
                    const minga_StatusQuery *query, minga_StatusPage *page_out)
{
    const struct service *service;
    struct service_id id;

    memcpy(id.id.bytes, query->service, ID_BYTES);
    service = find_service(manager, &id);
    *page_out = (minga_StatusPage)minga_StatusPage_init_zero;
    if (service == NULL || service->lead == LEAD_NOT || !service->known) {
        bare_fill(turn, &id, page_out);
        if (service != NULL && page_out->found && !query->history) {
            secondary_fill(service, query, page_out);
        }
        return;
    }
    page_out->found = !service->removed;
    page_out->has_head = true;
    head_fill(service, turn->now_ms, &page_out->head);
    if (query->history) {
        service_fill_ended(service, turn->now_ms, page_out);
        return;
    }
    manifest_fill(service, page_out);
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        if (!slot_is_shown(service, i)) {
            continue;
        }
        page_out->head.slot_count = i + 1;
        if (i + 1 >= query->slot && page_out->slots_count < STATUS_PAGE_REPLICAS_MAX) {
            minga_SlotStatus *status = &page_out->slots[page_out->slots_count++];

            slot_fill(service, i, turn->now_ms, status);
            if (service->slots[i].phase == SLOT_EMPTY && status->reason[0] == '\0') {
                (void)text_copy(status->reason, sizeof(status->reason), service->constraint);
            }
        }
    }
}

void manager_services(const struct manager *manager, const struct turn *turn,
                      const minga_ServicesQuery *query, minga_ServicesPage *page_out)
{
    *page_out = (minga_ServicesPage)minga_ServicesPage_init_zero;
    for (uint32_t i = query->cursor; i < manager->high_water; i++) {
        const struct service *service = &manager->services[i];

        if (!service->used || service->lead == LEAD_NOT || !service->known || service->removed) {
            continue;
        }
        if (page_out->services_count == SERVICES_PAGE_MAX) {
            page_out->next_cursor = i;
            return;
        }
        head_fill(service, turn->now_ms, &page_out->services[page_out->services_count++]);
    }
}

uint32_t manager_count(const struct manager *manager)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < manager->high_water; i++) {
        count += manager->services[i].used ? 1 : 0;
    }
    return count;
}

void manager_view(const struct manager *manager, uint32_t index, struct core_manager_view *view_out)
{
    const struct service *service = NULL;

    for (uint32_t i = 0; i < manager->high_water && service == NULL; i++) {
        if (manager->services[i].used && index-- == 0) {
            service = &manager->services[i];
        }
    }
    CHECK(service != NULL);
    *view_out = (struct core_manager_view){
        .service = service->id,
        .leading = service->lead == LEAD_LEADING,
        .epoch_generation = service->lead == LEAD_NOT ? service->stored_epoch.generation
                                                      : service->epoch.generation,
        .wanted_count = service_wanted(service),
        .running_count = service_running_count(service),
    };
}
