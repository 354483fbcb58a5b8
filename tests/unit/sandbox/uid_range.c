// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/uid_range.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/helper/helper.h"

static const struct host_limits three_ranges = {
    .uid_span_count = 2,
    .uid_spans = {{131072, 131072 + 2 * UID_RANGE_COUNT - 1}, {655360, 655360 + UID_RANGE_COUNT}},
};

static size_t count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t count = 0;

    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

Test(uid_range, every_replica_gets_another_until_there_is_none)
{
    char folder[] = "/tmp/minga-uids-XXXXXX";
    struct uid_range ranges[3];
    struct uid_range more = {0, -1};
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &ranges[i], &err), 0, "%s",
                     err.text);
    }
    cr_assert_eq(ranges[0].first, 131072);
    cr_assert_eq(ranges[1].first, 131072 + UID_RANGE_COUNT);
    cr_assert_eq(ranges[2].first, 655360);
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &more, &err), -EUSERS);
    uid_range_free(folder, &ranges[1]);
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &more, &err), 0);
    cr_assert_eq(more.first, 131072 + UID_RANGE_COUNT);
    uid_range_free(folder, &more);
    uid_range_free(folder, &ranges[0]);
    uid_range_free(folder, &ranges[2]);
    cr_assert_eq(count_entries(folder), 0, "no lock file is left");
    cr_assert_eq(rmdir(folder), 0);
}

Test(uid_range, a_range_stays_held_while_a_sandbox_has_its_lock)
{
    char folder[] = "/tmp/minga-uids-XXXXXX";
    struct uid_range held = {0, -1};
    struct uid_range adopted = {0, -1};
    struct uid_range other = {0, -1};
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &held, &err), 0);
    cr_assert_eq(uid_range_adopt(folder, held.first, &adopted, &err), 0);
    uid_range_free(folder, &adopted); /* while the sandbox lives: changes nothing */
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &other, &err), 0);
    cr_assert_neq(other.first, held.first);
    uid_range_free(folder, &other);

    /* The sandbox is over without having freed it: its adopter does. */
    cr_assert_eq(uid_range_adopt(folder, held.first, &adopted, &err), 0);
    close(held.lock_fd);
    uid_range_free(folder, &adopted);
    cr_assert_eq(count_entries(folder), 0);
    cr_assert_eq(rmdir(folder), 0);
}

/* What else had its ids (minga-egress, say) may die later than the sandbox's first process. */
Test(uid_range, an_adopted_range_is_held_until_all_is_cleared)
{
    char folder[] = "/tmp/minga-uids-XXXXXX";
    struct uid_range held = {0, -1};
    struct uid_range adopted = {0, -1};
    struct uid_range other = {0, -1};
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    uid_range_hold(&adopted);
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &held, &err), 0);
    cr_assert_eq(uid_range_adopt(folder, held.first, &adopted, &err), 0);
    uid_range_hold(&adopted); /* the sandbox has it: a later one gets it */
    close(held.lock_fd);
    uid_range_hold(&adopted);
    uid_range_sweep(folder);
    cr_assert_eq(count_entries(folder), 1);
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &other, &err), 0);
    cr_assert_neq(other.first, held.first);
    uid_range_free(folder, &other);
    uid_range_free(folder, &adopted);
    cr_assert_eq(count_entries(folder), 0);
    cr_assert_eq(rmdir(folder), 0);
}

Test(uid_range, a_sweep_takes_only_what_nobody_holds)
{
    char folder[] = "/tmp/minga-uids-XXXXXX";
    struct uid_range held = {0, -1};
    struct uid_range dead = {0, -1};
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &held, &err), 0);
    cr_assert_eq(uid_range_take(folder, &three_ranges, NULL, &dead, &err), 0);
    close(dead.lock_fd);
    cr_assert_eq(count_entries(folder), 2);
    uid_range_sweep(folder);
    cr_assert_eq(count_entries(folder), 1);
    uid_range_free(folder, &held);
    cr_assert_eq(rmdir(folder), 0);
}

/* Its minga-init is dead, which the helper has not heard of, and nobody has the lock. */
Test(uid_range, those_of_replicas_here_are_not_taken_though_nobody_holds_them)
{
    char folder[] = "/tmp/minga-uids-XXXXXX";
    const struct uid_firsts own = {2, {655360, 131072}};
    struct uid_range range = {0, -1};
    struct uid_range more = {0, -1};
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(uid_range_take(folder, &three_ranges, &own, &range, &err), 0);
    cr_assert_eq(range.first, 131072 + UID_RANGE_COUNT);
    cr_assert_eq(uid_range_take(folder, &three_ranges, &own, &more, &err), -EUSERS);
    uid_range_free(folder, &range);
    cr_assert_eq(rmdir(folder), 0);
}

Test(uid_range, what_is_being_ended_keeps_its_ids_until_it_is_cleared)
{
    static struct helper helper = {.folders.uids = "/tmp/minga-uids-XXXXXX"};
    struct uid_range range = {0, -1};
    struct err err = {0};

    helper.limits = three_ranges;
    cr_assert_not_null(mkdtemp(helper.folders.uids));
    helper.replicas[3].state = REPLICA_ENDING;
    helper.replicas[3].uids.first = 131072;
    helper.replicas[4].uids.first = 131072 + UID_RANGE_COUNT; /* of one that is over */
    helper.replicas[5].state = REPLICA_STARTING;              /* with none yet */
    cr_assert_eq(replicas_take_uids(&helper, &range, &err), 0);
    cr_assert_eq(range.first, 131072 + UID_RANGE_COUNT);
    uid_range_free(helper.folders.uids, &range);
    cr_assert_eq(rmdir(helper.folders.uids), 0);
}
