// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/bulk.h"

#include <stddef.h>

#include "base/check.h"

static struct bulk_group *group_for(struct bulk *bulk, const struct node_id *to, uint64_t now_ms)
{
    struct bulk_group *empty = NULL;

    for (uint32_t i = 0; i < BULK_GROUPS_MAX; i++) {
        struct bulk_group *group = &bulk->groups[i];

        if (group->phase == BULK_FILLING && group->count < BULK_KEYS_MAX &&
            id_equal(&group->to.id, &to->id)) {
            return group;
        }
        if (group->phase == BULK_FREE) {
            empty = group;
        }
    }
    if (empty != NULL) {
        empty->phase = BULK_FILLING;
        empty->to = *to;
        empty->due_ms = now_ms + BULK_WAIT_MS;
        empty->count = 0;
    }
    return empty;
}

bool bulk_add(struct bulk *bulk, const struct node_id *to, const struct bulk_key *key,
              uint64_t now_ms)
{
    struct bulk_group *group = group_for(bulk, to, now_ms);

    if (group == NULL) {
        return false;
    }
    CHECK(group->count < BULK_KEYS_MAX);
    group->keys[group->count++] = *key;
    return true;
}

struct bulk_group *bulk_take(struct bulk *bulk, uint64_t now_ms)
{
    for (uint32_t i = 0; i < BULK_GROUPS_MAX; i++) {
        struct bulk_group *group = &bulk->groups[i];

        if (group->phase == BULK_FILLING &&
            (now_ms >= group->due_ms || group->count == BULK_KEYS_MAX)) {
            group->phase = BULK_ASKED;
            return group;
        }
    }
    return NULL;
}

uint64_t bulk_number(const struct bulk *bulk, const struct bulk_group *group)
{
    CHECK(group >= bulk->groups && group < bulk->groups + BULK_GROUPS_MAX);
    return (uint64_t)(group - bulk->groups);
}

struct bulk_group *bulk_asked(struct bulk *bulk, uint64_t number)
{
    if (number >= BULK_GROUPS_MAX || bulk->groups[number].phase != BULK_ASKED) {
        return NULL;
    }
    return &bulk->groups[number];
}

void bulk_end(struct bulk_group *group)
{
    CHECK(group->phase == BULK_ASKED);
    group->phase = BULK_FREE;
}

uint64_t bulk_wake(const struct bulk *bulk)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < BULK_GROUPS_MAX; i++) {
        const struct bulk_group *group = &bulk->groups[i];

        if (group->phase == BULK_FILLING && (wake_ms == 0 || group->due_ms < wake_ms)) {
            wake_ms = group->due_ms;
        }
    }
    return wake_ms;
}
