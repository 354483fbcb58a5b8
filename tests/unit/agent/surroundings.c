// SPDX-License-Identifier: GPL-3.0-or-later
/* What the agent sees of the community, through the overlay. */
#include "agent/core/surroundings.h"

#include <criterion/criterion.h>

#include "agent/manager/placement.h"
#include "overlay/state.h"

enum {
    MEMBERS = 2 * OFFERS_MAX
}; /* of whom two thirds run replicas: more than are asked at once */

/* All are up; each third one does not run replicas. */
static struct overlay *overlay_of_many(void)
{
    struct overlay_config config = {.storage_bytes_max = 1 << 20};
    struct overlay *overlay;

    keys_from_seed((const uint8_t[KEY_SEED_BYTES]){1}, &config.node_key);
    overlay = overlay_new(&config);
    cr_assert_leq(MEMBERS, MEMBERS_MAX);
    overlay->membership.count = MEMBERS;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct overlay_member *view = &overlay->membership.list[i].view;

        view->node.id.bytes[0] = (uint8_t)(i + 1);
        view->state = MEMBER_UP;
        view->record.runs = i % 3 != 0;
    }
    return overlay;
}

Test(surroundings, where_not_all_are_asked_at_once_all_are_asked_in_turn)
{
    struct overlay *overlay = overlay_of_many();
    struct surroundings around = surroundings_of_overlay(overlay);
    struct service_id service = {{{7, 7}}};
    bool asked[MEMBERS + 1] = {false};
    struct node_id nodes[OFFERS_MAX];

    for (uint64_t round = 1; round <= 2; round++) {
        uint32_t count = around.discover(around.self, &service, round, OFFERS_MAX, nodes);

        cr_assert_leq(count, OFFERS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            asked[nodes[i].id.bytes[0]] = true;
        }
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        cr_assert_eq(asked[i + 1], i % 3 != 0, "member %u", i);
    }
    overlay_free(overlay);
}
