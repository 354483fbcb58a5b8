// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * All decisions of one node together: overlay, Service Manager, executor, the owner's policy.
 *
 * This is the one thing that both mingad and the simulator drive: one event in, bounded effects
 * out. Pure: no I/O, no clock, no allocation after core_new.
 *
 * Effects borrow from the core and from the event until the next call with the same core; each
 * call begins by emptying `effects`. Stores of the agent's own blobs carry token 0 (no
 * OVERLAY_STORED is awaited for them) or one with CORE_TOKEN_BIT; all others are the overlay's.
 *
 * A field that is added to an event, a request or the configuration is added to recording.c, too.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/rules.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"
#include "images/manifest.h"
#include "overlay/overlay.h"
#include "sandbox/environment.h"

struct core;

#define CORE_TOKEN_BIT ((uint64_t)1 << 63)

/* ------------------------------------------------------------------ requests, from the API */

enum core_request_kind {
    CORE_CREATE_COMMUNITY,
    CORE_JOIN,
    CORE_LEAVE,      /* drain, say goodbye; once answered the edge wipes what is stored */
    CORE_EXPEL,      /* signed_bytes: Signed{Expulsion} */
    CORE_REVOKE,     /* signed_bytes: Signed{Revocation} */
    CORE_PAUSE,      /* replicas are started elsewhere first, what is left is frozen: after
                        within_ms (0: PAUSE_WITHIN_MS), or at once; duration_ms 0: until resume.
                        In force at once, answered when a restart will not forget it; so are: */
    CORE_RESUME,     /* ends pause and drain */
    CORE_DRAIN,      /* replicas are started elsewhere first, then end here, at the latest after
                        within_ms (0: DRAIN_MS); take no more */
    CORE_SHUT_DOWN,  /* SIGTERM: hand over, end within SHUTDOWN_MS; answered when all ended */
    CORE_BACK_SOON,  /* SIGUSR2: tell managers; replicas stay */
    CORE_PUT_RECORD, /* signed_bytes: Signed{Record} */
    CORE_GET_RECORD, /* service, record_kind, number -> record */
    CORE_PUT_CHUNK,  /* chunk, already in the local store or carried -> is_new */
    CORE_STATUS,     /* service, slot (first of the page) or history -> status */
    CORE_SERVICES,   /* node, cursor -> the services which that node manages, a page */
    CORE_LOGS,       /* service, slot, offset -> a window of the replica's kept output */
    CORE_LOOKUP,     /* key -> lookup */
    CORE_ASK_EXEC,   /* node, signed_bytes: an encoded ExecAsk -> data, its offset, ended */
    CORE_ASK_PASS,   /* node, signed_bytes: an encoded PassAsk -> data, pass_until */
    CORE_DESCRIBE,   /* description: name, labels, zone or addresses of this node have changed */
    CORE_STEP_ASIDE, /* the machine is about to sleep or to be switched off: replicas are started
                        elsewhere; answered when none is left here, or after within_ms. What nobody
                        took stays, and sleeps with the machine */
    CORE_COME_BACK,  /* it has woken up, or goes on after all */
    CORE_ASK_OFFER,  /* node, signed_bytes: an encoded Find -> data: an encoded Offer */
};

struct core_request {
    enum core_request_kind kind;
    uint64_t token;         /* comes back in the answer; never 0 */
    struct bytes community; /* CREATE: encoded Signed{Community} */
    struct bytes admission; /* CREATE: encoded Signed{Countersigned} */
    const struct overlay_join *join;
    struct bytes signed_bytes;
    uint64_t duration_ms;
    uint64_t within_ms;
    bool at_once;
    struct service_id service;
    minga_RecordKind record_kind;
    uint64_t number;
    uint32_t slot;
    bool history;          /* STATUS: the replicas that ended last, instead of the slots */
    uint64_t offset_bytes; /* LOGS: from here on; UINT64_MAX: the last window */
    struct chunk_id chunk;
    uint32_t carried_bytes; /* PUT_CHUNK: its size when it is in the edge's memory only */
    struct tree_id tree;    /* PUT_CHUNK: of `service`, whose chunk it is */
    struct node_id node;
    uint32_t cursor;
    struct ring_key key;
    const minga_NodeRecord *description; /* its roles stay as they were configured */
};

/* ------------------------------------------------------------------ answers */

enum service_state {
    SERVICE_OFF,
    SERVICE_STARTING,
    SERVICE_ACTIVE,
    SERVICE_DEGRADED,
    SERVICE_UPDATING,
    SERVICE_STOPPING
};
enum replica_state {
    REPLICA_WAITING, /* no node found yet, or backing off before a restart */
    REPLICA_FETCHING,
    REPLICA_STARTING,
    REPLICA_RUNNING,
    REPLICA_STOPPING,
    REPLICA_ENDED,
    REPLICA_FAILED
};
enum replica_health { HEALTH_UNKNOWN, HEALTH_OK, HEALTH_FAILING };

