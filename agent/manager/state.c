// SPDX-License-Identifier: GPL-3.0-or-later
/* The state of a service and the sentence beside it. */
#include <stdio.h>
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

static bool anything_held(const struct service *service)
{
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        if (slot_holds_node(&service->slots[i]) || service->slots[i].retiring.there) {
            return true;
        }
    }
    return false;
}

/* Which wanted replica does not run, and why? */
static void explain_slot(const struct service *service, char *reason_out, size_t capacity_bytes)
{
    for (uint32_t i = 0; i < service_wanted(service); i++) {
        const struct slot *slot = &service->slots[i];
        const char *state =
            slot->phase == SLOT_DONE ? "has ended" : replica_state_name(slot->state);

        if (slot->phase == SLOT_PLACED && slot->state == REPLICA_RUNNING &&
            slot->health != HEALTH_FAILING && slot->heard_ms != 0 && !slot->down) {
            continue;
        }
        if (slot->phase == SLOT_PLACED && (slot->heard_ms == 0 || slot->down)) {
            state = "not heard";
        } else if (slot->health == HEALTH_FAILING) {
            state = "fails its health probe";
        } else if (slot->phase == SLOT_SAVING || slot->phase == SLOT_ASKING) {
            state = "being placed";
        }
        (void)snprintf(reason_out, capacity_bytes, "%s/%u %s%s%.60s", service->name, i + 1, state,
                       slot->reason[0] != '\0' ? ": " : "", slot->reason);
        return;
    }
    reason_out[0] = '\0';
}

static enum service_state state_of(const struct service *service, uint32_t running_count)
{
    if (service_wanted(service) == 0) {
        return anything_held(service) ? SERVICE_STOPPING : SERVICE_OFF;
    }
    if (running_count >= service_wanted(service)) {
        return SERVICE_ACTIVE;
    }
    if (service->constraint[0] == '\0' && !service->was_full) {
        return SERVICE_STARTING;
    }
    return SERVICE_DEGRADED;
}

enum service_state service_state_now(const struct service *service)
{
    return service->state_ms != 0 ? service->state
                                  : state_of(service, service_running_count(service));
}

void service_update_state(struct service *service, uint64_t now_ms)
{
    uint32_t running_count = service_running_count(service);
    enum service_state state = state_of(service, running_count);
    char why[REASON_CHARS_MAX + 1];

    if (state == SERVICE_ACTIVE) {
        service->was_full = true;
        service->constraint[0] = '\0';
    }
    if (state == SERVICE_OFF) {
        service->was_full = false;
        service->constraint[0] = '\0';
    }
    if (state != service->state || service->state_ms == 0) {
        service->state = state;
        service->state_ms = now_ms;
    }
    service->reason[0] = '\0';
    if (state != SERVICE_DEGRADED && state != SERVICE_STARTING) {
        return;
    }
    explain_slot(service, why, sizeof(why));
    (void)snprintf(service->reason, sizeof(service->reason), "%u/%u: %.110s", running_count,
                   service_wanted(service),
                   service->constraint[0] != '\0' ? service->constraint : why);
}
