// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The executor's state, shared by its files only. */
#include "agent/executor/executor.h"
#include "agent/executor/policy.h"
#include "base/random.h"

enum {
    CHUNKS_AT_ONCE = 8,      /* fetched in parallel for one replica */
    FETCH_FAILURES_MAX = 20, /* in a row, until the replica has failed here */
    FETCH_RETRY_MS = 500,
    REFUSED_MAX = 3,          /* starts refused in a row, until it has failed here */
    RESTART_RESET_MS = 60000, /* of running: the next restart is at once again */
    UNHEALTHY_MS = 10000,     /* of failing its probe: then it is started again */
    STATS_MS = 2000,
    SLEEP_MS = 5000, /* a gap between two events: this machine slept */
    TREES_MAX = LIMIT(64, 3),
    TREE_UNUSED_MS = 600000,
    BAD_PORTS_MAX = 32,
    FLOORS_MAX = 256,
    PORT_TRIES_MAX = 64,
    STARTING_MS_MAX = 30000,
    BACK_SOON_TOLD = 3, /* secondaries */
    STOP_RETRY_MS = 5000,
    LOST_STALE_MS = 1000, /* "no such replica" so soon after a START was said before it */
    NEWCOMERS_MAX = MEMBERS_MAX,
    NEWCOMER_MS = 1500, /* up to twice as long after, a new member hears what is free here */
    NEWCOMER_NEXT_MS = 50,
    OVER_KEPT_MS = 30000, /* an ended replica is reported until heard, at most this long */
    ENDED_MAX = LIMIT(64, 4),
    FIT_MS = OWNER_WITHIN_MS, /* to move what does not fit any more */
    ORDER_NUMBER = 0, /* of the owner's order among the kept blobs, whose key is zero then, */
    ENDED_NUMBER = 1, /* and of the first of those that ended */
};

enum phase {
    PHASE_KEPT,     /* loaded from disk; does it still live? */
    PHASE_SCANNING, /* which chunks are missing? */
    PHASE_FETCHING,
    PHASE_BUILDING,
    PHASE_READY, /* tree is complete, waiting for the execution environment */
    PHASE_STARTING,
    PHASE_RUNNING,
    PHASE_WAITING,  /* backing off before a restart */
    PHASE_STOPPING, /* STOP was asked, the end is not known yet */
    PHASE_OVER,     /* ended for good; kept until its manager has heard of it */
    PHASE_COUNT
};

struct replica {
    bool used;
    struct replica_key key;
    struct epoch epoch; /* the highest obeyed */
    enum phase phase;
    uint64_t since_ms;     /* of the phase */
    uint64_t began_unix_s; /* when it first ran here; 0: never */
    uint64_t measured_ms;
    uint64_t cpu_ms;
    bool leaving; /* by its node's owner, not by a fault: to be started elsewhere */
    struct tree_id tree;
    uint64_t version;
    struct public_key owner_key;
    struct manifest manifest;
    struct sandbox_limits limits;
    enum replica_health health;
    uint64_t failing_ms; /* RUNNING: its probe fails since then; 0: it does not */
    bool unhealthy;      /* RUNNING: told to stop, to be started again */
    bool lost_port;      /* the same, for a port of it is in use by others */
    bool failed;         /* OVER: another node should try; else: it is done */
    char reason[REASON_CHARS_MAX + 1];
    uint32_t restart_count;
    uint32_t quick_restart_count; /* since it last ran for RESTART_RESET_MS */
    uint32_t refused_count;
    uint32_t port_try_count;
    uint64_t restart_at_ms; /* WAITING: the next try */
    uint64_t stats_at_ms;
    struct sandbox_limits used_limits;
    struct sandbox_activity activity;
    uint16_t host_ports[PORTS_PER_SERVICE_MAX];
    bool frozen;          /* by a gap in time: until the manager confirms */
    bool manager_ended;   /* STOPPING, OVER: its manager asked for it */
    bool drop_when_ended; /* its manager knows: nothing to report */
    uint32_t fetch_failure_count;
    uint64_t fetch_retry_ms;
    uint32_t missing_count; /* chunks still to ask for: [0, missing_count) */
    uint32_t asked_count;   /* chunks under way */
    uint32_t found_count;   /* chunks here or to be asked for, when the tree was scanned ... */
    uint32_t chunk_count;   /* ... of so many; 0: not known yet */
    struct chunk_id missing[SCAN_MISSING_MAX];
    uint32_t other_count;
    struct node_id others[4];
    size_t version_record_bytes;
    uint8_t version_record[3240];
    struct sandbox_spec spec;
};