const char *service_state_name(enum service_state state);
const char *replica_state_name(enum replica_state state);
const char *replica_health_name(enum replica_health health);

struct replica_port {
    char name[NAME_CHARS_MAX + 1];
    uint16_t host_port;
    bool is_udp;
    bool for_members; /* only: agent/core/pass.h */
};

struct replica_status {
    uint32_t slot;
    uint64_t incarnation;
    bool placed; /* false: no node; the fields below are empty but state and reason */
    struct node_id node;
    char node_name[NODE_NAME_CHARS_MAX + 1];
    char address[ADDRESS_CHARS_MAX + 1]; /* host without port */
    uint32_t port_count;
    struct replica_port ports[PORTS_PER_SERVICE_MAX];
    enum replica_state state;
    enum replica_health health;
    char reason[REASON_CHARS_MAX + 1];
    uint64_t age_ms;   /* in this state */
    uint64_t heard_ms; /* since the executor's last report */
    uint32_t restart_count;
    uint8_t next_try_s; /* it is started again within so long; 0: nothing is due */
    uint64_t version;   /* that it runs; 0: not known */
    struct sandbox_limits used;
    struct sandbox_activity activity;
    struct sandbox_limits limits;
};

enum { STATUS_PAGE_REPLICAS_MAX = 8, SERVICES_PAGE_MAX = 8, LOGS_WINDOW_BYTES_MAX = 3072 };
enum { EXEC_WINDOW_BYTES_MAX = 3072, EXEC_SESSION_BYTES = 16 };
enum { SCAN_MISSING_MAX = 128 };

/* No incarnation and no generation is this or above (agent/core/message.h). */
#define COUNTER_END ((uint64_t)1 << 47)

struct service_status {
    struct service_id service;
    char name[NAME_CHARS_MAX + 1];
    struct public_key owner_key;
    uint64_t version;
    uint64_t sequence; /* of the service record */
    enum service_state state;
    char reason[REASON_CHARS_MAX + 1];
    uint32_t wanted_count;
    uint32_t running_count;
    struct node_id manager;
    uint64_t epoch_generation;
    uint64_t age_ms;        /* in this state */
    uint32_t slot_count;    /* all slots; the page holds those from `slot` on */
    uint32_t replica_count; /* in this page */
    struct replica_status replicas[STATUS_PAGE_REPLICAS_MAX];
};

struct core_answer {
    uint64_t token;
    enum overlay_outcome outcome;
    char reason[REASON_CHARS_MAX + 1];   /* when not OVERLAY_OK: a sentence for people */
    struct bytes record;                 /* GET_RECORD: encoded Signed */
    bool is_new;                         /* PUT_CHUNK */
    uint32_t copies;                     /* PUT_RECORD, PUT_CHUNK: on so many disks; 0: not said */
    const struct service_status *status; /* STATUS: one; SERVICES: an array without replicas */
    uint32_t status_count;               /* SERVICES */
    uint32_t next_cursor;                /* SERVICES: 0 at the end */
    struct bytes data;            /* LOGS, ASK_EXEC: a window; ASK_PASS: the secret; ASK_OFFER */
    uint64_t data_offset_bytes;   /* LOGS, ASK_EXEC: where the window begins; or WRITE's */
    bool data_ended;              /* LOGS, ASK_EXEC: no more will come */
    uint64_t pass_until;          /* ASK_PASS: is said at the port beside the secret */
    struct overlay_lookup lookup; /* LOOKUP */
};

/* ------------------------------------------------------------------ events */

enum core_event_kind {
    CORE_OVERLAY, /* `overlay` holds the event */
    CORE_TICK,    /* also wakes the overlay */
    CORE_REQUEST,
    CORE_SANDBOX,        /* `sandbox` holds the event */
    CORE_SANDBOX_UP,     /* connected to minga-sandboxd; LISTED events of survivors follow ... */
    CORE_SANDBOX_LISTED, /* ... and this ends them */
    CORE_SANDBOX_DOWN,   /* no execution environment: run is off; `reason` says why */
    CORE_TREE_SCANNED,   /* `tree`: which chunks are missing here (none: all are there) */
    CORE_TREE_BUILT,     /* `tree` is complete below the trees' folder, or failed: reason */
    CORE_LOGS_READ,      /* answer to CORE_READ_LOGS */
    CORE_EXEC_DONE,      /* answer to CORE_EXEC: token, failed and reason, or the logs' fields */
    CORE_PORTS_REFUSED,  /* START could not bind `host_port`, or what runs has lost it: choose
                            another */
    CORE_SENSED,         /* `senses`: what the owner's rules ask for */
    CORE_CONFIGURED,     /* `config`: what is given, to whom and for what, is otherwise now; roles
                            are followed by a CORE_DESCRIBE */
    CORE_LINE,           /* `line`: so much of the line is the chunks' from now on */
    CORE_DISK,           /* `reason`: why the disk takes nothing; "": it does */
    CORE_TREE_FOUND,     /* `tree`, or half of it, lies below the trees' folder from before */
};

