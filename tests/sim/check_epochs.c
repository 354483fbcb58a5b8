// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_epochs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/inspect_agent.h"
#include "tests/sim/world.h"

enum { EPOCHS_SEEN_MAX = 8192 };

struct epoch_seen {
    uint32_t node;
    uint32_t life;          /* a new process may have an older disk */
    struct replica_key key; /* slot 0: a record of placements */
    struct epoch epoch;
    uint64_t revision;
};

struct epochs {
    uint32_t count;
    struct epoch_seen seen[EPOCHS_SEEN_MAX];
};

void epochs_init(struct world *world)
{
    world->epochs = calloc(1, sizeof(*world->epochs));
    CHECK(world->epochs != NULL);
}

void epochs_done(struct world *world)
{
    free(world->epochs);
}

static bool is_same(const struct epoch_seen *seen, uint32_t node, const struct replica_key *key)
{
    return seen->node == node && seen->key.slot == key->slot &&
           seen->key.incarnation == key->incarnation &&
           id_equal(&seen->key.service.id, &key->service.id);
}

/* What was seen of it in this life, or a place to note it; NULL: too much was seen. */
static struct epoch_seen *find(struct world *world, uint32_t node, const struct replica_key *key)
{
    struct epochs *epochs = world->epochs;
    uint32_t life = world->nodes[node].life;
    struct epoch_seen *seen = NULL;

    for (uint32_t i = epochs->count; i > 0 && seen == NULL; i--) {
        seen = is_same(&epochs->seen[i - 1], node, key) ? &epochs->seen[i - 1] : NULL;
    }
    if (seen == NULL && epochs->count < EPOCHS_SEEN_MAX) {
        seen = &epochs->seen[epochs->count++];
        *seen = (struct epoch_seen){.node = node, .life = life, .key = *key};
    }
    if (seen != NULL && seen->life != life) {
        *seen = (struct epoch_seen){.node = node, .life = life, .key = *key};
    }
    return seen;
}

static void check_obeyed(struct world *world, uint32_t node, const struct replica_key *key,
                         const struct epoch *epoch)
{
    struct epoch_seen *seen = find(world, node, key);

    if (seen == NULL) {
        return;
    }
    if (epoch_compare(epoch, &seen->epoch) < 0) {
        world_fail(world,
                   "%s obeys the manager of epoch %" PRIu64
                   " for its replica %u, after one of %" PRIu64,
                   world->nodes[node].name, epoch->generation, key->slot, seen->epoch.generation);
    }
    seen->epoch = *epoch;
}

void epochs_check(struct world *world, uint32_t node)
{
    const struct core *core = world->nodes[node].core;
    uint32_t left = core_replica_count(core);

    for (uint32_t i = 0; left > 0 && i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica_key key;
        struct epoch epoch;

        if (inspect_obeyed(core, i, &key, &epoch)) {
            check_obeyed(world, node, &key, &epoch);
            left--;
        }
    }
}

void epochs_stored(struct world *world, uint32_t node, const struct overlay_blob *blob)
{
    struct inspect_record stored = {0};
    struct replica_key key = {.service = {blob->key}, .slot = 0};
    struct epoch_seen *seen;
    int order;

    seen = find(world, node, &key);
    if (seen == NULL) {
        return;
    }
    if (blob->bytes.length_bytes > 0 && !inspect_record(blob->bytes, &stored)) {
        world_fail(world, "%s keeps placements that cannot be read", world->nodes[node].name);
        return;
    }
    if (blob->bytes.length_bytes == 0) {
        seen->epoch = (struct epoch){0}; /* it forgets them */
        seen->revision = 0;
        return;
    }
    order = epoch_compare(&stored.epoch, &seen->epoch);
    if (order < 0 || (order == 0 && stored.revision < seen->revision)) {
        world_fail(world,
                   "%s puts placements of epoch %" PRIu64 ".%" PRIu64 " in the place of %" PRIu64
                   ".%" PRIu64,
                   world->nodes[node].name, stored.epoch.generation, stored.revision,
                   seen->epoch.generation, seen->revision);
    }
    seen->epoch = stored.epoch;
    seen->revision = stored.revision;
}
