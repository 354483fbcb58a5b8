// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* /proc of a sandbox, and its shared memory. */
#include <stdint.h>

#include "base/err.h"
#include "sandbox/helper/proc.h"

struct furniture_plan {
    uint64_t shm_bytes_max; /* of /dev/shm */
    struct proc_plan proc;
};

/*
 * Run as uid 0 of the sandbox's user namespace, in its mount and pid namespaces, with an empty
 * folder of the host's root as working folder. Makes both on a stage there, the new working folder:
 * "shm" and "proc" in it are to be moved into the sandbox's root. The stage itself, with what they
 * are made of (a mount can only be copied while it is attached somewhere), goes with the host's
 * root: to take it off by itself would wait for the kernel (RCU).
 */
int furniture_make(const struct furniture_plan *plan, struct err *err);
