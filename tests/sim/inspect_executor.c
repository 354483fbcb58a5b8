// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/internal.h"
#include "agent/executor/internal.h"
#include "tests/sim/inspect_agent.h"

bool inspect_obeyed(const struct core *core, uint32_t index, struct replica_key *key_out,
                    struct epoch *epoch_out)
{
    const struct executor *executor = core->executor;

    if (index >= REPLICAS_PER_NODE_MAX || !executor->replicas[index].used) {
        return false;
    }
    *key_out = executor->replicas[index].key;
    *epoch_out = executor->replicas[index].epoch;
    return true;
}
