// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/changes.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/session.h"

enum { DETAIL_BYTES_MAX = 384, EVENT_BYTES_MAX = 48, HISTORY_MAX = 8 };

struct teller {
    const struct sight *before;
    const struct sight *now;
    changes_tell *tell;
    void *self;
};

static void tell(const struct teller *teller, const char *event, const json_t *subject,
                 const char *detail)
{
    teller->tell(teller->self,
                 &(struct change){event, text_of(subject, "name"), detail, text_of(subject, "id")});
}

static const json_t *find(const json_t *list, const char *key, const char *value)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        if (strcmp(text_of(entry, key), value) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ nodes */

static const json_t *nodes_of(const struct sight *sight)
{
    return json_object_get(sight->nodes, "nodes");
}

static const char *node_state(const json_t *node)
{
    return json_is_true(json_object_get(node, "left")) ? "left" : text_of(node, "state");
}

static void tell_node(const struct teller *teller, const char *event, const json_t *node,
                      const char *detail)
{
    teller->tell(teller->self, &(struct change){event, text_of(node, "node_name"), detail,
                                                text_of(node, "node")});
}

static void compare_node(const struct teller *teller, const json_t *was, const json_t *is)
{
    char event[EVENT_BYTES_MAX];
    char detail[DETAIL_BYTES_MAX];

    if (was == NULL) {
        char owner[16];

        short_id(text_of(is, "owner"), owner);
        snprintf(detail, sizeof(detail), "at %s, of %s", text_of(is, "address"), owner);
        tell_node(teller, "node.joined", is, detail);
    } else if (strcmp(node_state(was), node_state(is)) != 0) {
        snprintf(event, sizeof(event), "node.%s", node_state(is));
        snprintf(detail, sizeof(detail), "was %s", node_state(was));
        tell_node(teller, event, is, detail);
    } else if (strcmp(text_of(was, "address"), text_of(is, "address")) != 0) {
        snprintf(detail, sizeof(detail), "at %s, was %s", text_of(is, "address"),
                 text_of(was, "address"));
        tell_node(teller, "node.moved", is, detail);
    }
}

static void compare_nodes(const struct teller *teller)
{
    const json_t *before = nodes_of(teller->before);
    const json_t *now = nodes_of(teller->now);
    const json_t *node;
    size_t i;

    if (before == NULL || now == NULL) {
        return;
    }
    json_array_foreach(now, i, node)
    {
        compare_node(teller, find(before, "node", text_of(node, "node")), node);
    }
    json_array_foreach(before, i, node)
    {
        if (find(now, "node", text_of(node, "node")) == NULL) {
            tell_node(teller, "node.forgotten", node, "");
        }
    }
}

/* ------------------------------------------------------------------ replicas */

static void tell_replica(const struct teller *teller, const json_t *service, const char *event,
                         const json_t *replica, const char *detail)
{
    teller->tell(teller->self,
                 &(struct change){event, text_of(replica, "id"), detail, text_of(service, "id")});
}

static void tell_state(const struct teller *teller, const json_t *service, const json_t *replica)
{
    const char *node = text_of(replica, "node_name");
    const char *reason = text_of(replica, "reason");
    char event[EVENT_BYTES_MAX];
    char detail[DETAIL_BYTES_MAX];

    snprintf(event, sizeof(event), "replica.%s", text_of(replica, "state"));
    snprintf(detail, sizeof(detail), "%s%s%s%s", node[0] != '\0' ? "on " : "", node,
             node[0] != '\0' && reason[0] != '\0' ? ": " : "", reason);
    tell_replica(teller, service, event, replica, detail);
}

/* ------------------------------------------------------------------ what has ended */

static bool is_remembered(const json_t *service, const json_t *replica)
{
    const json_t *ended;
    size_t i;

    json_array_foreach(json_object_get(service, "history"), i, ended)
    {
        if (strcmp(text_of(ended, "id"), text_of(replica, "id")) == 0 &&
            number_of(ended, "incarnation") == number_of(replica, "incarnation")) {
            return true;
        }
    }
    return false;
}

/* Its slot has another now, or is no more: told from the history, if its manager remembers it. */
static void tell_replaced(const struct teller *teller, const json_t *was, const json_t *is,
                          const json_t *replica)
{
    if (!is_remembered(was, replica) && !is_remembered(is, replica)) {
        tell_replica(teller, is, "replica.ended", replica, "");
    }
}

/* Since the look before; a manager that led earlier may come back with what was told long ago. */
static bool has_ended_since(const json_t *was, const json_t *ended)
{
    const json_t *before = find(json_object_get(was, "replicas"), "id", text_of(ended, "id"));

    return !is_remembered(was, ended) &&
           number_of(ended, "incarnation") >= number_of(before, "incarnation");
}

/* Also those that came and went between two looks, the oldest first. */
static void tell_ended(const struct teller *teller, const json_t *was, const json_t *is)
{
    const json_t *history = json_object_get(is, "history");
    size_t fresh_count = 0;
    const json_t *ended;
    size_t i;

    json_array_foreach(history, i, ended)
    {
        fresh_count += has_ended_since(was, ended) ? 1 : 0;
    }
    if (fresh_count >= HISTORY_MAX) {
        tell(teller, "service.missed", is,
             "eight or more of its replicas ended since; eight are remembered");
    }
    for (i = json_array_size(history); i > 0; i--) {
        ended = json_array_get(history, i - 1);
        if (has_ended_since(was, ended)) {
            tell_state(teller, is, ended);
        }
    }
}

/* ------------------------------------------------------------------ what is there */

static void compare_health(const struct teller *teller, const json_t *service, const json_t *was,
                           const json_t *is)
{
    const char *health = text_of(is, "health");
    char detail[DETAIL_BYTES_MAX];

    if (strcmp(text_of(was, "health"), health) != 0 && strcmp(health, "unknown") != 0) {
        snprintf(detail, sizeof(detail), "%s, was %s", health, text_of(was, "health"));
        tell_replica(teller, service, "replica.health", is, detail);
    }
}

static void compare_replica(const struct teller *teller, const json_t *service, const json_t *was,
                            const json_t *is)
{
    bool same = was != NULL && number_of(was, "incarnation") == number_of(is, "incarnation");
    int64_t restart_count = same ? number_of(is, "restarts") - number_of(was, "restarts") : 0;
    char detail[DETAIL_BYTES_MAX];

    if (restart_count > 0) {
        const char *reason = text_of(is, "reason");

        snprintf(detail, sizeof(detail), "%s", reason);
        if (restart_count > 1) {
            snprintf(detail, sizeof(detail), "%" PRIi64 " times since%s%s", restart_count,
                     reason[0] != '\0' ? ": " : "", reason);
        }
        tell_replica(teller, service, "replica.restarted", is, detail);
    }
    if (!same || strcmp(text_of(was, "state"), text_of(is, "state")) != 0) {
        tell_state(teller, service, is);
    }
    if (same) {
        compare_health(teller, service, was, is);
    }
}

static void compare_replicas(const struct teller *teller, const json_t *was, const json_t *is)
{
    const json_t *before = json_object_get(was, "replicas");
    const json_t *now = json_object_get(is, "replicas");
    const json_t *replica;
    size_t i;

    tell_ended(teller, was, is);
    json_array_foreach(now, i, replica)
    {
        const json_t *occupant = find(before, "id", text_of(replica, "id"));

        if (occupant != NULL &&
            number_of(occupant, "incarnation") != number_of(replica, "incarnation")) {
            tell_replaced(teller, was, is, occupant);
        }
        compare_replica(teller, is, occupant, replica);
    }
    json_array_foreach(before, i, replica)
    {
        if (find(now, "id", text_of(replica, "id")) == NULL) {
            tell_replaced(teller, was, is, replica);
        }
    }
}

/* ------------------------------------------------------------------ services */

static void compare_numbers(const struct teller *teller, const json_t *was, const json_t *is)
{
    static const struct {
        const char *key;
        const char *event;
        const char *format;
    } numbers[] = {
        {"version", "service.updated", "version"},
        {"wanted", "service.scaled", "wanted"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        int64_t before = number_of(was, numbers[i].key);
        int64_t now = number_of(is, numbers[i].key);
        char detail[DETAIL_BYTES_MAX];

        if (before != now) {
            snprintf(detail, sizeof(detail), "%s %" PRIi64 ", was %" PRIi64, numbers[i].format, now,
                     before);
            tell(teller, numbers[i].event, is, detail);
        }
    }
}

/* How many run, and why not all; most reasons begin with how many. */
static void tell_service_state(const struct teller *teller, const json_t *service)
{
    const char *reason = text_of(service, "reason");
    char counts[EVENT_BYTES_MAX];
    char event[EVENT_BYTES_MAX];
    char detail[DETAIL_BYTES_MAX];

    snprintf(event, sizeof(event), "service.%s", text_of(service, "state"));
    snprintf(counts, sizeof(counts), "%" PRIi64 "/%" PRIi64, number_of(service, "running"),
             number_of(service, "wanted"));
    if (strncmp(reason, counts, strlen(counts)) == 0) {
        snprintf(detail, sizeof(detail), "%s", reason);
    } else {
        snprintf(detail, sizeof(detail), "%s%s%s", counts, reason[0] != '\0' ? ": " : "", reason);
    }
    tell(teller, event, service, detail);
}

static void compare_service(const struct teller *teller, const json_t *was, const json_t *is)
{
    const char *manager = text_of(is, "manager");
    char detail[DETAIL_BYTES_MAX];

    if (was == NULL) {
        char owner[16];

        short_id(text_of(is, "owner"), owner);
        snprintf(detail, sizeof(detail), "version %" PRIi64 ", of %s", number_of(is, "version"),
                 owner);
        tell(teller, "service.registered", is, detail);
    } else {
        compare_numbers(teller, was, is);
    }
    if (was != NULL && strcmp(text_of(was, "manager"), manager) != 0) {
        const json_t *node = find(nodes_of(teller->now), "node", manager);

        tell(teller, "service.manager", is, text_of(node, "node_name"));
    }
    if (strcmp(was != NULL ? text_of(was, "state") : "off", text_of(is, "state")) != 0) {
        tell_service_state(teller, is);
    }
    compare_replicas(teller, was, is);
}

/* Between two managers nobody may name a service for a moment: only the second time it is gone. */
static bool is_gone(const json_t *was)
{
    return json_is_true(json_object_get(was, "absent"));
}

static void carry_absent(json_t *services, const json_t *was)
{
    json_t *absent = json_copy((json_t *)(uintptr_t)was);

    json_object_set_new(absent, "absent", json_true());
    json_array_append_new(services, absent);
}

/* What one of the managers did not say stays as it was. */
static void carry(json_t *services, const json_t *was)
{
    json_t *is = (json_t *)(uintptr_t)find(services, "id", text_of(was, "id"));

    if (is == NULL) {
        json_array_append(services, (json_t *)(uintptr_t)was);
        return;
    }
    if (json_array_size(json_object_get(is, "replicas")) == 0) {
        json_object_set(is, "replicas", json_object_get(was, "replicas"));
    }
    if (json_array_size(json_object_get(is, "history")) == 0) {
        json_object_set(is, "history", json_object_get(was, "history"));
    }
}

static void compare_services(const struct teller *teller)
{
    const json_t *before = json_object_get(teller->before->services, "services");
    json_t *now = json_object_get(teller->now->services, "services");
    bool incomplete = json_is_true(json_object_get(teller->now->services, "incomplete"));
    const json_t *service;
    size_t i;

    if (before == NULL || now == NULL) {
        return;
    }
    json_array_foreach(before, i, service)
    {
        if (incomplete) {
            carry(now, service);
        } else if (find(now, "id", text_of(service, "id")) == NULL) {
            if (is_gone(service)) {
                tell(teller, "service.removed", service, "");
            } else {
                carry_absent(now, service);
            }
        }
    }
    json_array_foreach(now, i, service)
    {
        compare_service(teller, find(before, "id", text_of(service, "id")), service);
    }
}

void changes_between(const struct sight *before, const struct sight *now, changes_tell *tell_one,
                     void *self)
{
    struct teller teller = {before, now, tell_one, self};

    compare_nodes(&teller);
    compare_services(&teller);
}
