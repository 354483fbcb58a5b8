// SPDX-License-Identifier: GPL-3.0-or-later
/* Who is looked up, in a large community, of those that ask for starts. */
#include "agent/core/doubts.h"

#include <criterion/criterion.h>
#include <string.h>

enum { LIARS = 7, HONEST = 200, BEGIN_MS = 1000 };

static struct doubts doubts;
static bool are_located;

static uint32_t candidates(const void *self, const struct service_id *service, uint32_t count_max,
                           struct node_id *nodes_out)
{
    (void)self;
    (void)service;
    cr_assert_geq(count_max, 1);
    memset(nodes_out, 9, sizeof(*nodes_out));
    return are_located ? 1 : 0;
}

static enum doubted ask(uint8_t from, uint8_t service, uint64_t ms)
{
    struct surroundings around = {.candidates = candidates};
    struct node_id node = {{{from, 1}}};
    struct service_id id = {{{from, service, 2}}};

    return doubts_take(&doubts, &around, &node, &id, BEGIN_MS + ms);
}

static void begin(bool located)
{
    memset(&doubts, 0, sizeof(doubts));
    are_located = located;
}

Test(doubts, seven_that_ask_for_all_they_can_leave_places_to_others)
{
    begin(false);
    for (uint8_t liar = 0; liar < LIARS; liar++) {
        for (uint8_t i = 0; i <= DOUBTS_OF_ONE; i++) {
            cr_assert_eq(ask(liar, i, 0), i < DOUBTS_OF_ONE ? DOUBTED_NOW : DOUBTED_NOT);
        }
    }
    for (uint8_t i = 0; i < DOUBTS_OF_ONE; i++) {
        cr_assert_eq(ask(HONEST, i, 1), DOUBTED_NOW);
    }
    cr_assert_eq(ask(HONEST + 1, 0, 1), DOUBTED_NOT, "all places are held");
}

Test(doubts, the_same_service_is_looked_up_once)
{
    begin(false);
    cr_assert_eq(ask(1, 1, 0), DOUBTED_NOW);
    cr_assert_eq(ask(1, 1, 250), DOUBTED_STILL);
    cr_assert_eq(ask(1, 1, DOUBT_HELD_MS - 1), DOUBTED_STILL);
    cr_assert_eq(ask(1, 1, DOUBT_HELD_MS), DOUBTED_NOW, "it was in vain");
}

Test(doubts, a_place_is_free_when_its_service_is_located_but_not_at_once)
{
    begin(true);
    for (uint8_t i = 0; i < DOUBTS_OF_ONE; i++) {
        cr_assert_eq(ask(HONEST, i, 0), DOUBTED_NOW);
    }
    cr_assert_eq(ask(HONEST, DOUBTS_OF_ONE, DOUBT_PACE_MS - 1), DOUBTED_NOT);
    cr_assert_eq(ask(HONEST, DOUBTS_OF_ONE, DOUBT_PACE_MS), DOUBTED_NOW);
}
