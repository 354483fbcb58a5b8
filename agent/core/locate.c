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

/* Where a look-up may be begun for it; NULL: too many are under way. */
static struct doubt *doubt_place(struct core *core, const struct node_id *from,
                                 const struct service_id *service)
{
    struct doubt *place = NULL;
    uint32_t of_one_count = 0;

    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        struct doubt *doubt = &core->doubts[i];

        if (core->turn.now_ms >= doubt->until_ms) {
            place = doubt;
        } else if (id_equal(&doubt->service.id, &service->id)) {
            return doubt;
        } else if (id_equal(&doubt->from.id, &from->id)) {
            of_one_count++;
        }
    }
    return of_one_count < DOUBTS_OF_ONE ? place : NULL;
}

void core_locate_doubted(struct core *core, const struct node_id *from,
                         const struct service_id *service)
{
    struct doubt *doubt;
    struct ring_key key = {service->id};

    if (overlay_knows_all(core->overlay)) {
        return; /* its view of the ring, or ours, will change */
    }
    doubt = doubt_place(core, from, service);
    if (doubt != NULL) {
        if (core->turn.now_ms >= doubt->until_ms) {
            *doubt = (struct doubt){*service, *from, core->turn.now_ms + DOUBT_HELD_MS};
        }
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
