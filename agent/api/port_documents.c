// SPDX-License-Identifier: GPL-3.0-or-later
/* Ports that a router opens for this node. */
#include <string.h>

#include "agent/api/documents.h"
#include "base/attributes.h"
#include "base/check.h"

static const char *state_name(enum plan_state state)
{
    static const char *const names[] = {[PLAN_OFF] = "off",
                                        [PLAN_IDLE] = "idle",
                                        [PLAN_ASKING] = "asking",
                                        [PLAN_NONE] = "none",
                                        [PLAN_OPEN] = "open"};

    CHECK((unsigned)state < ARRAY_COUNT(names));
    return names[state];
}

/* Has it been asked for, and not given? */
static bool is_refused(const struct plan *plan)
{
    return plan_state_of(plan) == PLAN_OPEN && plan->open_count < plan->wanted_count &&
           !plan->is_running;
}

json_t *document_port_mapping(const struct plan *plan)
{
    enum plan_state state = plan_state_of(plan);
    const char *reason = state == PLAN_NONE ? plan->why : "";
    json_t *ports = json_array();

    for (uint32_t i = 0; i < plan->open_count; i++) {
        const struct portmap_port *port = &plan->open[i];

        json_array_append_new(ports,
                              json_pack("{ss si si}", "protocol", port->is_udp ? "udp" : "tcp",
                                        "inside", port->inside, "outside", port->outside));
    }
    if (is_refused(plan)) {
        reason = "the router refuses some ports, or has not been asked for them yet";
    }
    return json_pack("{ss ss so so so}", "state", state_name(state), "by",
                     state == PLAN_OPEN ? portmap_method_name(plan->method) : "", "router",
                     document_text(state == PLAN_OPEN ? plan->host : ""), "reason",
                     document_text(reason), "ports", ports);
}

static json_t *way(const struct owner_line_report *report, enum owner_way which)
{
    static const char *const users[OWNER_USERS] = {
        [OWNER_CHUNKS] = "chunks", [OWNER_REPLICAS] = "replicas", [OWNER_RELAYED] = "relayed"};
    const uint64_t total_bytes_per_s = report->limit_bytes_per_s[which];
    json_t *used = json_object();

    for (int user = 0; user < OWNER_USERS; user++) {
        json_object_set_new(used, users[user],
                            json_integer((json_int_t)report->shares[which][user].used_bytes_per_s));
    }
    return json_pack("{so so}", "limit_bytes_per_s",
                     total_bytes_per_s == 0 ? json_null()
                                            : json_integer((json_int_t)total_bytes_per_s),
                     "used_bytes_per_s", used);
}

json_t *document_line(const struct owner_line_report *report)
{
    return json_pack("{so so}", "upload", way(report, OWNER_UP), "download",
                     way(report, OWNER_DOWN));
}
