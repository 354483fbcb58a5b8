// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/carried.h"

#include "tests/sim/world.h"

static void carry(struct world *world, uint32_t node, uint32_t service,
                  struct core_request *request)
{
    struct client_service *pushed = &world->client.services[service];

    world_trace(world, "==== %s carries a chunk past its disk", world->nodes[node].name);
    request->carried_bytes = client_tree(world, service)->bytes[pushed->chunk];
    pushed->carrier = node + 1;
}

void carried_begin(struct world *world, uint32_t node, uint32_t service,
                   struct core_request *request)
{
    struct client_service *pushed = &world->client.services[service];
    const struct sim_tree *tree = client_tree(world, service);
    struct disk *disk = &world->nodes[node].disk;
    struct overlay_event stored = {.kind = OVERLAY_CHUNK_STORED, .outcome = OVERLAY_CHUNK_OK};

    request->chunk = tree->chunks[pushed->chunk];
    pushed->carrier = 0;
    if (disk_is_full(world, node) && !disk_has_chunk(disk, &request->chunk)) {
        carry(world, node, service, request);
        return;
    }
    stored.chunk = request->chunk;
    stored.chunk_bytes = tree->bytes[pushed->chunk];
    disk_add_chunk(disk, &request->chunk, tree->bytes[pushed->chunk]);
    world_step_overlay(world, node, &stored);
    if (world->nodes[node].core != NULL &&
        !overlay_has_chunk(core_overlay(world->nodes[node].core), &request->chunk)) {
        carry(world, node, service, request); /* its share is full */
    }
}

bool carried_has(const struct world *world, uint32_t node, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];

        if (service->waiting && service->step == PUT_CHUNKS && service->carrier == node + 1 &&
            id_equal(&client_tree(world, i)->chunks[service->chunk].id, &chunk->id)) {
            return true;
        }
    }
    return false;
}

/* Could it be on more disks than that one's? */
static bool others_store(const struct world *world, uint32_t node)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];

        if (i != node && client_is_member(world, i) && other->config.stores && !other->is_leaf &&
            !other->off_for_good) {
            return true;
        }
    }
    return false;
}

bool carried_check(struct world *world, uint32_t node, uint32_t service,
                   const struct core_answer *answer)
{
    const struct client_service *pushed = &world->client.services[service];
    const struct chunk_id *chunk = &client_tree(world, service)->chunks[pushed->chunk];
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->node_count; i++) {
        count += disk_has_chunk(&world->nodes[i].disk, chunk) ? 1 : 0;
    }
    if (answer->copies <= 1 && others_store(world, node)) {
        return false;
    }
    if (pushed->carrier == 0 || count >= answer->copies) {
        return true;
    }
    if (!world_is_deceived(world)) {
        world_fail(world, "%s: a chunk is acknowledged with %u copies, and has %u", pushed->name,
                   answer->copies, count);
    }
    return false;
}
