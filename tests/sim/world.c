// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/random.h"
#include "tests/sim/check_durable.h"
#include "tests/sim/fault.h"
#include "tests/sim/perform.h"

/* ------------------------------------------------------------------ helpers */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;

    if (world->failure.failed) {
        return;
    }
    world->failure.failed = true;
    world->failure.at_ms = world->now_ms;
    va_start(arguments, format);
    vsnprintf(world->failure.text, sizeof(world->failure.text), format, arguments);
    va_end(arguments);
    world->stopped = true;
}

void world_trace(struct world *world, const char *format, ...)
{
    va_list arguments;

    if (!world->trace) {
        return;
    }
    printf("[%7" PRIu64 "] ", world->now_ms);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

uint64_t world_draw(const struct world *world, const char *purpose, uint64_t a, uint64_t b)
{
    struct random random;

    random_init(&random, world->seed ^ (a * 0x9e3779b97f4a7c15U) ^ (b * 0xc2b2ae3d27d4eb4fU),
                purpose);
    return random_u64(&random);
}

uint64_t world_draw_between(uint64_t drawn, uint64_t from, uint64_t to)
{
    CHECK(from <= to);
    return from + drawn % (to - from + 1);
}

void world_after(struct world *world, uint64_t delay_ms, struct event event)
{
    event.at_ms = world->now_ms + delay_ms;
    event.sequence = 0;
    event.life = 0;
    queue_push(&world->queue, &event);
}

void world_after_process(struct world *world, uint64_t delay_ms, struct event event)
{
    event.at_ms = world->now_ms + delay_ms;
    event.sequence = 0;
    event.life = world->nodes[event.node].life;
    queue_push(&world->queue, &event);
}

uint32_t world_find(const struct world *world, const struct node_id *id)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (id_equal(&world->nodes[i].own_id.id, &id->id)) {
            return i;
        }
    }
    return world->node_count;
}

uint64_t world_node_ms(const struct world *world, uint32_t node)
{
    const struct sim_clock *clock = &world->nodes[node].clock;
    uint64_t elapsed_ms = world->now_ms - clock->at_ms;

    return clock->now_ms + elapsed_ms +
           (uint64_t)((int64_t)elapsed_ms * clock->drift_permille / 1000);
}

uint64_t world_delay_ms(const struct world *world, uint32_t node, uint64_t node_delay_ms)
{
    uint64_t rate_permille = (uint64_t)(1000 + world->nodes[node].clock.drift_permille);

    return rate_permille == 1000 ? node_delay_ms
                                 : (node_delay_ms * 1000 + rate_permille - 1) / rate_permille;
}

void world_set_drift(struct world *world, uint32_t node, int32_t drift_permille)
{
    uint64_t now_ms = world_node_ms(world, node);

    CHECK(drift_permille > -1000);
    world->nodes[node].clock = (struct sim_clock){world->now_ms, now_ms, drift_permille};
}

void world_hash(struct world *world, char hex_out[ID_HEX_CHARS + 1])
{
    struct id id;

    hash_done(&world->trace_hash, &id);
    id_to_hex(&id, hex_out);
}

/* ------------------------------------------------------------------ nodes */

/* A host's clock starts at some moment before now, another one for each boot. */
static void boot(struct world *world, uint32_t node)
{
    struct sim_node *booted = &world->nodes[node];
    uint64_t drawn = world_draw(world, "boot", node, booted->life);
    uint64_t up_ms = booted->life == 0 ? drawn % 100000000 : drawn % 20000;

    booted->clock.at_ms = world->now_ms;
    booted->clock.now_ms = 1 + up_ms;
    booted->powered = true;
}

