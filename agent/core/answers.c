// SPDX-License-Identifier: GPL-3.0-or-later
/* Answers to the API, and what they borrow from until the next step. */
#include <stdio.h>
#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"

struct core_answer *request_answer_begin(struct core *core, struct request *request)
{
    struct core_answer *answer = &core_emit(core, CORE_ANSWER)->answer;

    CHECK(request->used);
    answer->token = request->token;
    answer->outcome = OVERLAY_OK;
    request->used = false; /* exactly one answer */
    return answer;
}

/* By another request: this process, or this node's membership. */
static bool is_ending(const struct core *core)
{
    for (uint32_t i = 0; i < core->request_top; i++) {
        const struct request *request = &core->requests[i];

        if (request->used && (request->kind == CORE_LEAVE || request->kind == CORE_SHUT_DOWN)) {
            return true;
        }
    }
    return false;
}

void request_answer(struct core *core, struct request *request, enum overlay_outcome outcome,
                    const char *reason)
{
    struct core_answer *answer = request_answer_begin(core, request);

    if (request->kind == CORE_LEAVE && outcome != OVERLAY_OK && !is_ending(core)) {
        executor_stay(core->executor, &core->turn);
    }
    answer->outcome = outcome;
    (void)snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
}

struct bytes core_copy(struct core *core, struct bytes bytes)
{
    uint8_t *place = core->arena + core->arena_used_bytes;

    if (bytes.length_bytes == 0 ||
        bytes.length_bytes > ANSWER_ARENA_BYTES - core->arena_used_bytes) {
        return (struct bytes){NULL, 0};
    }
    memcpy(place, bytes.data, bytes.length_bytes);
    core->arena_used_bytes += bytes.length_bytes;
    return (struct bytes){place, bytes.length_bytes};
}

struct service_status *core_statuses(struct core *core, uint32_t count)
{
    struct service_status *first = &core->statuses[core->status_count];

    if (count > STATUSES_MAX - core->status_count) {
        return NULL;
    }
    core->status_count += count;
    memset(first, 0, count * sizeof(*first));
    return first;
}

void status_from_head(const minga_ServiceHead *head, struct service_status *status_out)
{
    memcpy(status_out->service.id.bytes, head->service, ID_BYTES);
    (void)text_copy(status_out->name, sizeof(status_out->name), head->name);
    memcpy(status_out->owner_key.bytes, head->owner_key, PUBLIC_KEY_BYTES);
    status_out->version = head->version;
    status_out->sequence = head->sequence;
    status_out->state = (enum service_state)head->state;
    (void)text_copy(status_out->reason, sizeof(status_out->reason), head->reason);
    status_out->wanted_count = head->wanted_count;
    status_out->running_count = head->running_count;
    memcpy(status_out->manager.id.bytes, head->manager, ID_BYTES);
    status_out->epoch_generation = head->generation;
    status_out->age_ms = head->age_ms;
    status_out->slot_count = head->slot_count;
}

/* "host:port" or "[v6]:port" without the port. */
void address_host(const char *address, char host_out[ADDRESS_CHARS_MAX + 1])
{
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : strlen(address);

    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length <= ADDRESS_CHARS_MAX) {
        memcpy(host_out, address, length);
        host_out[length] = '\0';
    }
}

static void replica_from_slot(const struct core *core, const minga_StatusPage *page,
                              const minga_SlotStatus *slot, struct replica_status *status)
{
    const struct overlay_member *member;

    status->slot = slot->slot;
    status->incarnation = slot->incarnation;
    status->placed = slot->node.size == ID_BYTES;
    status->state = (enum replica_state)slot->state;
    status->health = (enum replica_health)slot->health;
    (void)text_copy(status->reason, sizeof(status->reason), slot->reason);
    status->age_ms = slot->age_ms;
    status->heard_ms = slot->heard_ms;
    status->restart_count = slot->restart_count;
    status->next_try_s = slot->next_try_s;
    status->version = slot->version;
    status->used = limits_of(slot->has_used, &slot->used);
    status->activity = activity_of(slot->has_activity, &slot->activity);
    status->limits = limits_of(page->has_limits, &page->limits);
    status->port_count = slot->host_ports_count < page->port_names_count ? slot->host_ports_count
                                                                         : page->port_names_count;
    for (uint32_t i = 0; i < status->port_count; i++) {
        (void)text_copy(status->ports[i].name, sizeof(status->ports[i].name), page->port_names[i]);
        status->ports[i].host_port = (uint16_t)slot->host_ports[i];
        status->ports[i].is_udp = (page->udp_ports >> i & 1) != 0;
        status->ports[i].for_members = (page->members_ports >> i & 1) != 0;
    }
    if (!status->placed) {
        return;
    }
    memcpy(status->node.id.bytes, slot->node.bytes, ID_BYTES);
    member = overlay_member_by_id(core->overlay, &status->node);
    if (member != NULL) {
        (void)text_copy(status->node_name, sizeof(status->node_name), member->record.name);
        if (member->record.addresses_count > 0) {
            address_host(member->record.addresses[0], status->address);
        }
    }
}

void status_from_page(const struct core *core, const minga_StatusPage *page,
                      struct service_status *status_out)
{
    status_from_head(&page->head, status_out);
    status_out->replica_count = page->slots_count;
    for (pb_size_t i = 0; i < page->slots_count; i++) {
        replica_from_slot(core, page, &page->slots[i], &status_out->replicas[i]);
    }
}

static_assert(STATUS_PAGE_REPLICAS_MAX == sizeof(((minga_StatusPage *)0)->slots) /
                                              sizeof(((minga_StatusPage *)0)->slots[0]),
              "a page of the wire is a page of the API");
static_assert(SERVICES_PAGE_MAX == sizeof(((minga_ServicesPage *)0)->services) /
                                       sizeof(((minga_ServicesPage *)0)->services[0]),
              "a page of the wire is a page of the API");
