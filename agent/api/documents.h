// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The JSON documents of docs/control-api.md, from the core's views and answers. Their names are an
 * interface and are kept. All return new references (NULL: no memory). Pure.
 */
#include <jansson.h>

#include "agent/core/core.h"
#include "agent/policy/line.h"
#include "agent/portmap/plan.h"

/* The moment of a call, to turn ages into times. */
struct document_time {
    uint64_t now_ms; /* CLOCK_BOOTTIME */
    uint64_t wall_unix_s;
};

/* CLEANUP(document_release) json_t *body */
void document_release(json_t **document);
json_t *document_id(const struct id *id);
/* Text of others: what is no UTF-8 becomes "?". */
json_t *document_text(const char *text);
/* RFC 3339, UTC. */
json_t *document_moment(uint64_t unix_s);
json_t *document_base64(struct bytes bytes);
/* On so many disks; null: not said. */
json_t *document_copies(uint32_t copies);

json_t *document_limits(const struct sandbox_limits *limits);
/* A service without its replicas. */
json_t *document_service(const struct service_status *status, struct document_time time);
json_t *document_replica(const char *service_name, const struct replica_status *replica,
                         struct document_time time);
/* An entry of a service's history: `age_ms` of the status is the time since its end. */
json_t *document_ended(const char *service_name, const struct replica_status *replica,
                       struct document_time time);
json_t *document_node(const struct core *core, const struct public_key *node_key,
                      struct document_time time);
/* port_documents.c */
json_t *document_port_mapping(const struct plan *plan);
json_t *document_line(const struct owner_line_report *report);
json_t *document_node_history(const struct core *core);
json_t *document_nodes(const struct core *core, struct document_time time);
/* ring_documents.c */
json_t *document_ring(const struct core *core, struct document_time time);
/* `took_us`: from the request to its answer. */
json_t *document_lookup(const struct core *core, const struct ring_key *key,
                        const struct overlay_lookup *lookup, uint64_t took_us);
/* `services`: an array of document_service, to count each member's. */
json_t *document_members(const struct core *core, const json_t *services);
/* Of a service with replicas: the healthy ones' addresses. `port_name`: NULL for all ports. */
json_t *document_locations(const json_t *service, const char *port_name);
const char *document_member_state(enum member_state state);
