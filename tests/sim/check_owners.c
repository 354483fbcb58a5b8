// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_owners.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum { LEASE_MARGIN_PART = 50, LEASE_MARGIN_MS = 5 };

void owners_init(struct world *world)
{
    struct owners *owners = &world->owners;
    uint32_t node_count = world->node_count;

    owners->node_count = node_count;
    owners->key_count = OWNERS_KEYS + node_count;
    owners->keys = calloc(owners->key_count, sizeof(*owners->keys));
    owners->is_free = calloc(node_count, sizeof(*owners->is_free));
    owners->part = calloc(node_count, sizeof(*owners->part));
    owners->awake = calloc(node_count, sizeof(*owners->awake));
    owners->answering = calloc(node_count, sizeof(*owners->answering));
    owners->apart_ms = calloc((size_t)node_count * node_count, sizeof(*owners->apart_ms));
    CHECK(owners->keys != NULL && owners->is_free != NULL && owners->part != NULL &&
          owners->awake != NULL && owners->answering != NULL && owners->apart_ms != NULL);
    for (uint32_t i = 0; i < OWNERS_KEYS; i++) {
        for (uint32_t k = 0; k < ID_BYTES; k++) {
            owners->keys[i].id.bytes[k] = (uint8_t)world_draw(world, "owned key", i, k);
        }
    }
    for (uint32_t i = 0; i < node_count; i++) {
        owners->keys[OWNERS_KEYS + i] = keys_position(&world->nodes[i].key, 0);
    }
}

void owners_done(struct owners *owners)
{
    free(owners->keys);
    free(owners->is_free);
    free(owners->part);
    free(owners->awake);
    free(owners->answering);
    free(owners->apart_ms);
}

/* Does it pass anything on at present? */
static bool is_awake(const struct world *world, uint32_t node)
{
    return world->nodes[node].core != NULL && world->nodes[node].powered &&
           world->now_ms >= world->nodes[node].stalled_until_ms;
}

/* Does what one sends reach the other? Power and processes are another matter, and the cable of
 * one that sleeps, too. */
static bool flows(const struct world *world, uint32_t from, uint32_t to)
{
    const struct network *network = &world->network;
    size_t pair = (size_t)from * network->node_count + to;

    return network->blocked_counts[pair] == 0 && world->now_ms >= network->clogged_until_ms[pair];
}

static bool are_wired(const struct world *world, uint32_t a, uint32_t b)
{
    return (!is_awake(world, a) || world->nodes[a].cut_count == 0) &&
           (!is_awake(world, b) || world->nodes[b].cut_count == 0) && flows(world, a, b) &&
           flows(world, b, a);
}

static bool are_linked(const struct world *world, uint32_t a, uint32_t b)
{
    return is_awake(world, a) && is_awake(world, b) && are_wired(world, a, b);
}

/* Strangers to the community pass nothing on: each is where a member reaches it. */
static void place_strangers(const struct world *world, uint32_t *part)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        for (uint32_t member = 0; member < world->node_count && !client_is_member(world, node);
             member++) {
            if (client_is_member(world, member) && are_linked(world, node, member)) {
                part[node] = part[member];
                break;
            }
        }
    }
}

/* The lowest number of all members that one can reach, through others too. */
static void find_parts(const struct world *world, uint32_t *part)
{
    bool changed = true;

    for (uint32_t node = 0; node < world->node_count; node++) {
        part[node] = node;
    }
    while (changed) {
        changed = false;
        for (uint32_t a = 0; a < world->node_count; a++) {
            for (uint32_t b = 0; b < a; b++) {
                uint32_t lower = part[a] < part[b] ? part[a] : part[b];

                if (part[a] != part[b] && client_is_member(world, a) &&
                    client_is_member(world, b) && are_linked(world, a, b)) {
                    part[a] = lower;
                    part[b] = lower;
                    changed = true;
                }
            }
        }
    }
    place_strangers(world, part);
}

/* Would what `node` says reach a part? One that does not run, or sleeps, passes nothing on, but is
 * not apart from the others for that: when it is back it must not answer from what it had. */
static bool is_near(const struct world *world, uint32_t node, uint32_t part)
{
    if (is_awake(world, node)) {
        return world->owners.part[node] == part;
    }
    for (uint32_t other = 0; other < world->node_count; other++) {
        if (is_awake(world, other) && world->owners.part[other] == part &&
            are_wired(world, node, other)) {
            return true;
        }
    }
    return false;
}

static uint64_t *apart_of(const struct owners *owners, uint32_t a, uint32_t b)
{
    return &owners->apart_ms[(size_t)a * owners->node_count + b];
}

/* One with no lease: its next one, and its arc, may come from any ring that it reaches. */
static void note_free(struct owners *owners, uint32_t node)
{
    for (uint32_t a = 0; a < owners->node_count; a++) {
        for (uint32_t c = 0; c < owners->node_count && a != node; c++) {
            uint64_t apart_ms = *apart_of(owners, a, c);

            if (owners->part[c] == owners->part[node] && apart_ms > *apart_of(owners, a, node)) {
                *apart_of(owners, a, node) = apart_ms;
                *apart_of(owners, node, a) = apart_ms;
            }
        }
    }
}

/* One that is awake. */
static bool claims(const struct world *world, uint32_t node, const struct ring_key *key)
{
    return overlay_responsible(core_overlay(world->nodes[node].core), key,
                               world_node_ms(world, node));
}

static bool answers(const struct world *world, uint32_t node, const struct ring_key *key)
{
    return is_awake(world, node) && claims(world, node, key);
}

