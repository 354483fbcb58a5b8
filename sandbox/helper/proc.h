// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * /proc of a sandbox: what concerns its own processes is the kernel's; of the rest only what
 * services ask for exists, and says what the sandbox has, not what the host has. Everything else
 * of the kernel's is covered by a file or folder that nobody may open, also what a newer kernel
 * may bring.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct proc_plan {
    const char *hostname;
    uint64_t memory_bytes; /* the limit */
    uint64_t pid_count;
    bool settles_network; /* the network namespace is new: see network.h */
};

/*
 * In the clone, with the capabilities of its user namespace and furniture.h's stage as working
 * folder, which has a folder "proc". What covers is put there, beside it, and cannot be changed
 * afterwards.
 */
int proc_make(const struct proc_plan *plan, struct err *err);