struct core_event {
    enum core_event_kind kind;
    uint64_t now_ms;
    uint64_t wall_unix_s;
    const struct overlay_event *overlay;
    const struct core_request *request;
    const struct sandbox_event *sandbox;
    struct tree_id tree;
    bool failed; /* TREE_SCANNED (index invalid), TREE_BUILT */
    char reason[REASON_CHARS_MAX + 1];
    uint32_t missing_count; /* TREE_SCANNED; more may be missing when at the max */
    struct chunk_id missing[SCAN_MISSING_MAX];
    uint32_t here_count;        /* TREE_SCANNED: chunks that are here, up to the last missing one */
    uint32_t chunk_count;       /* TREE_SCANNED: of all files; 0: the index is not here */
    struct replica_key replica; /* PORTS_REFUSED */
    uint16_t host_port;         /* PORTS_REFUSED */
    uint64_t token;             /* LOGS_READ, EXEC_DONE */
    struct bytes logs;          /* LOGS_READ, EXEC_DONE */
    uint64_t logs_offset_bytes; /* LOGS_READ, EXEC_DONE */
    bool logs_ended;            /* LOGS_READ, EXEC_DONE */
    const struct owner_senses *senses;
    const struct core_config *config; /* only what CONFIGURED names is read */
    struct overlay_rates line;        /* 0: no limit but what is configured and allowed */
};

/* ------------------------------------------------------------------ effects */

enum core_effect_kind {
    CORE_IO, /* `overlay`: an effect for the edge (SEND .. TRACE), never an upcall */
    CORE_ANSWER,
    CORE_SCAN_TREE,  /* which chunks of `tree` are not in the local store? */
    CORE_BUILD_TREE, /* all are: build the tree */
    CORE_DROP_TREE,  /* no replica here needs it */
    CORE_START,      /* `spec`: bind its host ports, hand over to minga-sandboxd */
    CORE_STOP,       /* `replica` */
    CORE_FREEZE,
    CORE_THAW,
    CORE_RENEW,     /* all replicas at once */
    CORE_STATS,     /* ask for `replica`'s use */
    CORE_READ_LOGS, /* of `replica`, from offset_bytes */
    CORE_EXEC,      /* `exec`; answered unless token is 0 */
    CORE_ALLOW,     /* `allowed`: hold to it from now on */
    CORE_WAKE,      /* a CORE_TICK at wake_ms; the last one counts */
    CORE_TRACE,     /* `text` */
    CORE_UNREADY,   /* `replica` is over before it was started: `text` says why */
};

/* What is asked about a command in a replica; the first column travels (ExecAsk.what). */
enum exec_what {
    EXEC_ASK_HELLO = 1, /* never the edge's */
    EXEC_ASK_OPEN,      /* data: what goes first into the sandbox (sandbox/exec_protocol.h) */
    EXEC_ASK_READ,      /* from offset_bytes; all before taken_bytes may be forgotten */
    EXEC_ASK_WRITE,     /* data at offset_bytes; none: the end of the input */
    EXEC_ASK_KEEP,      /* never the edge's: the asker is still there */
    EXEC_ASK_CLOSE,     /* ends it, if it has not ended; its number is not used again */
    EXEC_ASK_COUNT
};

struct core_exec {
    enum exec_what what;
    uint64_t number; /* of the session */
    uint64_t taken_bytes;
    bool wait; /* READ: a moment, when there is nothing yet */
    struct bytes data;
};

/* At most so much of this machine, now; never more than was contributed. */
struct core_allowed {
    uint64_t cpu_permille;
    uint64_t memory_bytes;
    uint64_t upload_bytes_per_s; /* OWNER_NO_LIMIT: as configured */
    uint64_t download_bytes_per_s;
};

struct core_effect {
    enum core_effect_kind kind;
    const struct overlay_effect *overlay;
    struct core_answer answer;
    struct tree_id tree;
    const struct sandbox_spec *spec;
    struct replica_key replica;
    uint64_t offset_bytes;
    uint64_t token; /* READ_LOGS, EXEC */
    struct core_exec exec;
    struct core_allowed allowed;
    uint64_t wake_ms;
    char text[160];
};

enum { CORE_EFFECTS_MAX = 1280 };

struct core_effects {
    uint32_t count;
    struct core_effect list[CORE_EFFECTS_MAX];
};

