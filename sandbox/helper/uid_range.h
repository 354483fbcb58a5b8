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
#include "sandbox/limits_file.h"

struct uid_range {
    uint32_t first; /* id 0 inside */
    int lock_fd;    /* owned; -1: none */
};

/*
 * Takes any free range of the spans. `folder` is made if missing. Returns 0, or -EUSERS when all
 * are in use.
 */
int uid_range_take(const char *folder, const struct host_limits *limits,
                   struct uid_range *range_out, struct err *err);
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
