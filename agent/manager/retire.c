// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Make before break. What serves on a node that drains is kept until the slot's occupant elsewhere
 * relieves it: asked, fetching or started only is not enough. Nothing of it is saved: a new manager
 * learns it from the report of the one that retires.
 */
#include <string.h>

#include "agent/manager/internal.h"
#include "base/check.h"

bool slot_relieves(const struct service *service, const struct slot *slot, uint64_t now_ms)
{
    bool probed = service->version_known != 0 && service->manifest.has_health;

    if (slot->phase == SLOT_DONE) {
        return true; /* it has done its work: nothing is to be kept up */
    }
    if (slot->phase != SLOT_PLACED || slot->heard_ms == 0 || slot->down ||
        slot->state != REPLICA_RUNNING || slot->health == HEALTH_FAILING) {
        return false;
    }
    return probed ? slot->health == HEALTH_OK : now_ms - slot->state_ms >= SETTLE_MS;
}

void slot_retire_occupant(const struct service *service, struct slot *slot, uint64_t now_ms)
{
    bool serves =
        slot->phase == SLOT_PLACED && slot->state == REPLICA_RUNNING && slot->heard_ms != 0;

    /* Of two that drain the one that is known to serve stays. */
    if (serves && (!slot->retiring.there || slot_relieves(service, slot, now_ms))) {
        slot->retiring = (struct retiring){
            .there = true,
            .node = slot->node,
            .incarnation = slot->incarnation,
            .heard_ms = slot->heard_ms,
            .health = slot->health,
            .state_ms = slot->state_ms,
            .restart_count = slot->restart_count,
            .port_count = slot->port_count,
            .used = slot->used,
            .activity = slot->activity,
            .version = slot->version,
        };
        memcpy(slot->retiring.host_ports, slot->host_ports, sizeof(slot->host_ports));
    }
}

bool slot_retires(const struct slot *slot, const struct node_id *node, uint64_t incarnation)
{
    return slot->retiring.there && slot->retiring.incarnation == incarnation &&
           id_equal(&slot->retiring.node.id, &node->id);
}

void retiring_review(struct manager *manager, struct turn *turn, struct service *service,
                     uint32_t index)
{
    struct slot *slot = &service->slots[index];
    struct retiring *retiring = &slot->retiring;
    bool silent = turn->now_ms > retiring->heard_ms + ABSENT_MS;

    CHECK(index < REPLICAS_PER_SERVICE_MAX);
    if (!retiring->there) {
        return;
    }
    if (node_is_gone(manager, turn, &retiring->node) || node_is_down(turn, &retiring->node) ||
        (silent && !manager_back_soon(manager, &retiring->node, turn->now_ms))) {
        retiring->there = false;
    } else if (index >= service_wanted(service) || slot_relieves(service, slot, turn->now_ms) ||
               service_outdates(service, retiring->version)) {
        slot_ask_stop(turn, service, index + 1, &retiring->node, retiring->incarnation);
        retiring->there = false; /* should this be lost: its next report is answered END */
    }
}
