// SPDX-License-Identifier: GPL-3.0-or-later
/* Choosing whom to ask by how long they take to answer. */
#include "base/check.h"
#include "overlay/state.h"

static uint32_t rank_of(const struct overlay *overlay, const struct node_id *node)
{
    static const struct rtt unknown;
    int index = membership_find(&overlay->membership, node);

    return rtt_rank(index == MEMBER_NONE ? &unknown : &overlay->membership.list[index].rtt);
}

void near_sort(const struct overlay *overlay, struct node_id *nodes, uint32_t count)
{
    uint32_t ranks[NEAR_SORTED_MAX];

    CHECK(count <= NEAR_SORTED_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct node_id node = nodes[i];
        uint32_t rank = rank_of(overlay, &node);
        uint32_t place = i;

        for (; place > 0 && ranks[place - 1] > rank; place--) {
            ranks[place] = ranks[place - 1];
            nodes[place] = nodes[place - 1];
        }
        ranks[place] = rank;
        nodes[place] = node;
    }
}
