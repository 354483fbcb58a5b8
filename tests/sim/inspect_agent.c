// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/inspect_agent.h"

#include <string.h>

#include "agent/core/message.h"
#include "agent/manager/internal.h"
#include "overlay/message.h"

bool inspect_ask_start(struct bytes message, struct replica_key *key_out)
{
    static minga_Message outer;
    static minga_AgentMessage inner;
    const minga_AskStart *start = &inner.body.ask_start;

    if (message_decode(message, &outer) != 0 || outer.which_kind != minga_Message_ask_tag ||
        !outer.kind.ask.has_payload ||
        agent_message_decode(
            (struct bytes){outer.kind.ask.payload.bytes.bytes, outer.kind.ask.payload.bytes.size},
            &inner) != 0 ||
        inner.which_body != minga_AgentMessage_ask_start_tag) {
        return false;
    }
    memcpy(key_out->service.id.bytes, start->service, ID_BYTES);
    key_out->slot = start->slot;
    key_out->incarnation = start->incarnation;
    return true;
}

bool inspect_knows_placement(struct bytes record, const struct replica_key *key)
{
    static minga_Manager manager;

    if (manager_record_open(record, &manager) != 0 ||
        memcmp(manager.service, key->service.id.bytes, ID_BYTES) != 0) {
        return false;
    }
    for (pb_size_t i = 0; i < manager.placements_count; i++) {
        if (manager.placements[i].slot == key->slot &&
            manager.placements[i].incarnation >= key->incarnation) {
            return true;
        }
    }
    return false;
}

bool inspect_record(struct bytes record, struct inspect_record *record_out)
{
    static minga_Manager manager;

    if (manager_record_open(record, &manager) != 0) {
        return false;
    }
    memcpy(record_out->service.id.bytes, manager.service, ID_BYTES);
    record_out->epoch.generation = manager.generation;
    memcpy(record_out->epoch.node.id.bytes, manager.node, ID_BYTES);
    record_out->revision = manager.revision;
    return true;
}
