// SPDX-License-Identifier: GPL-3.0-or-later
/* Faults of the network. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/world.h"

static void begin_cut(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].cut_count++;
}

static void end_cut(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].cut_count--;
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

static void mute(struct world *world, const struct fault *fault, bool blocked)
{
    for (uint32_t from = 0; from < world->node_count; from++) {
        for (uint32_t to = 0; to < world->node_count; to++) {
            if (fault_has_node(fault, from) && !fault_has_node(fault, to)) {
                network_block(world, from, to, blocked);
            }
        }
    }
    network_changed(world);
}

static void begin_mute(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    mute(world, fault, true);
}

static void end_mute(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    mute(world, fault, false);
}

static void bridge(struct world *world, const struct fault *fault, uint32_t between, bool blocked)
{
    for (uint32_t from = 0; from < world->node_count; from++) {
        for (uint32_t to = 0; to < world->node_count; to++) {
            if (from != between && to != between &&
                fault_has_node(fault, from) != fault_has_node(fault, to)) {
                network_block(world, from, to, blocked);
            }
        }
    }
    network_changed(world);
}

static void begin_bridge(struct world *world, const struct fault *fault, uint32_t node)
{
    bridge(world, fault, node, true);
}

static void end_bridge(struct world *world, const struct fault *fault, uint32_t node)
{
    bridge(world, fault, node, false);
}

/* ------------------------------------------------------------------ all links */

static void begin_rate(struct world *world, const struct fault *fault, uint32_t node)
{
    struct network *network = &world->network;
    uint32_t value = (uint32_t)fault->value;

    (void)node;
    network->loss_permille = fault->kind == FAULT_LOSSY ? value : network->loss_permille;
    network->duplicate_permille =
        fault->kind == FAULT_DUPLICATE ? value : network->duplicate_permille;
    network->reorder_permille = fault->kind == FAULT_REORDER ? value : network->reorder_permille;
    network->corrupt_permille = fault->kind == FAULT_CORRUPT ? value : network->corrupt_permille;
    network->late_news_ms = fault->kind == FAULT_LATE_NEWS ? value : network->late_news_ms;
    if (fault->kind == FAULT_HIGH_WATER) {
        network_high_water(network, value);
    }
}

static void end_rate(struct world *world, const struct fault *fault, uint32_t node)
{
    struct fault nothing = {.kind = fault->kind};

    nothing.value = fault->kind == FAULT_LOSSY ? world->schedule.loss_permille : 0;
    begin_rate(world, &nothing, node);
}

/* ------------------------------------------------------------------ clogs */

static void begin_clog(struct world *world, const struct fault *fault, uint32_t node)
{
    uint32_t other = fault_node(world, fault->other);

    if (other < world->node_count) {
        network_clog(world, node, other, world->now_ms + fault->for_ms);
    }
}

struct swizzled {
    uint64_t until_ms;
    uint32_t from;
    uint32_t to;
};

static void run_freed(struct world *world, struct event *event)
{
    (void)event;
    checker_changed(world);
}

static void run_swizzled(struct world *world, struct event *event)
{
    const struct swizzled *swizzled = event->payload;

    world_trace(world, "==== swizzle: nothing arrives from n%u at n%u until %llu", swizzled->from,
                swizzled->to, (unsigned long long)swizzled->until_ms);
    network_clog(world, swizzled->from, swizzled->to, swizzled->until_ms);
    checker_changed(world);
    world_after(world, swizzled->until_ms - world->now_ms, (struct event){.run = run_freed});
}

/* In the first half of the time the links of the group are clogged one by one, in the second half
 * they are freed, in another order. */
static void swizzle_link(struct world *world, const struct fault *fault, uint32_t from, uint32_t to)
{
    struct swizzled *swizzled = malloc(sizeof(*swizzled));
    uint64_t pair = (uint64_t)from << 32 | to;
    uint64_t half_ms = fault->for_ms / 2 + 1;
    uint64_t delay_ms = world_draw(world, "swizzle begins", fault->at_ms, pair) % half_ms;
    uint64_t freed_ms = world_draw(world, "swizzle ends", fault->at_ms, pair) % half_ms;

    CHECK(swizzled != NULL);
    *swizzled = (struct swizzled){world->now_ms + fault->for_ms - freed_ms, from, to};
    world_after(world, delay_ms, (struct event){.run = run_swizzled, .payload = swizzled});
}

static void begin_swizzle(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    for (uint32_t from = 0; from < world->node_count; from++) {
        for (uint32_t to = 0; to < world->node_count; to++) {
            if (from != to && (fault_has_node(fault, from) || fault_has_node(fault, to))) {
                swizzle_link(world, fault, from, to);
            }
        }
    }
}

const struct fault_action fault_network_actions[FAULT_KIND_COUNT] = {
    [FAULT_CUT] = {begin_cut, end_cut, .splits = true},
    [FAULT_PARTITION] = {begin_partition, end_partition, .without_node = true, .splits = true},
    [FAULT_ONE_WAY] = {begin_one_way, end_one_way, .splits = true},
    [FAULT_BRIDGE] = {begin_bridge, end_bridge, .splits = true, .deceives = true, .misleads = true},
    [FAULT_MUTE] = {begin_mute, end_mute, .without_node = true, .splits = true},
    [FAULT_LOSSY] = {begin_rate, end_rate, .without_node = true},
    [FAULT_DUPLICATE] = {begin_rate, end_rate, .without_node = true},
    [FAULT_REORDER] = {begin_rate, end_rate, .without_node = true},
    [FAULT_CORRUPT] = {begin_rate, end_rate, .without_node = true},
    [FAULT_HIGH_WATER] = {begin_rate, end_rate, .without_node = true},
    [FAULT_LATE_NEWS] = {begin_rate, end_rate, .without_node = true},
    [FAULT_CLOG] = {begin_clog, fault_end_nothing, .splits = true},
    [FAULT_SWIZZLE] = {begin_swizzle, fault_end_nothing, .without_node = true, .splits = true},
};
