// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/surroundings.h"

#include "base/check.h"

static uint32_t ring_candidates(const void *self, const struct service_id *service,
                                uint32_t count_max, struct node_id *nodes_out)
{
    const struct overlay *overlay = self;
    struct ring_key key = {service->id};
    struct node_id ring[2 * SUCCESSORS_MAX];
    uint32_t ring_count;
    uint32_t count = 0;

    CHECK(count_max > 0);
    ring_count = overlay_replica_set(overlay, &key, 2 * SUCCESSORS_MAX, ring);
    for (uint32_t i = 0; i < ring_count && count < count_max; i++) {
        if (overlay_manages(overlay, &ring[i])) {
            nodes_out[count++] = ring[i];
        }
    }
    return count;
}

/*
 * Everyone when the community is small; otherwise a window of the ring that begins at the service's
 * own point, so that different services ask different nodes, and moves on with each round.
 */
static uint32_t ring_discover(const void *self, const struct service_id *service, uint64_t round,
                              uint32_t count_max, struct node_id *nodes_out)
{
    const struct overlay *overlay = self;
    uint32_t member_count = overlay_member_count(overlay);
    uint32_t start = 0;
    uint32_t count = 0;

    if (member_count == 0) {
        return 0;
    }
    if (member_count > count_max) {
        start = (uint32_t)service->id.bytes[0] << 8 | service->id.bytes[1];
        start = (start + (uint32_t)(round % member_count) * count_max) % member_count;
    }
    for (uint32_t i = 0; i < member_count && count < count_max; i++) {
        const struct overlay_member *member = overlay_member(overlay, (start + i) % member_count);

        if (member->record.runs && (member->state == MEMBER_UP || member->is_self)) {
            nodes_out[count++] = member->node;
        }
    }
    return count;
}

static uint32_t ring_others(const void *self, uint32_t count_max, struct node_id *nodes_out)
{
    const struct overlay *overlay = self;
    uint32_t member_count = overlay_member_count(overlay);
    uint32_t count = 0;

    for (uint32_t i = 0; i < member_count && count < count_max; i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (member->state == MEMBER_UP && !member->is_self) {
            nodes_out[count++] = member->node;
        }
    }
    return count;
}

static const struct overlay_member *ring_member(const void *self, const struct node_id *node)
{
    return overlay_member_by_id(self, node);
}

static bool ring_knows_all(const void *self)
{
    return overlay_knows_all(self);
}

static struct bytes ring_record(const void *self, const struct service_id *service,
                                minga_RecordKind kind, uint64_t number)
{
    return overlay_record(self, service, kind, number);
}

static bool ring_service_next(const void *self, uint32_t *cursor, struct service_id *service_out)
{
    return overlay_record_next(self, minga_RecordKind_RECORD_SERVICE, cursor, service_out);
}

static uint16_t ring_port_outside(const void *self, uint16_t port, bool is_udp)
{
    return overlay_port_outside(self, port, is_udp);
}

bool may_manage(const struct surroundings *around, const struct service_id *service,
                const struct node_id *node)
{
    struct node_id nodes[MANAGERS_MAX];
    uint32_t count = around->candidates(around->self, service, MANAGERS_MAX, nodes);

    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(&nodes[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

struct surroundings surroundings_of_overlay(const struct overlay *overlay)
{
    return (struct surroundings){
        .self = overlay,
        .node = overlay_self(overlay),
        .candidates = ring_candidates,
        .discover = ring_discover,
        .others = ring_others,
        .member = ring_member,
        .knows_all = ring_knows_all,
        .record = ring_record,
        .service_next = ring_service_next,
        .port_outside = ring_port_outside,
    };
}
