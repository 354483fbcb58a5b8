// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What must hold: after every step, every 100 ms, and at the end. The first thing that does not
 * is given to world_fail().
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "tests/sim/check_lookup.h"
#include "tests/sim/check_reads.h"
#include "tests/sim/schedule.h"
#include "tests/sim/traffic.h"

struct world;

enum {
    CHECK_EVERY_MS = 100,
    SETTLED_MS = 15000,    /* after the last change of the world, its parts agree with themselves */
    EXCESS_MS_MAX = 12000, /* a settled part holds more replicas than wanted for at most so long */
    STEADY_MS = 3000,      /* good for so long is not by chance */
    HELD_MS = 12000,       /* what has converged stays so */
    QUIET_MS = 5000,       /* over which the rate of messages is measured */
    INCARNATIONS_MAX = 4096,
    EXPECTATIONS_MAX = 32,
};

struct incarnation_seen { /* the highest that one node has started in a slot */
    uint32_t node;
    struct service_id service;
    uint32_t slot;
    uint64_t incarnation;
};

struct expectation {
    const struct fault *fault;
    uint32_t node; /* or node_count: all */
    uint64_t until_ms;
    uint64_t start_count; /* of the service, when it began */
};

struct checker {
    uint32_t seen_count;
    struct incarnation_seen seen[INCARNATIONS_MAX];
    uint32_t picks[SIM_PICKS_MAX];
    uint32_t expectation_count;
    struct expectation expectations[EXPECTATIONS_MAX];
    uint32_t split_count;  /* faults in force that keep managers from hearing of each other */
    uint64_t split_ms;     /* the last of them began or ended */
    uint64_t disturbed_ms; /* messages were last lost so often that some may seem dead */
    uint64_t changed_ms;   /* the last fault, its end, or the last wish */
    uint64_t excess_since_ms[SIM_SERVICES_MAX]; /* 0: no excess */
    uint64_t good_since_ms;                     /* all is as it ought to be; 0: it is not */
    uint64_t converged_ms;                      /* good for STEADY_MS; 0: not yet */
    uint64_t relapsed_ms;                       /* it was not, for once; 0: never */
    uint64_t starts_max;                        /* what was missing then may be tried again */
    uint64_t sent_when_quiet;
    uint64_t sent_when_looked;
    uint32_t full_bits; /* tables that were once full: inspect_full() */
    struct traffic traffic_when_quiet;
    struct traffic traffic_when_looked;
    uint64_t start_count; /* replicas ever started */
    uint64_t service_start_count[SIM_SERVICES_MAX];
    uint32_t lookup_top; /* all used ones lie below */
    struct lookup_check lookups[LOOKUPS_MAX];
    struct read_check reads[READS_MAX];
    char problem[200]; /* why it has not converged */
};

void checker_init(struct world *world);
/* Something changed from outside: time to settle begins anew. */
void checker_changed(struct world *world);
/* The network is split, or is not any more; calls nest. */
void checker_split(struct world *world, bool begins);
void checker_after_step(struct world *world, uint32_t node);
/* A node writes it to its disk: records are signed by their owners, epochs never go back. */
void checker_stored(struct world *world, uint32_t node, const struct overlay_blob *blob);
/* Every CHECK_EVERY_MS. Ends the run when all has converged and stayed so. */
void checker_periodic(struct world *world);

/* What runs where, and who leads what: for the end of a trace. */
void checker_dump(const struct world *world);

/* Of the sandbox. */
void checker_starting(struct world *world, uint32_t node, const struct sandbox_spec *spec);
void checker_stopping(struct world *world, uint32_t node, const struct replica_key *key);
void checker_ended(struct world *world, uint32_t node, const struct replica_key *key, int end);

/* Of schedules that are written by hand. */
void checker_pick(struct world *world, const struct fault *fault);
void checker_expect(struct world *world, const struct fault *fault, uint32_t node);
