// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A predecessor has died. Where everyone is known, the nearest member before it is where its arc
 * begins; where a table may have forgotten somebody, only one that comes here itself is.
 */
#include "large_community.h"

enum { NODES = 8, PLACES = 22, ASKED_LATELY_MS = 2 * RING_PACE_MAX * STABILISE_MS };

static struct overlay *overlay;
static struct overlay_effects *effects;
static struct ring_node dead;
static struct ring_node before;

static struct member *member_of(const struct ring_node *node)
{
    int index = membership_find(&overlay->membership, &node->node);

    cr_assert_neq(index, MEMBER_NONE);
    return &overlay->membership.list[index];
}

/* Nothing listens at its addresses any more: no lease is waited for. Nor has it told whom it granted
 * one. */
static void begin(void)
{
    make_large(NODES, PLACES);
    overlay = net.nodes[0].overlay;
    effects = calloc(1, sizeof(*effects));
    dead = overlay->ring.predecessors[0];
    before = overlay->ring.predecessors[1];
    overlay->ring.predecessor_count = 1;
    overlay->ring.is_told = false;
    state_enter(overlay, net.now_ms + ASKED_LATELY_MS + 1, net.wall_unix_s, effects);
    member_of(&dead)->view.state = MEMBER_DOWN;
    member_of(&dead)->refused = true;
}

/* The one before it asked here then. */
static bool is_taken_over(bool large, uint64_t asked_ms)
{
    bool taken_over;

    overlay->large = large;
    member_of(&before)->asked_ms = asked_ms;
    place_lost(overlay, membership_find(&overlay->membership, &dead.node));
    taken_over = id_equal(&overlay->ring.predecessors[0].node.id, &before.node.id);
    state_leave(overlay);
    free(effects);
    end_network();
    return taken_over;
}

Test(takeover_large, does_not_end_at_one_that_has_not_asked_here)
{
    begin();
    cr_assert_not(is_taken_over(true, 0));
}

Test(takeover_large, does_not_end_at_one_that_may_have_found_a_nearer_one_since)
{
    begin();
    cr_assert_not(is_taken_over(true, overlay->now_ms - ASKED_LATELY_MS - 1));
}

Test(takeover_large, ends_at_one_that_knows_nobody_nearer)
{
    begin();
    cr_assert(is_taken_over(true, overlay->now_ms - ASKED_LATELY_MS));
}

Test(takeover_large, ends_at_the_nearest_where_everyone_is_known)
{
    begin();
    cr_assert(is_taken_over(false, 0));
}
