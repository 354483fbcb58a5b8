// SPDX-License-Identifier: GPL-3.0-or-later
/* Members that lie. */
#include <stdlib.h>

#include "tests/sim/fault.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/liar.h"
#include "tests/sim/world.h"

enum { CLAIM_EVERY_MS = 700 };

static void set_lie(struct world *world, uint32_t node, enum fault_kind kind, uint32_t permille)
{
    struct liar *liar = liar_of(world, node);

    liar->lie_permille = kind == FAULT_LIE ? permille : liar->lie_permille;
    liar->ring_permille = kind == FAULT_LIE_RING ? permille : liar->ring_permille;
    liar->withhold_permille = kind == FAULT_WITHHOLD ? permille : liar->withhold_permille;
    liar->alter_permille = kind == FAULT_ALTER ? permille : liar->alter_permille;
    liar->replay_permille = kind == FAULT_REPLAY ? permille : liar->replay_permille;
    liar->claims_all = kind == FAULT_LIE_OWNER ? permille != 0 : liar->claims_all;
}

static void begin_lie(struct world *world, const struct fault *fault, uint32_t node)
{
    set_lie(world, node, fault->kind, fault->kind == FAULT_LIE_OWNER ? 1 : (uint32_t)fault->value);
}

static void end_lie(struct world *world, const struct fault *fault, uint32_t node)
{
    set_lie(world, node, fault->kind, 0);
}

static void begin_garble(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].garble_permille = (uint32_t)fault->value;
}

static void end_garble(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].garble_permille = 0;
}

static void run_claim(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number];
    uint32_t victim = fault_node(world, fault->other);

    if (victim >= world->node_count || world->now_ms > fault->at_ms + fault->for_ms) {
        return;
    }
    if (fault->kind == FAULT_FALSE_EXPEL) {
        liar_expels(world, event->node, victim);
    } else {
        liar_tells_death(world, event->node, victim);
    }
    world_after(world, CLAIM_EVERY_MS, *event);
}

static void begin_claim(struct world *world, const struct fault *fault, uint32_t node)
{
    struct event event = {.run = run_claim, .node = node};

    event.number = (uint64_t)(fault - world->schedule.faults);
    world_after(world, 0, event);
}

const struct fault_action fault_liar_actions[FAULT_KIND_COUNT] = {
    [FAULT_GARBLE] = {begin_garble, end_garble, .splits = true, .deceives = true, .misleads = true},
    [FAULT_LIE] = {begin_lie, end_lie, .splits = true, .deceives = true, .misleads = true},
    [FAULT_LIE_RING] = {begin_lie, end_lie, .splits = true, .deceives = true, .misleads = true},
    [FAULT_LIE_OWNER] = {begin_lie, end_lie, .splits = true, .deceives = true},
    [FAULT_WITHHOLD] = {begin_lie, end_lie, .splits = true, .deceives = true},
    [FAULT_ALTER] = {begin_lie, end_lie, .splits = true, .deceives = true},
    [FAULT_REPLAY] = {begin_lie, end_lie, .splits = true, .deceives = true, .misleads = true},
    [FAULT_FALSE_DEATH] = {begin_claim, fault_end_nothing, .splits = true, .deceives = true},
    [FAULT_FALSE_EXPEL] = {begin_claim, fault_end_nothing}, /* nobody believes it */
};
