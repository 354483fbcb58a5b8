// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_replicas.h"

#include <string.h>

#include "overlay/chunks/homes.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect_agent.h"
#include "tests/sim/world.h"

enum {
    WILLING_MS_MIN = 5000,
    /* With more, what a manager knew when it judged is not what is seen from here. */
    RIVAL_FAULTS_MAX = 6,
    HANDED_FAULTS_MAX = 12,
    OLDER_MS_MIN = 3000,    /* reports are so old at most */
    ALONE_MARGIN_MS = 6000, /* of noticing, and of stopping with grace */
};

static const struct sim_replica *find_replica(const struct sandbox_host *host,
                                              const struct replica_key *key, bool any_incarnation)
{
    for (uint32_t i = 0; i < host->count; i++) {
        const struct sim_replica *replica = &host->list[i];

        if (id_equal(&replica->key.service.id, &key->service.id) &&
            replica->key.slot == key->slot &&
            (any_incarnation || replica->key.incarnation == key->incarnation)) {
            return replica;
        }
    }
    return NULL;
}

/* Its owner has nothing against what runs here. */
static bool is_willing(const struct world *world, uint32_t node)
{
    const struct sim_node *host = &world->nodes[node];
    struct node_status status;

    /* What a stalled one ran was given up. */
    if (host->core == NULL || !host->powered || host->cut_count > 0 ||
        world->now_ms < host->stalled_until_ms || !client_is_member(world, node)) {
        return false;
    }
    core_node_status(host->core, &status);
    return strcmp(status.state, "ready") == 0;
}

static bool runs_well(const struct sim_replica *replica)
{
    return replica != NULL && replica->state == SIM_RUNNING && replica->healthy && !replica->frozen;
}

/* Long enough for its manager to know. */
static bool was_willing(const struct world *world, uint32_t node)
{
    return is_willing(world, node) &&
           world->now_ms > world->nodes[node].unwilling_ms + WILLING_MS_MIN;
}

/* The only one in its slot besides that of `node`; node_count: there is none, or more than one. */
static uint32_t only_rival(const struct world *world, uint32_t node, const struct replica_key *key)
{
    uint32_t rival = world->node_count;

    for (uint32_t other = 0; other < world->node_count; other++) {
        if (other == node || find_replica(&world->nodes[other].sandbox, key, true) == NULL) {
            continue;
        }
        if (rival != world->node_count) {
            return world->node_count;
        }
        rival = other;
    }
    return rival;
}

/* Does its agent know how old it is? One that was started since counts from then on. */
static bool is_aged(const struct sim_node *node, const struct sim_replica *replica)
{
    return runs_well(replica) && node->begun_ms < replica->started_ms;
}

/* Since when it counts: what was frozen, as its host slept or was paused, is younger than what took
 * its place meanwhile. */
static uint64_t counts_since_ms(const struct sim_node *node, const struct sim_replica *replica)
{
    return node->unwilling_ms > replica->started_ms ? node->unwilling_ms : replica->started_ms;
}

static bool is_wanted(const struct client_wish *wish, uint32_t slot)
{
    return wish->active && !wish->removed && wish->replicas >= slot;
}

/* By its owner, in every record that may stand at present. */
static bool is_wanted_anyhow(const struct world *world, const struct sim_replica *replica)
{
    const struct replica_key *key = &replica->key;

    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];

        if (id_equal(&service->id.id, &key->service.id)) {
            return is_wanted(&service->wish, key->slot) &&
                   is_wanted(&service->sending, key->slot) &&
                   is_wanted(&service->known, key->slot) &&
                   id_equal(&replica->tree.id, &client_tree(world, i)->id.id);
        }
    }
    return false;
}

static bool runs_elsewhere(const struct world *world, uint32_t node, const struct replica_key *key)
{
    for (uint32_t other = 0; other < world->node_count; other++) {
        if (other != node && runs_well(find_replica(&world->nodes[other].sandbox, key, true))) {
            return true;
        }
    }
    return false;
}

/* Is there anybody to hand over to, as far as the node knows? */
static bool sees_others(const struct sim_node *host)
{
    const struct overlay *overlay = core_overlay(host->core);

    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (member->state == MEMBER_UP && !member->is_self) {
            return true;
        }
    }
    return false;
}

/* What serves on a node that drains ends once another one runs well, or its owner's time is over. */
static void check_handed_over(struct world *world, uint32_t node, const struct replica_key *key)
{
    const struct sim_node *host = &world->nodes[node];
    const struct sim_replica *ended = find_replica(&host->sandbox, key, false);
    struct node_status status;

    if (host->core == NULL || world->now_ms >= host->patient_ms || host->cut_count > 0 ||
        world->checker.split_count > 0 || world->schedule.fault_count > HANDED_FAULTS_MAX ||
        !client_is_member(world, node) || !runs_well(ended) || !is_wanted_anyhow(world, ended) ||
        !sees_others(host)) {
        return;
    }
    core_node_status(host->core, &status);
    if (strcmp(status.state, "draining") == 0 && !runs_elsewhere(world, node, key)) {
        world_fail(world, "%s ends its replica %u before another one runs well", host->name,
                   key->slot);
    }
}

