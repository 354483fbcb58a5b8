// SPDX-License-Identifier: GPL-3.0-or-later
#include <inttypes.h>

#include "agent/manager/internal.h"
#include "base/check.h"

const char *service_label(const struct service *service, char short_out[ID_SHORT_CHARS + 1])
{
    id_to_short(&service->id.id, short_out);
    return service->name[0] != '\0' ? service->name : short_out;
}

void trace_service(struct turn *turn, const struct service *service, const char *what)
{
    char label[ID_SHORT_CHARS + 1];

    outbox_trace(turn, "%s: %s, epoch %" PRIu64, service_label(service, label), what,
                 service->epoch.generation);
}

void trace_slot(struct turn *turn, const struct service *service, const struct slot *slot,
                const char *what)
{
    char label[ID_SHORT_CHARS + 1];
    char node[ID_SHORT_CHARS + 1];

    CHECK(slot >= service->slots && slot < service->slots + REPLICAS_PER_SERVICE_MAX);
    id_to_short(&slot->node.id, node);
    outbox_trace(turn, "%s/%u.%" PRIu64 " on %s: %s", service_label(service, label),
                 (uint32_t)(slot - service->slots) + 1, slot->incarnation, node, what);
}
