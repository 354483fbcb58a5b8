// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Where libcgroup says that controllers are mounted. */
#include "base/err.h"
#include "sandbox/cgroup_backend.h"

enum { CGROUP_MOUNT_BYTES_MAX = 256 };

struct cgroup_mounts {
    char paths[CGROUP_CONTROLLER_COUNT][CGROUP_MOUNT_BYTES_MAX]; /* "": nowhere */
};

/*
 * Asks in a process of its own, which ends at once: libcgroup keeps a table of 2.4 MiB for good,
 * and each page that it has written to would be copied with every fork of the helper.
 */
int cgroup_mounts_find(struct cgroup_mounts *mounts_out, struct err *err);
