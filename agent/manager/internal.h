// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The manager's state, shared by its files only. */
#include "agent/manager/manager.h"
#include "base/random.h"

enum {
    FETCH_ASKED_MAX = MANAGERS_MAX - 1, /* others asked for the last manager record */
    FETCH_MS = 2 * REPLY_MS,            /* then what came must do */
    LISTEN_MS = 2 * HEARTBEAT_MS,       /* each executor that is up has reported by then */
    LISTEN_AGAIN_MS = 10 * 1000,        /* what anybody says makes it listen once in so long */
    PASS_AGAIN_MS = 1000,
    BLANK_MS = 2 * LISTEN_MS, /* who knew nothing takes in what has come by then */
    FIND_MS = REPLY_MS,       /* slower nodes are left out of this round */
    FIND_RETRY_MS = 1000,
    FIND_PAUSE_MS = 250,     /* when something becomes free, too: anybody can say so all the time */
    RECORD_AGAIN_MS = 60000, /* at most, between two look-ups of a service record */
    SAVE_MS = REPLY_MS,
    SAVE_COPIES = 2,  /* secondaries that get each placement; one answer is enough */
    UNSEEN_MS = 2500, /* others' views of the ring have come up with ours */
    UNSEEN_AGAIN_MS = 10000,
    START_MS = 2500,      /* an executor that was asked and is not heard */
    START_AGAIN_MS = 250, /* one that does not know its manager yet */
    STOP_RETRY_MS = 700,
    REFUSED_MS = 1500, /* a node that refused is left alone so long */
    FAILED_MS = 30000, /* ... that failed to run it */
    NEWER_MS = 5000,  /* what runs a version that our record does not name waits for that so long */
    SETTLE_MS = 1000, /* what has no health probe has run for so long before it relieves another */
    BACK_SOON_MS = 30000,
    AVOID_MAX = 16,
    BACK_SOON_MAX = 32,
    MANAGER_RECORD_BYTES_MAX = 2304,
    ENDED_MAX = 8,       /* replicas that have ended, remembered for each service */
    SLEEP_GAP_MS = 1500, /* a gap between two ticks: our own silence, not theirs */
};

enum lead {
    LEAD_NOT,       /* a secondary, or nothing to us */
    LEAD_FETCHING,  /* asks the others for the last manager record */
    LEAD_LISTENING, /* listens to what executors report */
    LEAD_LEADING,
};

enum kept {           /* another's manager record */
            KEPT_NOT, /* a newer one is */
            KEPT_WRITING,
            KEPT_DURABLY,
};

enum slot_phase {
    SLOT_EMPTY,
    SLOT_SAVING, /* a node is chosen; a secondary does not know it yet */
    SLOT_ASKING, /* the executor was asked */
    SLOT_PLACED, /* it accepted or reports it */
    SLOT_ENDING, /* asked to stop, not yet heard ended */
    SLOT_DONE,   /* it has ended by itself, and its manifest wants no more */
};

/*
 * Another incarnation, on a node that drains: it serves until the slot's occupant really runs. How
 * long it has at most is its own node's to say, by its owner's deadline.
 */
struct retiring {
    bool there;
    struct node_id node;
    uint64_t incarnation;
    uint64_t heard_ms;
    /* as reported: users are sent there */
    enum replica_health health;
    uint64_t state_ms;
    uint32_t restart_count;
    uint32_t port_count;
    uint16_t host_ports[PORTS_PER_SERVICE_MAX];
    struct sandbox_limits used;
    struct sandbox_activity activity;
    uint64_t version;
};

struct walk { /* of a counter above COUNTER_TOLD, by anybody's word */
    uint64_t begin_ms;
    uint64_t begin; /* where it was then */
};

struct slot {
    enum slot_phase phase;
    uint64_t phase_ms;
    uint64_t incarnation;
    uint64_t incarnation_max; /* the greatest ever heard of: the next one is greater */
    struct walk walk;         /* of it */
    struct node_id node;
    uint64_t revision; /* SAVING: acknowledged when the service's saved revision is this */
    uint64_t asked_ms;
    bool put_off;      /* ASKING: its node is finding out whether we manage the service */
    uint64_t heard_ms; /* 0: not since we lead */
    bool down;         /* its node is: nobody reaches it now */
    bool leaving;      /* its node drains or is paused: find another */
    struct retiring retiring;
    /* as reported */
    enum replica_state state;
    enum replica_health health;
    uint64_t state_ms; /* since; modulo 2^64: it may lie before this machine's boot */
    char reason[REASON_CHARS_MAX + 1];
    uint32_t restart_count;
    uint64_t next_try_at_ms; /* 0: nothing is due */
    uint32_t port_count;
    uint16_t host_ports[PORTS_PER_SERVICE_MAX];
    struct sandbox_limits used;
    struct sandbox_activity activity;
    uint64_t version;
};

struct ended {     /* a replica that is no more */
    uint32_t slot; /* 0: nothing */
    uint64_t incarnation;
    struct node_id node;
    enum replica_state state; /* ENDED: it was to end or did by itself; FAILED */
    char reason[REASON_CHARS_MAX + 1];
    uint64_t ended_ms; /* modulo 2^64: it may lie before this machine's boot */
    uint32_t restart_count;
};

