// SPDX-License-Identifier: GPL-3.0-or-later
/* Faults of hosts, their processes and clocks. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/converge.h"
#include "tests/sim/fault.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/liar.h"
#include "tests/sim/world.h"

static void begin_crash(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_power_off(world, node);
}

bool fault_disk_is_kept(const struct world *world, uint32_t node)
{
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];
        bool have_others = false;

        for (uint32_t other = 0; other < world->node_count; other++) {
            have_others =
                have_others ||
                (other != node && world->nodes[other].core != NULL &&
                 converge_sequence(core_overlay(world->nodes[other].core), service,
                                   minga_RecordKind_RECORD_SERVICE) >= service->lone_sequence);
        }
        if (service->lone_node == node + 1 && !have_others) {
            return true;
        }
    }
    return false;
}

static void begin_off(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    if (fault_disk_is_kept(world, node)) {
        return;
    }
    world->nodes[node].off_for_good = true;
    world_power_off(world, node);
}

static void begin_wipe(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_power_off(world, node);
    if (fault_disk_is_kept(world, node)) {
        return;
    }
    disk_wipe(&world->nodes[node].disk);
    world->disk_lost_ms = world->now_ms;
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
    world_stall(world, node, world->now_ms + fault->for_ms);
}

static void run_writer_back(struct world *world, struct event *event)
{
    world_start(world, event->node);
}

static void wipe_for(struct world *world, uint32_t node, uint64_t for_ms)
{
    world_trace(world, "==== %s is wiped", world->nodes[node].name);
    begin_wipe(world, NULL, node);
    world_after(world, for_ms, (struct event){.run = run_writer_back, .node = node});
}

/* Who holds the record of a service, as the one that answers for it sees it, and which that is. */
static uint32_t find_holders(const struct world *world, const struct service_id *service,
                             struct node_id *holders, uint32_t *writer_out)
{
    struct ring_key key = {service->id};
    uint32_t writer = converge_ideal_node(world, &key);

    *writer_out = writer;
    if (writer >= world->node_count || world->nodes[writer].core == NULL) {
        return 0;
    }
    return overlay_replica_set(core_overlay(world->nodes[writer].core), &key, RECORD_COPIES,
                               holders);
}

/* One that hears nobody has the only copy: it keeps it. */
void fault_wipe_writer(struct world *world, const struct service_id *service, uint64_t for_ms)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t writer;

    if (find_holders(world, service, holders, &writer) > 1) {
        wipe_for(world, writer, for_ms);
    }
}

/* All at once, as when a part of the town has no current, and the disks do not survive it. */
static void begin_wipe_holders(struct world *world, const struct fault *fault, uint32_t node)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t count =
        find_holders(world, &world->client.services[fault->service].id, holders, &node);

    for (uint32_t i = 0; i < count; i++) {
        wipe_for(world, world_find(world, &holders[i]), fault->for_ms);
    }
}

/* ------------------------------------------------------------------ sleep */

static void begin_sleep(struct world *world, const struct fault *fault, uint32_t node)
{
    world->nodes[node].cut_count++;
    world_stall(world, node, world->now_ms + fault->for_ms);
}

static void end_sleep(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world->nodes[node].cut_count--;
    network_changed(world);
}

static void begin_sleep_all(struct world *world, const struct fault *fault, uint32_t node)
{
    for (node = 0; node < world->node_count; node++) {
        begin_sleep(world, fault, node);
    }
    world->asleep_until_ms = world->now_ms + fault->for_ms;
    if (world_is_deceived(world)) {
        world->deceived_ms = world->asleep_until_ms; /* nobody gets over it in their sleep */
    }
    if (world_is_misled(world)) {
        world->misled_ms = world->asleep_until_ms;
    }
}

static void end_sleep_all(struct world *world, const struct fault *fault, uint32_t node)
{
    for (node = 0; node < world->node_count; node++) {
        end_sleep(world, fault, node);
        world->nodes[node].alone_ms = world->now_ms; /* nobody looked meanwhile */
    }
}

/* ------------------------------------------------------------------ clocks */

static void begin_wall(struct world *world, const struct fault *fault, uint32_t node)
{
    int64_t jump_s = (int64_t)fault->value;

    world->nodes[node].wall_skew_s += fault->kind == FAULT_WALL_BACK ? -jump_s : jump_s;
}

