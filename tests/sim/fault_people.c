// SPDX-License-Identifier: GPL-3.0-or-later
/* What people do, and what a schedule written by hand expects. */
#include "agent/executor/executor.h"
#include "tests/sim/fault.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/intruder.h"
#include "tests/sim/world.h"

enum { PATIENCE_MARGIN_MS = 200 };

static void begin_end_replica(struct world *world, const struct fault *fault, uint32_t node)
{
    sandbox_crash(world, node, (uint32_t)fault->value);
}

static void begin_sicken(struct world *world, const struct fault *fault, uint32_t node)
{
    sandbox_sicken(world, node, (uint32_t)fault->value);
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
    world->nodes[node].patient_ms = world->now_ms + DRAIN_MS - PATIENCE_MARGIN_MS;
    client_ask(world, node, CORE_DRAIN);
}

static void end_by_starting(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_start(world, node);
}

static void end_by_resuming(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].patient_ms = 0;
    client_resume(world, node);
}

static void begin_shut_down(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].patient_ms = 0;
    client_ask(world, node, CORE_SHUT_DOWN);
}

static void begin_back_soon(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    client_ask(world, node, CORE_BACK_SOON);
}

static void begin_aside(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].patient_ms = world->now_ms + fault->for_ms;
    client_ask(world, node, CORE_STEP_ASIDE);
}

static void end_aside(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].patient_ms = 0;
    client_ask(world, node, CORE_COME_BACK);
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

static void begin_intrude(struct world *world, const struct fault *fault, uint32_t node)
{
    intruder_tries(world, node, fault->value);
}

static void begin_revoke(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    (void)node;
    invited_revoke(world);
}

/* Its owner looks at the time himself. */
static void begin_push(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)world;
    (void)fault;
    (void)node;
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

static void begin_update(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)node;
    client_update(world, fault->service);
}

static void begin_wipe_writer(struct world *world, const struct fault *fault, uint32_t node)
{
    struct client_service *service = &world->client.services[fault->service];

    (void)node;
    service->wipe_writer_for_ms = fault->for_ms;
    client_wish(world, fault->service, true, 1 + service->wish.replicas % 4);
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

const struct fault_action fault_people_actions[FAULT_KIND_COUNT] = {
    [FAULT_END_REPLICA] = {begin_end_replica},
    [FAULT_SICKEN] = {begin_sicken},
    [FAULT_REFUSE_STARTS] = {begin_refuse_starts},
    [FAULT_PAUSE] = {begin_pause, end_by_resuming},
    [FAULT_DRAIN] = {begin_drain, end_by_resuming},
    [FAULT_SHUT_DOWN] = {begin_shut_down, end_by_starting},
    [FAULT_BACK_SOON] = {begin_back_soon, end_by_starting},
    [FAULT_ASIDE] = {begin_aside, end_aside},
    [FAULT_LEAVE] = {begin_leave},
    [FAULT_JOIN] = {begin_join},
    [FAULT_EXPEL] = {begin_expel},
    [FAULT_INTRUDE] = {begin_intrude},
    [FAULT_REVOKE] = {begin_revoke, .without_node = true},
    [FAULT_PUSH] = {begin_push, .without_node = true},
    [FAULT_START] = {begin_start, .without_node = true},
    [FAULT_STOP] = {begin_stop, .without_node = true},
    [FAULT_SCALE] = {begin_scale, .without_node = true},
    [FAULT_REMOVE] = {begin_remove, .without_node = true},
    [FAULT_UPDATE] = {begin_update, .without_node = true},
    [FAULT_WIPE_WRITER] = {begin_wipe_writer, .without_node = true},
    [FAULT_PICK_HOLDER] = {begin_pick, .without_node = true, .changes_nothing = true},
    [FAULT_PICK_MANAGER] = {begin_pick, .without_node = true, .changes_nothing = true},
    [FAULT_PICK_BYSTANDER] = {begin_pick, .without_node = true, .changes_nothing = true},
    [FAULT_EXPECT] = {begin_expect, .without_node = true, .changes_nothing = true},
    [FAULT_EXPECT_ON] = {begin_expect, .changes_nothing = true},
    [FAULT_AT_LEAST] = {begin_expect, .without_node = true, .changes_nothing = true},
    [FAULT_NO_START] = {begin_expect, .without_node = true, .changes_nothing = true},
    [FAULT_EXPECT_DOWN] = {begin_expect, .changes_nothing = true},
    [FAULT_NEVER_DOWN] = {begin_expect, .changes_nothing = true},
};
