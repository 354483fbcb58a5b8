// SPDX-License-Identifier: GPL-3.0-or-later
/* In a large community not everyone is known: who manages a service is looked up. */
#include "agent/core/internal.h"

void core_locate_managers(struct core *core)
{
    for (uint32_t i = 0; !overlay_knows_all(core->overlay) && i < core_replica_count(core); i++) {
        struct core_replica replica;
        struct ring_key key;

        core_replica(core, i, core->turn.now_ms, &replica);
        key = (struct ring_key){replica.key.service.id};
        overlay_locate(core->overlay, &core->now, &key, &core->io);
    }
}

void core_locate_doubted(struct core *core, const struct node_id *from,
                         const struct service_id *service)
{
    struct ring_key key = {service->id};
    enum doubted doubted;

    if (overlay_knows_all(core->overlay)) {
        return; /* its view of the ring, or ours, will change */
    }
    doubted = doubts_take(&core->doubts, &core->around, from, service, core->turn.now_ms);
    if (doubted == DOUBTED_NOW) {
        overlay_locate_anew(core->overlay, &core->now, &key, &core->io);
    } else if (doubted == DOUBTED_STILL) {
        overlay_locate(core->overlay, &core->now, &key, &core->io);
    }
}

void core_find_candidates(struct core *core, struct request *request)
{
    struct ring_key key = {request->service.id};

    overlay_locate(core->overlay, &core->now, &key, &core->io);
    request->candidate_count = core->around.candidates(core->around.self, &request->service,
                                                       CANDIDATES_MAX, request->candidates);
    request->attempt_until_ms = 0;
    if (request->candidate_count > 0 || overlay_knows_all(core->overlay)) {
        return;
    }
    if (request->located_until_ms != 0 && core->turn.now_ms >= request->located_until_ms) {
        request->candidates[0] = request->manager;
        request->candidate_count = 1;
    } else {
        request->attempt_until_ms = core->turn.now_ms + LOCATE_AGAIN_MS;
        request->is_located = true;
    }
}

bool core_find_others(struct core *core, struct request *request)
{
    struct ring_key key = {request->service.id};

    if (request->is_located || overlay_knows_all(core->overlay)) {
        return false;
    }
    request->is_located = true;
    request->located_until_ms = core->turn.now_ms + LOCATE_MS;
    request->candidate_next = 0;
    overlay_mislocated(core->overlay, &core->now, &key, &core->io);
    core_find_candidates(core, request);
    return true;
}
