// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a run is made of, in text: the community, its services, and the faults with their times.
 * Generated from a seed, printed, parsed; docs/simulator.md describes the lines.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum {
    SIM_NODES_MAX = 128,
    SIM_SERVICES_MAX = 8,
    SIM_FAULTS_MAX = 128,
    SIM_PICKS_MAX = 8,
    SIM_PICKED = 1000, /* node numbers from here on name what a pick has found: $0, $1 ... */
};

enum fault_kind {
    FAULT_CRASH,      /* the power fails; back with the disk */
    FAULT_OFF,        /* the power fails for good */
    FAULT_WIPE,       /* the power fails; back with an empty disk and the same key */
    FAULT_KILL,       /* agent and replicas are killed */
    FAULT_KILL_AGENT, /* the agent alone */
    FAULT_CUT,        /* the cable */
    FAULT_PARTITION,  /* a group against the rest */
    FAULT_ONE_WAY,    /* nothing flows from node to other */
    FAULT_LOSSY,      /* every link, permille */
    FAULT_STALL,      /* the agent's process gets no time */
    FAULT_SLOW_DISK,
    FAULT_GARBLE, /* of what a node sends, permille are changed on purpose */
    FAULT_END_REPLICA,
    FAULT_REFUSE_STARTS,
    FAULT_PAUSE,
    FAULT_DRAIN,
    FAULT_SHUT_DOWN, /* SIGTERM, started again later */
    FAULT_BACK_SOON, /* SIGUSR2, started again later; replicas live */
    FAULT_LEAVE,
    FAULT_JOIN,
    FAULT_EXPEL,
    FAULT_START, /* the owner's wishes */
    FAULT_STOP,
    FAULT_SCALE,
    FAULT_REMOVE,
    FAULT_WIPE_WRITER,    /* the owner writes; once it is acknowledged, who wrote it is wiped */
    FAULT_PICK_HOLDER,    /* $value: a node with a running replica, not the manager's */
    FAULT_PICK_MANAGER,   /* $value: the leading manager's node */
    FAULT_PICK_BYSTANDER, /* $value: a node with neither */
    FAULT_EXPECT,         /* exactly `value` replicas run, reachable, within for_ms */
    FAULT_EXPECT_ON,      /* the same on one node */
    FAULT_AT_LEAST,       /* never fewer than `value` reachable replicas for for_ms */
    FAULT_NO_START,       /* no replica of the service is started for for_ms */
    FAULT_KIND_COUNT
};

struct fault {
    uint64_t at_ms;
    enum fault_kind kind;
    uint32_t node;
    uint32_t other;
    uint64_t group[SIM_NODES_MAX / 64];
    uint32_t service;
    uint64_t value;
    uint64_t for_ms;
};

struct schedule_service {
    uint32_t replicas;
    bool started; /* from the beginning */
};

struct schedule {
    uint64_t seed;
    uint32_t nodes;      /* in the world */
    uint32_t members;    /* of them join at the beginning, the others when told to */
    uint64_t latency_ms; /* of the slowest pair, one way */
    uint64_t loss_permille;
    uint64_t skew_s;       /* of wall clocks, at most, either way */
    uint64_t full_members; /* beyond, nodes keep a part of the membership; 0: as shipped */
    uint64_t mixed;        /* 1: some nodes lack a role, or have little room */
    uint64_t calm_ms;      /* from here on no faults: everything converges ... */
    uint64_t converge_ms;  /* ... within so much, and stays so */
    uint32_t service_count;
    struct schedule_service services[SIM_SERVICES_MAX];
    uint32_t fault_count;
    struct fault faults[SIM_FAULTS_MAX];
};

/* `nodes` 0: the seed decides; `minutes` 0 likewise. */
void schedule_generate(uint64_t seed, uint32_t nodes, uint64_t minutes,
                       struct schedule *schedule_out);
void schedule_print(const struct schedule *schedule, FILE *file);
void schedule_print_fault(const struct fault *fault, FILE *file);
/* Returns 0, or -EINVAL with the line in err. */
int schedule_parse(FILE *file, const char *name, struct schedule *schedule_out, struct err *err);
bool fault_has_node(const struct fault *fault, uint32_t node);
