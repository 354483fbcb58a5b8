// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/perform.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/world.h"

uint64_t perform_wall_s(const struct world *world, uint32_t node)
{
    return SIM_WALL_START_S +
           (uint64_t)((int64_t)(world->now_ms / 1000) + world->nodes[node].wall_skew_s);
}

/* ------------------------------------------------------------------ the trace hash */

static void add_number(struct world *world, uint64_t number)
{
    hash_add(&world->trace_hash, (struct bytes){(const uint8_t *)&number, sizeof(number)});
}

static void hash_effect(struct world *world, uint32_t node, const struct core_effect *effect)
{
    add_number(world, (uint64_t)node << 32 | (uint64_t)effect->kind);
    add_number(world, world->now_ms);
    if (effect->kind == CORE_IO) {
        add_number(world, (uint64_t)effect->overlay->kind);
        if (effect->overlay->message.length_bytes > 0) {
            hash_add(&world->trace_hash, effect->overlay->message);
        }
    } else if (effect->kind == CORE_TRACE) {
        hash_add(&world->trace_hash, bytes_of_text(effect->text));
    }
}

/* ------------------------------------------------------------------ effects */

static void run_wake(struct world *world, struct event *event)
{
    struct core_event *tick = world->core_event;

    if (event->number == world->nodes[event->node].wake_number) {
        *tick = (struct core_event){.kind = CORE_TICK};
        world_step(world, event->node, tick);
    }
}

/* Only the last wake-up counts; never at once, as a real timer is not. */
static void wake_at(struct world *world, uint32_t node, uint64_t wake_ms)
{
    struct sim_node *sleeper = &world->nodes[node];
    uint64_t node_ms = world_node_ms(world, node);
    uint64_t delay_ms = wake_ms > node_ms ? world_delay_ms(world, node, wake_ms - node_ms) : 1;
    struct event event = {.run = run_wake, .node = node, .number = ++sleeper->wake_number};

    world_after_process(world, delay_ms, event);
}

static void trace_line(struct world *world, uint32_t node, struct bytes text)
{
    world_trace(world, "%s > %.*s", world->nodes[node].name, (int)text.length_bytes,
                (const char *)text.data);
}

static void perform_io(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    switch (effect->kind) {
    case OVERLAY_SEND:
        network_send(world, node, effect);
        break;
    case OVERLAY_REPLY:
        network_reply(world, node, effect);
        break;
    case OVERLAY_HANG_UP:
        network_hang_up(world, node, &effect->peer.node);
        break;
    case OVERLAY_STORE:
        disk_store(world, node, effect);
        break;
    case OVERLAY_STORE_CHUNK:
        disk_store_chunk(world, node, effect);
        break;
    case OVERLAY_DROP_CHUNK:
        disk_drop_chunk(world, node, effect);
        break;
    case OVERLAY_WAKE:
        wake_at(world, node, effect->wake_ms);
        break;
    case OVERLAY_TRACE:
        trace_line(world, node, effect->message);
        break;
    case OVERLAY_DIAL_BACK:
        relays_dial_back(world, node, effect);
        break;
    case OVERLAY_RELAY:
        relays_relay(world, node, effect);
        break;
    case OVERLAY_RELAYED:
        relays_relayed(world, node, effect);
        break;
    case OVERLAY_DELIVER:
    case OVERLAY_MEMBER:
    case OVERLAY_ARC:
    case OVERLAY_RECORD:
    case OVERLAY_DONE:
        world_fail(world, "%s hands an upcall to the edge", world->nodes[node].name);
        break;
    }
}

static void perform_sandbox(struct world *world, uint32_t node, const struct core_effect *effect)
{
    switch ((int)effect->kind) {
    case CORE_START:
        sandbox_start(world, node, effect->spec);
        break;
    case CORE_STOP:
        sandbox_stop(world, node, &effect->replica);
        break;
    case CORE_FREEZE:
    case CORE_THAW:
        sandbox_freeze(world, node, &effect->replica, effect->kind == CORE_FREEZE);
        break;
    case CORE_RENEW:
        sandbox_renew(world, node);
        break;
    case CORE_STATS:
        sandbox_stats(world, node, &effect->replica);
        break;
    default:
        world_fail(world, "%s asks for an unknown effect", world->nodes[node].name);
        break;
    }
}

static void perform_one(struct world *world, uint32_t node, const struct core_effect *effect)
{
    switch ((int)effect->kind) {
    case CORE_IO:
        perform_io(world, node, effect->overlay);
        break;
    case CORE_ANSWER:
        client_answered(world, node, &effect->answer);
        break;
    case CORE_SCAN_TREE:
        tree_scan(world, node, &effect->tree);
        break;
    case CORE_BUILD_TREE:
        tree_build(world, node, &effect->tree);
        break;
    case CORE_DROP_TREE:
        break; /* trees are built anew from their chunks */
    case CORE_READ_LOGS:
        tree_read_logs(world, node, effect);
        break;
    case CORE_EXEC:
        tree_exec(world, node, effect);
        break;
    case CORE_ALLOW:
        world->nodes[node].allowed = effect->allowed;
        break;
    case CORE_WAKE:
        wake_at(world, node, effect->wake_ms);
        break;
    case CORE_TRACE:
    case CORE_UNREADY:
        trace_line(world, node, bytes_of_text(effect->text));
        break;
    default:
        perform_sandbox(world, node, effect);
        break;
    }
}

void perform(struct world *world, uint32_t node)
{
    struct core_effects *effects = world->effects;

    if (effects->count > CORE_EFFECTS_MAX) {
        world_fail(world, "%s fills more effects than fit", world->nodes[node].name);
        return;
    }
    for (uint32_t i = 0; i < effects->count; i++) {
        hash_effect(world, node, &effects->list[i]);
        perform_one(world, node, &effects->list[i]);
    }
    effects->count = 0;
}

/* ------------------------------------------------------------------ steps */

static void count_step(struct world *world, uint32_t node)
{
    struct sim_node *stepped = &world->nodes[node];

    world->step_count++;
    if (stepped->steps_ms != world->now_ms) {
        stepped->steps_ms = world->now_ms;
        stepped->steps_in_ms = 0;
    }
    if (++stepped->steps_in_ms > SIM_STEPS_PER_MS_MAX) {
        world_fail(world, "%s does not come to rest", stepped->name);
    }
}

void world_step(struct world *world, uint32_t node, struct core_event *event)
{
    struct sim_node *stepped = &world->nodes[node];

    if (stepped->core == NULL || world->stopped) {
        return;
    }
    count_step(world, node);
    event->now_ms = world_node_ms(world, node);
    event->wall_unix_s = perform_wall_s(world, node);
    add_number(world, (uint64_t)node << 32 | (uint64_t)event->kind);
    CHECK(world->effects->count == 0);
    core_step(stepped->core, event, world->effects);
    perform(world, node);
    checker_after_step(world, node);
}

void world_step_overlay(struct world *world, uint32_t node, struct overlay_event *event)
{
    struct core_event *core_event = world->core_event;

    event->now_ms = world_node_ms(world, node);
    event->wall_unix_s = perform_wall_s(world, node);
    core_event->kind = CORE_OVERLAY;
    core_event->overlay = event;
    world_step(world, node, core_event);
}