struct avoided {
    struct node_id node;
    uint64_t until_ms;
};

struct find {
    bool running;
    uint64_t round;
    uint64_t started_ms;
    uint64_t retry_ms;
    uint32_t waiting_count;
    uint32_t offer_count;
    struct offer offers[OFFERS_MAX];
};

struct service {
    bool used;
    struct service_id id;
    uint64_t foreign_ms; /* nothing to this node, since; 0: it is something */
    enum lead lead;
    uint64_t lead_ms;     /* since */
    uint64_t listened_ms; /* it leads since, and knows what runs; 0: it has not listened */
    uint64_t passed_ms;   /* when it last led on above another's epoch, without listening */
    struct epoch epoch;   /* ours while lead is not LEAD_NOT */
    uint64_t revision;
    uint64_t revision_saved;
    uint64_t save_ms;
    uint32_t save_asked_count;   /* secondaries, since save_ms */
    uint32_t save_refused_count; /* of them, those that have no room */
    uint64_t unseen_ms; /* since one said that it is none of its secondaries; 0: one has saved */
    uint64_t generation_seen;
    struct walk walk;        /* of it */
    uint64_t blank_until_ms; /* until then it counts as not knowing any numbers */
    bool history;            /* some manager may have placed something before us */
    uint32_t fetch_waiting_count;

    /* the service record */
    bool known;
    uint64_t record_asked_ms;
    uint64_t record_pause_ms; /* until it is asked for again */
    uint64_t sequence;
    struct public_key owner_key;
    char name[NAME_CHARS_MAX + 1];
    bool active;
    bool removed;
    uint32_t wanted_count;
    uint64_t version;
    uint64_t newer_version; /* the newest that was reported */
    uint64_t newer_ms;      /* since it was; 0: it is not newer than what we know of */

    /* the version record */
    uint64_t version_known; /* 0: none */
    uint64_t version_asked_ms;
    struct manifest manifest;
    size_t version_record_bytes;
    uint8_t version_record[3240];

    /* the last manager record, ours or another's */
    struct epoch stored_epoch;
    uint64_t stored_revision;
    bool stored_durably;   /* known to be on this disk */
    uint64_t stored_token; /* of its write, while that is under way and awaited; else 0 */
    size_t stored_bytes;
    uint8_t stored[MANAGER_RECORD_BYTES_MAX];

    struct slot slots[REPLICAS_PER_SERVICE_MAX];
    struct find find;
    uint32_t avoided_count;
    struct avoided avoided[AVOID_MAX];
    uint32_t ended_next; /* where the next one is written, over the oldest */
    struct ended ended[ENDED_MAX];

    enum service_state state;
    uint64_t state_ms;
    bool was_full; /* since it was started */
    char constraint[REASON_CHARS_MAX + 1];
    char reason[REASON_CHARS_MAX + 1];
};

struct manager {
    struct core_config config;
    const struct placement *placement;
    struct service services[SERVICES_MAX];
    uint32_t high_water;    /* no service at or above this index */
    uint32_t yielded;       /* the last one that has lost its place to another */
    uint64_t full_until_ms; /* until then nobody loses a place */
    uint64_t last_tick_ms;
    uint32_t back_soon_count;
    struct avoided back_soon[BACK_SOON_MAX]; /* nodes that said so, until when */
};

/* trace.c */
/* "wiki" or the first digits of its id, until the record is known. */
const char *service_label(const struct service *service, char short_out[ID_SHORT_CHARS + 1]);
void trace_service(struct turn *turn, const struct service *service, const char *what);
void trace_slot(struct turn *turn, const struct service *service, const struct slot *slot,
                const char *what);

/* service.c */
struct service *service_by_id(struct manager *manager, const struct service_id *id);
bool service_leads(const struct service_id *id, const struct turn *turn);
void service_read_records(struct manager *manager, struct turn *turn, struct service *service);
void service_take_record(struct service *service, struct turn *turn, struct bytes encoded,
                         minga_RecordKind kind);
void service_avoid(struct service *service, const struct node_id *node, uint64_t until_ms);
bool service_avoids(const struct service *service, const struct node_id *node, uint64_t now_ms);
bool manager_back_soon(const struct manager *manager, const struct node_id *node, uint64_t now_ms);
uint32_t service_running_count(const struct service *service);
uint32_t service_wanted(const struct service *service); /* 0 when off */
/* Is a newer version wanted in its place? None changes while a service is active: what is older
 * runs since before it was stopped last, and was not heard then. */
bool service_outdates(const struct service *service, uint64_t version);
void slot_enter(struct slot *slot, enum slot_phase phase, uint64_t now_ms);
void slot_clear(struct slot *slot, uint64_t now_ms);
bool slot_holds_node(const struct slot *slot); /* something may run on slot->node */
void service_check(const struct service *service);

/* room.c */
/* Finds it, or makes a place for it; another may lose its own then, where there is a `turn`. NULL: the
 * table is full of services that exist. */
