// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What has happened between two looks at the community: the difference of two documents of the
 * control API, as events. Pure: documents in, events out.
 *
 * What came and went between the looks is seen by its traces only (a count of restarts, a greater
 * incarnation). An answer that says it is incomplete removes nothing, and a service is gone when two
 * looks in a row have not seen it.
 */
#include <jansson.h>

/* Borrowed. Any of them may be NULL: nothing is said of it. */
struct sight {
    json_t *nodes;    /* GET /v1/nodes */
    json_t *services; /* GET /v1/status, or /v1/services/ID */
};

/* `event` is an interface and kept: docs/control-api.md lists them. */
struct change {
    const char *event;   /* "replica.running" */
    const char *subject; /* "wiki/1", "wiki", "oak" */
    const char *detail;  /* for people */
    const char *id;      /* of the node or the service */
};

typedef void changes_tell(void *self, const struct change *change);

/* Calls `tell` for each change, nodes first. Adds to `now` what may only have been left out. */
void changes_between(const struct sight *before, const struct sight *now, changes_tell *tell,
                     void *self);
