// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* /dev and /proc of a sandbox. */
#include <stdint.h>

#include "base/err.h"
#include "sandbox/helper/proc.h"

struct furniture_plan {
    uint64_t shm_bytes_max; /* of /dev/shm */
    struct proc_plan proc;
};

/*
 * Run as uid 0 of the sandbox's user namespace, in its mount and pid namespaces, with the new
 * root as working folder and the host's root still at "/". The root has folders "dev", "proc" and "tmp".
 */
int furniture_make(const struct furniture_plan *plan, struct err *err);
