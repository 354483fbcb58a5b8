// SPDX-License-Identifier: GPL-3.0-or-later
/* cgroup v2: one hierarchy; controllers reach a group when its parent's subtree_control names them. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sandbox/cgroup_backend.h"

static int base_of(const struct cgroups *cgroups)
{
    return cgroups->base_fds[0];
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        bool begins = at == text || at[-1] == ' ';

        if (begins && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void v2_probe(struct cgroups *cgroups)
{
    struct cgroup_ability *ability = &cgroups->ability;
    char controllers[CGROUP_TEXT_BYTES_MAX];

    if (cgroup_get(base_of(cgroups), ".", "cgroup.controllers", controllers) < 0) {
        return;
    }
    ability->cpu = has_word(controllers, "cpu");
    ability->memory = has_word(controllers, "memory");
    ability->pids = has_word(controllers, "pids");
    ability->freezer = true; /* part of every v2 kernel that has idmapped mounts */
    /* The root group has no limit files; make_parent finds out there. */
    ability->swap = !cgroup_machine_swaps() ||
                    cgroup_has(base_of(cgroups), ".", "memory.swap.max") ||
                    !cgroup_has(base_of(cgroups), ".", "memory.max");
}

static int enable(struct cgroups *cgroups, const char *group, struct err *err)
{
    static const char file_name[] = "cgroup.subtree_control";
    const struct cgroup_ability *ability = &cgroups->ability;
    char text[32];
    int r;

    CHECK(snprintf(text, sizeof(text), "%s%s%s", ability->cpu ? "+cpu " : "",
                   ability->memory ? "+memory " : "", ability->pids ? "+pids" : "") >= 0);
    r = text[0] == '\0' ? 0 : cgroup_put(base_of(cgroups), group, file_name, text);
    if (r == -EBUSY) {
        (void)cgroup_fail(err, r, group, file_name);
        return err_hint(err, "other processes live in this group itself: let systemd delegate one "
                             "(Delegate=yes), or start minga-sandboxd in a group of its own");
    }
    /* Shares of the disks' time are a courtesy that not every kernel can do. */
    (void)cgroup_put(base_of(cgroups), group, file_name, "+io");
    return r < 0 ? cgroup_fail(err, r, group, file_name) : 0;
}

static int v2_prepare_base(struct cgroups *cgroups, struct err *err)
{
    return enable(cgroups, ".", err);
}

static int v2_prepare_parent(struct cgroups *cgroups, struct err *err)
{
    return enable(cgroups, cgroups->parent, err);
}

/* Others have 100. */
static void v2_weigh(struct cgroups *cgroups, uint32_t weight_percent)
{
    char text[32];

    CHECK(snprintf(text, sizeof(text), "default %" PRIu32, weight_percent) > 0);
    (void)cgroup_put(base_of(cgroups), cgroups->parent, "io.weight", text);
    if (cgroups->ability.cpu) {
        (void)cgroup_put_number(base_of(cgroups), cgroups->parent, "cpu.weight", weight_percent);
    }
}

static int v2_prepare_replica(struct cgroups *cgroups, const char *group, struct err *err)
{
    int r;

    /* init and service then compete as two groups, however many threads the service has. Without
     * it the limits hold all the same. */
    if (cgroups->ability.cpu) {
        (void)cgroup_put(base_of(cgroups), group, "cgroup.subtree_control", "+cpu");
    }
    r = cgroups->ability.memory ? cgroup_put(base_of(cgroups), group, "memory.oom.group", "1") : 0;
    return r < 0 ? cgroup_fail(err, r, group, "memory.oom.group") : 0;
}

static int set_cpu(int base_fd, const char *group, uint64_t cpu_permille, struct err *err)
{
    uint64_t period_us;
    uint64_t quota_us;
    char text[48];
    int r;

    cgroup_cpu_share(cpu_permille, &period_us, &quota_us);
    CHECK(snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, quota_us, period_us) > 0);
    r = cgroup_put(base_fd, group, "cpu.max", text);
    return r < 0 ? cgroup_fail(err, r, group, "cpu.max") : 0;
}

/* v2 counts swap apart: with none allowed, memory.max is memory and swap together. */
static int set_memory(int base_fd, const char *group, uint64_t memory_bytes, struct err *err)
{
    int r = cgroup_put_number(base_fd, group, "memory.max", memory_bytes);

    if (r < 0) {
        return cgroup_fail(err, r, group, "memory.max");
    }
    r = cgroup_put_number(base_fd, group, "memory.swap.max", 0);
    if (r == -ENOENT && !cgroup_machine_swaps()) {
        r = 0;
    }
    return r < 0 ? cgroup_fail(err, r, group, "memory.swap.max") : 0;
}

