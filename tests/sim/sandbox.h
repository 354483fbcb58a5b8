// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The helper and the replicas of one host. Replicas outlive the agent's process for
 * HELPER_ALONE_MS; a replacement process adopts them. They do not outlive the power.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"

struct world;
struct sim_node;

enum sim_replica_state { SIM_STARTING, SIM_RUNNING, SIM_STOPPING };

struct sim_replica {
    uint64_t serial; /* tells this process from a later one of the same key */
    struct replica_key key;
    struct tree_id tree;
    struct sandbox_limits limits;
    uint32_t port_count;
    struct sandbox_port ports[PORTS_PER_SERVICE_MAX];
    enum sim_replica_state state;
    bool frozen;
    bool healthy;
    uint64_t started_ms;
};

struct sandbox_host {
    uint32_t count;
    struct sim_replica list[REPLICAS_PER_NODE_MAX];
    uint64_t next_serial;
    uint64_t renewed_ms;
    uint64_t refuse_until_ms; /* a fault: starts fail */
};

/* Performs START, STOP, FREEZE and THAW, RENEW, STATS. */
void sandbox_start(struct world *world, uint32_t node, const struct sandbox_spec *spec);
void sandbox_stop(struct world *world, uint32_t node, const struct replica_key *key);
void sandbox_freeze(struct world *world, uint32_t node, const struct replica_key *key, bool frozen);
void sandbox_renew(struct world *world, uint32_t node);
void sandbox_stats(struct world *world, uint32_t node, const struct replica_key *key);

/* A process has connected to the helper: what lives is listed to it. */
void sandbox_connected(struct world *world, uint32_t node);
/* Ends replicas that were not renewed for HELPER_ALONE_MS; call now and then. */
void sandbox_expire(struct world *world, uint32_t node);
/* The service's process number `index` modulo the count dies. False when there is none. */
bool sandbox_crash(struct world *world, uint32_t node, uint32_t index);
/* The same one's probe fails from now on, until it is started again. */
bool sandbox_sicken(struct world *world, uint32_t node, uint32_t index);
/* Everything ends at once: power lost, or killed together with the agent. */
void sandbox_clear(struct sandbox_host *host);
/* Replicas of a service that run: not being stopped, not frozen. */
uint32_t sandbox_running_count(const struct sandbox_host *host, const struct service_id *service);
/* All of it, whatever its state; of all, those that were made of this tree. */
uint32_t sandbox_count(const struct sandbox_host *host, const struct service_id *service);
uint32_t sandbox_tree_count(const struct sandbox_host *host, const struct service_id *service,
                            const struct tree_id *tree);
