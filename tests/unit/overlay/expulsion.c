// SPDX-License-Identifier: GPL-3.0-or-later
/* Expulsions reach everyone, and hold for those who were away. */
#include "network.h"
#include "overlay/state.h"

/* Node `by` expels node `whom`, as the community's founder would. */
static void expel(uint32_t by, uint32_t whom)
{
    minga_Expulsion body = minga_Expulsion_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community = keys_public(&net.community_key);
    struct overlay_event now = now_event();
    uint8_t encoded[448];
    int length;

    memcpy(body.community, community.bytes, 32);
    memcpy(body.node_key, net.nodes[whom].key.bytes, 32);
    strcpy(body.reason, "mines coins");
    body.expelled_unix_s = net.wall_unix_s;
    cr_assert_eq(signed_make(minga_Expulsion_fields, &body, PURPOSE_EXPULSION, &net.community_key,
                             &envelope),
                 0);
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    cr_assert_eq(overlay_expel(net.nodes[by].overlay, &now, (struct bytes){encoded, (size_t)length},
                               &net.nodes[by].effects),
                 0);
    perform(by);
    encoded[20] ^= 1;
    cr_assert_eq(overlay_expel(net.nodes[by].overlay, &now, (struct bytes){encoded, (size_t)length},
                               &net.nodes[by].effects),
                 -EBADMSG);
}

Test(expulsion, an_expelled_node_is_refused_and_knows_why)
{
    make_members(4);
    run_for(3000);
    expel(0, 2);
    run_for(3000);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(state_at(i, 2), MEMBER_EXPELLED);
    }
    end_network();
}

Test(expulsion, an_expulsion_reaches_everyone_at_once_though_the_expelled_one_is_silent)
{
    make_members(20);
    run_for(5000);
    net.nodes[7].side = 1; /* it would pass nothing on */
    expel(0, 7);
    run_for(50);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert(i == 7 || state_at(i, 7) == MEMBER_EXPELLED, "node %u", i);
    }
    end_network();
}

static void ask_often(uint32_t from, uint32_t to, uint64_t token)
{
    struct overlay_event now = now_event();

    overlay_ask(net.nodes[from].overlay, &now, &net.nodes[to].id,
                (struct overlay_question){token, bytes_of_text("let me in")},
                &net.nodes[from].effects);
    perform(from);
}

Test(expulsion, one_who_was_away_refuses_the_expelled_from_its_first_greeting_with_anyone)
{
    make_members(6);
    run_for(5000);
    kill_node(3, false); /* both are away, and hear nothing of it */
    kill_node(2, false);
    run_for(2000);
    expel(0, 2);
    run_for(2000);
    for (uint32_t i = 0; i < 6; i++) {
        if (i != 1 && i != 2 && i != 3) {
            kill_node(i, false);
        }
    }
    start_node(3); /* hears one greeting, of a member other than the one who expelled */
    run_for(8);
    cr_assert_eq(state_at(3, 2), MEMBER_EXPELLED);
    start_node(2);
    for (uint32_t i = 0; i < 40; i++) {
        if (overlay_belongs(net.nodes[2].overlay)) {
            ask_often(2, 3, 10 + i);
        }
        run_for(50);
    }
    cr_assert_eq(net.nodes[3].delivered_count, 0);
    cr_assert_eq(state_at(2, 2), MEMBER_EXPELLED, "and it is shown why");
    end_network();
}

Test(expulsion, nobody_goes_on_dialling_one_that_was_expelled_while_it_was_away)
{
    const struct membership *membership;
    int index;

    make_members(4);
    run_for(3000);
    net.nodes[2].side = 1;
    membership = &net.nodes[1].overlay->membership;
    index = membership_find(membership, &net.nodes[2].id);
    cr_assert_neq(index, MEMBER_NONE);
    for (uint32_t i = 0;
         i < 400 && (state_at(1, 2) != MEMBER_DOWN || !membership->list[index].linked); i++) {
        run_for(50);
    }
    cr_assert(membership->list[index].linked, "it is dialled now and then");
    expel(0, 2);
    run_for(50);
    cr_assert_eq(state_at(1, 2), MEMBER_EXPELLED);
    cr_assert_not(membership->list[index].linked);
    end_network();
}
