// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/doubts.h"

#include "base/check.h"

static bool is_located(const struct surroundings *around, const struct service_id *service)
{
    struct node_id node;

    return around->candidates(around->self, service, 1, &node) > 0;
}

static bool is_over(const struct surroundings *around, const struct doubt *doubt, uint64_t now_ms)
{
    return doubt->begin_ms == 0 || now_ms - doubt->begin_ms >= DOUBT_HELD_MS ||
           (now_ms - doubt->begin_ms >= DOUBT_PACE_MS && is_located(around, &doubt->service));
}

enum doubted doubts_take(struct doubts *doubts, const struct surroundings *around,
                         const struct node_id *from, const struct service_id *service,
                         uint64_t now_ms)
{
    struct doubt *place = NULL;
    uint32_t of_one_count = 0;

    CHECK(now_ms != 0);
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        struct doubt *doubt = &doubts->list[i];

        if (is_over(around, doubt, now_ms)) {
            place = doubt;
        } else if (id_equal(&doubt->service.id, &service->id)) {
            return DOUBTED_STILL;
        } else if (id_equal(&doubt->from.id, &from->id)) {
            of_one_count++;
        }
    }
    if (place == NULL || of_one_count >= DOUBTS_OF_ONE) {
        return DOUBTED_NOT;
    }
    *place = (struct doubt){*service, *from, now_ms};
    return DOUBTED_NOW;
}
