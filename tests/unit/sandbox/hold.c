// SPDX-License-Identifier: GPL-3.0-or-later
/* What cannot be frozen is ended. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/cgroup_backend.h"
#include "sandbox/helper/helper.h"

Test(hold, without_a_freezer_a_replica_is_ended_and_why_is_said)
{
    static const struct cgroup_backend backend = {0}; /* not asked: cgroup_ability has no freezer */
    static struct cgroups cgroups = {.backend = &backend};
    static struct helper helper = {.cgroups = &cgroups};
    struct replica *replica = &helper.replicas[0];

    replica_init(replica);
    replica->state = REPLICA_RUNNING;
    snprintf(replica->name.text, sizeof(replica->name.text), "wiki-1");
    replica_hold(&helper, replica);
    cr_assert_eq(replica->state, REPLICA_ENDING);
    cr_assert_eq(replica->end, SANDBOX_END_LOST);
    cr_assert_not_null(strstr(replica->reason, "cannot be frozen"), "%s", replica->reason);
    cr_assert_not_null(strstr(replica->reason, "no freezer"), "%s", replica->reason);
}
