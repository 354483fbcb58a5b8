// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The owner's policy: may one more replica run here? Pure, a table of rules in order; the first
 * that says no gives its name and a sentence.
 */
#include "agent/core/core.h"
#include "agent/core/message.h"

struct policy_need {
    struct service_id service;
    struct owner_id owner;
    struct sandbox_limits limits;
    uint32_t port_count;
    uint32_t arch_count; /* 0: any */
    enum manifest_arch archs[4];
    uint32_t label_count;
    const char *labels[LABELS_MAX];
    bool egress;
};

struct policy_facts {
    const struct core_config *config;
    struct sandbox_limits target;   /* what is given now, at most config->contribution */
    struct sandbox_limits promised; /* to all replicas here */
    bool sandbox_up;
    bool isolated;
    const char *disk_refuses; /* why its disk takes nothing; "": it does */
    bool paused;
    bool draining;
    bool keeping;
    bool has_replica; /* of this service, not ended */
    uint32_t replica_count;
    uint32_t free_port_count;
};

/* May such a service run here at all, as far as roles, members.allow, deny and egress say? */
bool policy_welcomes(const struct policy_facts *facts, const struct policy_need *need);
/* Writes at most REASON_CHARS_MAX characters; "" when REFUSAL_NONE. */
enum refusal policy_admit(const struct policy_facts *facts, const struct policy_need *need,
                          char reason_out[REASON_CHARS_MAX + 1]);