/* Two that were apart need time to merge, in which both are awake: what one sleeps does not count. */
static void note_pair(struct world *world, uint32_t a, uint32_t b, uint64_t passed_ms)
{
    struct owners *owners = &world->owners;
    uint64_t apart_ms = *apart_of(owners, a, b);
    bool are_awake = is_awake(world, a) && is_awake(world, b);

    if (is_awake(world, a) && !is_near(world, b, owners->part[a])) {
        apart_ms = world->now_ms;
    } else if (!are_awake && apart_ms != 0 && apart_ms + OWNERS_MERGE_MS > world->now_ms) {
        apart_ms += passed_ms;
    }
    *apart_of(owners, a, b) = apart_ms;
    *apart_of(owners, b, a) = apart_ms;
}

static void note_parts(struct world *world)
{
    struct owners *owners = &world->owners;
    uint64_t passed_ms = world->now_ms - owners->noted_ms;

    owners->noted_ms = world->now_ms;
    find_parts(world, owners->part);
    for (uint32_t a = 0; a < owners->node_count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (is_awake(world, a)) {
                note_pair(world, a, b, passed_ms);
            } else {
                note_pair(world, b, a, passed_ms);
            }
        }
    }
    for (uint32_t node = 0; node < owners->node_count; node++) {
        /* As it was before this moment too: what it has now may just have come. */
        if (is_awake(world, node) && owners->is_free[node]) {
            note_free(owners, node);
        }
        owners->is_free[node] = !answers(world, node, &owners->keys[OWNERS_KEYS + node]);
    }
}

static bool may_both(const struct world *world, uint32_t a, uint32_t b)
{
    const struct owners *owners = &world->owners;
    uint64_t apart_ms = *apart_of(owners, a, b);

    return owners->part[a] != owners->part[b] ||
           (apart_ms != 0 && world->now_ms - apart_ms < OWNERS_MERGE_MS) ||
           id_equal(&world->nodes[a].id.id, &world->nodes[b].id.id); /* one copied the other */
}

/* Of the `awake_count` nodes of owners->awake. */
static void check_key(struct world *world, uint32_t awake_count, const struct ring_key *key)
{
    const struct owners *owners = &world->owners;
    uint32_t count = 0;

    for (uint32_t k = 0; k < awake_count; k++) {
        uint32_t node = owners->awake[k];

        if (!claims(world, node, key)) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (!may_both(world, owners->answering[i], node)) {
                world_fail(world, "%s and %s both answer for a key",
                           world->nodes[owners->answering[i]].name, world->nodes[node].name);
                return;
            }
        }
        owners->answering[count++] = node;
    }
}

static void check_keys(struct world *world)
{
    const struct owners *owners = &world->owners;
    uint32_t awake_count = 0;

    for (uint32_t node = 0; node < owners->node_count; node++) {
        if (is_awake(world, node)) {
            owners->awake[awake_count++] = node;
        }
    }
    for (uint32_t i = 0; i < owners->key_count; i++) {
        check_key(world, awake_count, &owners->keys[i]);
    }
}

/* One that has been without a lease for long grants some all the same: should both it and whom it
 * grants them be called dead though they live, nothing is promised. */
static bool is_leased(const struct world *world, const struct node_id *id)
{
    uint32_t node = world_find(world, id);
    struct inspect_lease lease;

    if (node >= world->node_count || !is_awake(world, node)) {
        return false;
    }
    inspect_lease(core_overlay(world->nodes[node].core), world_node_ms(world, node), &lease);
    return lease.lease_ms > 0;
}

/* By its own clock; clocks that drift by 1 % each way are allowed for. */
static void check_lease(struct world *world, uint32_t keeper, const struct inspect_lease *kept)
{
    uint32_t node = world_find(world, &kept->before);
    struct inspect_lease lease;

    if (node >= world->node_count || node == keeper || !is_awake(world, node) ||
        may_both(world, keeper, node)) {
        return;
    }
    inspect_lease(core_overlay(world->nodes[node].core), world_node_ms(world, node), &lease);
    if (lease.lease_ms > kept->grant_ms + lease.lease_ms / LEASE_MARGIN_PART + LEASE_MARGIN_MS &&
        is_leased(world, &lease.keeper)) {
        world_fail(world, "%s has a lease for %" PRIu64 " ms, and %s waits for %" PRIu64 " only",
                   world->nodes[node].name, lease.lease_ms, world->nodes[keeper].name,
                   kept->grant_ms);
    }
}

/* Somebody is, or was, elsewhere: its ring meets this one, and grants leases to its nodes too. */
static bool is_merging(const struct world *world)
{
    const struct owners *owners = &world->owners;

    for (uint32_t i = 0; i < owners->node_count * owners->node_count; i++) {
        if (owners->apart_ms[i] != 0 && world->now_ms - owners->apart_ms[i] < OWNERS_MERGE_MS) {
            return true;
        }
    }
    return false;
}

/* Whoever may take an arc over waits for at least as long as its owner may answer. */
static void check_leases(struct world *world)
{
    if (is_merging(world)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        struct inspect_lease kept;

        if (is_awake(world, node)) {
            inspect_lease(core_overlay(world->nodes[node].core), world_node_ms(world, node), &kept);
            if (kept.has_before && kept.lease_ms > 0) { /* else it answers for nothing */
                check_lease(world, node, &kept);
            }
        }
    }
}

void owners_check(struct world *world)
{
    note_parts(world);
    if (world_is_misled(world)) {
        return; /* what a lying neighbour grants and hands over is nobody's promise */
    }
    check_leases(world);
    check_keys(world);
}
