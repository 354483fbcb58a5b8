// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Less than was contributed: what the owner's rules leave of it at the moment.
 *
 * A request can only lower what root wrote down, and raise it again up to that; so the limits'
 * file is looked at again each time: `systemctl reload mingad` has root write it anew.
 */
#include <errno.h>

#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"

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
        log_warning("what was given stays as it was: %s", err.text);
        return;
    }
    helper->limits.contribution = fresh.contribution;
    helper->limits.connections_max = fresh.connections_max;
    helper->limits.weight_percent = fresh.weight_percent;
    helper->limits.upload_bytes_per_s = fresh.upload_bytes_per_s;
    helper->limits.download_bytes_per_s = fresh.download_bytes_per_s;
    cgroups_weigh(helper->cgroups, fresh.weight_percent);
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
            log_warning("%s: allow: %s", replica->name.text, err.text);
        }
    }
}

void helper_allow(struct helper *helper, const struct sandbox_allowance *allowance)
{
    uint64_t before_permille = helper->allowed.cpu_permille;

    read_limits_again(helper);
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
