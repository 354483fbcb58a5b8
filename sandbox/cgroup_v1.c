// SPDX-License-Identifier: GPL-3.0-or-later
/* cgroup v1: one hierarchy per controller, or per pair of them ("cpu,cpuacct"). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/cgroup_backend.h"

static const char memsw[] = "memory.memsw.limit_in_bytes";
static const char *const subgroups[] = {"", "/init", "/service"};

static void v1_probe(struct cgroups *cgroups)
{
    struct cgroup_ability *ability = &cgroups->ability;
    int memory_fd = cgroup_base(cgroups, CGROUP_MEMORY);

    ability->cpu = cgroup_has(cgroup_base(cgroups, CGROUP_CPU), ".", "cpu.cfs_quota_us");
    ability->memory = cgroup_has(memory_fd, ".", "memory.limit_in_bytes");
    ability->swap = cgroup_has(memory_fd, ".", memsw) || !cgroup_machine_swaps();
    ability->pids = cgroup_base(cgroups, CGROUP_PIDS) >= 0;
    ability->freezer = cgroup_base(cgroups, CGROUP_FREEZER) >= 0;
}

static int v1_prepare_base(struct cgroups *cgroups, struct err *err)
{
    (void)cgroups;
    (void)err;
    return 0;
}

static int v1_prepare_parent(struct cgroups *cgroups, struct err *err)
{
    (void)err;
    /* Before 5.11 a group's memory is counted in its parent only after this; later always. */
    (void)cgroup_put(cgroup_base(cgroups, CGROUP_MEMORY), cgroups->parent, "memory.use_hierarchy",
                     "1");
    return 0;
}

static void v1_weigh(struct cgroups *cgroups, uint32_t weight_percent)
{
    enum { OTHERS = 1024, LEAST = 2 };
    uint64_t shares = (uint64_t)OTHERS * weight_percent / 100;

    if (cgroups->ability.cpu) {
        (void)cgroup_put_number(cgroup_base(cgroups, CGROUP_CPU), cgroups->parent, "cpu.shares",
                                shares < LEAST ? LEAST : shares);
    }
}

static int v1_prepare_replica(struct cgroups *cgroups, const char *group, struct err *err)
{
    (void)cgroups;
    (void)group;
    (void)err;
    return 0;
}

static int set_cpu(int base_fd, const char *group, uint64_t cpu_permille, struct err *err)
{
    uint64_t period_us;
    uint64_t quota_us;
    uint64_t present_us = 0;
    int r;

    cgroup_cpu_share(cpu_permille, &period_us, &quota_us);
    /* The kernel compares quota/period with parent and children at each write: do not touch
     * the period of a group that is in use without need. */
    r = cgroup_get_number(base_fd, group, "cpu.cfs_period_us", &present_us);
    if (r == 0 && present_us != period_us) {
        r = cgroup_put_number(base_fd, group, "cpu.cfs_period_us", period_us);
        if (r == -EINVAL) {
            /* With the old quota it would be more than the parent has: without one meanwhile. */
            char present[CGROUP_TEXT_BYTES_MAX] = "-1";

            (void)cgroup_get(base_fd, group, "cpu.cfs_quota_us", present);
            (void)cgroup_put(base_fd, group, "cpu.cfs_quota_us", "-1");
            r = cgroup_put_number(base_fd, group, "cpu.cfs_period_us", period_us);
            if (r < 0) { /* no worse than before */
                (void)cgroup_put(base_fd, group, "cpu.cfs_quota_us", present);
            }
        }
    }
    if (r < 0) {
        return cgroup_fail(err, r, group, "cpu.cfs_period_us");
    }
    r = cgroup_put_number(base_fd, group, "cpu.cfs_quota_us", quota_us);
    return r < 0 ? cgroup_fail(err, r, group, "cpu.cfs_quota_us") : 0;
}

/* Memory plus swap must never be below memory: the order of writing depends on the direction. */
static int set_memory(const struct cgroups *cgroups, const char *group, uint64_t memory_bytes,
                      struct err *err)
{
    int base_fd = cgroup_base(cgroups, CGROUP_MEMORY);
    int r = cgroup_put_number(base_fd, group, "memory.limit_in_bytes", memory_bytes);

