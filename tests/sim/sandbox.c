// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sandbox.h"

#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/world.h"

enum { WAKING_MS = 1000 };

static bool same_key(const struct replica_key *a, const struct replica_key *b)
{
    return a->slot == b->slot && a->incarnation == b->incarnation &&
           id_equal(&a->service.id, &b->service.id);
}

static struct sim_replica *find_key(struct sandbox_host *host, const struct replica_key *key)
{
    for (uint32_t i = 0; i < host->count; i++) {
        if (same_key(&host->list[i].key, key)) {
            return &host->list[i];
        }
    }
    return NULL;
}

static struct sim_replica *find_serial(struct sandbox_host *host, uint64_t serial)
{
    for (uint32_t i = 0; i < host->count; i++) {
        if (host->list[i].serial == serial) {
            return &host->list[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ events to the core */

static void run_told(struct world *world, struct event *event)
{
    struct core_event *told = world->core_event;

    *told = (struct core_event){.kind = CORE_SANDBOX, .sandbox = event->payload};
    world_step(world, event->node, told);
}

static void tell(struct world *world, uint32_t node, const struct sandbox_event *event)
{
    struct sandbox_event *copy = malloc(sizeof(*copy));

    CHECK(copy != NULL);
    *copy = *event;
    world_after_process(world, 1, (struct event){.run = run_told, .node = node, .payload = copy});
}

static void tell_ended(struct world *world, uint32_t node, const struct replica_key *key,
                       enum sandbox_end end)
{
    tell(world, node, &(struct sandbox_event){.kind = SANDBOX_ENDED, .key = *key, .end = end});
}

static void tell_healthy(struct world *world, uint32_t node, const struct replica_key *key)
{
    tell(world, node, &(struct sandbox_event){.kind = SANDBOX_HEALTH, .key = *key, .healthy = 1});
}

static void end_replica(struct world *world, uint32_t node, struct sim_replica *replica,
                        enum sandbox_end end)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;
    struct replica_key key = replica->key;

    checker_ended(world, node, &key, (int)end);
    *replica = host->list[--host->count];
    tell_ended(world, node, &key, end);
}

/* ------------------------------------------------------------------ start */

static void run_healthy(struct world *world, struct event *event)
{
    struct sim_replica *replica = find_serial(&world->nodes[event->node].sandbox, event->number);

    if (replica != NULL && replica->state == SIM_RUNNING) {
        replica->healthy = true;
        tell_healthy(world, event->node, &replica->key);
    }
}

static void run_started(struct world *world, struct event *event)
{
    struct sim_replica *replica = find_serial(&world->nodes[event->node].sandbox, event->number);

    if (replica == NULL || replica->state != SIM_STARTING) {
        return;
    }
    replica->state = SIM_RUNNING;
    replica->started_ms = world->now_ms;
    tell(world, event->node, &(struct sandbox_event){.kind = SANDBOX_STARTED, .key = replica->key});
    world_after(world, 30 + world_draw(world, "healthy", event->node, event->number) % 200,
                (struct event){.run = run_healthy, .node = event->node, .number = event->number});
}

static bool port_is_taken(const struct sandbox_host *host, uint16_t host_port)
{
    for (uint32_t i = 0; i < host->count; i++) {
        for (uint32_t p = 0; p < host->list[i].port_count; p++) {
            if (host->list[i].ports[p].host_port == host_port) {
                return true;
            }
        }
    }
    return false;
}

static void run_port_refused(struct world *world, struct event *event)
{
    struct core_event *refused = world->core_event;

    *refused = (struct core_event){.kind = CORE_PORTS_REFUSED};
    refused->replica = *(const struct replica_key *)event->payload;
    refused->host_port = (uint16_t)event->number;
    world_step(world, event->node, refused);
}

static bool refuse_ports(struct world *world, uint32_t node, const struct sandbox_spec *spec)
{
    for (uint32_t p = 0; p < spec->port_count; p++) {
        struct replica_key *key;

        if (!port_is_taken(&world->nodes[node].sandbox, spec->ports[p].host_port)) {
            continue;
        }
        key = malloc(sizeof(*key));
        CHECK(key != NULL);
        *key = spec->key;
        world_after_process(world, 1,
                            (struct event){.run = run_port_refused,
                                           .node = node,
                                           .number = spec->ports[p].host_port,
                                           .payload = key});
        return true;
    }
    return false;
}

static struct sim_replica *add_replica(struct sandbox_host *host, const struct sandbox_spec *spec)
{
    struct sim_replica *replica = &host->list[host->count++];

    *replica = (struct sim_replica){.serial = ++host->next_serial,
                                    .key = spec->key,
                                    .tree = spec->tree,
                                    .limits = spec->limits,
                                    .port_count = spec->port_count};
    for (uint32_t p = 0; p < spec->port_count; p++) {
        replica->ports[p] = spec->ports[p];
    }
    return replica;
}

void sandbox_start(struct world *world, uint32_t node, const struct sandbox_spec *spec)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;
    struct sim_replica *replica = find_key(host, &spec->key);

    if (refuse_ports(world, node, spec)) {
        return;
    }
    if (replica != NULL) { /* asked twice: as minga-sandboxd does */
        if (replica->state == SIM_RUNNING) {
            tell(world, node,
                 &(struct sandbox_event){.kind = SANDBOX_STARTED, .key = replica->key});
        }
        return;
    }
    if (host->count == REPLICAS_PER_NODE_MAX) {
        world_fail(world, "%s starts too many replicas", world->nodes[node].name);
        return;
    }
    if (world->now_ms < host->refuse_until_ms) {
        tell_ended(world, node, &spec->key, SANDBOX_END_REFUSED);
        return;
    }
    checker_starting(world, node, spec);
    replica = add_replica(host, spec);
    world_after(world, 30 + world_draw(world, "start", node, replica->serial) % 300,
                (struct event){.run = run_started, .node = node, .number = replica->serial});
}

/* ------------------------------------------------------------------ the rest */

static void run_stopped(struct world *world, struct event *event)
{
    struct sim_replica *replica = find_serial(&world->nodes[event->node].sandbox, event->number);

    if (replica != NULL) {
        end_replica(world, event->node, replica, SANDBOX_END_STOPPED);
    }
}

void sandbox_stop(struct world *world, uint32_t node, const struct replica_key *key)
{
    struct sim_replica *replica = find_key(&world->nodes[node].sandbox, key);

    if (replica == NULL) {
        tell_ended(world, node, key, SANDBOX_END_LOST);
        return;
    }
    if (replica->state == SIM_STOPPING) {
        return;
    }
    checker_stopping(world, node, key);
    replica->state = SIM_STOPPING;
    world_after(world, 5 + world_draw(world, "stop", node, replica->serial) % 600,
                (struct event){.run = run_stopped, .node = node, .number = replica->serial});
}

void sandbox_freeze(struct world *world, uint32_t node, const struct replica_key *key, bool frozen)
{
    struct sim_replica *replica = find_key(&world->nodes[node].sandbox, key);

    if (replica == NULL) {
        tell_ended(world, node, key, SANDBOX_END_LOST);
        return;
    }
    replica->frozen = frozen;
}

void sandbox_renew(struct world *world, uint32_t node)
{
    world->nodes[node].sandbox.renewed_ms = world->now_ms;
}

void sandbox_stats(struct world *world, uint32_t node, const struct replica_key *key)
{
    struct sim_replica *replica = find_key(&world->nodes[node].sandbox, key);
    struct sandbox_event stats = {.kind = SANDBOX_STATS, .key = *key};

    if (replica == NULL) {
        tell_ended(world, node, key, SANDBOX_END_LOST);
        return;
    }
    stats.used = replica->limits;
    stats.used.cpu_permille /= 10;
    stats.used.memory_bytes /= 2;
    tell(world, node, &stats);
}

static void run_listed(struct world *world, struct event *event)
{
    struct core_event *listed = world->core_event;

    *listed = (struct core_event){.kind = (enum core_event_kind)event->number};
    world_step(world, event->node, listed);
}

static void list_one(struct world *world, uint32_t node, const struct sim_replica *replica)
{
    struct sandbox_event listed = {.kind = SANDBOX_LISTED, .key = replica->key};

    listed.used = replica->limits;
    listed.limits = replica->limits;
    listed.tree = replica->tree;
    listed.port_count = replica->port_count;
    for (uint32_t p = 0; p < replica->port_count; p++) {
        listed.ports[p] = replica->ports[p];
    }
    listed.age_ms = world->now_ms - replica->started_ms;
    tell(world, node, &listed);
    if (replica->healthy) {
        tell_healthy(world, node, &replica->key);
    }
}

void sandbox_connected(struct world *world, uint32_t node)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;

    host->renewed_ms = world->now_ms;
    world_after_process(world, 1,
                        (struct event){.run = run_listed, .node = node, .number = CORE_SANDBOX_UP});
    for (uint32_t i = 0; i < host->count; i++) {
        if (host->list[i].state != SIM_STARTING) { /* of those the STARTED is still to come */
            list_one(world, node, &host->list[i]);
        }
    }
    world_after_process(
        world, 1, (struct event){.run = run_listed, .node = node, .number = CORE_SANDBOX_LISTED});
}

void sandbox_expire(struct world *world, uint32_t node)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;

