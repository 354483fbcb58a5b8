// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/disks.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "sandbox/helper/helper.h"
#include "sandbox/helper/process.h"

enum { SIZE_BYTES = 64 << 20, BEGAN_MS = 10000, PATIENCE_MS = 10000 };

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

static void wait_for(void *context, int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&readable, 1, PATIENCE_MS), 1);
    *(int *)context += 1;
}

/* A pipe's end stands for the mount: what is cleared away closes it. */
Test(disks, that_is_cleared_away_is_counted_until_it_is_gone_and_its_maker_then_rests)
{
    static struct helper helper;
    struct disks *disks = &helper.disks;
    int ends[2];
    int watched_count = 0;
    char nobody_writes;

    disks_init(disks);
    disks->makers.network_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    struct disk disk = {.mount_fd = ends[1], .loop_number = -1, .network_fd = -1};

    cr_assert(disks_clear(disks, &disk, SIZE_BYTES));
    cr_assert_eq(disk.mount_fd, -1);
    cr_assert_eq(disks->clearings[0].size_bytes, SIZE_BYTES);
    disks_tick(&helper, now_ms()); /* mostly too early */
    while (disks->clearings[0].size_bytes != 0) {
        disks_each_fd(disks, wait_for, &watched_count);
        disks_tick(&helper, now_ms());
    }
    cr_assert_eq(disks->clearings[0].size_bytes, 0);
    cr_assert_eq(read(ends[0], &nobody_writes, 1), 0);
    cr_assert(makers_has_idle(&disks->makers));
    cr_assert_not(disks_rest(disks), "a tick has to come for it");
    disks_tick(&helper, now_ms() + MAKER_IDLE_MS);
    watched_count = 0;
    disks_each_fd(disks, wait_for, &watched_count);
    cr_assert_leq(watched_count, 1); /* gone already, perhaps */
    cr_assert(disks_over(&helper));
    cr_assert(disks_rest(disks));
    close(ends[0]);
}

Test(disks, are_not_over_before_the_last_maker_is)
{
    static struct helper helper;
    struct disks *disks = &helper.disks;
    int ends[2];

    disks_init(disks);
    disks->makers.network_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    struct disk disk = {.mount_fd = ends[1], .loop_number = -1, .network_fd = -1};

    cr_assert(disks_clear(disks, &disk, SIZE_BYTES));
    for (int i = 0; i < PATIENCE_MS && !disks_over(&helper); i++) {
        poll(NULL, 0, 1);
    }
    cr_assert(disks_over(&helper));
    cr_assert_not(makers_has_idle(&disks->makers));
    close(ends[0]);
}
