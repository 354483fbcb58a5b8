// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_durable.h"

#include <inttypes.h>

#include "overlay/records/records.h"
#include "tests/sim/check_alarm.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum { EPOCH_BYTES = 8 };

static const struct disk_blob *find_blob(const struct disk *disk, enum overlay_blob_kind kind,
                                         const struct id *key, uint64_t number)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        const struct disk_blob *blob = &disk->blobs[i];

        if (blob->kind == kind && blob->number == number && id_equal(&blob->key, key)) {
            return blob;
        }
    }
    return NULL;
}

uint64_t check_durable_sequence(const struct disk *disk, const struct client_service *service,
                                minga_RecordKind kind)
{
    struct record_key key = record_key(&service->id, kind, client_record_number(service, kind));
    const struct disk_blob *blob = find_blob(disk, BLOB_RECORD, &key.service.id, key.number);
    struct record record;

    return blob != NULL &&
                   record_glance((struct bytes){blob->data, blob->length_bytes}, &record) == 0
               ? record.sequence
               : 0;
}

/* ------------------------------------------------------------------ what is acknowledged */

static bool has_what_was_put(const struct world *world, uint32_t node,
                             const struct client_service *service)
{
    const struct disk *disk = &world->nodes[node].disk;
    const struct sim_tree *tree = client_tree(world, (uint32_t)(service - world->client.services));

    if (service->step == PUT_CHUNKS) {
        return disk_has_chunk(disk, &tree->chunks[service->chunk]);
    }
    if (service->step == PUT_VERSION) {
        return check_durable_sequence(disk, service, minga_RecordKind_RECORD_VERSION) >
               service->version_sequence;
    }
    return check_durable_sequence(disk, service, minga_RecordKind_RECORD_SERVICE) >
           service->known_sequence;
}

/* Of a record, among those who know each other; 0: the network is not what it ought to be. */
static uint32_t copies_possible(struct world *world, uint32_t asked)
{
    uint32_t count = 0;

    if (check_ring_is_disturbed(world) || !check_alarm_is_settled(world, asked)) {
        return 0;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        count += converge_stands(world, node) && check_alarm_is_settled(world, node) ? 1 : 0;
    }
    return count < RECORD_ACKNOWLEDGED_COPIES ? count : (uint32_t)RECORD_ACKNOWLEDGED_COPIES;
}

/* Of a chunk that was pushed, where every disk takes what it is told to. */
static uint32_t chunk_copies_possible(struct world *world, uint32_t asked)
{
    uint32_t count = 0;

    if (check_ring_is_disturbed(world) || !check_alarm_is_settled(world, asked)) {
        return 0;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *holder = &world->nodes[node];

        if (disk_is_full(world, node) || holder->disk.failed_ms != 0 ||
            (holder->core != NULL && !overlay_knows_all(core_overlay(holder->core)))) {
            return 0;
        }
        count += converge_stands(world, node) && holder->config.stores &&
                         check_alarm_is_settled(world, node)
                     ? 1
                     : 0;
    }
    return count < CHUNK_COPIES ? count : (uint32_t)CHUNK_COPIES;
}

void check_durable_answered(struct world *world, const struct pending *pending,
                            const struct core_answer *answer)
{
    const struct client_service *put = &world->client.services[pending->service];
    uint32_t count = 0;

    /* Who wrote it may have lost its disk since, or show an older one. */
    if (answer->outcome != OVERLAY_OK || pending->kind == CORE_GET_RECORD ||
        world_is_deceived(world) ||
        (world->disk_lost_ms != 0 && world->now_ms < world->disk_lost_ms + SETTLED_MS)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (world->nodes[node].disk.is_mangled || world->nodes[node].backup != NULL) {
            return;
        }
        count += has_what_was_put(world, node, put) ? 1 : 0;
    }
    if (answer->copies != 0 && answer->copies < copies_possible(world, pending->node)) {
        world_fail(world, "%s: a record is said to be kept once only", put->name);
    }
    if (put->step == PUT_CHUNKS && answer->copies < chunk_copies_possible(world, pending->node)) {
        world_fail(world, "%s: a chunk is said to be pushed, and has %u copies", put->name,
                   answer->copies);
    }
    if (count < answer->copies) {
        world_fail(world, "%s: what is said to be on %u disks is on %u", put->name, answer->copies,
                   count);
    }
}

/* ------------------------------------------------------------------ what is used */

static uint64_t kept_epoch(const struct disk *disk)
{
    static const struct id self;
    const struct disk_blob *blob = find_blob(disk, BLOB_SELF, &self, 0);
    uint64_t epoch = 0;

    for (uint32_t i = 0; blob != NULL && i < blob->length_bytes && i < EPOCH_BYTES; i++) {
        epoch = epoch << 8 | blob->data[i];
    }
    return epoch;
}

void check_durable_epochs(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *owner = &world->nodes[node];

        if (owner->core == NULL || world->now_ms < owner->stalled_until_ms ||
            !overlay_responsible(core_overlay(owner->core), &owner->position,
                                 world_node_ms(world, node))) {
            continue;
        }
        if (inspect_arc_epoch(core_overlay(owner->core)) > kept_epoch(&owner->disk)) {
            world_fail(world, "%s answers in epoch %" PRIu64 ", and its disk knows %" PRIu64,
                       owner->name, inspect_arc_epoch(core_overlay(owner->core)),
                       kept_epoch(&owner->disk));
        }
    }
}

/* ------------------------------------------------------------------ what outlives a restart */

bool check_durable_may_lack(const struct world *world, uint32_t node)
{
    const struct disk *disk = &world->nodes[node].disk;

    return disk->is_mangled || disk->failed_ms != 0;
}

bool check_durable_bans(struct world *world)
{
    for (uint32_t gone = 0; gone < world->node_count; gone++) {
        const struct id *id = &world->nodes[gone].own_id.id;

        for (uint32_t node = 0;
             node < world->node_count && world->client.members[gone].expelled_ms != 0; node++) {
            if (!converge_takes_part(world, node)) {
                continue;
            }
            if (!inspect_bans(core_overlay(world->nodes[node].core), id)) {
                return converge_problem(world, "%s does not know that %s was expelled",
                                        world->nodes[node].name, world->nodes[gone].name);
            }
            if (!check_durable_may_lack(world, node) &&
                find_blob(&world->nodes[node].disk, BLOB_EXPULSION, id, 0) == NULL) {
                return converge_problem(world, "%s has not written down that %s was expelled",
                                        world->nodes[node].name, world->nodes[gone].name);
            }
        }
    }
    return true;
}
