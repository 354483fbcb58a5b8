// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/notice.h"

#include "tests/sim/converge.h"
#include "tests/sim/world.h"

uint32_t notice_count(const struct world *world, uint32_t node, uint32_t *watchers_out)
{
    uint32_t count = 0;

    *watchers_out = 0;
    for (uint32_t other = 0; other < world->node_count; other++) {
        const struct overlay_member *member;

        if (other == node || !converge_takes_part(world, other)) {
            continue;
        }
        member =
            overlay_member_by_id(core_overlay(world->nodes[other].core), &world->nodes[node].id);
        (*watchers_out)++;
        count += member != NULL && member->state == MEMBER_DOWN;
    }
    return count;
}
