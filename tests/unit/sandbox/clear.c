// SPDX-License-Identifier: GPL-3.0-or-later
/* Which ends are said to be for want of memory. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/attributes.h"
#include "sandbox/helper/helper.h"

Test(clear, the_kernels_kills_for_memory_are_told_from_other_ends)
{
    static const struct {
        enum sandbox_end end;
        const char *reason; /* "": none yet */
        uint64_t oom_kill_count;
        bool hit_limit;
    } rows[] = {
        {SANDBOX_END_OUT_OF_MEMORY, "", 1, true},
        {SANDBOX_END_OUT_OF_MEMORY, "", 0, true}, /* told before its group had counted it */
        {SANDBOX_END_OUT_OF_MEMORY, "out of memory: 16384 locks on files", 0, false},
        {SANDBOX_END_OUT_OF_MEMORY, "out of memory: 16384 locks on files", 1, false},
        {SANDBOX_END_EXITED, "", 0, false},
        {SANDBOX_END_EXITED, "", 1, true}, /* its first process, bereft of a child, was quicker */
        {SANDBOX_END_SIGNALLED, "", 1, true},
        {SANDBOX_END_STOPPED, "", 3, false},
        {SANDBOX_END_REFUSED, "no such program", 3, false},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        static struct replica replica;

        replica_init(&replica);
        replica.end = rows[i].end;
        snprintf(replica.reason, sizeof(replica.reason), "%s", rows[i].reason);
        cr_assert_eq(replica_hit_memory_limit(&replica, rows[i].oom_kill_count), rows[i].hit_limit,
                     "row %zu", i);
    }
}