    if (r == -EINVAL && cgroup_put_number(base_fd, group, memsw, memory_bytes) == 0) {
        r = cgroup_put_number(base_fd, group, "memory.limit_in_bytes", memory_bytes);
    }
    if (r < 0) {
        return cgroup_fail(err, r, group, "memory.limit_in_bytes");
    }
    r = cgroup_put_number(base_fd, group, memsw, memory_bytes);
    /* Without the file no swap is counted: v1_probe has asked whether there is any. */
    return r < 0 && r != -ENOENT ? cgroup_fail(err, r, group, memsw) : 0;
}

/*
 * What connections hold of bytes not yet sent or read is counted apart on v1, and only in a group
 * with a limit for it: a quarter beside the memory. Beyond it each connection still gets some
 * 100 KiB instead of megabytes: the kernel, v2 too, makes no socket stand still. It refuses a limit
 * below what there is right now; a later call will find room. A kernel may lack the file.
 */
static int set_socket_memory(int base_fd, const char *group, uint64_t memory_bytes, struct err *err)
{
    static const char file[] = "memory.kmem.tcp.limit_in_bytes";
    int r = cgroup_put_number(base_fd, group, file, memory_bytes / 4);

    return r < 0 && r != -EBUSY && r != -ENOENT ? cgroup_fail(err, r, group, file) : 0;
}

static int v1_set_limits(struct cgroups *cgroups, const char *group,
                         const struct sandbox_limits *limits, struct err *err)
{
    int r = 0;

    if (cgroups->ability.cpu) {
        r = set_cpu(cgroup_base(cgroups, CGROUP_CPU), group, limits->cpu_permille, err);
    }
    if (r == 0 && cgroups->ability.memory) {
        r = set_memory(cgroups, group, limits->memory_bytes, err);
    }
    if (r == 0 && cgroups->ability.memory) {
        r = set_socket_memory(cgroup_base(cgroups, CGROUP_MEMORY), group, limits->memory_bytes,
                              err);
    }
    if (r == 0 && cgroups->ability.pids) {
        r = cgroup_put_number(cgroup_base(cgroups, CGROUP_PIDS), group, "pids.max",
                              limits->pid_count);
        r = r < 0 ? cgroup_fail(err, r, group, "pids.max") : 0;
    }
    return r;
}

static bool is_frozen(const struct cgroups *cgroups, const char *group)
{
    char text[CGROUP_TEXT_BYTES_MAX];

    return cgroup_get(cgroup_base(cgroups, CGROUP_FREEZER), group, "freezer.state", text) < 0 ||
           strncmp(text, "FROZEN", 6) == 0;
}

static int v1_freeze(struct cgroups *cgroups, const char *group, bool frozen, struct err *err)
{
    int r = cgroup_put(cgroup_base(cgroups, CGROUP_FREEZER), group, "freezer.state",
                       frozen ? "FROZEN" : "THAWED");

    if (r == 0 && frozen) {
        r = cgroup_wait(is_frozen, cgroups, group);
    }
    return r < 0 ? cgroup_fail(err, r, group, "freezer.state") : 0;
}

/* All parts of a group in one hierarchy. Returns 0 or the last failure. */
static int signal_parts(int base_fd, const char *group, int signal_number)
{
    int r = 0;

    for (unsigned k = 0; k < ARRAY_COUNT(subgroups); k++) {
        char path[CGROUP_PATH_BYTES_MAX];

        CHECK(snprintf(path, sizeof(path), "%s%s", group, subgroups[k]) > 0);
        int s = cgroup_signal(base_fd, path, signal_number);
        r = s < 0 && s != -ENOENT && s != -ENODEV ? s : r;
    }
    return r;
}

/*
 * Frozen processes neither fork nor go, so that the list is complete and no number in it is
 * reused; they take the SIGKILL when thawed. All hierarchies are looked at: a crash may have
 * left a process attached to some of them only.
 */
static int v1_kill(struct cgroups *cgroups, const char *group, struct err *err)
{
    struct err ignored = {0};
    int r = 0;

    if (cgroups->ability.freezer) {
        (void)v1_freeze(cgroups, group, true, &ignored);
    }
    for (unsigned i = 0; i < cgroups->hierarchy_count; i++) {
        int s = signal_parts(cgroups->base_fds[i], group, SIGKILL);

        r = s < 0 ? s : r;
    }
    if (cgroups->ability.freezer) {
        (void)v1_freeze(cgroups, group, false, &ignored);
    }
    return r < 0 ? cgroup_fail(err, r, group, "cgroup.procs") : 0;
}