struct service *service_make(struct manager *manager, struct turn *turn,
                             const struct service_id *id);
/* Forgets it, on disk too. */
void service_drop(struct turn *turn, struct service *service);
/* Drops it when for an hour it has been nothing to this node, or for a minute was led without a service
 * record and without anything that runs or is done. */
bool service_expires(struct turn *turn, struct service *service);
/* Is a record from there one that this node has to keep? True also where that is not known. */
bool may_save(const struct turn *turn, const struct service_id *id, const struct node_id *from);

/* takeover.c */
void service_elect(struct manager *manager, struct turn *turn, struct service *service);
void service_resign(struct turn *turn, struct service *service);
/* Leads above `generation`, which another has and which is believed. */
void service_raise(struct service *service, struct turn *turn, uint64_t generation);
/* The same of one that anybody names: who listens already goes on, and who has just listened leads on,
 * or a member that names one again and again would keep it from starting anything. */
void service_pass(struct manager *manager, struct turn *turn, struct service *service,
                  uint64_t generation);
void service_takeover_tick(struct manager *manager, struct turn *turn, struct service *service);
void service_fetched(struct manager *manager, struct turn *turn, struct service *service,
                     const minga_AgentMessage *reply);

/* belief.c */
/* The greatest generation that is known here. */
uint64_t service_generation(const struct service *service);
/* Is what one of those says believed that may manage the service? After a lie a number may honestly
 * be far above what is known here. */
bool counter_is_vouched(uint64_t named, uint64_t known);
/* Are all numbers of another's record believed, `vouched` by one of those or not? */
bool service_believes(const struct service *service, const minga_Manager *record, bool vouched);
/* Incarnations given out so far, of whatever epoch: these only grow. The record is believed. */
void service_learn_given(struct service *service, const minga_Manager *record);
/* The same of a record of anybody's: a little. */
void service_told_record(struct service *service, const minga_Manager *record, uint64_t now_ms);
/* Anybody names that incarnation: a little is learned. True: it is one that was given out, by now. */
bool slot_told(struct slot *slot, uint64_t incarnation, uint64_t now_ms);
/* A report names both: of each a little is learned. False: the replica is not to be judged (yet). */
bool service_told(struct manager *manager, struct turn *turn, struct service *service,
                  const minga_ReplicaReport *wire);

/* save.c */
/* Makes, keeps and spreads a new revision of the manager record. */
void service_save(struct manager *manager, struct turn *turn, struct service *service);
void service_spread(struct turn *turn, struct service *service);
/* Opens an encoded Signed{Manager}: 0 or -EBADMSG. */
int manager_record_open(struct bytes encoded, minga_Manager *record_out);
/* Keeps another's record when it is newer. `token` comes back when it is durable; 0: nobody waits.
 */
enum kept service_store(struct turn *turn, struct service *service, const minga_Manager *record,
                        struct bytes encoded, uint64_t token);

/* pursue.c */
void service_pursue(struct manager *manager, struct turn *turn, struct service *service);
void service_offered(struct manager *manager, struct turn *turn, struct service *service,
                     const struct ask *ask, const minga_AgentMessage *reply);
void service_started(struct manager *manager, struct turn *turn, struct service *service,
                     const struct ask *ask, const minga_AgentMessage *reply);
void slot_ask_stop(struct turn *turn, const struct service *service, uint32_t slot_number,
                   const struct node_id *node, uint64_t incarnation);
/* It counts as done, but will be done anew when it is wanted again; or its last manager's record was
 * wrong. The service record is known. */
bool slot_is_undone(const struct service *service, uint32_t index);
/* It left or was expelled. */
bool node_is_gone(const struct manager *manager, const struct turn *turn,
                  const struct node_id *node);
bool node_is_down(const struct turn *turn, const struct node_id *node);

/* retire.c: make before break */
/* May another one of the slot end? Its occupant runs, is healthy, and not just for an instant. */
bool slot_relieves(const struct service *service, const struct slot *slot, uint64_t now_ms);
/* The occupant is about to be replaced by one elsewhere: it serves until that one relieves it. */
void slot_retire_occupant(const struct service *service, struct slot *slot, uint64_t now_ms);
bool slot_retires(const struct slot *slot, const struct node_id *node, uint64_t incarnation);
void retiring_review(struct manager *manager, struct turn *turn, struct service *service,
                     uint32_t index);

/* ended.c */
void service_note_ended(struct service *service, const struct ended *ended);
/* The slot's occupant has ended, or is taken for ended. */
void slot_note_ended(struct service *service, const struct slot *slot, enum replica_state state,
                     const char *reason, uint64_t now_ms);
void service_fill_ended(const struct service *service, uint64_t now_ms, minga_StatusPage *page);

/* state.c */
void service_update_state(struct service *service, uint64_t now_ms);
/* The state as it is now, also before the manager has come to pursue anything. */
enum service_state service_state_now(const struct service *service);
/* The sentence beside it; "": nothing stands in the way. */
void service_reason_now(const struct service *service, char reason_out[REASON_CHARS_MAX + 1]);
