// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/intruder.h"

#include "tests/sim/inspect.h"
#include "tests/sim/papers.h"
#include "tests/sim/world.h"

enum { NAMED_FLAWS = 4, SKEW_S_MAX = 100 };
static const enum papers_flaw flaws[NAMED_FLAWS] = {PAPERS_EXPIRED, PAPERS_FORGED, PAPERS_STOLEN,
                                                    PAPERS_LIMITED};

/* A member that knows what there is to know of it; node_count: none. */
static uint32_t find_contact(struct world *world, uint32_t node, bool is_expelled,
                             enum papers_flaw flaw)
{
    uint64_t first = world_draw(world, "intruder", node, world->now_ms) % world->node_count;

    for (uint32_t i = 0; i < world->node_count; i++) {
        uint32_t contact = (uint32_t)((first + i) % world->node_count);
        const struct sim_node *member = &world->nodes[contact];

        /* By a clock that is late an invitation may not be over yet. */
        if (client_is_member(world, contact) && member->core != NULL && !member->is_leaf &&
            member->wall_skew_s >= -SKEW_S_MAX &&
            (!is_expelled ||
             inspect_bans(core_overlay(member->core), &world->nodes[node].own_id.id)) &&
            (flaw != PAPERS_LIMITED || invited_is_over(world, contact))) {
            return contact;
        }
    }
    return world->node_count;
}

void intruder_tries(struct world *world, uint32_t node, uint64_t number)
{
    const struct client_member *member = &world->client.members[node];
    bool is_expelled = member->expelled_ms != 0;
    enum papers_flaw flaw = is_expelled ? PAPERS_FINE : flaws[number % NAMED_FLAWS];
    uint32_t contact = find_contact(world, node, is_expelled, flaw);
    struct core_request request = {.kind = CORE_JOIN};
    struct papers papers;

    if ((member->membership != MEMBER_OUTSIDE && !is_expelled) || !world->nodes[node].powered ||
        world->nodes[node].is_clone || contact == world->node_count ||
        (flaw == PAPERS_LIMITED && world->client.invited.admitted[node])) {
        return;
    }
    if (is_expelled) {
        world_kill(world, node);
        world->nodes[node].died_ms = 0;
        disk_wipe(&world->nodes[node].disk);
        world->disk_lost_ms = world->now_ms;
        world_start(world, node);
    }
    papers_intrude(world, node, contact, flaw, &papers);
    request.join = &papers.join;
    (void)client_request(world, node, &request, INTRUDER_SERVICE);
}

void intruder_answered(struct world *world, const struct pending *pending,
                       const struct core_answer *answer)
{
    const struct sim_node *node = &world->nodes[pending->node];

    if (answer->outcome == OVERLAY_OK) {
        world_fail(world, "%s is let in, and has no right to", node->name);
    }
}