/* The counter is the killed process's own group's, so add those of parts, if it can have any. */
static int count_oom_kills(const struct cgroups *cgroups, const char *group, uint64_t *count_out)
{
    const int base_fd = cgroup_base(cgroups, CGROUP_MEMORY);
    const size_t group_count = base_fd == cgroups->base_fds[0] ? ARRAY_COUNT(subgroups) : 1;

    *count_out = 0;
    for (size_t k = 0; k < group_count; k++) {
        char path[CGROUP_PATH_BYTES_MAX];
        uint64_t count = 0;

        CHECK(snprintf(path, sizeof(path), "%s%s", group, subgroups[k]) > 0);
        int r = cgroup_get_key(base_fd, path, "memory.oom_control", "oom_kill", &count);
        if (r < 0 && (k == 0 || r != -ENOENT)) {
            return r;
        }
        *count_out += count;
    }
    return 0;
}

static int memory_stats(const struct cgroups *cgroups, const char *group,
                        struct cgroup_stats *stats)
{
    const int base_fd = cgroup_base(cgroups, CGROUP_MEMORY);
    uint64_t idle_bytes = 0;
    int r = cgroup_get_number(base_fd, group, "memory.usage_in_bytes", &stats->memory_bytes);

    if (r == 0) {
        r = cgroup_get_key(base_fd, group, "memory.stat", "total_inactive_file", &idle_bytes);
    }
    if (r == 0) {
        stats->memory_bytes -= idle_bytes < stats->memory_bytes ? idle_bytes : stats->memory_bytes;
        r = count_oom_kills(cgroups, group, &stats->oom_kill_count);
    }
    return r;
}

static int v1_stats(struct cgroups *cgroups, const char *group, struct cgroup_stats *stats_out,
                    struct err *err)
{
    struct cgroup_stats stats = {0};
    uint64_t cpu_ns = 0;
    int r = 0;

    if (cgroup_base(cgroups, CGROUP_CPUACCT) >= 0) {
        r = cgroup_get_number(cgroup_base(cgroups, CGROUP_CPUACCT), group, "cpuacct.usage",
                              &cpu_ns);
        stats.cpu_us = cpu_ns / 1000;
    }
    if (r == 0 && cgroups->ability.memory) {
        r = memory_stats(cgroups, group, &stats);
    }
    if (r == 0 && cgroups->ability.pids) {
        r = cgroup_get_number(cgroup_base(cgroups, CGROUP_PIDS), group, "pids.current",
                              &stats.pid_count);
    }
    if (r < 0) {
        return cgroup_fail(err, r, group, "read its use");
    }
    *stats_out = stats;
    return 0;
}

static int v1_oom_kills(struct cgroups *cgroups, const char *group, uint64_t *count_out)
{
    return count_oom_kills(cgroups, group, count_out);
}

static int v1_watch_oom(struct cgroups *cgroups, const char *group, int *fd_out, struct err *err)
{
    CLEANUP(cleanup_close) int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char path[CGROUP_PATH_BYTES_MAX];
    char command[32];
    int r;

    CHECK(snprintf(path, sizeof(path), "%s/memory.oom_control", group) > 0);
    CLEANUP(cleanup_close)
    int file_fd = openat(cgroup_base(cgroups, CGROUP_MEMORY), path, O_RDONLY | O_CLOEXEC);
    if (event_fd < 0 || file_fd < 0) {
        return cgroup_fail(err, -errno, group, "memory.oom_control");
    }
    CHECK(snprintf(command, sizeof(command), "%d %d", event_fd, file_fd) > 0);
    r = cgroup_put(cgroup_base(cgroups, CGROUP_MEMORY), group, "cgroup.event_control", command);
    if (r < 0) {
        return cgroup_fail(err, r, group, "cgroup.event_control");
    }
    *fd_out = take_fd(&event_fd);
    return 0;
}

const struct cgroup_backend cgroup_v1 = {
    .probe = v1_probe,
    .prepare_base = v1_prepare_base,
    .prepare_parent = v1_prepare_parent,
    .prepare_replica = v1_prepare_replica,
    .set_limits = v1_set_limits,
    .weigh = v1_weigh,
    .freeze = v1_freeze,
    .kill = v1_kill,
    .stats = v1_stats,
    .oom_kills = v1_oom_kills,
    .watch_oom = v1_watch_oom,
};
