// SPDX-License-Identifier: GPL-3.0-or-later
#include <stddef.h>

#include "agent/core/core.h"
#include "base/attributes.h"
#include "base/check.h"

const char *service_state_name(enum service_state state)
{
    static const char *const names[] = {"off",      "starting", "active",
                                        "degraded", "updating", "stopping"};

    CHECK((size_t)state < ARRAY_COUNT(names));
    return names[state];
}

const char *replica_state_name(enum replica_state state)
{
    static const char *const names[] = {"waiting",  "fetching", "starting", "running",
                                        "stopping", "ended",    "failed"};

    CHECK((size_t)state < ARRAY_COUNT(names));
    return names[state];
}

const char *replica_health_name(enum replica_health health)
{
    static const char *const names[] = {"unknown", "ok", "failing"};

    CHECK((size_t)health < ARRAY_COUNT(names));
    return names[health];
}
