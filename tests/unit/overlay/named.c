// SPDX-License-Identifier: GPL-3.0-or-later
/* In a large community: others name a node that stands as down here. */
#include "large_community.h"

enum { HERE = 2, VIA = 4, THERE = 7, COUNT = 10 };

static struct member *there_seen_from_here(void)
{
    struct membership *membership = &net.nodes[HERE].overlay->membership;
    int index = membership_find(membership, &net.nodes[THERE].id);

    cr_assert_neq(index, MEMBER_NONE);
    return &membership->list[index];
}

/* As after a death that was told, while nobody near has told that it is back. */
static void think_it_down(void)
{
    struct member *member = there_seen_from_here();

    member->life = LIFE_DEAD;
    member->view.state = MEMBER_DOWN;
    member->greeted = false;
}

static const struct done *ask(uint64_t token, bool is_named)
{
    struct node *here = &net.nodes[HERE];
    struct overlay_event now = now_event();

    if (is_named) {
        overlay_named(here->overlay, &now, &net.nodes[THERE].id, &net.nodes[VIA].id,
                      &here->effects);
    }
    overlay_ask(here->overlay, &now, &net.nodes[THERE].id,
                (struct overlay_question){token, bytes_of_text("logs?")}, &here->effects);
    perform(HERE);
    return &here->done[token];
}

Test(named, one_that_is_up_answers_though_it_stands_as_down_here, .timeout = 300)
{
    const struct done *done;

    make_large(COUNT, 22);
    think_it_down();
    done = ask(10, false);
    cr_assert(done->ended, "nobody else sees it");
    cr_assert_eq(done->outcome, OVERLAY_TIMED_OUT);
    done = ask(11, true);
    cr_assert_not(done->ended, "it is tried");
    run_for(500);
    cr_assert(done->ended);
    cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
    cr_assert_eq(state_at(HERE, THERE), MEMBER_UP);
    end_network();
}

Test(named, one_that_is_down_is_tried_unless_it_just_was, .timeout = 300)
{
    const struct done *done;

    make_large(COUNT, 22);
    kill_node(THERE, true);
    run_for(30000);
    cr_assert_eq(state_at(HERE, THERE), MEMBER_DOWN);
    there_seen_from_here()->sent_ms =
        net.now_ms - 2000; /* so few dial those who are lost all the time */
    done = ask(10, true);
    cr_assert_not(done->ended);
    cr_assert_eq(there_seen_from_here()->sent_ms, net.now_ms);
    run_for(ASK_MS + 100);
    cr_assert(done->ended);
    cr_assert_eq(done->outcome, OVERLAY_TIMED_OUT);
    cr_assert_eq(state_at(HERE, THERE), MEMBER_DOWN);
    there_seen_from_here()->sent_ms = net.now_ms - 1000;
    there_seen_from_here()->greeted = false; /* as its link was lost */
    done = ask(11, true);
    cr_assert(done->ended, "that was a second ago");
    cr_assert_eq(done->outcome, OVERLAY_TIMED_OUT);
    end_network();
}