static void make_config(struct world *world, struct sim_node *node, uint64_t index)
{
    struct core_config *config = &node->config;
    minga_NodeRecord *description = &config->overlay.description;
    uint64_t draw = world_draw(world, "roles", index, 0);

    config->overlay.full_members_max = (uint32_t)world->schedule.full_members;
    config->overlay.storage_bytes_max = 256U << 20;
    description->addresses_count = 1;
    CHECK(text_copy(description->addresses[0], sizeof(description->addresses[0]), node->address) ==
          0);
    CHECK(text_copy(description->name, sizeof(description->name), node->name) == 0);
    CHECK(text_copy(description->arch, sizeof(description->arch), "amd64") == 0);
    CHECK(text_copy(description->version, sizeof(description->version), "0.1.0") == 0);
    snprintf(description->zone, sizeof(description->zone), "z%u", (unsigned)(index % 3));
    node->is_leaf = index >= world->schedule.nodes - world->schedule.leaves;
    config->overlay.finds_reach = world->schedule.reach != 0;
    config->overlay.relay_port_first = 32000;
    config->overlay.relay_port_count = 64;
    if (world->schedule.reach == 0) {
        description->reachable = minga_Reachable_REACHABLE_DIRECT;
    }
    bool plain = index < 4 || world->schedule.mixed == 0;

    config->runs = plain || draw % 8 != 0;
    config->stores = plain || draw / 8 % 8 != 0;
    config->manages = true;
    description->relays = plain || draw / 1024 % 4 != 0;
    description->runs = config->runs;
    description->stores = config->stores;
    description->manages = config->manages;
    config->contribution = (struct sandbox_limits){.cpu_permille = 1000,
                                                   .memory_bytes = SIM_PLENTY_BYTES,
                                                   .disk_bytes = UINT64_C(1) << 30,
                                                   .pid_count = 1024};
    if (!plain && draw / 64 % 4 == 0) {
        config->contribution.memory_bytes = (draw / 256 % 3) * SIM_REPLICA_BYTES;
    }
    config->storage_bytes = 256U << 20;
    config->port_first = 31000;
    config->port_last = 31099;
    config->arch = MANIFEST_ARCH_AMD64;
}

void world_identify(struct sim_node *node, const struct secret_key *secret)
{
    node->secret = *secret;
    node->config.overlay.node_key = *secret;
    node->key = keys_public(&node->secret);
    node->id = keys_node_id(&node->key);
    node->position = keys_position(&node->key, 0);
    CHECK(keys_curve_public(&node->key, node->curve_key) == 0);
}

static void make_node(struct world *world, uint32_t index)
{
    struct sim_node *node = &world->nodes[index];
    uint8_t seed[KEY_SEED_BYTES];
    struct secret_key secret;
    uint64_t skew = world_draw(world, "skew", index, 0) % (2 * world->schedule.skew_s + 1);

    for (uint32_t i = 0; i < KEY_SEED_BYTES; i++) {
        seed[i] = (uint8_t)world_draw(world, "node key", index, i);
    }
    keys_from_seed(seed, &secret);
    world_identify(node, &secret);
    node->own_id = node->id;
    node->owner = index % CLIENT_OWNERS;
    node->wall_skew_s = (int64_t)skew - (int64_t)world->schedule.skew_s;
    snprintf(node->name, sizeof(node->name), "n%u", index);
    snprintf(node->address, sizeof(node->address), "10.77.%u.%u:7400", index / 250,
             index % 250 + 1);
    make_config(world, node, index);
}

void world_start(struct world *world, uint32_t node)
{
    struct sim_node *started = &world->nodes[node];

    if (started->core != NULL || started->off_for_good) {
        return;
    }
    if (!started->powered) {
        boot(world, node);
        network_changed(world);
    }
    started->life++;
    started->begun_ms = world->now_ms;
    started->config.overlay.seed = world_draw(world, "core", node, started->life);
    started->core = core_new(&started->config);
    CHECK(started->core != NULL);
    world_trace(world, "%s begins", started->name);
    world_stall(world, node, world->asleep_until_ms); /* where all sleep, so does what is started */
    if (!disk_load(&started->disk, started->core)) {
        world_fail(world, "%s refuses what it has stored", started->name);
        return;
    }
    world->effects->count = 0;
    core_start(started->core, world_node_ms(world, node), perform_wall_s(world, node),
               world->effects);
    perform(world, node);
    disk_begin(world, node);
    sandbox_connected(world, node);
}

void world_kill(struct world *world, uint32_t node)
{
    struct sim_node *killed = &world->nodes[node];

    if (killed->core == NULL) {
        return;
    }
    world_trace(world, "%s ends", killed->name);
    killed->ended_ms = world->now_ms;
    core_free(killed->core);
    killed->core = NULL;
    killed->died_ms = world->now_ms;
    killed->stalled_until_ms = 0;
    disk_process_ended(world, node);
    network_process_ended(world, node, killed->powered);
}

