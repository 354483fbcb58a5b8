// SPDX-License-Identifier: GPL-3.0-or-later
/* Faults of disks, and churn, after which hosts come back with theirs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/world.h"

static void begin_slow_disk(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].disk.slow_ms = fault->value;
}

static void end_slow_disk(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].disk.slow_ms = 0;
}

static void begin_disk_full(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].disk.full_until_ms = world->now_ms + fault->for_ms;
}

static void begin_bad_access(struct world *world, const struct fault *fault, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;

    if (fault->kind == FAULT_BAD_WRITE) {
        disk->bad_write = disk->write_count + 1 + fault->value;
    } else {
        disk->bad_read = disk->read_count + 1 + fault->value;
    }
}

static void end_bad_access(struct world *world, const struct fault *fault, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;

    if (fault->kind == FAULT_BAD_WRITE) {
        disk->bad_write = 0;
    } else {
        disk->bad_read = 0;
    }
}

static void begin_rot(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    disk_rot(&world->nodes[node].disk);
}

static void begin_crash_write(struct world *world, const struct fault *fault, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;

    disk->crash_write = disk->write_count + 1 + fault->value;
}

static void end_crash_write(struct world *world, const struct fault *fault, uint32_t node)
{
    struct disk *disk = &world->nodes[node].disk;

    (void)fault;
    disk->crash_write = 0;
    if (disk->has_crashed) { /* else it may be off for another reason */
        disk->has_crashed = false;
        world_start(world, node);
    }
}

/* ------------------------------------------------------------------ another disk */

/* It may have been a member only on the disk that is lost. */
static void start_and_see(struct world *world, uint32_t node)
{
    world_start(world, node);
    if (world->nodes[node].core != NULL &&
        !overlay_belongs(core_overlay(world->nodes[node].core))) {
        client_forget_membership(world, node);
    }
    checker_changed(world);
}

static bool is_ordered(const struct world *world, uint32_t node)
{
    for (uint32_t i = 0; i < world->schedule.fault_count; i++) {
        const struct fault *fault = &world->schedule.faults[i];

        if ((fault->kind == FAULT_DRAIN || fault->kind == FAULT_PAUSE) &&
            fault_node(world, fault->node) == node && world->now_ms >= fault->at_ms &&
            world->now_ms < fault->at_ms + fault->for_ms) {
            return true;
        }
    }
    return false;
}

/* An old disk knows an old order of the owner, who sees that and takes it back once more. */
static void run_back(struct world *world, struct event *event)
{
    start_and_see(world, event->node);
    if (!is_ordered(world, event->node)) {
        client_resume(world, event->node);
    }
}

static void run_old_disk(struct world *world, struct event *event)
{
    struct sim_node *node = &world->nodes[event->node];

    if (node->backup == NULL || node->is_clone || !client_is_member(world, event->node) ||
        fault_disk_is_kept(world, event->node)) {
        return;
    }
    world_trace(world, "==== %s comes back with an old disk", node->name);
    checker_changed(world);
    world_power_off(world, event->node);
    disk_copy(node->backup, &node->disk);
    world_after(world, event->number, (struct event){.run = run_back, .node = event->node});
}

static void begin_old_disk(struct world *world, const struct fault *fault, uint32_t node)
{
    struct sim_node *kept = &world->nodes[node];

    if (kept->backup == NULL) {
        kept->backup = calloc(1, sizeof(*kept->backup));
        CHECK(kept->backup != NULL);
    }
    disk_copy(&kept->disk, kept->backup);
    world_after(world, fault->value,
                (struct event){.run = run_old_disk, .node = node, .number = fault->for_ms});
}

enum { TOLD_MS = ISOLATED_MS + 5000 }; /* and then its owner has it join anew */

bool fault_is_cut_off(const struct world *world, uint32_t node)
{
    const struct core *core = world->nodes[node].core;
    const struct overlay *overlay = core == NULL ? NULL : core_overlay(core);

    if (overlay == NULL || !world->nodes[node].is_leaf || !overlay_belongs(overlay)) {
        return false;
    }
    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (!member->is_self && member->record.addresses_count > 0) {
            return false;
        }
    }
    return true;
}

static void run_join_anew(struct world *world, struct event *event)
{
    uint32_t node = event->node;
    struct node_status status;

    if (world->nodes[node].core == NULL || world->now_ms < world->nodes[node].stalled_until_ms ||
        world->now_ms < world->nodes[node].begun_ms + TOLD_MS) {
        world_after(world, TOLD_MS, (struct event){.run = run_join_anew, .node = node});
        return;
    }
    if (!fault_is_cut_off(world, node)) {
        return; /* it has another disk by now */
    }
    core_node_status(world->nodes[node].core, &status);
    if (strstr(status.reason, "sudo minga join") == NULL) {
        world_fail(world, "%s is cut off for good, and its owner is not told: %s",
                   world->nodes[node].name, status.reason);
        return;
    }
    world_trace(world, "==== the owner of %s has it join anew", world->nodes[node].name);
    checker_changed(world);
    world_kill(world, node);
    disk_wipe(&world->nodes[node].disk);
    world->disk_lost_ms = world->now_ms;
    start_and_see(world, node);
}

