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
    FAULT_BRIDGE,     /* a group against the rest, and one node that reaches both */
    FAULT_MUTE,       /* nothing flows from a group to the rest */
    FAULT_LOSSY,      /* every link, permille */
    FAULT_DUPLICATE,  /* of all messages, permille arrive twice */
    FAULT_REORDER,    /* permille are overtaken by later ones, even of the next connection */
    FAULT_CORRUPT,    /* permille are damaged under way: CURVE breaks the link */
    FAULT_HIGH_WATER, /* links hold so few messages, and lose the rest silently */
    FAULT_LATE_NEWS,  /* of links that came up or broke, by so many ms */
    FAULT_CLOG,       /* what flows from node to other stands still, and arrives in the end */
    FAULT_SWIZZLE,    /* a group's links are clogged one by one, and freed in another order */
    FAULT_STALL,      /* the agent's process gets no time */
    FAULT_SLEEP,      /* the host is suspended; its clock goes on */
    FAULT_SLEEP_ALL,
    FAULT_WALL_FORWARD, /* the wall clock jumps, by seconds, and back at the end */
    FAULT_WALL_BACK,
    FAULT_FAST_CLOCK, /* the clock since boot drifts, permille */
    FAULT_SLOW_CLOCK,
    FAULT_SLOW_DISK,
    FAULT_DISK_FULL,
    FAULT_BAD_WRITE,    /* the next write but `value` fails */
    FAULT_BAD_READ,     /* the same of chunks that are read */
    FAULT_ROT,          /* all chunks that it has stored hold something else */
    FAULT_CRASH_WRITE,  /* the power fails in the moment of that write; back with the disk */
    FAULT_OLD_DISK,     /* after `value` ms the power fails; back with the disk as it was before */
    FAULT_RANDOM_STATE, /* killed, and started at once with whatever on its disk */
    FAULT_CLONE,        /* key and disk of node run at other's address as well */
    FAULT_CHURN,        /* everyone but 0 goes and comes after a law, an hour takes `value` ms */
    FAULT_GARBLE,       /* of what a node sends, permille are changed on purpose */
    FAULT_LIE,          /* permille say something else that is well formed */
    FAULT_LIE_RING,     /* the same, only about neighbours and epochs */
    FAULT_LIE_OWNER,    /* answers for every key, and acknowledges what it does not keep */
    FAULT_WITHHOLD,     /* permille of records and chunks are not handed out, nor kept */
    FAULT_ALTER,        /* permille of records and chunks are handed out changed */
    FAULT_REPLAY,       /* permille of old messages again, its own and others' */
    FAULT_FALSE_DEATH,  /* says that other has died, again and again */
    FAULT_FALSE_EXPEL,  /* says that other is expelled, by its own signature */
    FAULT_INTRUDE,      /* one outside asks to be let in with papers that have a flaw */
    FAULT_REVOKE,       /* the invitation for a few uses */
    FAULT_END_REPLICA,
    FAULT_SICKEN, /* its health probe fails until it is started again */
    FAULT_REFUSE_STARTS,
    FAULT_PAUSE,
    FAULT_DRAIN,
    FAULT_SHUT_DOWN, /* SIGTERM, started again later */
    FAULT_BACK_SOON, /* SIGUSR2, started again later; replicas live */
    FAULT_ASIDE,     /* it is about to sleep or to be switched off, and goes on afterwards */
    FAULT_LEAVE,
    FAULT_JOIN,
    FAULT_EXPEL,
    FAULT_PUSH,  /* the service is pushed only now */
    FAULT_START, /* the owner's wishes */
    FAULT_STOP,
    FAULT_SCALE,
    FAULT_REMOVE,
    FAULT_UPDATE,         /* another version: stop, push, start */
    FAULT_WIPE_WRITER,    /* the owner writes; once it is acknowledged, who wrote it is wiped */
    FAULT_WIPE_HOLDERS,   /* all who hold the service's records, of its own neighbourhood */
    FAULT_PICK_HOLDER,    /* $value: a node with a running replica, not the manager's */
    FAULT_PICK_MANAGER,   /* $value: the leading manager's node */
    FAULT_PICK_BYSTANDER, /* $value: a node with neither */
    FAULT_EXPECT,         /* exactly `value` replicas run, reachable, within for_ms */
    FAULT_EXPECT_ON,      /* the same on one node */
    FAULT_AT_LEAST,       /* never fewer than `value` reachable replicas for for_ms */
    FAULT_NO_START,       /* no replica of the service is started for for_ms */
    FAULT_EXPECT_DOWN,    /* all members count the node as down within for_ms */
    FAULT_NEVER_DOWN,     /* none does, for for_ms */
    FAULT_KIND_COUNT
};

enum churn_law { CHURN_SETI, CHURN_IPFS, CHURN_LAW_COUNT };

struct fault {
    uint64_t at_ms;
    enum fault_kind kind;
    uint32_t node;
    uint32_t other;
    uint64_t group[SIM_NODES_MAX / 64];
    uint32_t service;
    enum churn_law law;
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
    uint64_t reach;        /* 1: nodes find out whether they can be dialled */
    uint64_t leaves;       /* so many, the last ones, cannot */
    uint64_t uses;         /* of the invitation by which the others join; 0: any number */
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
/* Takes the services away, and the faults that are about them. */
void schedule_overlay_only(struct schedule *schedule);
void schedule_print(const struct schedule *schedule, FILE *file);
void schedule_print_fault(const struct fault *fault, FILE *file);
/* Returns 0, or -EINVAL with the line in err. */
int schedule_parse(FILE *file, const char *name, struct schedule *schedule_out, struct err *err);
/* When the owner begins to push the service: some seconds after the beginning, or when told to. */
uint64_t schedule_push_ms(const struct schedule *schedule, uint32_t service);
bool fault_has_node(const struct fault *fault, uint32_t node);
