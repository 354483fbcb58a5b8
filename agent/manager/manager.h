// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The Service Manager: keeps each service that this node is responsible for at its wanted number
 * of replicas; as a secondary it keeps others' manager records.
 *
 * Pure. Level-triggered: every event changes what is known, then pursue() does whatever leads
 * from what is to what is wanted; lost messages are sent again by time.
 *
 * Invariants (checked): one slot of a service per node; incarnations grow; nothing is asked of an
 * executor before a secondary (if one is up) has the placement.
 */
#include "agent/core/core.h"
#include "agent/core/message.h"
#include "agent/core/outbox.h"
#include "agent/manager/placement.h"

struct manager;

struct manager *manager_new(const struct core_config *config, const struct placement *placement);
void manager_free(struct manager *manager);
/* A BLOB_MANAGER that was stored here. Returns 0 or -EBADMSG. */
int manager_load(struct manager *manager, const struct overlay_blob *blob);

/* ---- events */
/* Members, the arc or records have changed: who leads what now? */
void manager_look_around(struct manager *manager, struct turn *turn);
/* A record here is new or newer. */
void manager_record(struct manager *manager, struct turn *turn, const struct service_id *id);
void manager_tick(struct manager *manager, struct turn *turn);
uint64_t manager_wake_ms(const struct manager *manager);

/* ---- messages of others; the reply is always filled */
struct manager_saving {
    const struct node_id *from;
    const minga_SaveManager *message;
    uint64_t token; /* of the write that it may take */
};
/* 0: the reply holds now. Else it holds once the store with the returned token is durable:
 * `saving->token`, or that of an earlier request for the same. */
uint64_t manager_save(struct manager *manager, struct turn *turn,
                      const struct manager_saving *saving, minga_SaveReply *reply_out);
/* The write with that token has ended. */
void manager_stored(struct manager *manager, uint64_t token, bool failed);
void manager_report(struct manager *manager, struct turn *turn, const struct node_id *from,
                    const minga_Report *report, minga_ReportReply *reply_out);
void manager_fetch(const struct manager *manager, const minga_FetchManager *fetch,
                   minga_FetchReply *reply_out);
void manager_free_changed(struct manager *manager, struct turn *turn);

/* ---- the end of what was asked; NULL: no answer came */
void manager_answered(struct manager *manager, struct turn *turn, const struct ask *ask,
                      const minga_AgentMessage *reply);
void manager_record_got(struct manager *manager, struct turn *turn, const struct ask *ask,
                        struct bytes encoded);

/* ---- directory */
void manager_status(const struct manager *manager, const struct turn *turn,
                    const minga_StatusQuery *query, minga_StatusPage *page_out);
void manager_services(const struct manager *manager, const struct turn *turn,
                      const minga_ServicesQuery *query, minga_ServicesPage *page_out);
uint32_t manager_count(const struct manager *manager);
void manager_view(const struct manager *manager, uint32_t index,
                  struct core_manager_view *view_out);
