// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/curious.h"

#include <inttypes.h>
#include <string.h>

#include "base/attributes.h"
#include "tests/sim/converge.h"
#include "tests/sim/world.h"

enum { ASK_ONE_IN = 3 }; /* ticks, while there are faults */

static const enum core_request_kind kinds[] = {CORE_STATUS, CORE_SERVICES, CORE_LOGS, CORE_LOOKUP};

bool curious_asks(enum core_request_kind kind)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (kinds[i] == kind) {
            return true;
        }
    }
    return false;
}

void curious_tick(struct world *world)
{
    uint64_t drawn = world_draw(world, "curious", world->now_ms, 0);
    uint32_t node = (uint32_t)(drawn >> 8) % world->node_count;
    uint32_t service = (uint32_t)(drawn >> 40) % (world->client.service_count + 1);
    struct core_request request = {.kind = kinds[drawn % ARRAY_COUNT(kinds)], .slot = 1};

    if (world->client.service_count == 0 || service == world->client.service_count ||
        !client_is_member(world, node) ||
        (world->checker.converged_ms == 0 && (drawn >> 4) % ASK_ONE_IN != 0)) {
        return;
    }
    request.service = world->client.services[service].id;
    request.key.id = request.service.id;
    request.node = world->nodes[(drawn >> 24) % world->node_count].id;
    request.offset_bytes = UINT64_MAX;
    client_request(world, node, &request, SIM_SERVICES_MAX + service);
}

/* A community with fewer nodes than a service wants is degraded, and says so. */
static bool has_enough_nodes(const struct world *world, const struct client_service *service)
{
    return !service->known.active || converge_running(world, service) == service->known.replicas;
}

static void check_status(struct world *world, const struct client_service *service,
                         const struct core_answer *answer)
{
    const struct service_status *status = answer->status;
    bool active = service->known.active;

    if (status == NULL || answer->status_count > 1) {
        world_fail(world, "%s: a status without a status", service->name);
        return;
    }
    if (active && !has_enough_nodes(world, service)) {
        if (status->state != SERVICE_DEGRADED || status->reason[0] == '\0') {
            world_fail(world, "%s is short of nodes and does not say so", service->name);
        }
        return;
    }
    /* A question that is lost is answered by who knows less, and says so. */
    if (world->schedule.loss_permille > 0 &&
        strcmp(status->reason, "its manager is not heard") == 0) {
        return;
    }
    if (status->state != (active ? SERVICE_ACTIVE : SERVICE_OFF)) {
        world_fail(world, "%s: its status says %s: %s", service->name,
                   service_state_name(status->state), status->reason);
    }
    if (active && (status->wanted_count != service->known.replicas ||
                   status->running_count != converge_running(world, service))) {
        world_fail(world, "%s: its status says %u of %u", service->name, status->running_count,
                   status->wanted_count);
    }
    for (uint32_t i = 0; active && i < status->replica_count; i++) {
        if (status->replicas[i].version != service->known.version) {
            world_fail(world, "%s/%u is said to be of version %" PRIu64 ", wanted is %" PRIu64,
                       service->name, status->replicas[i].slot, status->replicas[i].version,
                       service->known.version);
        }
    }
}

static void check_right(struct world *world, const struct pending *pending,
                        const struct core_answer *answer)
{
    const struct client_service *service =
        &world->client.services[pending->service - SIM_SERVICES_MAX];
    struct ring_key key = {service->id.id};
    bool is_ok = answer->outcome == OVERLAY_OK;

    if (service->known.removed && pending->kind != CORE_LOOKUP) {
        if (is_ok && pending->kind == CORE_STATUS) {
            world_fail(world, "%s is removed and has a status", service->name);
        }
        return;
    }
    if (pending->kind == CORE_STATUS && is_ok) {
        check_status(world, service, answer);
    }
    if (pending->kind == CORE_LOOKUP && is_ok &&
        world_find(world, &answer->lookup.responsible) != converge_ideal_node(world, &key)) {
        world_fail(world, "%s looks up the wrong node", world->nodes[pending->node].name);
    }
    if (pending->kind == CORE_LOGS && is_ok && answer->data.length_bytes == 0) {
        world_fail(world, "%s: no logs of a running replica", service->name);
    }
    if (!is_ok && (pending->kind == CORE_STATUS || pending->kind == CORE_LOOKUP ||
                   (pending->kind == CORE_LOGS && service->known.active &&
                    has_enough_nodes(world, service)))) {
        world_fail(world, "%s answers question %d of %s with %d: %s",
                   world->nodes[pending->node].name, (int)pending->kind, service->name,
                   (int)answer->outcome, answer->reason);
    }
}

void curious_answered(struct world *world, const struct pending *pending,
                      const struct core_answer *answer)
{
    if (world->checker.converged_ms != 0 && pending->asked_ms >= world->checker.converged_ms) {
        check_right(world, pending, answer);
    }
}
