// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_reads.h"

#include <inttypes.h>

#include "overlay/records/records.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/fault_action.h"
#include "tests/sim/world.h"

enum { READ_EVERY_MS = 1100 };

/* Nobody has come, gone, had no time, or lost anything lately: holders have compared with each other. */
static bool is_steady(struct world *world)
{
    if (check_ring_is_disturbed(world) || world_is_deceived(world) || world->clone_count > 0 ||
        (world->disk_lost_ms != 0 && world->now_ms < world->disk_lost_ms + SETTLED_MS)) {
        return false;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *host = &world->nodes[node];

        if (world->now_ms < host->begun_ms + SETTLED_MS ||
            (host->ended_ms != 0 && world->now_ms < host->ended_ms + SETTLED_MS) ||
            world->now_ms < host->stalled_until_ms + SETTLED_MS ||
            world->now_ms < world->client.members[node].joined_ms + SETTLED_MS ||
            (host->disk.failed_ms != 0 && world->now_ms < host->disk.failed_ms + SETTLED_MS)) {
            return false;
        }
    }
    return true;
}

static uint64_t acknowledged(const struct client_service *service, minga_RecordKind kind)
{
    return kind == minga_RecordKind_RECORD_VERSION ? service->version_sequence
                                                   : service->acknowledged_sequence;
}

void check_reads_tick(struct world *world)
{
    uint64_t drawn = world_draw(world, "read", world->now_ms, 0);
    uint32_t node = (uint32_t)(drawn >> 8) % world->node_count;
    struct core_request request = {.kind = CORE_GET_RECORD};
    const struct client_service *service;
    uint32_t place = 0;
    struct read_check *read;

    while (place < READS_MAX && world->checker.reads[place].used) {
        place++;
    }
    /* Before, a question would be one more that shows who is not there any more. */
    if (world->checker.converged_ms == 0 || world->now_ms % READ_EVERY_MS != 0 ||
        place == READS_MAX || world->client.service_count == 0 || !client_is_member(world, node)) {
        return;
    }
    read = &world->checker.reads[place];
    *read = (struct read_check){.used = true,
                                .service = (uint32_t)(drawn >> 40) % world->client.service_count,
                                .kind = drawn % 4 == 0 ? minga_RecordKind_RECORD_VERSION
                                                       : minga_RecordKind_RECORD_SERVICE};
    service = &world->client.services[read->service];
    read->sequence = acknowledged(service, read->kind);
    request.service = service->id;
    request.record_kind = read->kind;
    request.number = client_record_number(service, read->kind);
    if (!client_request(world, node, &request, READ_SERVICE + place)) {
        read->used = false;
    }
}

void check_reads_dropped(struct world *world, const struct pending *pending)
{
    world->checker.reads[pending->service - READ_SERVICE].used = false;
}

void check_reads_answered(struct world *world, const struct pending *pending,
                          const struct core_answer *answer)
{
    const struct read_check *read = &world->checker.reads[pending->service - READ_SERVICE];
    const struct client_service *service = &world->client.services[read->service];
    const char *node = world->nodes[pending->node].name;
    struct record record = {.sequence = 0};
    bool is_found = answer->outcome == OVERLAY_OK;

    check_reads_dropped(world, pending);
    if (is_found && record_open(answer->record, &record) < 0) {
        world_fail(world, "%s reads a record of %s that its owner has not signed", node,
                   service->name);
        return;
    }
    if (!is_steady(world) || fault_is_cut_off(world, pending->node) ||
        (!is_found && answer->outcome != OVERLAY_NOT_FOUND && world->checker.converged_ms == 0)) {
        return;
    }
    if (record.sequence < read->sequence) {
        world_fail(world, "%s reads %s %" PRIu64 " of %s (%d), acknowledged was %" PRIu64, node,
                   read->kind == minga_RecordKind_RECORD_VERSION ? "version" : "record",
                   record.sequence, service->name, (int)answer->outcome, read->sequence);
    }
}
