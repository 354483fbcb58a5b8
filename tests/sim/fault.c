// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/world.h"

uint32_t fault_node(const struct world *world, uint32_t number)
{
    if (number >= SIM_PICKED) {
        return world->checker.picks[number - SIM_PICKED];
    }
    return number < world->node_count ? number : world->node_count;
}

static void trace_fault(struct world *world, const struct fault *fault, const char *what)
{
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length_bytes = 0;
    FILE *file;

    if (!world->trace) {
        return;
    }
    file = open_memstream(&text, &length_bytes);
    CHECK(file != NULL);
    schedule_print_fault(fault, file);
    fclose(file);
    text[length_bytes - 1] = '\0';
    world_trace(world, "==== %s: %s", what, text);
}

/* ------------------------------------------------------------------ one table */

static const struct fault_action *action_of(enum fault_kind kind)
{
    static const struct fault_action *const tables[] = {fault_host_actions, fault_disk_actions,
                                                        fault_network_actions, fault_liar_actions,
                                                        fault_people_actions};

    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        if (tables[i][kind].begin != NULL) {
            return &tables[i][kind];
        }
    }
    CHECK(!"every kind of fault is in some table");
    return NULL;
}

void fault_end_nothing(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)world;
    (void)fault;
    (void)node;
}

static void run_end(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number];
    const struct fault_action *action = action_of(fault->kind);

    trace_fault(world, fault, "end");
    checker_changed(world);
    if (action->splits) {
        checker_split(world, false);
    }
    if (action->deceives) {
        world->deceived_count--;
    }
    if (action->misleads) {
        world->misled_count--;
    }
    action->end(world, fault, event->node);
}

/* What befalls a clone's host would befall another identity once it is over. */
static bool is_out_of_reach(const struct world *world, const struct fault_action *action,
                            uint32_t node)
{
    return !action->without_node && !action->splits && world->nodes[node].is_clone;
}

static void run_begin(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number];
    const struct fault_action *action = action_of(fault->kind);
    uint32_t node = fault_node(world, fault->node);
    struct event end = {.run = run_end, .number = event->number, .node = node};

    if (!action->without_node && node >= world->node_count) {
        world_fail(world, "the schedule names a node that does not exist");
        return;
    }
    if (is_out_of_reach(world, action, node)) {
        return;
    }
    trace_fault(world, fault, "begin");
    if (!action->changes_nothing) {
        checker_changed(world);
    }
    if (action->splits) {
        checker_split(world, true);
    }
    if (action->deceives) {
        world->deceived_count++;
        world->deceived_ms = world->now_ms + fault->for_ms > world->deceived_ms
                                 ? world->now_ms + fault->for_ms
                                 : world->deceived_ms;
    }
    if (action->misleads) {
        world->misled_count++;
        world->misled_ms = world->now_ms + fault->for_ms > world->misled_ms
                               ? world->now_ms + fault->for_ms
                               : world->misled_ms;
    }
    action->begin(world, fault, node);
    if (action->end != NULL) {
        world_after(world, fault->for_ms, end);
    }
}

void fault_schedule(struct world *world)
{
    for (uint32_t i = 0; i < world->schedule.fault_count; i++) {
        CHECK(action_of(world->schedule.faults[i].kind) != NULL);
        world_after(world, world->schedule.faults[i].at_ms,
                    (struct event){.run = run_begin, .number = i});
    }
}
