// SPDX-License-Identifier: GPL-3.0-or-later
/* What is said back on links that others have dialled, when these end. */
#include "network.h"
#include "overlay/state.h"

enum { MEMBERS = 12, NEARLY_AT_ONCE_MS = 10, IDLE_MS = 400000 };

/* Of the links between the two only that of `dialler` stands, as far as `asker` knows. */
static bool has_but_its_caller(uint32_t asker, uint32_t dialler)
{
    const struct overlay *overlay = net.nodes[asker].overlay;
    int index = membership_find(&overlay->membership, &net.nodes[dialler].id);

    return index != MEMBER_NONE && overlay->membership.list[index].has_caller &&
           !overlay->membership.list[index].is_up && net.nodes[asker].links[dialler] == 0 &&
           net.nodes[dialler].links[asker] != 0;
}

static void look_up(uint32_t asker, uint32_t responsible, uint64_t token)
{
    struct overlay_event now = now_event();
    struct ring_key key = net.nodes[responsible].overlay->ring.self.position;

    overlay_lookup(net.nodes[asker].overlay, &now, token, &key, &net.nodes[asker].effects);
    perform(asker);
}

/* A pair of which one has dialled the other, and not the other way round. */
static bool find_pair(uint32_t *asker_out, uint32_t *dialler_out)
{
    for (uint32_t i = 0; i < MEMBERS * MEMBERS; i++) {
        if (has_but_its_caller(i / MEMBERS, i % MEMBERS)) {
            *asker_out = i / MEMBERS;
            *dialler_out = i % MEMBERS;
            return true;
        }
    }
    return false;
}

static void hang_up(uint32_t dialler, uint32_t asker)
{
    struct overlay_event now = now_event();
    struct overlay *overlay = net.nodes[dialler].overlay;

    state_enter(overlay, now.now_ms, now.wall_unix_s, &net.nodes[dialler].effects);
    peer_hang_up(overlay, &net.nodes[asker].id);
    state_leave(overlay);
    perform(dialler);
}

Test(callers, a_question_after_the_other_side_has_hung_up_is_answered_at_once)
{
    uint32_t asker = 0;
    uint32_t dialler = 0;

    make_members(MEMBERS);
    run_for(2000);
    cr_assert(find_pair(&asker, &dialler));
    hang_up(dialler, asker);
    run_for(100);
    look_up(asker, dialler, 3);
    run_for(NEARLY_AT_ONCE_MS);
    cr_assert(net.nodes[asker].done[3].ended);
    cr_assert_eq(net.nodes[asker].done[3].outcome, OVERLAY_OK);
    end_network();
}

Test(callers, a_question_that_met_a_link_being_hung_up_is_said_again_at_once)
{
    uint32_t asker = 0;
    uint32_t dialler = 0;

    make_members(MEMBERS);
    run_for(2000);
    cr_assert(find_pair(&asker, &dialler));
    hang_up(dialler, asker);
    look_up(asker, dialler, 3); /* before its end is known here */
    run_for(NEARLY_AT_ONCE_MS);
    cr_assert(net.nodes[asker].done[3].ended);
    cr_assert_eq(net.nodes[asker].done[3].outcome, OVERLAY_OK);
    end_network();
}

Test(callers, the_end_of_an_older_link_changes_nothing)
{
    struct overlay_event lost = {.kind = OVERLAY_CALLER_LOST};
    uint32_t asker = 0;
    uint32_t dialler = 0;

    make_members(MEMBERS);
    run_for(2000);
    cr_assert(find_pair(&asker, &dialler));
    lost.now_ms = net.now_ms;
    lost.wall_unix_s = net.wall_unix_s;
    lost.source.link = net.nodes[dialler].links[asker] + 1000;
    overlay_step(net.nodes[asker].overlay, &lost, &net.nodes[asker].effects);
    perform(asker);
    cr_assert(has_but_its_caller(asker, dialler));
    end_network();
}

Test(callers, after_hours_of_idling_every_look_up_is_answered_at_once)
{
    make_members(MEMBERS);
    run_for(IDLE_MS);
    for (uint32_t i = 0; i < MEMBERS * MEMBERS; i++) {
        uint32_t asker = i / MEMBERS;
        uint64_t token = 3 + i % MEMBERS;

        look_up(asker, i % MEMBERS, token);
        run_for(NEARLY_AT_ONCE_MS);
        cr_assert(net.nodes[asker].done[token].ended, "of %u, asked by %u", i % MEMBERS, asker);
        cr_assert_eq(net.nodes[asker].done[token].outcome, OVERLAY_OK);
    }
    end_network();
}
