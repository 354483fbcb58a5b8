// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the volunteer gives, as root wrote it down for minga-sandboxd.
 *
 * `mingad --write-limits` makes the file from minga.yaml while it is root; the helper reads it at
 * its start, and of a reload all but ids, group and folder. No request changes any of it, so a compromised mingad cannot take more than was given.
 * The form is one "name value" per line, in any order, each name once ("uids" up to UID_SPANS_MAX
 * times, "program" up to SANDBOX_PROGRAMS_MAX times); an unknown or missing name is an error, but
 * "connections", "egress", "program", "weight", "upload" and "download" may be left out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sandbox/environment.h"

enum {
    UID_RANGE_COUNT = 65536, /* ids of one replica */
    UID_SPANS_MAX = 8,
    CGROUP_NAME_BYTES_MAX = 64,
    LIMITS_FILE_BYTES_MAX = 8192,
};

struct uid_span { /* first and last belong to it; both on whole ranges */
    uint32_t first;
    uint32_t last;
};

struct host_limits {
    struct sandbox_limits contribution; /* of this machine, for all replicas together */
    uint32_t agent_uid;                 /* mingad's; the owner of every file of the trees */
    uint32_t agent_gid;
    uint32_t uid_span_count;
    struct uid_span uid_spans[UID_SPANS_MAX];
    uint16_t port_first; /* published ports may lie in [first, last] */
    uint16_t port_last;
    uint32_t connections_max;    /* of each published port; 0: CONNECTIONS_PER_PORT_DEFAULT */
    uint32_t egress;             /* 1: replicas may reach the Internet; left out: 0 */
    uint32_t weight_percent;     /* of all replicas, of what another group weighs when processor or
                                 disks are short; left out: 100 */
    uint64_t upload_bytes_per_s; /* of all replicas together; 0, left out: no limit */
    uint64_t download_bytes_per_s;
    struct sandbox_programs programs; /* that the owner's rules name: mingad may ask if they run */
    char cgroup[CGROUP_NAME_BYTES_MAX]; /* parent group: letters, digits, "-", "_" */
    char trees[PATH_BYTES_MAX];         /* absolute folder of the agent's trees */
};

/* Pure. Returns 0, or -EINVAL with the line and what is wrong with it. */
int host_limits_parse(struct bytes text, struct host_limits *limits_out, struct err *err);
/* Pure. Is it complete and without contradictions? Returns 0 or -EINVAL with the reason. */
int host_limits_check(const struct host_limits *limits, struct err *err);

/* Writes the file, mode 0644, complete or not at all. Checks first. */
int sandbox_limits_write(const char *path, const struct host_limits *limits, struct err *err);
/*
 * Reads it. -EPERM unless it is a regular file, owned by root, that nobody else can write to.
 */
int sandbox_limits_read(const char *path, struct host_limits *limits_out, struct err *err);
