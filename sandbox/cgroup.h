// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The kernel's limits, for cgroup v1 (also hybrid) and v2 behind one interface.
 *
 *     PARENT/                 the volunteer's whole contribution: cpu, memory and swap, pids
 *     PARENT/NAME/            one replica: its limits, its freezer, its accounting
 *     PARENT/NAME/init/       minga-init
 *     PARENT/NAME/service/    the service: a sibling, so that its threads do not starve init
 *
 * On v1 this is repeated in the hierarchies cpu, cpuacct, memory, pids, freezer. PARENT lies at
 * the root of the hierarchies as they are mounted, not in the caller's own group: the group that
 * a shell or a supervisor happened to start us in may be limited, or removed, with that session,
 * and a restarted helper must find its sandboxes again. The exceptions are v2 under systemd with
 * Delegate=yes (extended attribute trusted.delegate or user.delegate):
 *   - system.slice/PARENT-replicas.service, a unit that only holds the replicas: PARENT lies in
 *     it, whoever calls, and cgroups_open moves its sleeping process into the leaf "holder". So
 *     the helper's own unit can be started again while replicas live;
 *   - else the caller's own unit, where it is delegated: PARENT lies in it, and cgroups_open moves
 *     the caller into the leaf "helper" beside it. Started again with live replicas, this wants
 *     DelegateSubgroup=helper (systemd 254): before, systemd itself fails with 219/CGROUP.
 *
 * Single-threaded. Nothing here waits longer than some 50 ms (cgroups_make_parent: 100). Groups
 * with live processes are never removed: the kernel would not, and libcgroup would move them out
 * of their limits.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/environment.h"

struct cgroups; /* the parent and how to reach it */

enum { CGROUP_NAME_CHARS_MAX = 127 };

struct cgroup_name { /* of a replica's group: letters, digits, "-", "_", not first "." */
    char text[CGROUP_NAME_CHARS_MAX + 1];
};

enum cgroup_part { CGROUP_INIT, CGROUP_SERVICE };

/* What the kernel of this machine can hold. */
struct cgroup_ability {
    int version; /* 1 or 2; 0: no control groups at all */
    bool cpu;
    bool memory;
    bool swap; /* counted in the memory limit (or the machine has none) */
    bool pids;
    bool freezer;
    char reason[256]; /* what is missing and how to get it; "" when all is there */
};

struct cgroup_stats {
    uint64_t cpu_us;         /* since the group was made */
    uint64_t memory_bytes;   /* without page cache that is free to go */
    uint64_t pid_count;      /* threads count */
    uint64_t oom_kill_count; /* processes that the kernel killed at a memory limit */
};

enum { CGROUP_ENTRIES = 5 }; /* files to enter a part by; unused ones lead to /dev/null */
#define CGROUP_ENTER "0"

/* Outcomes above 0. */
enum { CGROUP_POPULATED = 1, CGROUP_OOM_BY_KERNEL = 2, CGROUP_NO_FOLDER = 3 };

/*
 * Finds the hierarchies. Succeeds also where limits are missing: ask cgroups_ability and fail
 * closed. Makes nothing but the leaf "helper" (v2, delegated). `parent` is a cgroup_name's text.
 */
int cgroups_open(const char *parent, struct cgroups **cgroups_out, struct err *err);
/* Frees the handle; groups stay. NULL is fine. */
void cgroups_free(struct cgroups *cgroups);
struct cgroup_ability cgroups_ability(const struct cgroups *cgroups);

/*
 * Makes the parent group, or adopts it, and sets the whole contribution (disk_bytes is not ours).
 * Must come before all below. Fails when a limit of cgroups_ability cannot be written: -EINVAL or
 * -EBUSY where the groups that it already holds are larger than that (v1); with -EADDRINUSE when
 * another process has this parent: the handle locks it for this one.
 */
int cgroups_make_parent(struct cgroups *cgroups, const struct sandbox_limits *contribution,
                        struct err *err);
/*
 * The same for the parent that is made, and for a replica's group: other limits from now on. On v1
 * a group's cpu must not exceed its parent's: lower the replicas' first, raise the parent's first.
 * A parent that was not made (limits that cannot be held) has none, and that is no error.
 */
int cgroups_limit_parent(struct cgroups *cgroups, const struct sandbox_limits *limits,
                         struct err *err);
int cgroup_limit(struct cgroups *cgroups, const struct cgroup_name *name,
                 const struct sandbox_limits *limits, struct err *err);