struct kept_tree {
    bool used;
    struct tree_id tree;
    uint64_t needed_ms; /* last */
};

/* The highest incarnation of a slot that was ever started here: never again the same or lower. */
struct floor {
    struct service_id service;
    uint32_t slot; /* 0: unused */
    uint64_t incarnation;
};

enum order { ORDER_NONE, ORDER_PAUSE, ORDER_DRAIN, ORDER_COUNT };

/* The owner's orders and rules, and what follows from them. */
struct owner {
    struct owner_policy policy;
    enum order order;
    bool is_restored;      /* from disk: its instants are to be set */
    bool by_wall;          /* it was: the clock on the wall says when it is over */
    uint64_t until_unix_s; /* PAUSE ends by itself; 0: it does not */
    uint64_t until_ms;     /* the same instant */
    uint64_t hard_ms;      /* from then on what is left is frozen (PAUSE) or ended (DRAIN) */
    uint64_t hard_unix_s;  /* the same instant */
    uint64_t within_ms;    /* so long that was when the order was given */
    uint64_t shut_down_ms; /* this process ends: what is left is ended then; 0: it does not */
    bool is_aside;         /* the machine is about to sleep or to be switched off */
    uint64_t leave_ms;     /* what does not fit is ended then; 0: everything fits */
    bool pausing;          /* not frozen yet */
    bool guests_changed;   /* who is welcome is to be looked at again */
    bool guests_known;     /* it was, since others were first heard */
    bool is_blind;         /* there are rules, and nothing was sensed yet */
    bool keeping;          /* nothing new */
    struct sandbox_limits target;  /* what is given now; new replicas must fit it */
    struct sandbox_limits ceiling; /* at least the target, and what was promised before */
    struct core_allowed allowed;   /* as last told to the edge */
    bool told;
};

struct executor {
    struct core_config config;
    struct owner owner;
    uint32_t ended_count; /* ever; the last ENDED_MAX are kept, a ring */
    struct core_ended ended[ENDED_MAX];
    struct random random;
    uint32_t top; /* all used replicas lie below */
    struct replica replicas[REPLICAS_PER_NODE_MAX];
    struct kept_tree trees[TREES_MAX];
    uint16_t bad_ports[BAD_PORTS_MAX]; /* found in use by others, newest last, a ring */
    uint32_t bad_port_cursor;
    struct floor floors[FLOORS_MAX]; /* a ring */
    uint32_t floor_cursor;
    bool sandbox_up;
    uint64_t sandbox_down_ms; /* since then, while not up */
    bool listed[REPLICAS_PER_NODE_MAX];
    char sandbox_reason[REASON_CHARS_MAX + 1];
    bool paused; /* by an order or a rule, as is draining */
    bool draining;
    uint64_t drain_until_ms;
    bool isolated;
    char disk_refuses[REASON_CHARS_MAX + 1]; /* why; "": it takes what comes */
    bool back_soon;
    uint64_t started_ms;
    uint64_t last_event_ms;
    uint64_t report_at_ms;
    bool report_now;
    uint64_t renew_at_ms;
    bool free_changed;
    uint32_t newcomer_count; /* to be told what is free here, one after the other */
    struct node_id newcomers[NEWCOMERS_MAX];
    uint64_t newcomer_at_ms; /* the next one */
};

/* replica.c */
struct replica *replica_by_key(struct executor *executor, const struct replica_key *key);
struct replica *replica_of_service(struct executor *executor, const struct service_id *service);
void replica_enter(struct executor *executor, struct turn *turn, struct replica *replica,
                   enum phase phase);
