// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Less than was contributed: what the owner's rules leave of it at the moment.
 *
 * A request can only lower what root wrote down, and raise it again up to that; so the limits'
 * file is looked at again each time: `systemctl reload mingad` has root write it anew. Replicas
 * that have what is not given any more (a port, the Internet) get some time to be moved.
 */
#include <errno.h>

#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/say.h"

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

struct sandbox_limits helper_allowed_of(const struct helper *helper,
                                        const struct sandbox_limits *limits)
{
    struct sandbox_limits allowed = *limits;

    allowed.cpu_permille = lower(limits->cpu_permille, helper->allowed.cpu_permille);
    return allowed;
}

static void read_limits_again(struct helper *helper)
{
    struct host_limits fresh;
    struct err err = {0};

    if (sandbox_limits_read(helper->limits_path, &fresh, &err) < 0) {
        log_event(LOG_LEVEL_WARNING, "configuration-refused", "what was given stays as it was: %s",
                  err.text);
        return;
    }
    helper->limits.contribution = fresh.contribution;
    helper->limits.connections_max = fresh.connections_max;
    helper->limits.port_first = fresh.port_first;
    helper->limits.port_last = fresh.port_last;
    helper->limits.egress = fresh.egress;
    helper->limits.programs = fresh.programs;
    helper->programs_ms = 0;
    helper->limits.weight_percent = fresh.weight_percent;
    helper->limits.upload_bytes_per_s = fresh.upload_bytes_per_s;
    helper->limits.download_bytes_per_s = fresh.download_bytes_per_s;
    cgroups_weigh(helper->cgroups, fresh.weight_percent);
}

static bool has_its_ports(const struct helper *helper, const struct sandbox_spec *spec)
{
    for (uint32_t i = 0; i < spec->port_count; i++) {
        if (spec->ports[i].host_port < helper->limits.port_first ||
            spec->ports[i].host_port > helper->limits.port_last) {
            return false;
        }
    }
    return true;
}

/* mingad moves such replicas elsewhere first; one that does not is not asked for ever. */
static void judge_replicas(struct helper *helper)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (replica->state == REPLICA_FREE) {
            continue;
        }
        if ((helper->limits.egress != 0 || !replica->spec.egress) &&
            has_its_ports(helper, &replica->spec)) {
            replica->forbidden_ms = 0;
        } else if (replica->forbidden_ms == 0) {
            replica->forbidden_ms = now_ms() + FORBIDDEN_MS;
        }
    }
}

static void limit_parent(struct helper *helper)
{
    struct sandbox_limits limits = helper->limits.contribution;
    struct err err = {0};

    limits.cpu_permille = helper->allowed.cpu_permille;
    limits.memory_bytes = helper->allowed.memory_bytes;
    if (cgroups_limit_parent(helper->cgroups, &limits, &err) < 0) {
        log_warning("allow: %s", err.text);
    }
}

static void limit_replicas(struct helper *helper)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];
        struct sandbox_limits limits = helper_allowed_of(helper, &replica->spec.limits);
        struct err err = {0};
        int r = 0;

        if (replica->state == REPLICA_STARTING || replica->state == REPLICA_RUNNING ||
            replica->state == REPLICA_STOPPING) {
            r = cgroup_limit(helper->cgroups, &replica->name, &limits, &err);
        }
        if (r < 0 && r != -ENOENT) { /* its group is not made yet, and then with these limits */
            say_replica(replica, LOG_LEVEL_WARNING, "allow-failed", "allow: %s", err.text);
        }
    }
}

void helper_allow(struct helper *helper, const struct sandbox_allowance *allowance)
{
    uint64_t before_permille = helper->allowed.cpu_permille;

    read_limits_again(helper);
    judge_replicas(helper);
    helper->allowed = helper->limits.contribution;
    helper->allowed.cpu_permille = lower(allowance->cpu_permille, helper->allowed.cpu_permille);
    helper->allowed.memory_bytes = lower(allowance->memory_bytes, helper->allowed.memory_bytes);
    lines_limit(helper, allowance->upload_bytes_per_s, allowance->download_bytes_per_s);
    if (helper->allowed.cpu_permille < before_permille) {
        limit_replicas(helper);
        limit_parent(helper);
    } else {
        limit_parent(helper);
        limit_replicas(helper);
    }
}
