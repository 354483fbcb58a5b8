// SPDX-License-Identifier: GPL-3.0-or-later
/* The question to the keeper in short: what is left out comes back, or is not believed. */
#include "overlay/ring/calm.h"

#include "network.h"
#include "overlay/state.h"

static const struct node_id keeper = {{{1}}};
static const struct node_id other = {{{2}}};

/* One exchange in which all was confirmed. */
static struct calm confirmed(void)
{
    struct calm calm = {0};
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply reply = {.told = 5, .version = 7};

    calm_learn(&calm, &keeper, &question, &reply);
    return calm;
}

Test(calm, what_was_confirmed_is_asked_and_answered_in_short)
{
    struct calm calm = confirmed();
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply reply = {.digest = 3, .told = 5, .version = 7};

    calm_shorten(&calm, &keeper, &question);
    cr_assert_neq(question.sum, 0);
    cr_assert(question.digest == 0 && question.version == 0 && question.known == 0);
    cr_assert(calm_answer(question.sum, &reply));
    cr_assert(reply.digest == 0 && reply.told == 0 && reply.version == 0);
    cr_assert(calm_restore(&calm, &question, &reply));
    cr_assert(question.digest == 3 && question.version == 5 && question.known == 7);
    cr_assert(reply.told == 5 && reply.version == 7);
}

Test(calm, whatever_has_changed_is_asked_in_full)
{
    struct calm calm = confirmed();
    minga_Stabilise questions[] = {
        {.digest = 4, .version = 5, .known = 7},
        {.digest = 3, .version = 6, .known = 7},
        {.digest = 3, .version = 5, .known = 8},
        {.digest = 3, .version = 5, .known = 7, .joining = true},
        {.digest = 3, .version = 5, .known = 7, .lapsed = true},
        {.digest = 3, .version = 5, .known = 7, .predecessors_count = 1},
    };

    for (size_t i = 0; i < ARRAY_COUNT(questions); i++) {
        calm_shorten(&calm, &keeper, &questions[i]);
        cr_assert_eq(questions[i].sum, 0, "question %zu", i);
        cr_assert_neq(questions[i].known, 0);
    }
    questions[0].digest = 3;
    calm_shorten(&calm, &other, &questions[0]);
    cr_assert_eq(questions[0].sum, 0, "another one has confirmed nothing");
}

Test(calm, what_was_not_confirmed_is_not_left_out)
{
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply replies[] = {
        {.told = 4, .version = 7},
        {.told = 5, .version = 8},
        {.told = 5, .version = 7, .digest = 4},
        {.told = 5, .version = 7, .verdict = minga_LeaseAnswer_LEASE_BUSY},
        {.told = 5, .version = 7, .from.size = ID_BYTES},
    };

    for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
        struct calm calm = confirmed();

        calm_learn(&calm, &keeper, &question, &replies[i]);
        cr_assert_not(calm.used, "reply %zu", i);
    }
}

Test(calm, who_has_something_else_says_what)
{
    struct calm calm = confirmed();
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply replies[] = {
        {.digest = 4, .told = 5, .version = 7},
        {.digest = 3, .told = 0, .version = 7},
        {.digest = 3, .told = 5, .version = 8},
        {.digest = 3, .told = 5, .version = 7, .verdict = minga_LeaseAnswer_LEASE_BUSY},
    };

    calm_shorten(&calm, &keeper, &question);
    for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
        minga_StabiliseReply said = replies[i];
        minga_Stabilise asked = question;

        cr_assert_not(calm_answer(question.sum, &said), "reply %zu", i);
        cr_assert(calm_restore(&calm, &asked, &said));
        cr_assert(said.told == replies[i].told && said.version == replies[i].version);
    }
}

/* One that is no keeper answers so, and so does a liar: nothing follows from what it leaves out. */
Test(calm, an_answer_that_is_empty_confirms_nothing_unless_the_lease_was_granted)
{
    struct calm calm = confirmed();
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply reply = {.verdict = minga_LeaseAnswer_LEASE_BUSY};

    calm_shorten(&calm, &keeper, &question);
    cr_assert(calm_restore(&calm, &question, &reply));
    cr_assert_eq(reply.told, 0);
}

Test(calm, an_answer_to_what_was_confirmed_before_is_not_understood)
{
    struct calm calm = confirmed();
    minga_Stabilise question = {.digest = 3, .version = 5, .known = 7};
    minga_StabiliseReply reply = {0};

    calm_shorten(&calm, &keeper, &question);
    calm.known = 9;
    cr_assert_not(calm_restore(&calm, &question, &reply));
}

static uint32_t short_count;
static uint32_t full_count;

static void count_short(uint32_t from, minga_Message *message)
{
    (void)from;
    if (message->which_kind == minga_Message_stabilise_tag && !message->reply) {
        short_count += message->kind.stabilise.sum != 0;
        full_count += message->kind.stabilise.sum == 0;
    }
}

Test(calm, a_ring_at_rest_asks_in_short_and_in_full_while_it_changes)
{
    enum { COUNT = 6 };

    make_members(COUNT);
    run_for(20000);
    net.lie = count_short;
    run_for(10300);
    cr_assert_geq(short_count, 9 * COUNT);
    cr_assert_eq(full_count, 0);
    kill_node(3, false);
    run_for(5000);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct overlay_ring_view view;

        if (i != 3) {
            overlay_ring(net.nodes[i].overlay, &view);
            cr_assert_eq(view.successor_count, COUNT - 2);
        }
    }
    cr_assert_gt(full_count, 0);
    short_count = 0;
    run_for(3000);
    cr_assert_gt(short_count, COUNT);
    end_network();
}