void replica_say(struct replica *replica, const char *format, ...) PRINTF_LIKE(2, 3);
/* What is told of it: why it is as it is, or how far its bundle is here. */
void replica_reason(const struct executor *executor, const struct replica *replica,
                    char text_out[REASON_CHARS_MAX + 1]);
/* Ends it: STOP when something runs, else at once. */
void replica_stop(struct executor *executor, struct turn *turn, struct replica *replica,
                  const char *reason);
/* Ended, for good. */
void replica_over(struct executor *executor, struct turn *turn, struct replica *replica,
                  bool failed);
void replica_forget(struct executor *executor, struct turn *turn, struct replica *replica);
void replica_keep(struct turn *turn, const struct replica *replica);
/* The incarnation that a new one must exceed here; raise() makes it at least the key's. */
uint64_t floor_of(const struct executor *executor, const struct replica_key *key);
void floor_raise(struct executor *executor, const struct replica_key *key);
/* A place has been filled in: it counts from now on. */
void replica_use(struct executor *executor, struct replica *replica);
bool replica_counts(const struct replica *replica); /* its limits are promised */
bool phase_makes_tree(enum phase phase);            /* its bundle is fetched and unpacked */
struct sandbox_limits executor_promised(const struct executor *executor);
void executor_check(const struct executor *executor);

/* fetch.c */
void replica_scan(struct executor *executor, struct turn *turn, struct replica *replica);
void replica_fetch_more(struct executor *executor, struct turn *turn, struct replica *replica);
/* It is removed when no replica here has used it for TREE_UNUSED_MS. */
void trees_need(struct executor *executor, struct turn *turn, const struct tree_id *tree);
void trees_tick(struct executor *executor, struct turn *turn);

/* launch.c */
/* Chooses ports, fills the spec, asks for START. */
void replica_launch(struct executor *executor, struct turn *turn, struct replica *replica);
/* It is started again within so long; 0: nothing is due. */
uint8_t replica_next_try_s(const struct replica *replica, uint64_t now_ms);
uint32_t ports_free_count(const struct executor *executor);
/* Are all ports on which it can be reached now among those that replicas may have? */
bool ports_are_given(const struct executor *executor, const struct replica *replica);
void replica_ended(struct executor *executor, struct turn *turn, struct replica *replica,
                   const struct sandbox_event *event);

/* health.c */
/* Its probe's outcome has changed. */
void replica_health(struct executor *executor, struct turn *turn, struct replica *replica,
                    bool healthy);
/* Nothing is known any more: it was not started yet, has ended, or nobody can tell. */
void replica_health_unknown(struct replica *replica);
/* What is frozen is not probed: it gets its time again when it is thawed. */
void replica_spare_frozen(const struct executor *executor, const struct turn *turn,
                          struct replica *replica);
/* When it has failed for too long; UINT64_MAX: it does not fail. */
uint64_t replica_unhealthy_at_ms(const struct executor *executor, const struct replica *replica);
/* It has: it is stopped, and its end will start it again. */
void replica_end_unhealthy(struct turn *turn, struct replica *replica);

/* executor.c */
void executor_freeze_all(struct executor *executor, struct turn *turn, bool until_confirmed);
/* Tells the helper how one that runs is to be, as far as that is known. */
void executor_freeze_or_thaw(const struct executor *executor, struct turn *turn,
                             const struct replica *replica);

/* owner.c */
void owner_init(struct executor *executor);
/* Brings what is allowed up to date, and does what follows. */
void owner_review(struct executor *executor, struct turn *turn);
/* UINT64_MAX: no need. */
uint64_t owner_wake_ms(const struct executor *executor);
int owner_load(struct executor *executor, struct bytes bytes);
/* fit.c */
/* Which replicas must go, for what is given now? */
void owner_fit(struct executor *executor, struct turn *turn);
/* ended.c */
void ended_note(struct executor *executor, struct turn *turn, const struct replica *replica);
int ended_load(struct executor *executor, uint64_t number, struct bytes bytes);

/* tell.c */
/* Why nothing new can be brought here, for its disk takes no bundle; "": it can. */
const char *executor_disk_refuses(const struct executor *executor);
enum replica_state replica_state_of(const struct executor *executor, const struct replica *replica);