void check_replicas_stopping(struct world *world, uint32_t node, const struct replica_key *key)
{
    const struct sim_replica *ended = find_replica(&world->nodes[node].sandbox, key, false);
    uint32_t other = only_rival(world, node, key);
    const struct sim_replica *kept;

    check_handed_over(world, node, key);
    if (other == world->node_count || world->checker.split_count > 0 ||
        world->schedule.fault_count > RIVAL_FAULTS_MAX || ended == NULL ||
        !is_wanted_anyhow(world, ended)) {
        return;
    }
    kept = find_replica(&world->nodes[other].sandbox, key, true);
    if (kept != NULL && id_equal(&kept->tree.id, &ended->tree.id) &&
        is_aged(&world->nodes[node], ended) && was_willing(world, node) &&
        is_aged(&world->nodes[other], kept) && was_willing(world, other) &&
        counts_since_ms(&world->nodes[node], ended) + OLDER_MS_MIN < kept->started_ms &&
        world->now_ms > kept->started_ms + OLDER_MS_MIN) {
        world_fail(world, "%s ends its replica %u, which is older than the one of %s",
                   world->nodes[node].name, key->slot, world->nodes[other].name);
    }
}

void check_replicas_alone(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        struct sim_node *host = &world->nodes[node];

        if (host->sandbox.count > 0 && !is_willing(world, node)) {
            host->unwilling_ms = world->now_ms;
        }
        if (host->cut_count == 0 || !host->powered || host->core == NULL ||
            overlay_member_count(core_overlay(host->core)) < 2 || host->sandbox.count == 0 ||
            world->now_ms < host->stalled_until_ms) {
            host->alone_ms = world->now_ms;
        } else if (world->now_ms > host->alone_ms + ISOLATED_MS + ALONE_MARGIN_MS) {
            world_fail(world, "%s is alone and runs a replica all the same", host->name);
        }
    }
}

/* Who is away for less than its habit stays counted: two copies that are up are enough then. */
static uint32_t copies_wanted(const struct world *world)
{
    uint32_t store_count = 0;
    bool is_any_away = false;
    uint32_t wanted_count;

    for (uint32_t node = 0; node < world->node_count; node++) {
        bool is_here = converge_takes_part(world, node);

        store_count += converge_stands(world, node) && world->nodes[node].config.stores ? 1 : 0;
        is_any_away = is_any_away || (!is_here && world->nodes[node].life > 0);
    }
    wanted_count = is_any_away ? (uint32_t)HOMES_UP : (uint32_t)CHUNK_COPIES;
    return store_count < wanted_count ? store_count : wanted_count;
}

static bool chunk_is_kept(struct world *world, const struct client_service *service,
                          const struct chunk_id *chunk)
{
    uint32_t wanted_count = copies_wanted(world);
    uint32_t copy_count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *holder = &world->nodes[node];

        if (converge_stands(world, node) && holder->config.stores) {
            copy_count += disk_has_chunk(&holder->disk, chunk) ? 1 : 0;
        }
    }
    return copy_count >= wanted_count ||
           converge_problem(world, "%s: a chunk has %u copies, wanted %u", service->name,
                            copy_count, wanted_count);
}

bool check_replicas_chunks(struct world *world)
{
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];

        if (service->known.removed || service->step != STEPS_DONE) {
            continue;
        }
        for (uint32_t j = 0; j < client_tree(world, i)->chunk_count; j++) {
            if (!chunk_is_kept(world, service, &client_tree(world, i)->chunks[j])) {
                return false;
            }
        }
    }
    return true;
}

/* ------------------------------------------------------------------ saved first */

static bool disk_knows(const struct disk *disk, const struct replica_key *key)
{
    for (uint32_t i = 0; i < disk->blob_count; i++) {
        const struct disk_blob *blob = &disk->blobs[i];

        if (blob->kind == BLOB_MANAGER && id_equal(&blob->key, &key->service.id) &&
            inspect_knows_placement((struct bytes){blob->data, blob->length_bytes}, key)) {
            return true;
        }
    }
    return false;
}

static bool failed_lately(const struct world *world, uint32_t node)
{
    uint64_t failed_ms = world->nodes[node].disk.failed_ms;

    return failed_ms != 0 && world->now_ms < failed_ms + SETTLED_MS;
}

void check_replicas_asked(struct world *world, uint32_t node, struct bytes message)
{
    struct replica_key key;
    uint32_t other_count = 0;

    /* A secondary may have lost its disk since it answered, or the manager see nobody else. */
    if (check_ring_is_disturbed(world) || world->now_ms < world->disk_lost_ms + SETTLED_MS ||
        !inspect_ask_start(message, &key)) {
        return;
    }
    for (uint32_t other = 0; other < world->node_count; other++) {
        if (other == node) {
            continue;
        }
        /* Where no secondary has room the service goes on without: it will not be better later. */
        if (disk_knows(&world->nodes[other].disk, &key) || failed_lately(world, other)) {
            return;
        }
        other_count += is_willing(world, other) ? 1 : 0;
    }
    if (other_count > 0) {
        world_fail(world, "%s asks for replica %u before another disk knows of it",
                   world->nodes[node].name, key.slot);
    }
}
