// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
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

/* ------------------------------------------------------------------ hosts and processes */

static void begin_crash(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_power_off(world, node);
}

static void begin_off(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].off_for_good = true;
    world_power_off(world, node);
}

static void begin_wipe(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_power_off(world, node);
    disk_wipe(&world->nodes[node].disk);
    client_forget_membership(world, node);
}

static void begin_kill(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    sandbox_clear(&world->nodes[node].sandbox);
    world_kill(world, node);
}

static void begin_kill_agent(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_kill(world, node);
}

static void end_by_starting(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_start(world, node);
}

static void begin_stall(struct world *world, const struct fault *fault, uint32_t node)
{
    uint64_t until_ms = world->now_ms + fault->for_ms;

    if (world->nodes[node].stalled_until_ms < until_ms) {
        world->nodes[node].stalled_until_ms = until_ms;
    }
}

/* It wakes by itself. */
static void end_stall(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)world;
    (void)fault;
    (void)node;
}

static void begin_slow_disk(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].disk.slow_ms = fault->value;
}

static void end_slow_disk(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].disk.slow_ms = 0;
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

/* ------------------------------------------------------------------ the network */

static void begin_cut(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].cut = true;
}

static void end_cut(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].cut = false;
    network_changed(world);
}

static void split_world(struct world *world, const struct fault *fault, bool blocked)
{
    for (uint32_t from = 0; from < world->node_count; from++) {
        for (uint32_t to = 0; to < world->node_count; to++) {
            if (fault_has_node(fault, from) != fault_has_node(fault, to)) {
                network_block(world, from, to, blocked);
            }
        }
    }
    network_changed(world);
}

static void begin_partition(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    split_world(world, fault, true);
}

static void end_partition(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    split_world(world, fault, false);
}

static void begin_one_way(struct world *world, const struct fault *fault, uint32_t node)
{
    uint32_t other = fault_node(world, fault->other);

    if (other < world->node_count) {
        network_block(world, node, other, true);
    }
}

static void end_one_way(struct world *world, const struct fault *fault, uint32_t node)
{
    uint32_t other = fault_node(world, fault->other);

    if (other < world->node_count) {
        network_block(world, node, other, false);
        network_changed(world);
    }
}

static void begin_lossy(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    world->network.loss_permille = (uint32_t)fault->value;
}

static void end_lossy(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    (void)node;
    world->network.loss_permille = (uint32_t)world->schedule.loss_permille;
}

/* ------------------------------------------------------------------ replicas and people */

static void begin_end_replica(struct world *world, const struct fault *fault, uint32_t node)
{
    sandbox_crash(world, node, (uint32_t)fault->value);
}

static void begin_refuse_starts(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].sandbox.refuse_until_ms = world->now_ms + fault->for_ms;
}

static void begin_pause(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_ask(world, node, CORE_PAUSE);
}

static void begin_drain(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_ask(world, node, CORE_DRAIN);
}

static void end_by_resuming(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_resume(world, node);
}

static void begin_shut_down(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_ask(world, node, CORE_SHUT_DOWN);
}

static void begin_back_soon(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_ask(world, node, CORE_BACK_SOON);
}

static void begin_leave(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_leave(world, node);
}

static void begin_join(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_join(world, node);
}

static void begin_expel(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_expel(world, node);
}

static void begin_start(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    client_wish(world, fault->service, true, 0);
}

static void begin_stop(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    client_wish(world, fault->service, false, 0);
}

static void begin_scale(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    client_wish(world, fault->service, true, (uint32_t)fault->value);
}

static void begin_remove(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    client_remove(world, fault->service);
}

static void begin_wipe_writer(struct world *world, const struct fault *fault, uint32_t node)
{
    struct client_service *service = &world->client.services[fault->service];

    (void)node;
    service->wipe_writer_for_ms = fault->for_ms;
    client_wish(world, fault->service, true, 1 + service->wish.replicas % 4);
}

static void run_writer_back(struct world *world, struct event *event)
{
    world_start(world, event->node);
}

void fault_wipe_writer(struct world *world, uint32_t node, uint64_t for_ms)
{
    world_trace(world, "==== acknowledged: %s is wiped", world->nodes[node].name);
    begin_wipe(world, NULL, node);
    world_after(world, for_ms, (struct event){.run = run_writer_back, .node = node});
}

static void begin_pick(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    checker_pick(world, fault);
}

