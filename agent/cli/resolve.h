// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Which service is meant by NAME or NAME@OWNER. */
#include "agent/cli/session.h"
#include "base/limits.h"

struct service_name {
    char name[NAME_CHARS_MAX + 1];
    char owner[ID_HEX_CHARS + 1]; /* a prefix; "" when none was given */
    uint32_t slot;                /* NAME/SLOT; 0 when none was given */
};

/* [a-z0-9]([a-z0-9-]{0,31}) */
bool name_is_valid(const char *name);
/* "wiki", "wiki@k7f3", "wiki/1". Pure. Returns EXIT_DONE or EXIT_USAGE with the problem. */
int service_name_parse(const char *text, bool takes_slot, struct service_name *name_out,
                       struct problem *problem);

/*
 * Chooses among the services of a document: the caller's own (own_owner: hexadecimal id, or ""),
 * else the only one. Pure. Returns EXIT_DONE with a borrowed service, or EXIT_NOT_FOUND.
 */
int resolve_among(const json_t *services, const struct service_name *name, const char *own_owner,
                  const json_t **service_out, struct problem *problem);

/* None of a service's replicas has that number and none is to have it: EXIT_NOT_FOUND, and the problem
 * says how many there are to be. Pure. EXIT_DONE: one may, or `slot` is 0. */
int resolve_slot(const json_t *service, uint32_t slot, const char *text, struct problem *problem);

/* Asks the agent. `id_hex_out` has room for ID_HEX_CHARS + 1. */
int resolve_service(struct session *session, const struct service_name *name, char *id_hex_out);
/* Where the agent has the status of the service that `text` names; NULL: of all. */
int resolve_path(struct session *session, const char *text, char *path_out, size_t capacity_bytes);
/* How many replicas are wanted: 1 to REPLICAS_PER_SERVICE_MAX. EXIT_DONE, or EXIT_USAGE with the problem. */
int replica_count_parse(struct session *session, const char *text, uint64_t *count_out);
/* Did it fail because nobody has a service of that name (and not because several have)? */
bool resolve_found_none(const struct problem *problem);
