// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/executor/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/units.h"

static bool is_guest(const struct core_guest *guest, const struct policy_need *need)
{
    if (guest->label[0] == '\0') {
        return id_equal(&need->owner.id, &guest->id) || id_equal(&need->service.id, &guest->id);
    }
    for (uint32_t i = 0; i < need->label_count; i++) {
        if (strcmp(need->labels[i], guest->label) == 0) {
            return true;
        }
    }
    return false;
}

static bool guest_listed(const struct policy_need *need, const struct core_guest *list,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_guest(&list[i], need)) {
            return true;
        }
    }
    return false;
}

static bool breaks_deny(const struct policy_facts *facts, const struct policy_need *need)
{
    return guest_listed(need, facts->config->deny, facts->config->deny_count);
}

static bool breaks_allow(const struct policy_facts *facts, const struct policy_need *need)
{
    return facts->config->allow_count > 0 &&
           !guest_listed(need, facts->config->allow, facts->config->allow_count);
}

static bool breaks_arch(const struct policy_facts *facts, const struct policy_need *need)
{
    for (uint32_t i = 0; i < need->arch_count; i++) {
        if (need->archs[i] == facts->config->arch || need->archs[i] == MANIFEST_ARCH_ANY) {
            return false;
        }
    }
    return need->arch_count > 0;
}

static bool label_here(const minga_NodeRecord *node, const char *label)
{
    for (pb_size_t i = 0; i < node->labels_count; i++) {
        if (strcmp(node->labels[i], label) == 0) {
            return true;
        }
    }
    return false;
}

static bool breaks_label(const struct policy_facts *facts, const struct policy_need *need)
{
    for (uint32_t i = 0; i < need->label_count; i++) {
        if (!label_here(&facts->config->overlay.description, need->labels[i])) {
            return true;
        }
    }
    return false;
}

static bool breaks_egress(const struct policy_facts *facts, const struct policy_need *need)
{
    return need->egress && !facts->config->egress;
}

static bool breaks_role(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return !facts->config->runs;
}

static bool breaks_sandbox(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return !facts->sandbox_up;
}

static bool breaks_isolated(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->isolated;
}

static bool breaks_disk(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->disk_refuses[0] != '\0';
}

static bool breaks_paused(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->paused;
}

static bool breaks_draining(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->draining;
}

static bool breaks_keeping(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->keeping;
}

static bool breaks_total(const struct policy_facts *facts, const struct policy_need *need)
{
    enum refusal lacking;

    return !limits_fit(&need->limits, &facts->target, &lacking);
}

static bool breaks_once(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->has_replica;
}

static bool breaks_ports(const struct policy_facts *facts, const struct policy_need *need)
{
    return need->port_count > facts->free_port_count;
}

static bool breaks_table(const struct policy_facts *facts, const struct policy_need *need)
{
    (void)need;
    return facts->replica_count >= REPLICAS_PER_NODE_MAX;
}

static const struct {
    enum refusal refusal;
    bool (*breaks)(const struct policy_facts *facts, const struct policy_need *need);
    const char *text;
} rules[] = {
    {REFUSAL_ROLE, breaks_role, "it runs no replicas (roles)"},
    {REFUSAL_NO_SANDBOX, breaks_sandbox, "it has no execution environment"},
    {REFUSAL_ISOLATED, breaks_isolated, "it hears no other member"},
    {REFUSAL_OWN_DISK, breaks_disk, "its disk takes nothing"},
    {REFUSAL_PAUSED, breaks_paused, "paused by its owner"},
    {REFUSAL_DRAINING, breaks_draining, "draining"},
    {REFUSAL_PAUSED, breaks_keeping, "its owner takes nothing new at the moment"},
    {REFUSAL_MEMBER, breaks_deny, "its owner does not run this service (members.deny)"},
    {REFUSAL_MEMBER, breaks_allow, "its owner runs other services only (members.allow)"},
    {REFUSAL_ARCH, breaks_arch, "another processor"},
    {REFUSAL_LABEL, breaks_label, "a required label is missing"},
    {REFUSAL_EGRESS, breaks_egress, "its replicas do not reach the Internet (network.egress)"},
    {REFUSAL_HAS_REPLICA, breaks_once, "it runs a replica of this service already"},
    {REFUSAL_TOO_LARGE, breaks_total, "larger than all that it gives"},
    {REFUSAL_FULL, breaks_table, "its table of replicas is full"},
    {REFUSAL_PORTS, breaks_ports, "ports used up"},
};

bool policy_welcomes(const struct policy_facts *facts, const struct policy_need *need)
{
    return !breaks_role(facts, need) && !breaks_deny(facts, need) && !breaks_allow(facts, need) &&
           !breaks_egress(facts, need);
}

enum refusal policy_admit(const struct policy_facts *facts, const struct policy_need *need,
                          char reason_out[REASON_CHARS_MAX + 1])
{
    static const char *const lacks[REFUSAL_COUNT] = {
        [REFUSAL_CPU] = "not enough cpu is free",
        [REFUSAL_MEMORY] = "not enough memory is free",
        [REFUSAL_DISK] = "not enough disk is free",
        [REFUSAL_PIDS] = "not enough pids are free",
    };
    struct sandbox_limits free = limits_minus(&facts->target, &facts->promised);
    enum refusal lacking = REFUSAL_NONE;

    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (rules[i].breaks(facts, need)) {
            bool is_disk = rules[i].refusal == REFUSAL_OWN_DISK;

            (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "%s%s%.80s", rules[i].text,
                           is_disk ? ": " : "", is_disk ? facts->disk_refuses : "");
            return rules[i].refusal;
        }
    }
    if (!limits_fit(&need->limits, &free, &lacking)) {
        CHECK(lacks[lacking] != NULL);
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "%s", lacks[lacking]);
        return lacking;
    }
    reason_out[0] = '\0';
    return REFUSAL_NONE;
}
