// SPDX-License-Identifier: GPL-3.0-or-later
/* Who gives way at doors that are full: lists of pipes by hand, without a loop. */
#include "agent/mingad/doors/visits.h"

#include <criterion/criterion.h>

enum { NOW_MS = 1000000, PIPES_MAX = 64 };

static struct pipe pipes[PIPES_MAX];
static uint32_t pipe_count;

/* The newest first, as at the doors. */
static struct pipe *add(uint8_t member, enum pipe_phase phase, uint64_t silent_ms)
{
    struct pipe *pipe = &pipes[PIPES_MAX - ++pipe_count];

    *pipe = (struct pipe){.other.id.bytes = {member},
                          .phase = phase,
                          .used_ms = NOW_MS - silent_ms,
                          .next = pipe_count > 1 ? pipe + 1 : NULL};
    return pipe;
}

static struct pipe *add_flow(uint8_t member, uint64_t silent_ms)
{
    struct pipe *pipe = add(member, PIPE_OPEN, silent_ms);

    pipe->has_packets = true;
    return pipe;
}

static void add_flows(uint8_t member, uint32_t count, uint64_t silent_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        add_flow(member, silent_ms);
    }
}

static const struct pipe *yields(const struct pipe *newest, bool of_its_own)
{
    return visits_to_yield(&pipes[PIPES_MAX - pipe_count], newest, of_its_own, NOW_MS);
}

Test(visits, those_let_in_are_counted_of_all_and_of_one)
{
    const struct node_id one = {.id.bytes = {1}};
    const struct pipe *list;

    add(1, PIPE_CONNECTING, 0);
    add(1, PIPE_GREETING, 0);
    add(1, PIPE_CLOSING, 0);
    add(1, PIPE_IDLE, 0);
    add(1, PIPE_OPEN, 0);
    add(2, PIPE_OPEN, 0);
    list = &pipes[PIPES_MAX - pipe_count];
    cr_assert_eq(visits_count(list, NULL), 3);
    cr_assert_eq(visits_count(list, &one), 2);
}

Test(visits, of_the_member_with_most_flows_the_one_silent_longest_goes)
{
    struct pipe *expected;

    add_flow(1, 90000);
    add_flows(2, 3, 2000);
    expected = add_flow(2, 30000);
    add_flows(2, 2, 3000);
    add_flows(3, 2, 60000);
    cr_assert_eq(yields(add(4, PIPE_IDLE, 0), false), expected);
}

Test(visits, what_was_used_just_now_does_not_go)
{
    const struct pipe *newest = add(4, PIPE_IDLE, 0);
    struct pipe *expected;

    add_flows(1, 4, VISITS_YIELD_MS - 1);
    cr_assert_null(yields(newest, false));
    expected = add_flow(2, VISITS_YIELD_MS);
    cr_assert_eq(yields(newest, false), expected);
}

Test(visits, a_connection_never_goes)
{
    for (int i = 0; i < 4; i++) {
        add(1, PIPE_OPEN, 90000);
    }
    cr_assert_null(yields(add(4, PIPE_IDLE, 0), false));
    cr_assert_null(yields(add(1, PIPE_IDLE, 0), true));
}

Test(visits, who_has_less_loses_nothing_to_who_has_more)
{
    const struct pipe *newest = add(3, PIPE_IDLE, 0);
    struct pipe *own;

    add_flow(1, 90000); /* the only one of its member */
    add_flows(3, 3, 500);
    cr_assert_null(yields(newest, false), "its own are in use");
    own = add_flow(3, 2000);
    cr_assert_eq(yields(newest, false), own);
}

Test(visits, nor_to_who_has_more_connections)
{
    add_flow(1, 90000);
    add_flow(1, 90000);
    for (int i = 0; i < 3; i++) {
        add(3, PIPE_OPEN, 0);
    }
    cr_assert_null(yields(add(3, PIPE_IDLE, 0), false));
}

Test(visits, who_has_too_many_gives_way_itself)
{
    const struct node_id three = {.id.bytes = {3}};
    const struct pipe *newest = add(3, PIPE_IDLE, 0);
    struct pipe *own;

    add_flows(1, 9, 90000);
    add_flows(3, 3, 500);
    cr_assert_null(yields(newest, true));
    cr_assert_not(visits_may_yield(&pipes[PIPES_MAX - pipe_count], &three, NOW_MS));
    own = add_flow(3, 2000);
    cr_assert_eq(yields(newest, true), own);
    cr_assert(visits_may_yield(&pipes[PIPES_MAX - pipe_count], &three, NOW_MS));
}
