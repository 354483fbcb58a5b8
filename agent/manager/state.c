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
            state = "not heard yet";
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

/* Which replica runs another version than its owner wants? An older one is about to end; of a newer
 * one the record has not come yet. */
static void explain_version(const struct service *service, char *reason_out, size_t capacity_bytes)
{
    for (uint32_t i = 0; i < service_wanted(service); i++) {
        const struct slot *slot = &service->slots[i];

        if (slot_holds_node(slot) && slot->version != 0 && slot->version != service->version) {
            (void)snprintf(reason_out, capacity_bytes, "%s/%u runs version %llu, wanted is %llu",
                           service->name, i + 1, (unsigned long long)slot->version,
                           (unsigned long long)service->version);
            return;
        }
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

/* Of all that run, one may never have been seen to serve. */
static void explain_unproven(const struct service *service, char *reason_out, size_t capacity_bytes)
{
    for (uint32_t i = 0; i < service_wanted(service); i++) {
        if (service->slots[i].state == REPLICA_RUNNING &&
            service->slots[i].health == HEALTH_UNKNOWN) {
            (void)snprintf(reason_out, capacity_bytes, "%s/%u has not passed its health probe yet",
                           service->name, i + 1);
            return;
        }
    }
    reason_out[0] = '\0';
}

static void explain(const struct service *service, enum service_state state, uint32_t running_count,
                    char reason_out[REASON_CHARS_MAX + 1])
{
    bool is_short = state == SERVICE_DEGRADED || state == SERVICE_STARTING;
    char why[REASON_CHARS_MAX + 1] = "";

    explain_version(service, why, sizeof(why));
    if (why[0] != '\0') {
        /* it says why something is missing, too */
    } else if (is_short && service->constraint[0] != '\0') {
        (void)text_copy(why, sizeof(why), service->constraint);
    } else if (is_short) {
        explain_slot(service, why, sizeof(why));
    } else if (state == SERVICE_ACTIVE && service->version_known != 0 &&
               service->manifest.has_health) {
        explain_unproven(service, why, sizeof(why));
    }
    reason_out[0] = '\0';
    if (is_short || why[0] != '\0') {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "%u/%u: %.110s", running_count,
                       service_wanted(service), why);
    }
}

void service_reason_now(const struct service *service, char reason_out[REASON_CHARS_MAX + 1])
{
    if (service->state_ms != 0) {
        (void)text_copy(reason_out, REASON_CHARS_MAX + 1, service->reason);
    } else {
        explain(service, service_state_now(service), service_running_count(service), reason_out);
    }
}

void service_update_state(struct service *service, uint64_t now_ms)
{
    uint32_t running_count = service_running_count(service);
    enum service_state state = state_of(service, running_count);

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
    explain(service, state, running_count, service->reason);
}
