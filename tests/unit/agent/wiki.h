// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Stories of one service that runs in a small community. */
#include "tests/unit/agent/community.h"

/* The leader says that all of them run, or time is over. `manifest` is borrowed. */
static inline struct community *run_wiki(const char *manifest, uint32_t node_count,
                                         uint32_t replicas)
{
    struct community *community = fake_new(node_count, manifest);

    fake_want(community, true, replicas, false);
    (void)fake_until_running(community, 0, replicas, 2000);
    return community;
}
