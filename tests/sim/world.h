// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A community in virtual time: many nodes of the shipped agent/core in one process, and the world
 * around them. All randomness is drawn from the seed by purpose and number, so that leaving one
 * fault out does not change what happens to the rest before it has an effect.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "base/attributes.h"
#include "base/hash.h"
#include "base/keys.h"
#include "tests/sim/check.h"
#include "tests/sim/check_epochs.h"
#include "tests/sim/check_owners.h"
#include "tests/sim/check_spread.h"
#include "tests/sim/client.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/queue.h"
#include "tests/sim/relays.h"
#include "tests/sim/sandbox.h"
#include "tests/sim/schedule.h"

enum {
    SIM_WALL_START_S = 1800000000,
    SIM_STEPS_PER_MS_MAX = 20000,
    SIM_REPLICA_BYTES = 64 << 20,              /* memory of each replica of each service */
    SIM_PLENTY_BYTES = 16 * SIM_REPLICA_BYTES, /* room for whatever is pushed */
};

struct sim_clock {   /* CLOCK_BOOTTIME of a host */
    uint64_t at_ms;  /* virtual time ... */
    uint64_t now_ms; /* ... when it showed this */
    int32_t drift_permille;
};

struct sim_node {
    char name[16]; /* "n3" */
    char address[ADDRESS_CHARS_MAX + 1];
    struct secret_key secret;
    struct public_key key;
    uint8_t curve_key[32];
    struct node_id id;
    struct node_id own_id; /* whomever it is a clone of */
    struct ring_key position;
    uint32_t owner;      /* index of the person */
    bool is_leaf;        /* nobody can dial it */
    uint64_t dial_count; /* on behalf of others */
    struct sim_relays relays;
    struct core_config config;
    struct core_allowed allowed; /* as it was last told */
    struct core *core;           /* NULL: no process */
    uint32_t life;               /* counts processes; 0 never ran */
    bool powered;                /* the host */
    bool off_for_good;
    uint32_t cut_count; /* its cable is cut, or it sleeps */
    struct sim_clock clock;
    int64_t wall_skew_s;
    uint64_t stalled_until_ms;
    uint64_t begun_ms;     /* of the present process */
    uint64_t ended_ms;     /* of the last one before it; 0: none */
    uint64_t died_ms;      /* the last one, without a word; 0: it took its leave */
    uint64_t unwilling_ms; /* last seen paused, draining, cut, or not at all */
    uint64_t patient_ms;   /* draining, it ends nothing by itself until then; 0: it may */
    uint64_t alone_ms;     /* last seen with a cable, or without a replica */
    uint32_t garble_permille;
    struct liar *liar;    /* NULL: says what its core says */
    bool is_clone;        /* has another one's key and disk for the time being */
    struct identity *own; /* its own meanwhile */
    struct disk *backup;  /* of an earlier moment, or NULL */
    uint64_t wake_number; /* only the last wake-up counts */
    uint64_t steps_ms;    /* moment of the last step, and how many in it */
    uint32_t steps_in_ms;
    struct disk disk;
    struct sandbox_host sandbox;
};

struct failure {
    bool failed;
    uint64_t at_ms;
    char text[256];
};

struct world {
    struct schedule schedule;
    uint64_t seed;
    uint64_t now_ms;
    uint64_t end_ms;
    bool trace;
    bool stopped;
    struct queue queue;
    struct network network;
    uint32_t node_count;
    uint32_t clone_count;
    uint32_t deceived_count; /* faults in force that make honest nodes tell untruths ... */
    uint64_t deceived_ms;    /* ... and when the last of them ends */
    uint32_t misled_count;   /* of these, faults by which arcs and leases may be anybody's */
    uint64_t misled_ms;
    uint64_t asleep_until_ms; /* everyone */
    struct sim_node *nodes;
    struct client client;
    struct checker checker;
    struct owners owners;
    struct epochs *epochs;
    struct spreads *spreads;
    struct core_effects *effects; /* one for all: they are performed before the next step */
    struct core_event *core_event;
    uint64_t step_count;
    uint64_t disk_lost_ms; /* the last one that was wiped */
    struct hash trace_hash;
    struct failure failure;
};

struct world *world_new(const struct schedule *schedule, bool trace);
void world_free(struct world *world);
/* Runs until the end of the schedule, or the first failure. */
void world_run(struct world *world);
/* Text of the hash over every event and effect. Call once, at the end. */
void world_hash(struct world *world, char hex_out[ID_HEX_CHARS + 1]);

/* The first failure stops the run. */
void world_fail(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
/* A line of the trace, when one is wanted. */
void world_trace(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);

/* A random number that depends on the seed, the purpose and the numbers only. */
uint64_t world_draw(const struct world *world, const char *purpose, uint64_t a, uint64_t b);
/* The same, uniform in [from, to]. */
uint64_t world_draw_between(uint64_t drawn, uint64_t from, uint64_t to);

/* Schedules: for the world, or for the node's present process. Take the payload. */
void world_after(struct world *world, uint64_t delay_ms, struct event event);
void world_after_process(struct world *world, uint64_t delay_ms, struct event event);

/* Index of a node id, or node_count. */
uint32_t world_find(const struct world *world, const struct node_id *id);
uint64_t world_node_ms(const struct world *world, uint32_t node);
/* How long is that for the world? Rounded up. */
uint64_t world_delay_ms(const struct world *world, uint32_t node, uint64_t node_delay_ms);
void world_set_drift(struct world *world, uint32_t node, int32_t drift_permille);

/* Does a member lie, or exist twice, or reach two parts that do not reach each other? Then what
 * honest nodes say need not be so, until it has settled. */
bool world_is_deceived(const struct world *world);
bool world_is_misled(const struct world *world);
/* Key, id and what follows from them. */
void world_identify(struct sim_node *node, const struct secret_key *secret);
/* The process gets no time before. */
void world_stall(struct world *world, uint32_t node, uint64_t until_ms);

/* Life of a node. A stop is what `kill -9` does; power_off takes host and replicas along. */
void world_start(struct world *world, uint32_t node);
void world_kill(struct world *world, uint32_t node);
void world_power_off(struct world *world, uint32_t node);

/* One step of the node's core: fills in the times, performs the effects. No core: nothing. */
void world_step(struct world *world, uint32_t node, struct core_event *event);
void world_step_overlay(struct world *world, uint32_t node, struct overlay_event *event);
