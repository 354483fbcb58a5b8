// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "agent/core/internal.h"

const struct overlay *core_overlay(const struct core *core)
{
    return core->overlay;
}

bool core_is_cut_off(const struct core *core)
{
    const struct overlay *overlay = core->overlay;

    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (member->is_self ? member->record.reachable == minga_Reachable_REACHABLE_DIRECT
                            : member->record.addresses_count > 0) {
            return false;
        }
    }
    return overlay_belongs(overlay) && overlay_isolated(overlay, core->turn.now_ms);
}

struct core_word core_word(const struct core *core)
{
    return executor_word(core->executor);
}

void core_node_status(const struct core *core, struct node_status *status_out)
{
    executor_status(core->executor, (struct owner_clock){core->turn.now_ms, core->turn.wall_unix_s},
                    status_out);
    status_out->storage_bytes = core->config.storage_bytes;
    status_out->storage_used_bytes = overlay_chunk_bytes(core->overlay);
    if (!overlay_belongs(core->overlay)) {
        status_out->state = "no community";
    } else if (core_is_cut_off(core)) {
        (void)text_copy(status_out->reason, sizeof(status_out->reason), CORE_CUT_OFF_TEXT);
    }
}

uint32_t core_ended_count(const struct core *core)
{
    return executor_ended_count(core->executor);
}

void core_ended(const struct core *core, uint32_t index, struct core_ended *ended_out)
{
    executor_ended(core->executor, index, ended_out);
}

uint32_t core_replica_count(const struct core *core)
{
    return executor_count(core->executor);
}

void core_replica(const struct core *core, uint32_t index, uint64_t now_ms,
                  struct core_replica *replica_out)
{
    struct node_id self = overlay_self(core->overlay);
    const struct overlay_member *member = overlay_member_by_id(core->overlay, &self);

    executor_replica(core->executor, index, now_ms, replica_out);
    replica_out->status.node = self;
    if (member != NULL) {
        (void)text_copy(replica_out->status.node_name, sizeof(replica_out->status.node_name),
                        member->record.name);
        if (member->record.addresses_count > 0) {
            address_host(member->record.addresses[0], replica_out->status.address);
        }
    }
}

uint32_t core_published(const struct core *core, uint32_t count_max, struct overlay_port *ports_out)
{
    return executor_published(core->executor, count_max, ports_out);
}

bool core_member_free(const struct core *core, const struct node_id *node,
                      struct sandbox_limits *free_out)
{
    struct node_id self = overlay_self(core->overlay);

    if (id_equal(&node->id, &self.id)) {
        *free_out = executor_free_limits(core->executor);
        return true;
    }
    for (uint32_t i = 0; i < MEMBERS_MAX && core->frees[i].known; i++) {
        if (id_equal(&core->frees[i].node.id, &node->id)) {
            *free_out = core->frees[i].free;
            return true;
        }
    }
    return false;
}

uint32_t core_manager_count(const struct core *core)
{
    return manager_count(core->manager);
}

void core_manager(const struct core *core, uint32_t index, struct core_manager_view *view_out)
{
    manager_view(core->manager, index, view_out);
}