static void begin_random_state(struct world *world, const struct fault *fault, uint32_t node)
{
    if (!client_is_member(world, node) || fault_disk_is_kept(world, node)) {
        return;
    }
    sandbox_clear(&world->nodes[node].sandbox);
    world_kill(world, node);
    disk_mangle(world, node, fault->at_ms);
    start_and_see(world, node);
    if (fault_is_cut_off(world, node)) {
        world_after(world, TOLD_MS, (struct event){.run = run_join_anew, .node = node});
    }
}

/* ------------------------------------------------------------------ churn */

enum { HOUR_NEVER = 1000 }; /* longer than any run */

/* Uniform in (0, 1). */
static double unit(const struct world *world, const char *purpose, uint64_t a, uint64_t b)
{
    return ((double)(world_draw(world, purpose, a, b) >> 11) + 0.5) * 0x1.0p-53;
}

/* How many hours a host stays, after Weibull's law; those of SETI@home and of IPFS. */
static double draw_on_hours(const struct world *world, enum churn_law law, uint64_t a, uint64_t b)
{
    static const struct {
        double shape;
        double scale_hours;
    } laws[CHURN_LAW_COUNT] = {[CHURN_SETI] = {0.393, 2.964}, [CHURN_IPFS] = {0.608, 3.656}};

    return laws[law].scale_hours * pow(-log(unit(world, "churn on", a, b)), 1 / laws[law].shape);
}

/* And how long it stays away: log-normal, by Box and Muller. */
static double draw_off_hours(const struct world *world, uint64_t a, uint64_t b)
{
    const double mu = -0.586;
    const double sigma = 2.844;
    const double turn = 6.283185307179586;
    double normal = sqrt(-2 * log(unit(world, "churn off", a, b))) *
                    cos(turn * unit(world, "churn off angle", a, b));

    return exp(mu + sigma * normal);
}

static uint64_t scaled_ms(const struct fault *fault, double hours)
{
    double capped_hours = hours < HOUR_NEVER ? hours : HOUR_NEVER;

    return 1 + (uint64_t)(capped_hours * (double)fault->value);
}

static void run_churn(struct world *world, struct event *event);

/* `turn` counts this host's comings and goings; the odd ones are comings. */
static void schedule_turn(struct world *world, const struct fault *fault, uint32_t node,
                          uint32_t turn)
{
    uint64_t index = (uint64_t)(fault - world->schedule.faults);
    uint64_t number = (uint64_t)node << 32 | turn;
    uint64_t after_ms =
        turn % 2 == 0 ? scaled_ms(fault, draw_on_hours(world, fault->law, number, fault->at_ms))
                      : scaled_ms(fault, draw_off_hours(world, number, fault->at_ms));

    if (world->now_ms + after_ms < fault->at_ms + fault->for_ms) {
        world_after(world, after_ms,
                    (struct event){.run = run_churn, .node = node, .number = index << 32 | turn});
    }
}

static void run_churn(struct world *world, struct event *event)
{
    const struct fault *fault = &world->schedule.faults[event->number >> 32];
    uint32_t turn = (uint32_t)event->number;
    uint64_t drawn =
        world_draw(world, "churn how", (uint64_t)event->node << 32 | turn, fault->at_ms);

    world_trace(world, "==== churn: %s %s", world->nodes[event->node].name,
                turn % 2 == 1 ? "comes" : "goes");
    checker_changed(world);
    if (world->nodes[event->node].is_clone) {
        return;
    }
    if (turn % 2 == 1) {
        world_start(world, event->node);
    } else if (drawn % 2 == 0) {
        client_ask(world, event->node, CORE_SHUT_DOWN);
    } else {
        world_power_off(world, event->node);
    }
    schedule_turn(world, fault, event->node, turn + 1);
}

static void begin_churn(struct world *world, const struct fault *fault, uint32_t node)
{
    for (node = 1; node < world->node_count; node++) {
        schedule_turn(world, fault, node, 0);
    }
}

static void end_churn(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    for (node = 1; node < world->node_count; node++) {
        world_start(world, node);
    }
}

const struct fault_action fault_disk_actions[FAULT_KIND_COUNT] = {
    [FAULT_SLOW_DISK] = {begin_slow_disk, end_slow_disk},
    [FAULT_DISK_FULL] = {begin_disk_full, fault_end_nothing},
    [FAULT_BAD_WRITE] = {begin_bad_access, end_bad_access},
    [FAULT_BAD_READ] = {begin_bad_access, end_bad_access},
    [FAULT_ROT] = {begin_rot},
    [FAULT_CRASH_WRITE] = {begin_crash_write, end_crash_write},
    [FAULT_OLD_DISK] = {begin_old_disk},
    [FAULT_RANDOM_STATE] = {begin_random_state},
    [FAULT_CHURN] = {begin_churn, end_churn, .without_node = true, .splits = true},
};
