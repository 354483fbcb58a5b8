// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The executor: the life cycle of every replica on this node.
 *
 * Pure: events come in as function calls with the present turn, effects go to turn->out. It
 * accepts what the owner's policy admits, fetches and builds the tree, starts, restarts after
 * manifest.restart, reports to each service's manager, and keeps on disk what it needs to adopt
 * survivors after a restart of mingad.
 *
 * Invariants (checked after each event): the promised limits never exceed the contribution; no
 * two replicas of one service that are not ending; host ports are used once.
 */
#include "agent/core/core.h"
#include "agent/core/message.h"
#include "agent/core/outbox.h"

struct executor;
struct pass; /* agent/core/pass.h */

struct executor *executor_new(const struct core_config *config);
void executor_free(struct executor *executor);
/* A BLOB_AGENT that was stored here. Returns 0 or -EBADMSG (nothing changes). */
int executor_load(struct executor *executor, const struct overlay_blob *blob);
void executor_start(struct executor *executor, struct turn *turn);

/* ---- messages; `direct` says that `from` was proved by the link. True: *reply_out is filled. */
bool executor_find(struct executor *executor, struct turn *turn, const minga_Find *find,
                   minga_Offer *offer_out);
void executor_ask_start(struct executor *executor, struct turn *turn, const struct node_id *from,
                        const minga_AskStart *ask, minga_AskReply *reply_out);
void executor_ask_stop(struct executor *executor, struct turn *turn, const struct node_id *from,
                       const minga_AskStop *ask, minga_AskReply *reply_out);
void executor_verdicts(struct executor *executor, struct turn *turn, const struct node_id *from,
                       const minga_ReportReply *reply);
/* The end of an ASK_CHUNK. */
void executor_chunk(struct executor *executor, struct turn *turn, const struct ask *ask,
                    enum overlay_outcome outcome, const char *reason);

/* ---- the edge */
void executor_tick(struct executor *executor, struct turn *turn);
/* When the next tick is due; UINT64_MAX: no need. */
uint64_t executor_wake_ms(const struct executor *executor);
void executor_scanned(struct executor *executor, struct turn *turn, const struct core_event *event);
void executor_built(struct executor *executor, struct turn *turn, const struct core_event *event);
/* Of an earlier agent's; dropped when it stays unused. */
void executor_tree_found(struct executor *executor, struct turn *turn, const struct tree_id *tree);
void executor_sandbox(struct executor *executor, struct turn *turn,
                      const struct sandbox_event *event);
void executor_sandbox_up(struct executor *executor, struct turn *turn);
void executor_sandbox_listed(struct executor *executor, struct turn *turn);
void executor_sandbox_down(struct executor *executor, struct turn *turn, const char *reason);
void executor_ports_refused(struct executor *executor, struct turn *turn,
                            const struct replica_key *key, uint16_t host_port);

/* ---- the owner */
/* CORE_PAUSE: survives a restart, as does a drain, when executor_order_keep() follows. */
void executor_pause(struct executor *executor, struct turn *turn,
                    const struct core_request *request);
/* Ends orders of the owner; rules act on. */
void executor_resume(struct executor *executor, struct turn *turn);
/* Managers move the replicas; what is left after within_ms (0: DRAIN_MS) is ended, and at once
 * when no other member is there to move it to. */
void executor_drain(struct executor *executor, struct turn *turn, uint64_t within_ms);
/* Writes the order that stands, or that none does: it is kept once the store with `token` is
 * durable. False: there is no room for that now. */
bool executor_order_keep(const struct executor *executor, struct turn *turn, uint64_t token);
/* The same, for this process: not remembered. */
void executor_shut_down(struct executor *executor, struct turn *turn, uint64_t within_ms);
/* It does not end after all. */
void executor_stay(struct executor *executor, struct turn *turn);
/*
 * The machine is about to sleep: managers move the replicas; nothing is ended that nobody took.
 * Until it is called with false, and not remembered. Returns false when there is nothing to wait
 * for: nothing runs here, or no other member is there.
 */
bool executor_step_aside(struct executor *executor, struct turn *turn, bool is_aside);
/* It is, and something is left here. */
bool executor_is_aside(const struct executor *executor);
void executor_sensed(struct executor *executor, struct turn *turn,
                     const struct owner_senses *senses);
void executor_configured(struct executor *executor, struct turn *turn,
                         const struct core_config *config);
/* Takes over what may change while running. */
void core_config_change(struct core_config *config, const struct core_config *fresh);
void executor_back_soon(struct executor *executor, struct turn *turn);
void executor_set_isolated(struct executor *executor, struct turn *turn, bool isolated);
/* Why this node's disk takes nothing ("": it does): what runs stays, nothing new comes. */
void executor_set_disk(struct executor *executor, const char *refuses);
/* The community has changed: tell managers (who may be others now) and newcomers. */
void executor_look_around(struct executor *executor, struct turn *turn);
void executor_member_up(struct executor *executor, struct turn *turn, const struct node_id *node);
/* Sends what is due; called at the end of every core_step. */
void executor_flush(struct executor *executor, struct turn *turn);

/* ---- views */
bool executor_is_empty(const struct executor *executor); /* no replica is left, in any state */
/* Is all that runs here frozen, by an order or a rule? */
bool executor_is_paused(const struct executor *executor);
uint32_t executor_count(const struct executor *executor);
/* The index-th replica. node, node_name and address are left for the caller. */
void executor_replica(const struct executor *executor, uint32_t index, uint64_t now_ms,
                      struct core_replica *replica_out);
/* The ports of this host that replicas publish; returns how many. */
uint32_t executor_published(const struct executor *executor, uint32_t count_max,
                            struct overlay_port *ports_out);
bool executor_find_slot(const struct executor *executor, const struct service_id *service,
                        uint32_t slot, struct replica_key *key_out);
/* May the owner run something in this replica? NULL, or why not. */
const char *executor_exec_fault(const struct executor *executor, const struct replica_key *key,
                                const struct public_key *owner_key);
/* May a member come in at that port? Fills in which replica and host port; NULL, or why not. */
const char *executor_pass_fault(const struct executor *executor, const minga_PassAsk *ask,
                                struct pass *pass_out);
struct core_word executor_word(const struct executor *executor);
void executor_status(const struct executor *executor, struct owner_clock clock,
                     struct node_status *status_out);
uint32_t executor_ended_count(const struct executor *executor);
void executor_ended(const struct executor *executor, uint32_t index, struct core_ended *ended_out);
struct sandbox_limits executor_free_limits(const struct executor *executor);

enum {
    DRAIN_MS = 8000,
    PAUSE_WITHIN_MS = 30000,
    DRAIN_FAST_MS = 3500, /* SIGTERM, leave: the rest of SHUTDOWN_MS is the replicas' stop grace */
};
