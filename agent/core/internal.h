// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The core's state, shared by its files only. */
#include "agent/core/core.h"
#include "agent/core/doubts.h"
#include "agent/core/exec.h"
#include "agent/core/message.h"
#include "agent/core/outbox.h"
#include "agent/executor/executor.h"
#include "agent/manager/manager.h"

enum {
    PENDING_MAX = LIMIT(1024, 64),
    CORE_REQUESTS_MAX = LIMIT(256, 12), /* of the API, outstanding */
    SAVES_MAX = LIMIT(128, 8),          /* others' manager records on their way to the disk */
    LOGS_ASKS_MAX = LIMIT(32, 2),       /* reads of logs at the edge, outstanding */
    STATUSES_MAX = 32,                  /* in the answers of one step */
    ANSWER_ARENA_BYTES = 65536,
    LOCATE_MS = 3000,      /* then who knows less must do */
    LOCATE_AGAIN_MS = 200, /* in a large community who should know is looked up first */
    ATTEMPT_MS = 600,      /* one directory node's time to answer, then the next is asked */
    SIGNED_BYTES_MAX = 3400,
};

/* Something asked of the overlay, until its DONE. */
struct pending {
    bool used;
    uint64_t token;
    struct ask ask;
};

enum stage {
    STAGE_OVERLAY, /* the overlay will say */
    STAGE_VERSION, /* PUT_RECORD: does the version exist? */
    STAGE_DRAIN,   /* LEAVE, SHUT_DOWN: until nothing runs here */
    STAGE_ASIDE,   /* STEP_ASIDE: the same, for as long as there is */
    STAGE_ASK,     /* STATUS, SERVICES, LOGS: a candidate is asked for the status */
    STAGE_READ,    /* LOGS, ASK_EXEC, ASK_PASS, ASK_OFFER: the node of the replica is asked */
    STAGE_STORE,   /* PAUSE, RESUME, DRAIN, EXPEL, REVOKE: until that is on this disk */
};

struct request {
    bool used;
    uint64_t token;
    enum core_request_kind kind;
    enum stage stage;
    uint32_t attempt; /* answers to earlier attempts are late */
    bool is_again;    /* LOGS: its node did not answer, and was looked for once more */
    uint64_t until_ms;
    uint64_t attempt_until_ms; /* 0: none under way */
    uint64_t store_token;      /* STORE: of the write */
    struct service_id service;
    uint32_t slot;
    bool history;
    uint64_t offset_bytes;
    uint32_t cursor;
    bool heard;                /* some candidate answered "not found" */
    bool is_located;           /* the candidates were looked up for this request ... */
    uint64_t located_until_ms; /* ... or, from then on, `manager` is asked again; 0: it was not */
    uint32_t candidate_count;
    uint32_t candidate_next;
    struct node_id candidates[CANDIDATES_MAX];
    struct node_id manager; /* who has said where the replica is */
    size_t signed_length_bytes;
    uint8_t signed_bytes[SIGNED_BYTES_MAX];
};

struct logs_ask { /* a read of logs at the edge: for another node, or for a request of ours */
    bool used;
    bool is_local;
    struct overlay_ask ask;
    struct ask local;
};

struct save {       /* a manager waits for its record to be durable here */
    uint64_t token; /* 0: none */
    struct overlay_ask ask;
    minga_SaveReply reply;
};

struct member_free {
    bool known;
    struct node_id node;
    struct sandbox_limits free;
};

struct core {
    struct core_config config;
    struct overlay *overlay;
    struct surroundings around;
    struct manager *manager;
    struct executor *executor;
    struct outbox out;
    struct overlay_effects io;
    /* of the present step */
    struct overlay_event now; /* only the time is read */
    struct turn turn;
    struct core_effects *effects;
    uint32_t io_next;
    uint32_t out_next;
    bool looks_around;
    uint32_t status_count;
    struct service_status statuses[STATUSES_MAX];
    size_t arena_used_bytes;
    uint8_t arena[ANSWER_ARENA_BYTES];

    struct overlay_rates line;   /* the chunks' part of it; 0: no limit */
    struct core_allowed allowed; /* as the executor has last said */
    uint64_t overlay_wake_ms;
    uint64_t next_token;
    struct pending pending[PENDING_MAX];
    uint32_t request_top; /* all used requests lie below */
    struct request requests[CORE_REQUESTS_MAX];
    struct logs_ask logs[LOGS_ASKS_MAX];
    struct execs execs;
    uint32_t free_next;
    uint64_t last_store; /* number of the last store that is awaited */
    struct save saves[SAVES_MAX];
    struct doubts doubts;
    struct member_free frees[MEMBERS_MAX];
};

