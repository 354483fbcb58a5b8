// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The table of paths: the door of the control API, and its documentation. */
#include "agent/api/exchange.h"

typedef void route_handler(struct exchange *exchange);

struct route {
    const char *method;
    const char *path; /* a "*" stands for one part, and becomes a parameter */
    enum api_right right;
    bool needs_community;
    size_t body_bytes_max; /* 0: takes none */
    route_handler *handler;
    const char *what; /* in errors: what was wanted */
};

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Looks a path up; fills in `parameters` (NUL-terminated parts). Pure. */
enum route_match
route_find(const char *method, const char *path, const struct route **route_out,
           char parameters_out[ROUTE_PARAMETERS_MAX][ROUTE_PARAMETER_CHARS_MAX + 1]);
uint32_t route_count(void);
const struct route *route_at(uint32_t index);

/* views.c: what this node knows by itself */
void handle_version(struct exchange *exchange);
void handle_node(struct exchange *exchange);
void handle_node_history(struct exchange *exchange);
void handle_nodes(struct exchange *exchange);
void handle_ring(struct exchange *exchange);
void handle_invitation(struct exchange *exchange);
/* metrics.c */
void handle_metrics(struct exchange *exchange);
/* actions.c: one request to the core each */
void handle_pause(struct exchange *exchange);
void handle_resume(struct exchange *exchange);
void handle_drain(struct exchange *exchange);
void handle_sign(struct exchange *exchange);
void handle_create(struct exchange *exchange);
void handle_join(struct exchange *exchange);
void handle_leave(struct exchange *exchange);
void handle_expel(struct exchange *exchange);
void handle_revoke(struct exchange *exchange);
void handle_lookup(struct exchange *exchange);
/* storage.c */
void handle_record_service(struct exchange *exchange);
void handle_record_version(struct exchange *exchange);
void handle_record_put(struct exchange *exchange);
void handle_chunks_check(struct exchange *exchange);
void handle_chunks_put(struct exchange *exchange);
/* stock.c */
void handle_storage(struct exchange *exchange);
/* services.c: asked from the managers */
void handle_services(struct exchange *exchange);
void handle_status(struct exchange *exchange);
void handle_service(struct exchange *exchange);
void handle_locate(struct exchange *exchange);
void handle_members(struct exchange *exchange);
void handle_pass(struct exchange *exchange);
void handle_offer(struct exchange *exchange);
void handle_exec(struct exchange *exchange);
void handle_logs(struct exchange *exchange);
