// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/world.h"

static void make_chunk(struct sim_tree *tree, uint32_t index, uint32_t bytes)
{
    tree->bytes[index] = bytes;
    tree->chunks[index].id = hash_of(HASH_CHUNK, (struct bytes){tree->data[index], bytes});
}

void tree_make(const struct world *world, uint32_t number, struct sim_tree *tree_out)
{
    uint64_t drawn = world_draw(world, "tree", number, 0);
    uint32_t leaf_count = 1 + (uint32_t)(drawn % TREE_LEAVES_MAX);

    *tree_out = (struct sim_tree){.chunk_count = leaf_count + 1};
    for (uint32_t leaf = 1; leaf <= leaf_count; leaf++) {
        uint32_t bytes = 1 + (uint32_t)(world_draw(world, "leaf", number, leaf) % 500);

        memset(tree_out->data[leaf], (int)leaf, bytes);
        memcpy(tree_out->data[leaf], &drawn, bytes < 8 ? bytes : 8);
        make_chunk(tree_out, leaf, bytes);
        memcpy(tree_out->data[0] + (size_t)(leaf - 1) * ID_BYTES, tree_out->chunks[leaf].id.bytes,
               ID_BYTES);
    }
    make_chunk(tree_out, 0, leaf_count * ID_BYTES);
    tree_out->id.id = tree_out->chunks[0].id;
}

struct bytes tree_chunk_data(const struct world *world, const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < world->client.tree_count; i++) {
        const struct sim_tree *tree = &world->client.trees[i];

        for (uint32_t k = 0; k < tree->chunk_count; k++) {
            if (id_equal(&tree->chunks[k].id, &chunk->id)) {
                return (struct bytes){tree->data[k], tree->bytes[k]};
            }
        }
    }
    return (struct bytes){NULL, 0};
}

static const struct sim_tree *find_tree(const struct world *world, const struct tree_id *id)
{
    for (uint32_t i = 0; i < world->client.tree_count; i++) {
        if (id_equal(&world->client.trees[i].id.id, &id->id)) {
            return &world->client.trees[i];
        }
    }
    return NULL;
}

/* Leaves are known only from the root, as on a real disk. */
static void run_scanned(struct world *world, struct event *event)
{
    struct core_event *scanned = world->core_event;
    const struct disk *disk = &world->nodes[event->node].disk;
    const struct tree_id *id = event->payload;
    const struct sim_tree *tree = find_tree(world, id);

    *scanned = (struct core_event){.kind = CORE_TREE_SCANNED, .tree = *id};
    if (tree == NULL) {
        scanned->failed = true;
    } else if (!disk_has_chunk(disk, &tree->chunks[0])) {
        scanned->missing[scanned->missing_count++] = tree->chunks[0];
    } else {
        for (uint32_t i = 1; i < tree->chunk_count; i++) {
            if (!disk_has_chunk(disk, &tree->chunks[i])) {
                scanned->missing[scanned->missing_count++] = tree->chunks[i];
            }
        }
        scanned->chunk_count = tree->chunk_count - 1;
        scanned->here_count = scanned->chunk_count - scanned->missing_count;
    }
    world_step(world, event->node, scanned);
}

static void run_built(struct world *world, struct event *event)
{
    struct core_event *built = world->core_event;
    const struct disk *disk = &world->nodes[event->node].disk;
    const struct tree_id *id = event->payload;
    const struct sim_tree *tree = find_tree(world, id);

    *built = (struct core_event){.kind = CORE_TREE_BUILT, .tree = *id, .failed = tree == NULL};
    for (uint32_t i = 0; tree != NULL && i < tree->chunk_count; i++) {
        built->failed = built->failed || !disk_has_chunk(disk, &tree->chunks[i]);
    }
    if (built->failed) {
        text_copy(built->reason, sizeof(built->reason), "a chunk is missing");
    }
    world_step(world, event->node, built);
}

static void work_on_tree(struct world *world, uint32_t node, const struct tree_id *tree,
                         event_run *run)
{
    struct tree_id *id = malloc(sizeof(*id));

    CHECK(id != NULL);
    *id = *tree;
    world_after_process(world, 5 + world_draw(world, "worker", node, world->now_ms) % 40,
                        (struct event){.run = run, .node = node, .payload = id});
}

void tree_scan(struct world *world, uint32_t node, const struct tree_id *tree)
{
    work_on_tree(world, node, tree, run_scanned);
}

void tree_build(struct world *world, uint32_t node, const struct tree_id *tree)
{
    work_on_tree(world, node, tree, run_built);
}

static void run_logs_read(struct world *world, struct event *event)
{
    static const char line[] = "listening\n";
    struct core_event *read = world->core_event;
    const struct core_effect *asked = event->payload;

    *read = (struct core_event){.kind = CORE_LOGS_READ, .token = asked->token};
    read->logs = bytes_of_text(line);
    world_step(world, event->node, read);
}

void tree_read_logs(struct world *world, uint32_t node, const struct core_effect *effect)
{
    struct core_effect *asked = malloc(sizeof(*asked));

    CHECK(asked != NULL);
    *asked = *effect;
    world_after_process(world, 2,
                        (struct event){.run = run_logs_read, .node = node, .payload = asked});
}

static void run_exec_done(struct world *world, struct event *event)
{
    struct core_event *done = world->core_event;
    const struct core_effect *asked = event->payload;

    *done = (struct core_event){.kind = CORE_EXEC_DONE, .token = asked->token, .failed = true};
    (void)text_copy(done->reason, sizeof(done->reason), "this sandbox has no inside");
    world_step(world, event->node, done);
}

void tree_exec(struct world *world, uint32_t node, const struct core_effect *effect)
{
    struct core_effect *asked = malloc(sizeof(*asked));

    CHECK(asked != NULL);
    *asked = *effect;
    world_after_process(world, 2,
                        (struct event){.run = run_exec_done, .node = node, .payload = asked});
}