/* ------------------------------------------------------------------ life */

enum { CORE_GUESTS_MAX = 16 };

struct core_guest {                  /* an element of members.allow and members.deny */
    struct id id;                    /* of an owner or a service, */
    char label[LABEL_CHARS_MAX + 1]; /* or, not "": services that require this label */
};

struct core_config {
    struct overlay_config overlay;
    struct sandbox_limits contribution; /* what all replicas here may use together */
    uint64_t storage_bytes;
    uint16_t port_first; /* host ports for replicas */
    uint16_t port_last;
    uint32_t connections_max; /* of each published port; 0: the default */
    bool egress;              /* replicas may reach the Internet, and there is a way */
    bool runs;                /* roles */
    bool stores;
    bool manages;
    enum manifest_arch arch;
    /* What may run here; both empty: every member's services. */
    uint32_t allow_count;
    struct core_guest allow[CORE_GUESTS_MAX];
    uint32_t deny_count;
    struct core_guest deny[CORE_GUESTS_MAX];
    struct owner_rules rules;
};

struct core *core_new(const struct core_config *config);
void core_free(struct core *core);
/* Before core_start, as overlay_load. */
int core_load(struct core *core, const struct overlay_blob *blob);
int core_load_chunk(struct core *core, const struct chunk_id *chunk, uint64_t bytes);
void core_start(struct core *core, uint64_t now_ms, uint64_t wall_unix_s,
                struct core_effects *effects);
void core_step(struct core *core, const struct core_event *event, struct core_effects *effects);

/* ------------------------------------------------------------------ views for the API */

const struct overlay *core_overlay(const struct core *core);

enum { NODE_RULE_BYTES_MAX = 64 };

struct node_status {
    const char *state; /* "ready", "pausing", "paused", "draining", "keeping", "isolated",
                          "no sandbox", "disk refuses", "no community" */
    char rule[NODE_RULE_BYTES_MAX]; /* which rule or order of the owner acts, "" when none */
    const char *rule_mode;          /* "run", "keep", "drain", "freeze" */
    uint64_t rule_left_ms;          /* until that changes by itself; UINT64_MAX: nobody knows */
    struct owner_named named;       /* whose word the limits of `allowed` are */
    struct core_allowed allowed;
    bool runs;
    char reason[REASON_CHARS_MAX + 1];
    struct sandbox_limits contribution;
    uint64_t storage_bytes;
    struct sandbox_limits used;     /* measured */
    struct sandbox_limits promised; /* sum of the limits of what runs here */
    uint64_t storage_used_bytes;
};
/* Of the owner's rules and orders, cheaper than all of core_node_status. */
struct core_word {
    const char *rule; /* which acts, "" when none; until the next event */
    enum owner_mode mode;
};

struct core_word core_word(const struct core *core);
void core_node_status(const struct core *core, struct node_status *status_out);
#define CORE_CUT_OFF_TEXT                                                                  \
    "no other member's address is known here any more: sudo minga leave, then sudo minga " \
    "join with a token"
/* Nobody can dial it, and it knows nobody to dial: its disk has lost the members' records. */
bool core_is_cut_off(const struct core *core);

/* What ran here before, newest first: index < count. */
struct core_ended {
    struct replica_key key;
    char service_name[NAME_CHARS_MAX + 1];
    struct owner_id owner;
    uint64_t began_unix_s;
    uint64_t ended_unix_s;
    uint64_t cpu_ms;
    bool failed;
    char reason[REASON_CHARS_MAX + 1];
};
uint32_t core_ended_count(const struct core *core);
void core_ended(const struct core *core, uint32_t index, struct core_ended *ended_out);

/* The replicas on this node: index < count. `status` is as in a service's status. */
struct core_replica {
    struct replica_key key;
    char service_name[NAME_CHARS_MAX + 1];
    struct public_key owner_key;
    bool is_frozen; /* since its machine slept: until its manager confirms */
    struct replica_status status;
};
uint32_t core_replica_count(const struct core *core);
void core_replica(const struct core *core, uint32_t index, uint64_t now_ms,
                  struct core_replica *replica_out);

/* The ports of this machine that replicas here publish; returns how many. */
uint32_t core_published(const struct core *core, uint32_t count_max,
                        struct overlay_port *ports_out);

/* A member's free resources as last heard; false when nothing is known. */
bool core_member_free(const struct core *core, const struct node_id *node,
                      struct sandbox_limits *free_out);

/* The services that this node manages or follows: for tests and the simulator's checkers. */
struct core_manager_view {
    struct service_id service;
    bool leading;
    uint64_t epoch_generation;
    uint32_t wanted_count;
    uint32_t running_count;
};
uint32_t core_manager_count(const struct core *core);
void core_manager(const struct core *core, uint32_t index, struct core_manager_view *view_out);
