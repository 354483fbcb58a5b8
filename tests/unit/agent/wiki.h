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

static inline bool fake_open_record(const uint8_t *bytes, size_t length_bytes,
                                    minga_Manager *record_out)
{
    minga_Signed sealed;

    return signed_decode((struct bytes){bytes, length_bytes}, &sealed) == 0 &&
           signed_open(&sealed, PURPOSE_MANAGER, minga_Manager_fields, record_out) == 0;
}