static void end_wall(struct world *world, const struct fault *fault, uint32_t node)
{
    int64_t jump_s = (int64_t)fault->value;

    world->nodes[node].wall_skew_s -= fault->kind == FAULT_WALL_BACK ? -jump_s : jump_s;
}

static void begin_drift(struct world *world, const struct fault *fault, uint32_t node)
{
    int32_t drift_permille = fault->value < 500 ? (int32_t)fault->value : 500;

    world_set_drift(world, node,
                    fault->kind == FAULT_SLOW_CLOCK ? -drift_permille : drift_permille);
}

static void end_drift(struct world *world, const struct fault *fault, uint32_t node)
{
    (void)fault;
    world_set_drift(world, node, 0);
}

/* ------------------------------------------------------------------ two with one key */

struct identity {
    struct secret_key secret;
    struct disk disk;
};

/* Another port: records of what the clone was must not lead to whom the host belongs. */
static void move(struct sim_node *clone, const char *port)
{
    minga_NodeRecord *description = &clone->config.overlay.description;
    char *colon = strchr(clone->address, ':');

    CHECK(colon != NULL && strlen(colon) == strlen(port));
    memcpy(colon, port, strlen(port));
    CHECK(text_copy(description->addresses[0], sizeof(description->addresses[0]), clone->address) ==
          0);
}

static void begin_clone(struct world *world, const struct fault *fault, uint32_t node)
{
    uint32_t other = fault_node(world, fault->other);
    struct sim_node *clone;

    if (other >= world->node_count || other == node || world->nodes[other].is_clone ||
        world->nodes[other].off_for_good || !client_is_member(world, node)) {
        return;
    }
    clone = &world->nodes[other];
    world_power_off(world, other);
    clone->own = calloc(1, sizeof(*clone->own));
    CHECK(clone->own != NULL);
    clone->own->secret = clone->secret;
    clone->own->disk = clone->disk;
    clone->disk = (struct disk){0};
    disk_copy(&world->nodes[node].disk, &clone->disk);
    world_identify(clone, &world->nodes[node].secret);
    move(clone, ":7401");
    network_forget(world, other);
    clone->is_clone = true;
    world->clone_count++;
    world_trace(world, "==== %s is a clone of %s", clone->name, world->nodes[node].name);
    world_start(world, other);
}

static void end_clone(struct world *world, const struct fault *fault, uint32_t node)
{
    uint32_t other = fault_node(world, fault->other);
    struct sim_node *clone;

    (void)node;
    if (other >= world->node_count || !world->nodes[other].is_clone) {
        return;
    }
    clone = &world->nodes[other];
    world_power_off(world, other);
    disk_wipe(&clone->disk);
    clone->disk = clone->own->disk;
    world_identify(clone, &clone->own->secret);
    move(clone, ":7400");
    network_forget(world, other);
    free(clone->own);
    clone->own = NULL;
    clone->is_clone = false;
    world->clone_count--;
    world_start(world, other);
    client_resume(world, other); /* of a pause that ended meanwhile only the clone was told */
}

void fault_forget(struct sim_node *node)
{
    if (node->own != NULL) {
        disk_wipe(&node->own->disk);
        free(node->own);
    }
    if (node->backup != NULL) {
        disk_wipe(node->backup);
        free(node->backup);
    }
    liar_free(node->liar);
}

const struct fault_action fault_host_actions[FAULT_KIND_COUNT] = {
    [FAULT_CRASH] = {begin_crash, end_by_starting},
    [FAULT_OFF] = {begin_off},
    [FAULT_WIPE] = {begin_wipe, end_by_starting},
    [FAULT_KILL] = {begin_kill, end_by_starting},
    [FAULT_KILL_AGENT] = {begin_kill_agent, end_by_starting},
    [FAULT_STALL] = {begin_stall, fault_end_nothing, .splits = true},
    [FAULT_SLEEP] = {begin_sleep, end_sleep, .splits = true},
    [FAULT_WIPE_HOLDERS] = {begin_wipe_holders, .without_node = true},
    [FAULT_SLEEP_ALL] = {begin_sleep_all, end_sleep_all, .without_node = true, .splits = true},
    [FAULT_WALL_FORWARD] = {begin_wall, end_wall},
    [FAULT_WALL_BACK] = {begin_wall, end_wall},
    [FAULT_FAST_CLOCK] = {begin_drift, end_drift},
    [FAULT_SLOW_CLOCK] = {begin_drift, end_drift},
    [FAULT_CLONE] = {begin_clone, end_clone, .splits = true, .deceives = true, .misleads = true},
};