    if (host->count == 0 || world->now_ms < host->renewed_ms + HELPER_ALONE_MS) {
        return;
    }
    /* One that has just woken up had no time to. */
    if (world->nodes[node].core != NULL &&
        world->now_ms >= world->nodes[node].stalled_until_ms + WAKING_MS) {
        world_fail(world, "%s does not renew its replicas", world->nodes[node].name);
    }
    while (host->count > 0) {
        end_replica(world, node, &host->list[0], SANDBOX_END_LOST);
    }
}

bool sandbox_crash(struct world *world, uint32_t node, uint32_t index)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;

    if (host->count == 0) {
        return false;
    }
    end_replica(world, node, &host->list[index % host->count], SANDBOX_END_SIGNALLED);
    return true;
}

bool sandbox_sicken(struct world *world, uint32_t node, uint32_t index)
{
    struct sandbox_host *host = &world->nodes[node].sandbox;
    struct sim_replica *replica = host->count == 0 ? NULL : &host->list[index % host->count];

    if (replica == NULL) {
        return false;
    }
    replica->healthy = false;
    tell(world, node, &(struct sandbox_event){.kind = SANDBOX_HEALTH, .key = replica->key});
    return true;
}

void sandbox_clear(struct sandbox_host *host)
{
    host->count = 0;
}

uint32_t sandbox_running_count(const struct sandbox_host *host, const struct service_id *service)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < host->count; i++) {
        if (host->list[i].state == SIM_RUNNING && !host->list[i].frozen &&
            id_equal(&host->list[i].key.service.id, &service->id)) {
            count++;
        }
    }
    return count;
}

uint32_t sandbox_count(const struct sandbox_host *host, const struct service_id *service)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < host->count; i++) {
        count += id_equal(&host->list[i].key.service.id, &service->id) ? 1 : 0;
    }
    return count;
}

uint32_t sandbox_tree_count(const struct sandbox_host *host, const struct service_id *service,
                            const struct tree_id *tree)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < host->count; i++) {
        count += id_equal(&host->list[i].key.service.id, &service->id) &&
                         id_equal(&host->list[i].tree.id, &tree->id)
                     ? 1
                     : 0;
    }
    return count;
}
