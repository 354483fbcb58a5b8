// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Locks on files: what the kernel keeps of each is counted by no group's limit of memory, and
 * nothing else limits their number. So the helper counts them each second, in /proc/locks, and ends
 * the replica that has too many. Those of fcntl(2) are a living process's: the filter sees to it
 * (seccomp.c). Those of flock(2) may be a dead one's: where there are too many of the dead, or more
 * lines than are read, the replica with as many open files is ended.
 */
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/helper/helper.h"

enum { FILE_LOCKS_MAX = 16384 }; /* of a replica: 3 MiB of the kernel's memory */

/* The process of a line of /proc/locks; 0 when it names none. */
pid_t locks_holder(const char *line);
/* The same for a whole file of such lines. Returns the first replica with too many, or NULL. */
struct replica *locks_find(struct helper *helper, const char *proc_path);
void locks_tick(struct helper *helper, uint64_t at_ms);
