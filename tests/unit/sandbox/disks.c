// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/disks.h"

#include <criterion/criterion.h>

enum { SIZE_BYTES = 64 << 20, BEGAN_MS = 10000 };

static struct disks asked(uint32_t count)
{
    struct disks disks;

    disks_init(&disks);
    for (uint32_t i = 0; i < count; i++) {
        disks_asked(&disks, SIZE_BYTES, BEGAN_MS);
    }
    return disks;
}

Test(disks, one_start_is_no_sign_of_another)
{
    struct disks disks = asked(1);

    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS), 0);
}

Test(disks, as_many_are_made_ahead_as_were_asked_for_lately)
{
    struct disks disks = asked(2);

    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS), 2);
    disks = asked(DISK_SPARES_MAX + 1);
    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS), DISK_SPARES_MAX);
    disks = asked(3 * DISK_ASKED_MAX);
    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS), DISK_SPARES_MAX);
}

Test(disks, none_is_kept_when_nobody_asks_any_more)
{
    struct disks disks = asked(DISK_ASKED_MAX);

    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS + DISK_SPARES_MS - 1), DISK_SPARES_MAX);
    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS + DISK_SPARES_MS), 0);
}

Test(disks, another_size_begins_anew)
{
    struct disks disks = asked(DISK_ASKED_MAX);

    disks_asked(&disks, 2 * (uint64_t)SIZE_BYTES, BEGAN_MS);
    cr_assert_eq(disks_spares_wanted(&disks, BEGAN_MS), 0);
}

Test(disks, nothing_is_taken_where_nothing_is_ready)
{
    struct disks disks = asked(1);
    struct disk disk = {.mount_fd = -1, .loop_number = -1, .network_fd = -1};

    cr_assert(disks_rest(&disks));
    cr_assert_not(disks_take(&disks, SIZE_BYTES, &disk));
    cr_assert(disks_clear(&disks, &disk, SIZE_BYTES), "no disk is nothing to clear");
}
