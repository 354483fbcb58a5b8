// SPDX-License-Identifier: GPL-3.0-or-later
/* Files that set the kernel, the host or init when they are written to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

static void put(const char *path, const char *text, struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        outcome_of_absence(out, errno);
    } else if (write(fd, text, strlen(text)) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "written");
    }
}

static void lower_oom_score(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    (void)facts;
    put(attempt->path, "-1000", out);
}

static void write_map(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    (void)facts;
    put(attempt->path, "0 0 1", out);
}

static void allow_groups(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    (void)facts;
    put(attempt->path, "allow", out);
}

static void move_clock(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    (void)facts;
    put(attempt->path, "boottime 100 0", out);
}

#define WRITE(where)                                                                           \
    {                                                                                          \
        .name = "write " where, .run = attempt_write, .path = (where), .control = control_path \
    }

static const struct attempt rows[] = {
    WRITE("/proc/sysrq-trigger"),
    WRITE("/proc/sys/kernel/core_pattern"),
    WRITE("/proc/sys/kernel/modprobe"),
    WRITE("/proc/sys/kernel/hotplug"),
    WRITE("/proc/sys/kernel/poweroff_cmd"),
    WRITE("/proc/sys/kernel/hostname"),
    WRITE("/proc/sys/kernel/domainname"),
    WRITE("/proc/sys/kernel/ns_last_pid"),
    WRITE("/proc/sys/kernel/pid_max"),
    WRITE("/proc/sys/kernel/shmmax"),
    WRITE("/proc/sys/kernel/msgmax"),
    WRITE("/proc/sys/kernel/randomize_va_space"),
    WRITE("/proc/sys/kernel/unprivileged_bpf_disabled"),
    WRITE("/proc/sys/kernel/yama/ptrace_scope"),
    WRITE("/proc/sys/kernel/panic"),
    WRITE("/proc/sys/vm/drop_caches"),
    WRITE("/proc/sys/vm/overcommit_memory"),
    WRITE("/proc/sys/vm/panic_on_oom"),
    WRITE("/proc/sys/fs/file-max"),
    WRITE("/proc/sys/fs/suid_dumpable"),
    WRITE("/proc/sys/fs/binfmt_misc/register"),
    WRITE("/proc/sys/fs/mqueue/queues_max"),
    WRITE("/proc/sys/net/ipv4/ip_forward"),
    WRITE("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
    WRITE("/proc/sys/net/ipv4/ping_group_range"),
    WRITE("/proc/sys/net/ipv6/conf/all/forwarding"),
    WRITE("/proc/sys/user/max_user_namespaces"),
    WRITE("/proc/bus/pci/00/00.0"),
    WRITE("/proc/irq/default_smp_affinity"),
    WRITE("/proc/mtrr"),
    WRITE("/proc/acpi/wakeup"),
    WRITE("/proc/1/oom_score_adj"),
    WRITE("/proc/1/mem"),
    WRITE("/proc/1/uid_map"),
    WRITE("/proc/1/attr/current"),
    WRITE("/proc/1/coredump_filter"),
    WRITE("/proc/1/clear_refs"),
    WRITE("/proc/1/comm"),
    {.name = "become harder to kill (oom_score_adj)",
     .run = lower_oom_score,
     .path = "/proc/self/oom_score_adj"},
    {.name = "write another uid map", .run = write_map, .path = "/proc/self/uid_map"},
    {.name = "write another gid map", .run = write_map, .path = "/proc/self/gid_map"},
    {.name = "write another map of projects", .run = write_map, .path = "/proc/self/projid_map"},
    {.name = "allow setgroups anew", .run = allow_groups, .path = "/proc/self/setgroups"},
    {.name = "move the clocks of a namespace",
     .run = move_clock,
     .path = "/proc/self/timens_offsets",
     .control = control_path},
    WRITE("/sys/kernel/uevent_helper"),
    WRITE("/sys/fs/cgroup/cgroup.procs"),
    WRITE("/sys/fs/cgroup/memory/release_agent"),
    WRITE("/sys/power/state"),
};

const struct attempt_group settings_group = {"settings", rows, ARRAY_COUNT(rows)};
