// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What manager and executor want done: a bounded list, filled during one core_step, which the
 * core turns into overlay requests and effects for the edge.
 *
 * Messages that do not fit are dropped and counted: whoever sent them sends them again, because
 * every state here is pursued until it is reached. Effects on this machine have room kept for
 * them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "agent/core/surroundings.h"
#include "base/attributes.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "overlay/overlay.h"
#include "overlay/protocol.pb.h"
#include "sandbox/environment.h"

/* What a request was about: comes back with its end. */
enum ask_kind {
    ASK_NOTHING, /* no answer is awaited */
    ASK_FIND,
    ASK_START,
    ASK_STOP,
    ASK_REPORT,
    ASK_SAVE,
    ASK_FETCH,
    ASK_RECORD,
    ASK_CHUNK,
    ASK_STATUS,
    ASK_SERVICES,
    ASK_LOGS,
    ASK_EXEC,
    ASK_PASS,
    ASK_OFFER,   /* for a request of the API: nothing is placed by it */
    ASK_REQUEST, /* a request of the API, done by the overlay */
};

struct ask {
    enum ask_kind kind;
    struct node_id to;
    struct service_id service;
    uint32_t slot;
    uint64_t number; /* incarnation, round, revision, version or request: by kind */
    minga_RecordKind record_kind;
    struct chunk_id chunk;
    struct tree_id tree; /* CHUNK: of `service`, whose chunk it is */
    struct node_id via;  /* all zero, or who has named `to` */
};

enum out_kind {
    OUT_MESSAGE, /* payload to ask.to */
    OUT_RECORD,  /* get a record: ask.service, record_kind, number */
    OUT_CHUNK,   /* get ask.chunk, from `others` too */
    OUT_STORE,   /* kind, key, number, payload (empty: delete) */
    OUT_TRACE,   /* payload: text */
    OUT_UNREADY, /* the same, of `replica` */
    OUT_SCAN_TREE,
    OUT_BUILD_TREE,
    OUT_DROP_TREE,
    OUT_START,
    OUT_STOP,
    OUT_FREEZE,
    OUT_THAW,
    OUT_RENEW,
    OUT_STATS,
    OUT_ALLOW, /* allowed */
};

struct outgoing {
    enum out_kind kind;
    struct ask ask;
    struct bytes payload; /* in the arena */
    uint32_t other_count;
    struct node_id others[4];
    enum overlay_blob_kind blob_kind;
    struct id blob_key;
    uint64_t blob_number;
    uint64_t store_token; /* STORE: 0, or what comes back when it is durable */
    struct tree_id tree;
    struct replica_key replica;
    const struct sandbox_spec *spec;
    struct core_allowed allowed;
};

enum { OUTBOX_MAX = 640, OUTBOX_MESSAGES_MAX = 384, OUTBOX_ARENA_BYTES = 512 * 1024 };

struct outbox {
    uint32_t count;
    uint32_t dropped_count;
    struct outgoing list[OUTBOX_MAX];
    size_t arena_used_bytes;
    uint8_t arena[OUTBOX_ARENA_BYTES];
};

/* Everything a module needs besides its own state and the event. */
struct turn {
    uint64_t now_ms;
    const struct surroundings *around;
    struct outbox *out;
    uint64_t wall_unix_s;
};

void outbox_clear(struct outbox *outbox);
/* Encodes and queues a message to ask->to. False when it was dropped. */
bool outbox_message(struct turn *turn, const struct ask *ask, const minga_AgentMessage *message);
void outbox_get_record(struct turn *turn, const struct ask *ask);
/* False when it was dropped. */
bool outbox_get_chunk(struct turn *turn, const struct ask *ask, const struct node_id *others,
                      uint32_t other_count);
/* Keeps (empty bytes: deletes) a blob of the agent; nobody waits for it. */
void outbox_store(struct turn *turn, const struct overlay_blob *blob);
/* The same; `token`, one of the core's, comes back with OVERLAY_STORED. False: it was dropped. */
bool outbox_store_awaited(struct turn *turn, const struct overlay_blob *blob, uint64_t token);
/* A line for the trace; long ones are cut. */
void outbox_trace(struct turn *turn, const char *format, ...) PRINTF_LIKE(2, 3);
/* `replica` is over before it was started; `why` is shorter than 160 characters. */
void outbox_unready(struct turn *turn, const struct replica_key *replica, const char *why);
/* An effect on this machine; only the fields that its kind names are read. */
void outbox_local(struct turn *turn, const struct outgoing *outgoing);