bool world_is_deceived(const struct world *world)
{
    return world->deceived_count > 0 ||
           (world->deceived_ms != 0 && world->now_ms < world->deceived_ms + SETTLED_MS);
}

bool world_is_misled(const struct world *world)
{
    return world->misled_count > 0 ||
           (world->misled_ms != 0 && world->now_ms < world->misled_ms + SETTLED_MS);
}

void world_stall(struct world *world, uint32_t node, uint64_t until_ms)
{
    if (world->nodes[node].stalled_until_ms < until_ms) {
        world->nodes[node].stalled_until_ms = until_ms;
    }
}

void world_power_off(struct world *world, uint32_t node)
{
    world->nodes[node].powered = false;
    sandbox_clear(&world->nodes[node].sandbox);
    world_kill(world, node);
}

/* ------------------------------------------------------------------ running */

static void run_periodic(struct world *world, struct event *event)
{
    (void)event;
    if (world->now_ms < world->asleep_until_ms) { /* nothing happens, for hours */
        world_after(world, world->asleep_until_ms - world->now_ms,
                    (struct event){.run = run_periodic});
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        sandbox_expire(world, node);
        if (world->now_ms >= world->schedule.calm_ms) {
            world_start(world, node); /* one that ended late, on a request */
        }
    }
    client_tick(world);
    checker_periodic(world);
    world_after(world, CHECK_EVERY_MS, (struct event){.run = run_periodic});
}

static void run_owners(struct world *world, struct event *event)
{
    (void)event;
    owners_check(world);
    check_durable_epochs(world);
    world_after(world, OWNERS_EVERY_MS, (struct event){.run = run_owners});
}

static void run_first(struct world *world, struct event *event)
{
    world_start(world, event->node);
}

struct world *world_new(const struct schedule *schedule, bool trace)
{
    struct world *world = calloc(1, sizeof(*world));

    CHECK(world != NULL);
    world->schedule = *schedule;
    world->seed = schedule->seed;
    world->trace = trace;
    world->node_count = schedule->nodes;
    world->nodes = calloc(world->node_count, sizeof(*world->nodes));
    world->effects = calloc(1, sizeof(*world->effects));
    world->core_event = calloc(1, sizeof(*world->core_event));
    CHECK(world->nodes != NULL && world->effects != NULL && world->core_event != NULL);
    hash_init(&world->trace_hash, HASH_RECORD);
    network_init(&world->network, world->node_count);
    world->network.latency_ms_max = (uint32_t)schedule->latency_ms;
    world->network.loss_permille = (uint32_t)schedule->loss_permille;
    for (uint32_t i = 0; i < world->node_count; i++) {
        make_node(world, i);
        world_after(world, i, (struct event){.run = run_first, .node = i});
    }
    client_init(world);
    checker_init(world);
    owners_init(world);
    epochs_init(world);
    spreads_init(world);
    fault_schedule(world);
    world_after(world, CHECK_EVERY_MS, (struct event){.run = run_periodic});
    world_after(world, OWNERS_EVERY_MS, (struct event){.run = run_owners});
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        core_free(world->nodes[i].core);
        disk_wipe(&world->nodes[i].disk);
        fault_forget(&world->nodes[i]);
    }
    owners_done(&world->owners);
    epochs_done(world);
    spreads_done(world);
    queue_done(&world->queue);
    /* After the queue, whose packets are its own. */
    network_done(&world->network);
    free(world->nodes);
    free(world->effects);
    free(world->core_event);
    free(world);
}

/* An event of a process that is gone is nothing; of one that is stalled, it waits. */
static bool is_due(struct world *world, struct event *event)
{
    const struct sim_node *node = &world->nodes[event->node];

    if (event->life == 0) {
        return true;
    }
    if (node->core == NULL || node->life != event->life) {
        return false;
    }
    if (world->now_ms < node->stalled_until_ms) {
        event->at_ms = node->stalled_until_ms;
        queue_push(&world->queue, event);
        event->payload = NULL;
        return false;
    }
    return true;
}

void world_run(struct world *world)
{
    struct event event;

    while (!world->stopped && queue_pop(&world->queue, &event)) {
        CHECK(event.at_ms >= world->now_ms);
        world->now_ms = event.at_ms;
        if (is_due(world, &event)) {
            event.run(world, &event);
        }
        free(event.payload);
    }
}