static void begin_expect(struct world *world, const struct fault *fault, uint32_t node)
{
    checker_expect(world, fault, node);
}

/* ------------------------------------------------------------------ one table */

typedef void fault_function(struct world *world, const struct fault *fault, uint32_t node);

static const struct {
    fault_function *begin;
    fault_function *end;
    bool without_node;
    bool changes_nothing; /* in the world */
    bool splits;          /* the network */
} faults[FAULT_KIND_COUNT] = {
    [FAULT_CRASH] = {begin_crash, end_by_starting, false, false},
    [FAULT_OFF] = {begin_off, NULL, false, false, false},
    [FAULT_WIPE] = {begin_wipe, end_by_starting, false, false},
    [FAULT_KILL] = {begin_kill, end_by_starting, false, false},
    [FAULT_KILL_AGENT] = {begin_kill_agent, end_by_starting, false, false},
    [FAULT_CUT] = {begin_cut, end_cut, false, false, true},
    [FAULT_PARTITION] = {begin_partition, end_partition, true, false, true},
    [FAULT_ONE_WAY] = {begin_one_way, end_one_way, false, false, true},
    [FAULT_LOSSY] = {begin_lossy, end_lossy, true, false},
    [FAULT_STALL] = {begin_stall, end_stall, false, false, true},
    [FAULT_SLOW_DISK] = {begin_slow_disk, end_slow_disk, false, false},
    [FAULT_GARBLE] = {begin_garble, end_garble, false, false, true},
    [FAULT_END_REPLICA] = {begin_end_replica, NULL, false, false},
    [FAULT_REFUSE_STARTS] = {begin_refuse_starts, NULL, false, false},
    [FAULT_PAUSE] = {begin_pause, end_by_resuming, false, false},
    [FAULT_DRAIN] = {begin_drain, end_by_resuming, false, false},
    [FAULT_SHUT_DOWN] = {begin_shut_down, end_by_starting, false, false},
    [FAULT_BACK_SOON] = {begin_back_soon, end_by_starting, false, false},
    [FAULT_LEAVE] = {begin_leave, NULL, false, false},
    [FAULT_JOIN] = {begin_join, NULL, false, false},
    [FAULT_EXPEL] = {begin_expel, NULL, false, false},
    [FAULT_START] = {begin_start, NULL, true, false},
    [FAULT_STOP] = {begin_stop, NULL, true, false},
    [FAULT_SCALE] = {begin_scale, NULL, true, false},
    [FAULT_REMOVE] = {begin_remove, NULL, true, false},
    [FAULT_WIPE_WRITER] = {begin_wipe_writer, NULL, true, false},
    [FAULT_PICK_HOLDER] = {begin_pick, NULL, true, true},
    [FAULT_PICK_MANAGER] = {begin_pick, NULL, true, true},
    [FAULT_PICK_BYSTANDER] = {begin_pick, NULL, true, true},
    [FAULT_EXPECT] = {begin_expect, NULL, true, true},
    [FAULT_EXPECT_ON] = {begin_expect, NULL, false, true},
    [FAULT_AT_LEAST] = {begin_expect, NULL, true, true},
    [FAULT_NO_START] = {begin_expect, NULL, true, true},
};

static void run_end(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number];

    trace_fault(world, fault, "end");
    checker_changed(world);
    if (faults[fault->kind].splits) {
        checker_split(world, false);
    }
    faults[fault->kind].end(world, fault, event->node);
}

static void run_begin(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number];
    uint32_t node = fault_node(world, fault->node);
    struct event end = {.run = run_end, .number = event->number, .node = node};

    trace_fault(world, fault, "begin");
    if (!faults[fault->kind].without_node && node >= world->node_count) {
        world_fail(world, "the schedule names a node that does not exist");
        return;
    }
    if (!faults[fault->kind].changes_nothing) {
        checker_changed(world);
    }
    if (faults[fault->kind].splits) {
        checker_split(world, true);
    }
    faults[fault->kind].begin(world, fault, node);
    if (faults[fault->kind].end != NULL) {
        world_after(world, fault->for_ms, end);
    }
}

void fault_schedule(struct world *world)
{
    for (uint32_t i = 0; i < world->schedule.fault_count; i++) {
        const struct fault *fault = &world->schedule.faults[i];

        CHECK(faults[fault->kind].begin != NULL);
        world_after(world, fault->at_ms, (struct event){.run = run_begin, .number = i});
    }
}
