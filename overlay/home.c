// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The homes of a chunk, by the rule of homes.h over what this node knows of the members. Where each
 * knows a part of the community only, who is down is soon forgotten: there the first that are up are
 * the homes.
 */
#include "base/check.h"
#include "overlay/state.h"

static enum home_life life_of(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];
    uint64_t since_ms = member->view.changed_ms > overlay->started_ms ? member->view.changed_ms
                                                                      : overlay->started_ms;

    if (index == overlay->self_index) {
        return overlay->ring.phase == RING_IN ? HOME_UP : HOME_AWAY;
    }
    if (membership_in_ring(member)) {
        return HOME_UP;
    }
    return homes_life(overlay->now_ms - since_ms,
                      habit_is_gone(&overlay->repair.habits[index], habits_now_s(overlay)));
}

static bool is_steady(const struct overlay *overlay, int index)
{
    return index == overlay->self_index ||
           habit_is_steady(&overlay->repair.habits[index], habits_now_s(overlay));
}

/* A leaf is no home; one that could be dialled before (a laptop in another network) is waited for,
 * as if it were away. */
static bool may_store(const struct overlay *overlay, int index)
{
    const struct member *member = &overlay->membership.list[index];
    const struct habit *habit = &overlay->repair.habits[index];

    if (index == overlay->self_index) {
        return overlay->record.stores && !membership_is_leaf(member);
    }
    return member->view.record.stores && member->view.state != MEMBER_EXPELLED &&
           (!membership_is_leaf(member) || (habit->away_s != 0 && habit->known_s < habit->away_s));
}

static uint32_t homes_of_part(const struct overlay *overlay, const struct ring_key *key,
                              struct chunk_home homes_out[HOMES_MAX])
{
    struct node_id nodes[CHUNK_COPIES];
    uint32_t count = chunk_holders(overlay, &(struct chunk_id){key->id}, CHUNK_COPIES, nodes);

    for (uint32_t i = 0; i < count; i++) {
        homes_out[i] = (struct chunk_home){
            nodes[i], membership_find(&overlay->membership, &nodes[i]), true, HOME_LACKS};
    }
    return count;
}

uint32_t chunk_homes(const struct overlay *overlay, const struct ring_key *key,
                     struct chunk_home homes_out[HOMES_MAX])
{
    const struct membership *membership = &overlay->membership;
    struct homes_walk walk = {0};
    uint32_t first;

    if (overlay->large) {
        return homes_of_part(overlay, key, homes_out);
    }
    first = membership->count == 0 ? 0 : membership_place(membership, &key->id);
    for (uint32_t i = 0; i < membership->count && !homes_done(&walk); i++) {
        int index = membership->by_position[(first + i) % membership->count];
        uint32_t place = walk.counted;

        if (!may_store(overlay, index) ||
            !homes_take(&walk, life_of(overlay, index), is_steady(overlay, index))) {
            continue;
        }
        homes_out[place] = (struct chunk_home){membership->list[index].view.node, index,
                                               index == overlay->self_index ||
                                                   membership_in_ring(&membership->list[index]),
                                               homes_why(&walk)};
    }
    return walk.counted;
}

bool chunk_is_home(const struct overlay *overlay, const struct chunk_id *chunk,
                   const struct node_id *node)
{
    struct chunk_home homes[HOMES_MAX];
    uint32_t count = chunk_homes(overlay, &(struct ring_key){chunk->id}, homes);

    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&homes[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}