/*
 * When processor or disks are short, all replicas together weigh so much of what another group
 * does: the machine's owner comes first. A courtesy: kernels that cannot do it are fine.
 */
void cgroups_weigh(struct cgroups *cgroups, uint32_t weight_percent);
/* Removes the parent. Returns 0, also if there is none; -EBUSY while a replica's group is left. */
int cgroups_remove_parent(struct cgroups *cgroups, struct err *err);
/*
 * Names of the replicas' groups that exist in any hierarchy, also half-made ones (a crash).
 * At most `capacity`; more are found by calling again after removing some.
 */
int cgroups_list(const struct cgroups *cgroups, struct cgroup_name *names_out, size_t capacity,
                 size_t *count_out, struct err *err);

/*
 * Makes a replica's group with both parts and its limits. cpu_permille is held over periods of
 * 20 ms (100 ms below 50 permille). Fails with -EEXIST if there is one; on failure nothing stays.
 */
int cgroup_create(struct cgroups *cgroups, const struct cgroup_name *name,
                  const struct sandbox_limits *limits, struct err *err);
/* Moves a blocked, single-threaded process (pid as seen by the caller) into a part, everywhere. */
int cgroup_attach(struct cgroups *cgroups, const struct cgroup_name *name, enum cgroup_part part,
                  pid_t pid, struct err *err);
/*
 * The same from inside (into the service's part from init's), and on v1 some 10 ms sooner (median of 30 each: 0.3 against 10.3 ms): to
 * move another process the kernel locks out every fork and exit, which waits for an RCU grace
 * period; a thread that moves itself through "tasks" needs no such lock. Opens one file per
 * hierarchy (the caller's to close); a single-threaded process that inherited them moves itself
 * by writing CGROUP_ENTER to each.
 */
int cgroup_open_entries(struct cgroups *cgroups, const struct cgroup_name *name,
                        enum cgroup_part part, int fds_out[CGROUP_ENTRIES], struct err *err);
/*
 * On v2, the folder of a part, for clone3's CLONE_INTO_CGROUP: the child is born in it. Returns 0
 * (the caller closes *fd_out), CGROUP_NO_FOLDER where there is no such thing (v1), or -errno. A
 * group that was killed once is of no use for it (kernel 6.18): one fresh group for each launch.
 */
int cgroup_open_folder(struct cgroups *cgroups, const struct cgroup_name *name,
                       enum cgroup_part part, int *fd_out, struct err *err);
/*
 * Stops or continues all processes. Stopping waits a little until it is so; -ETIMEDOUT: it will be
 * (a process that has used up its share of time stops when it gets the next).
 */
int cgroup_freeze(struct cgroups *cgroups, const struct cgroup_name *name, bool frozen,
                  struct err *err);
/*
 * One round of killing everything in the replica's group, safe against fork bombs (v1: freeze,
 * SIGKILL all, thaw; v2: cgroup.kill). Returns 0 when it is empty (or gone), CGROUP_POPULATED
 * when processes are still dying: call again a few ms later. Zombies do not count.
 */
int cgroup_kill(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err);
/* Returns 0 when no process is in it (or it is gone), CGROUP_POPULATED, or -errno. */
int cgroup_populated(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err);
/* How many processes are in one part. A first page of them: more than some hundred is "many". */
int cgroup_count(struct cgroups *cgroups, const struct cgroup_name *name, enum cgroup_part part,
                 uint64_t *count_out, struct err *err);
/* Read it before cgroup_remove: the numbers go with the group. */
int cgroup_stats(struct cgroups *cgroups, const struct cgroup_name *name,
                 struct cgroup_stats *stats_out, struct err *err);
/* The same count alone, for much less. Returns 0 or -errno. */
int cgroup_oom_kills(struct cgroups *cgroups, const struct cgroup_name *name, uint64_t *count_out,
                     struct err *err);
/*
 * Out of memory kills the whole replica. On v2 the kernel does it (memory.oom.group): returns
 * CGROUP_OOM_BY_KERNEL. On v1 it kills one process: *fd_out becomes an eventfd (the caller's to
 * close) that is readable after each such event: if oom_kill_count grew, the caller kills the
 * rest. The eventfd is also readable once when the group is removed.
 */
int cgroup_watch_oom(struct cgroups *cgroups, const struct cgroup_name *name, int *fd_out,
                     struct err *err);
/* Removes an empty replica's group, complete or half-made. 0, also if gone; -EBUSY if populated. */
int cgroup_remove(struct cgroups *cgroups, const struct cgroup_name *name, struct err *err);
