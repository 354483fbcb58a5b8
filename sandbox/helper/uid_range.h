// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Uid ranges: each replica has UID_RANGE_COUNT ids of its own.
 *
 * A range is held by a lock on a file in one folder for the whole host, so that two agents of one
 * host, which know nothing of each other, never share one. The lock lives as long as any copy of
 * its descriptor: minga-init keeps one, so the range stays held while a helper is replaced.
 */
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "sandbox/limits_file.h"

struct uid_range {
    uint32_t first; /* id 0 inside */
    int lock_fd;    /* owned; -1: none */
};

struct uid_firsts {
    uint32_t count;
    uint32_t list[REPLICAS_PER_NODE_MAX];
};

/*
 * Takes any free range of the spans, but none of `own` (NULL: there are none): of an adopted sandbox the
 * lock goes with its minga-init, while others of it may live still, and before we have heard of that.
 * `folder` is made if missing. Returns 0, or -EUSERS when all are in use.
 */
int uid_range_take(const char *folder, const struct host_limits *limits,
                   const struct uid_firsts *own, struct uid_range *range_out, struct err *err);
/* Lets go; removes the file if nobody else holds it. Harmless on an empty one. */
void uid_range_free(const char *folder, struct uid_range *range);
/* Removes the files of all ranges that nobody holds: whoever held them died. */
void uid_range_sweep(const char *folder);
/*
 * Opens the file of a range that a living sandbox holds, so that it can be removed at its end.
 * The lock itself stays with that sandbox: once it ends, uid_range_hold.
 */
int uid_range_adopt(const char *folder, uint32_t first, struct uid_range *range_out,
                    struct err *err);
/*
 * Takes the lock of an adopted range where its sandbox has let go of it, so that nobody else does
 * before uid_range_free. Changes nothing while the sandbox has it, and on a range of our own.
 */
void uid_range_hold(const struct uid_range *range);
