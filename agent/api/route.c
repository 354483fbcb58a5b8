// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/route.h"

#include <string.h>

#include "agent/api/limits.h"
#include "base/attributes.h"

static const struct route routes[] = {
    {"GET", "/v1/version", API_LOOK, false, 0, handle_version, "version"},
    {"GET", "/v1/node", API_LOOK, false, 0, handle_node, "node"},
    {"GET", "/v1/node/history", API_LOOK, false, 0, handle_node_history, "history"},
    {"POST", "/v1/node/pause", API_ACT, false, API_BODY_BYTES_MAX, handle_pause, "pause"},
    {"POST", "/v1/node/resume", API_ACT, false, API_BODY_BYTES_MAX, handle_resume, "resume"},
    {"POST", "/v1/node/drain", API_ACT, false, API_BODY_BYTES_MAX, handle_drain, "drain"},
    {"GET", "/v1/metrics", API_LOOK, false, 0, handle_metrics, "metrics"},
    {"GET", "/v1/nodes", API_LOOK, true, 0, handle_nodes, "nodes"},
    {"GET", "/v1/members", API_LOOK, true, 0, handle_members, "members"},
    {"GET", "/v1/storage", API_LOOK, true, 0, handle_storage, "storage"},
    {"GET", "/v1/ring", API_LOOK, true, 0, handle_ring, "ring"},
    {"GET", "/v1/lookup/*", API_LOOK, true, 0, handle_lookup, "lookup"},
    {"GET", "/v1/services", API_LOOK, true, 0, handle_services, "services"},
    {"GET", "/v1/status", API_LOOK, true, 0, handle_status, "status"},
    {"GET", "/v1/services/*", API_LOOK, true, 0, handle_service, "service"},
    {"GET", "/v1/services/*/locations", API_LOOK, true, 0, handle_locate, "locate"},
    {"GET", "/v1/services/*/logs", API_LOOK, true, 0, handle_logs, "logs"},
    {"GET", "/v1/services/*/record", API_LOOK, true, 0, handle_record_service, "record"},
    {"GET", "/v1/services/*/versions/*", API_LOOK, true, 0, handle_record_version, "record"},
    {"GET", "/v1/services/*/versions/*/offers/*", API_LOOK, true, 0, handle_offer, "offer"},
    {"POST", "/v1/exec/*", API_ACT, true, API_EXEC_BYTES_MAX, handle_exec, "exec"},
    {"POST", "/v1/passes", API_ACT, true, API_BODY_BYTES_MAX, handle_pass, "pass"},
    {"POST", "/v1/records", API_ACT, true, API_BODY_BYTES_MAX, handle_record_put, "record"},
    {"POST", "/v1/chunks/check", API_ACT, true, API_CHECK_BYTES_MAX, handle_chunks_check, "chunks"},
    {"POST", "/v1/chunks", API_ACT, true, API_BATCH_BYTES_MAX, handle_chunks_put, "chunks"},
    {"GET", "/v1/invitation", API_LOOK, true, 0, handle_invitation, "invitation"},
    {"POST", "/v1/community/sign", API_GOVERN, false, API_BODY_BYTES_MAX, handle_sign, "community"},
    {"POST", "/v1/community", API_GOVERN, false, API_BODY_BYTES_MAX, handle_create, "community"},
    {"POST", "/v1/join", API_GOVERN, false, API_BODY_BYTES_MAX, handle_join, "join"},
    {"POST", "/v1/leave", API_GOVERN, true, API_BODY_BYTES_MAX, handle_leave, "leave"},
    {"POST", "/v1/expulsions", API_GOVERN, true, API_BODY_BYTES_MAX, handle_expel, "expel"},
    {"POST", "/v1/revocations", API_GOVERN, true, API_BODY_BYTES_MAX, handle_revoke, "revoke"},
};

/* Does `path` fit `pattern`? Parts that a "*" stands for are copied. */
static bool matches(const char *pattern, const char *path,
                    char parameters_out[ROUTE_PARAMETERS_MAX][ROUTE_PARAMETER_CHARS_MAX + 1])
{
    uint32_t count = 0;

    while (*pattern != '\0') {
        if (*pattern != '*') {
            if (*pattern++ != *path++) {
                return false;
            }
            continue;
        }
        size_t length = strcspn(path, "/");

        if (length == 0 || length > ROUTE_PARAMETER_CHARS_MAX || count == ROUTE_PARAMETERS_MAX) {
            return false;
        }
        memcpy(parameters_out[count], path, length);
        parameters_out[count++][length] = '\0';
        path += length;
        pattern++;
    }
    return *path == '\0';
}

enum route_match
route_find(const char *method, const char *path, const struct route **route_out,
           char parameters_out[ROUTE_PARAMETERS_MAX][ROUTE_PARAMETER_CHARS_MAX + 1])
{
    enum route_match match = ROUTE_NO_PATH;

    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!matches(routes[i].path, path, parameters_out)) {
            continue;
        }
        if (strcmp(routes[i].method, method) == 0) {
            *route_out = &routes[i];
            return ROUTE_FOUND;
        }
        match = ROUTE_NO_METHOD;
    }
    return match;
}

uint32_t route_count(void)
{
    return ARRAY_COUNT(routes);
}

const struct route *route_at(uint32_t index)
{
    return &routes[index];
}
