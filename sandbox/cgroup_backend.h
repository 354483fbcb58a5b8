// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Inside of cgroup.h: what differs between v1 and v2, and small files below a hierarchy.
 *
 * A group is named by its path relative to a hierarchy's base folder: "PARENT/NAME/service".
 */
#include "sandbox/cgroup.h"

enum cgroup_resource {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_FREEZER,
    CGROUP_CONTROLLER_COUNT
};

enum {
    CGROUP_PATH_BYTES_MAX = 2 * (CGROUP_NAME_CHARS_MAX + 1) + 64,
    CGROUP_TEXT_BYTES_MAX = 4096, /* of a small file */
    CGROUP_FREEZE_MS_MAX = 30,
};

struct cgroup_backend {
    /* Which limits can be held? Fills everything but ability.version. */
    void (*probe)(struct cgroups *cgroups);
    /* Before the parent is made (in the base folder), and after (in the parent itself). */
    int (*prepare_base)(struct cgroups *cgroups, struct err *err);
    int (*prepare_parent)(struct cgroups *cgroups, struct err *err);
    /* After a replica's group and before its parts are made. */
    int (*prepare_replica)(struct cgroups *cgroups, const char *group, struct err *err);
    int (*set_limits)(struct cgroups *cgroups, const char *group,
                      const struct sandbox_limits *limits, struct err *err);
    void (*weigh)(struct cgroups *cgroups, uint32_t weight_percent);
    int (*freeze)(struct cgroups *cgroups, const char *group, bool frozen, struct err *err);
    /* One round; says nothing about what is left. */
    int (*kill)(struct cgroups *cgroups, const char *group, struct err *err);
    int (*stats)(struct cgroups *cgroups, const char *group, struct cgroup_stats *stats_out,
                 struct err *err);
    /* Of all of it, how many were killed for memory. */
    int (*oom_kills)(struct cgroups *cgroups, const char *group, uint64_t *count_out);
    int (*watch_oom)(struct cgroups *cgroups, const char *group, int *fd_out, struct err *err);
};

extern const struct cgroup_backend cgroup_v1;
extern const struct cgroup_backend cgroup_v2;

struct cgroups {
    const struct cgroup_backend *backend; /* NULL: no control groups */
    struct cgroup_ability ability;
    char parent[CGROUP_NAME_CHARS_MAX + 1];
    int lock_fd; /* a file of the parent, locked; -1: not made yet */
    unsigned hierarchy_count;
    int base_fds[CGROUP_CONTROLLER_COUNT];     /* folders, one per hierarchy */
    int hierarchy_of[CGROUP_CONTROLLER_COUNT]; /* index in base_fds; -1: controller not there */
};

/* Fills an empty handle: hierarchies, back end, ability (cgroup_discover.c). */
int cgroups_discover(struct cgroups *cgroups, struct err *err);
/* Its last step, for hierarchies that the caller chose. Returns 0. */
int cgroups_probe(struct cgroups *cgroups, int version);

/* The base folder of a controller's hierarchy, or -1. */
int cgroup_base(const struct cgroups *cgroups, enum cgroup_resource controller);

/* Small files: `group` may be "." for the base. Return 0 or -errno. */
int cgroup_put(int base_fd, const char *group, const char *file, const char *text);
int cgroup_put_number(int base_fd, const char *group, const char *file, uint64_t number);
/* Reads at most CGROUP_TEXT_BYTES_MAX - 1 bytes and a NUL. */
int cgroup_get(int base_fd, const char *group, const char *file, char *text_out);
int cgroup_get_number(int base_fd, const char *group, const char *file, uint64_t *number_out);
/* The number behind `key` in a file of "key number" lines; 0 when the key is not there. */
int cgroup_get_key(int base_fd, const char *group, const char *file, const char *key,
                   uint64_t *number_out);
bool cgroup_has(int base_fd, const char *group, const char *file);

/* Sends a signal to all processes of one group (not of those below). Returns 0 or -errno. */
int cgroup_signal(int base_fd, const char *group, int signal_number);

/* Says what could not be set, and keeps errno's text. Returns code. */
int cgroup_fail(struct err *err, int code, const char *group, const char *file);
/* Has the machine any swap now? */
bool cgroup_machine_swaps(void);
/* Period and quota for a share: the quota never falls below what the kernel accepts (1 ms). */
void cgroup_cpu_share(uint64_t cpu_permille, uint64_t *period_us_out, uint64_t *quota_us_out);
/* Calls `is_done` every ms until it says so, at most CGROUP_FREEZE_MS_MAX. 0 or -ETIMEDOUT. */
int cgroup_wait(bool (*is_done)(const struct cgroups *cgroups, const char *group),
                const struct cgroups *cgroups, const char *group);
