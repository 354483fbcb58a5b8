// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_lookup.h"

#include "tests/sim/world.h"

enum { LOOKUP_EVERY_MS = 400 };

static void note(struct world *world, struct lookup_check *lookup, uint32_t node)
{
    const struct core *core = world->nodes[node].core;

    if (core != NULL &&
        overlay_responsible(core_overlay(core), &lookup->key, world_node_ms(world, node))) {
        lookup->was_responsible[node] = true;
    }
}

static struct lookup_check *lookup_of(struct world *world, const struct pending *pending)
{
    return &world->checker.lookups[pending->service - LOOKUP_SERVICE];
}

void check_lookup_tick(struct world *world)
{
    uint64_t drawn = world_draw(world, "lookup", world->now_ms, 0);
    uint32_t node = (uint32_t)(drawn >> 8) % world->node_count;
    struct core_request request = {.kind = CORE_LOOKUP};
    uint32_t place = 0;

    while (place < LOOKUPS_MAX && world->checker.lookups[place].used) {
        place++;
    }
    if (world->now_ms % LOOKUP_EVERY_MS != 0 || place == LOOKUPS_MAX ||
        !client_is_member(world, node)) {
        return;
    }
    for (uint32_t i = 0; i < ID_BYTES; i++) {
        request.key.id.bytes[i] = (uint8_t)world_draw(world, "lookup key", world->now_ms, i);
    }
    world->checker.lookups[place] = (struct lookup_check){.used = true, .key = request.key};
    for (uint32_t i = 0; i < world->node_count; i++) {
        note(world, &world->checker.lookups[place], i);
    }
    world->checker.lookup_top =
        place >= world->checker.lookup_top ? place + 1 : world->checker.lookup_top;
    if (!client_request(world, node, &request, LOOKUP_SERVICE + place)) {
        world->checker.lookups[place].used = false;
    }
}

void check_lookup_step(struct world *world, uint32_t node)
{
    for (uint32_t i = 0; i < world->checker.lookup_top; i++) {
        if (world->checker.lookups[i].used && !world->checker.lookups[i].was_responsible[node]) {
            note(world, &world->checker.lookups[i], node);
        }
    }
}

static bool someone_lies(const struct world *world)
{
    if (world_is_deceived(world)) {
        return true;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (world->nodes[node].garble_permille != 0) {
            return true;
        }
    }
    return false;
}

void check_lookup_dropped(struct world *world, const struct pending *pending)
{
    lookup_of(world, pending)->used = false;
    while (world->checker.lookup_top > 0 &&
           !world->checker.lookups[world->checker.lookup_top - 1].used) {
        world->checker.lookup_top--;
    }
}

void check_lookup_answered(struct world *world, const struct pending *pending,
                           const struct core_answer *answer)
{
    struct lookup_check *lookup = lookup_of(world, pending);
    uint32_t named = world_find(world, &answer->lookup.responsible);

    if (someone_lies(world)) {
        /* What an owner says of itself is all that a lookup has. */
    } else if (answer->outcome == OVERLAY_OK) {
        /* The step that answers may be the one with which it became responsible. */
        note(world, lookup, pending->node);
        if (named >= world->node_count || !lookup->was_responsible[named]) {
            world_fail(world, "%s is told that %s answers for a key, which at no instant it did",
                       world->nodes[pending->node].name,
                       named < world->node_count ? world->nodes[named].name : "nobody known");
        }
    } else if (world->checker.converged_ms != 0 &&
               pending->asked_ms >= world->checker.converged_ms) {
        world_fail(world, "%s looks up a key in calm and is told %d: %s",
                   world->nodes[pending->node].name, (int)answer->outcome, answer->reason);
    }
    check_lookup_dropped(world, pending);
}
