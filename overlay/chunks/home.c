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
    struct positions_walk members = positions_walk(&membership->positions, &key->id);
    struct homes_walk walk = {0};
    int index;

    if (overlay->large) {
        return homes_of_part(overlay, key, homes_out);
    }
    while (!homes_done(&walk) && (index = positions_walk_next(&members)) != MEMBER_NONE) {
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

bool chunk_may_be_home(const struct overlay *overlay, int index)
{
    return may_store(overlay, index) &&
           (index == overlay->self_index || life_of(overlay, index) != HOME_IS_GONE);
}

uint32_t chunk_first_up(const struct overlay *overlay, const struct chunk_id *chunk,
                        uint32_t count_max, struct node_id *nodes_out)
{
    const struct membership *membership = &overlay->membership;
    struct positions_walk members = positions_walk(&membership->positions, &chunk->id);
    uint32_t count = 0;
    int index;

    CHECK(!overlay->large);
    while (count < count_max && (index = positions_walk_next(&members)) != MEMBER_NONE) {
        bool is_up = index == overlay->self_index ? overlay->ring.phase == RING_IN
                                                  : membership_in_ring(&membership->list[index]);

        if (is_up && may_store(overlay, index)) {
            nodes_out[count++] = membership->list[index].view.node;
        }
    }
    return count;
}

struct chunk_arc chunk_arc(const struct overlay *overlay, uint32_t place)
{
    const struct positions *positions = &overlay->membership.positions;
    uint32_t count = chunk_arc_count(overlay);
    struct chunk_arc whole = {{{{0}}}, {{{0}}}};

    CHECK(place < count);
    if (count == 1) {
        return whole; /* from a point to itself: all of the ring */
    }
    if (overlay->large) {
        const struct membership *membership = &overlay->membership;
        uint32_t before = membership->by_position[(place + count - 1) % count];

        return (struct chunk_arc){membership->list[before].position,
                                  membership->list[membership->by_position[place]].position};
    }
    return (struct chunk_arc){positions->list[(place + count - 1) % count].key,
                              positions->list[place].key};
}

uint32_t chunk_arc_count(const struct overlay *overlay)
{
    uint32_t count =
        overlay->large ? overlay->membership.count : overlay->membership.positions.count;

    return count == 0 ? 1 : count;
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