static int v2_set_limits(struct cgroups *cgroups, const char *group,
                         const struct sandbox_limits *limits, struct err *err)
{
    int base_fd = base_of(cgroups);
    int r = 0;

    if (cgroups->ability.cpu) {
        r = set_cpu(base_fd, group, limits->cpu_permille, err);
    }
    if (r == 0 && cgroups->ability.memory) {
        r = set_memory(base_fd, group, limits->memory_bytes, err);
    }
    if (r == 0 && cgroups->ability.pids) {
        r = cgroup_put_number(base_fd, group, "pids.max", limits->pid_count);
        r = r < 0 ? cgroup_fail(err, r, group, "pids.max") : 0;
    }
    return r;
}

static bool is_frozen(const struct cgroups *cgroups, const char *group)
{
    uint64_t frozen = 0;

    return cgroup_get_key(base_of(cgroups), group, "cgroup.events", "frozen", &frozen) < 0 ||
           frozen == 1;
}

static int v2_freeze(struct cgroups *cgroups, const char *group, bool frozen, struct err *err)
{
    int r = cgroup_put(base_of(cgroups), group, "cgroup.freeze", frozen ? "1" : "0");

    if (r == 0 && frozen) {
        r = cgroup_wait(is_frozen, cgroups, group);
    }
    return r < 0 ? cgroup_fail(err, r, group, "cgroup.freeze") : 0;
}

/* cgroup.kill (5.14 and later) reaches what is being forked, and frozen processes too. */
static int v2_kill(struct cgroups *cgroups, const char *group, struct err *err)
{
    int r = cgroup_put(base_of(cgroups), group, "cgroup.kill", "1");

    return r < 0 ? cgroup_fail(err, r, group, "cgroup.kill") : 0;
}

static int v2_oom_kills(struct cgroups *cgroups, const char *group, uint64_t *count_out)
{
    return cgroup_get_key(base_of(cgroups), group, "memory.events", "oom_kill", count_out);
}

static int v2_memory_stats(int base_fd, const char *group, struct cgroup_stats *stats)
{
    uint64_t idle_bytes = 0;
    int r = cgroup_get_number(base_fd, group, "memory.current", &stats->memory_bytes);

    if (r == 0) {
        r = cgroup_get_key(base_fd, group, "memory.stat", "inactive_file", &idle_bytes);
    }
    if (r == 0) {
        stats->memory_bytes -= idle_bytes < stats->memory_bytes ? idle_bytes : stats->memory_bytes;
        r = cgroup_get_key(base_fd, group, "memory.events", "oom_kill", &stats->oom_kill_count);
    }
    return r;
}

static int v2_stats(struct cgroups *cgroups, const char *group, struct cgroup_stats *stats_out,
                    struct err *err)
{
    struct cgroup_stats stats = {0};
    int base_fd = base_of(cgroups);
    int r = cgroup_get_key(base_fd, group, "cpu.stat", "usage_usec", &stats.cpu_us);

    if (r == 0 && cgroups->ability.memory) {
        r = v2_memory_stats(base_fd, group, &stats);
    }
    if (r == 0 && cgroups->ability.pids) {
        r = cgroup_get_number(base_fd, group, "pids.current", &stats.pid_count);
    }
    if (r < 0) {
        return cgroup_fail(err, r, group, "read its use");
    }
    *stats_out = stats;
    return 0;
}

// NOLINTNEXTLINE(readability-non-const-parameter): a row of the table, which v1 fills in
static int v2_watch_oom(struct cgroups *cgroups, const char *group, int *fd_out, struct err *err)
{
    (void)cgroups;
    (void)group;
    (void)fd_out;
    (void)err;
    return CGROUP_OOM_BY_KERNEL;
}

const struct cgroup_backend cgroup_v2 = {
    .probe = v2_probe,
    .prepare_base = v2_prepare_base,
    .prepare_parent = v2_prepare_parent,
    .prepare_replica = v2_prepare_replica,
    .set_limits = v2_set_limits,
    .weigh = v2_weigh,
    .freeze = v2_freeze,
    .kill = v2_kill,
    .stats = v2_stats,
    .oom_kills = v2_oom_kills,
    .watch_oom = v2_watch_oom,
};
