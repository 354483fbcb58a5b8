// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How much of a busy machine all replicas together have. What the kernel makes of the number is
 * the kernel's; skipped without root or where control groups have no processor's time.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/check.h"
#include "sandbox/cgroup_backend.h"

static const struct sandbox_limits CONTRIBUTION = {1000, 256 << 20, 0, 200};

static uint64_t weight_after(struct cgroups *cgroups, uint32_t weight_percent)
{
    const char *file = cgroups->ability.version == 1 ? "cpu.shares" : "cpu.weight";
    uint64_t weight = 0;

    cgroups_weigh(cgroups, weight_percent);
    cr_expect_eq(
        cgroup_get_number(cgroup_base(cgroups, CGROUP_CPU), cgroups->parent, file, &weight), 0);
    return weight;
}

Test(cgroup_weight, all_replicas_together_weigh_so_much_of_what_another_group_does)
{
    struct cgroups *cgroups = NULL;
    struct err err = {0};
    char parent[64];

    CHECK(snprintf(parent, sizeof(parent), "minga-test-%d", (int)getpid()) > 0);
    cr_assert_eq(cgroups_open(parent, &cgroups, &err), 0, "%s", err.text);
    const struct cgroup_ability ability = cgroups_ability(cgroups);
    if (geteuid() != 0 || ability.version == 0 || !ability.cpu) {
        cgroups_free(cgroups);
        cr_skip_test("needs root and control groups with the processor's time");
    }
    const uint64_t others = ability.version == 1 ? 1024 : 100;
    cr_assert_eq(cgroups_make_parent(cgroups, &CONTRIBUTION, &err), 0, "%s", err.text);
    cr_expect_eq(weight_after(cgroups, 25), others / 4);
    cr_expect_eq(weight_after(cgroups, 1), others / 100);
    cr_expect_eq(weight_after(cgroups, 0), others / 100, "said by nobody: as it was");
    cr_expect_eq(weight_after(cgroups, 100), others);
    cr_expect_eq(cgroups_remove_parent(cgroups, &err), 0, "%s", err.text);
    cgroups_free(cgroups);
}