/* core.c */
struct core_effect *core_emit(struct core *core, enum core_effect_kind kind);
/* A token for the overlay; 0 when too much is outstanding. */
uint64_t core_pend(struct core *core, const struct ask *ask);
/* A token for a store of ours, which core_stored() then ends. */
uint64_t core_store_token(struct core *core);

/* dispatch.c */
void core_reply(struct core *core, const struct overlay_ask *ask, const minga_AgentMessage *reply);
/* The end of what was asked of a node; NULL: it has not answered. */
void core_answered(struct core *core, const struct ask *ask, const minga_AgentMessage *reply);
void core_send(struct core *core, const struct outgoing *outgoing);
/* Tells the overlay how fast chunks may come and go. */
void core_set_rates(struct core *core);
void core_upcall(struct core *core, const struct overlay_effect *effect);
void core_logs_read(struct core *core, const struct core_event *event);
/* A store with a token of ours is durable, or has failed. */
void core_stored(struct core *core, uint64_t token, bool failed);
/* Asks the edge for a window of a replica's output here. False: no such replica, or too busy. */
bool core_read_logs(struct core *core, const minga_LogsQuery *query,
                    const struct overlay_ask *ask_or_null, const struct ask *local);
void core_note_free(struct core *core, const struct node_id *node,
                    const struct sandbox_limits *free);

/* --- locate.c: large communities */
/* Keeps the managers of what runs here found. */
void core_locate_managers(struct core *core);
/* `from` was refused as one that may manage the service: who does is looked up, for its next try. */
void core_locate_doubted(struct core *core, const struct node_id *from,
                         const struct service_id *service);
/* Whom to ask for a service: none yet while that is looked up, and then again a little later. */
void core_find_candidates(struct core *core, struct request *request);
/* The one that was asked does not manage the service: who does is looked up anew, once. False: it
 * was already, or everyone is known. */
bool core_find_others(struct core *core, struct request *request);

/* remote.c: requests that a replica's node is asked for */
void logs_located(struct core *core, struct request *request, const minga_StatusPage *page);
void logs_done(struct core *core, struct request *request, const minga_LogsPage *page);
void begin_exec(struct core *core, struct request *request, const struct core_request *from);
void begin_pass(struct core *core, struct request *request, const struct core_request *from);
void pass_done(struct core *core, struct request *request, const minga_PassAnswer *answer);
void exec_done(struct core *core, struct request *request, const minga_ExecAnswer *answer);
void begin_offer(struct core *core, struct request *request, const struct core_request *from);
void offer_done(struct core *core, struct request *request, const minga_Offer *offer);

/* orders.c: what a machine's or a community's owner says */
void begin_owner(struct core *core, struct request *request, const struct core_request *from);
void begin_step_aside(struct core *core, struct request *request, const struct core_request *from);
void begin_come_back(struct core *core, struct request *request, const struct core_request *from);
void begin_ban(struct core *core, struct request *request, const struct core_request *from);
/* The write that a request waits for has ended. */
void core_request_stored(struct core *core, uint64_t token, bool failed);

/* requests.c */
/* To one node; its answer is the request's. */
void request_query(struct core *core, struct request *request, const struct node_id *to,
                   const minga_AgentMessage *message);
void core_request_begin(struct core *core, const struct core_request *from);
/* The end of what a request had asked: of the overlay (`done`), or of a node (`message`). */
void core_request_done(struct core *core, const struct ask *ask, const struct overlay_effect *done);
void core_request_message(struct core *core, const struct ask *ask,
                          const minga_AgentMessage *message);
void core_requests_tick(struct core *core);
uint64_t core_requests_wake_ms(const struct core *core);

/* answers.c */
void request_answer(struct core *core, struct request *request, enum overlay_outcome outcome,
                    const char *reason);
struct core_answer *request_answer_begin(struct core *core, struct request *request);
/* Copies into what lives until the next step; empty when there is no room. */
struct bytes core_copy(struct core *core, struct bytes bytes);
struct service_status *core_statuses(struct core *core, uint32_t count);
void address_host(const char *address, char host_out[ADDRESS_CHARS_MAX + 1]);
void status_from_page(const struct core *core, const minga_StatusPage *page,
                      struct service_status *status_out);
void status_from_head(const minga_ServiceHead *head, struct service_status *status_out);
