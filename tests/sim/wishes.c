// SPDX-License-Identifier: GPL-3.0-or-later
/* What the owners of services want, and what they have to send for it. */
#include "base/check.h"
#include "base/limits.h"
#include "tests/sim/world.h"

/* Tiny tables of records have no room for a second version of each service. */
enum { VERSIONS_MAX = LIMIT(TREES_MAX / SIM_SERVICES_MAX, 1) };

uint64_t client_record_number(const struct client_service *service, minga_RecordKind kind)
{
    return kind == minga_RecordKind_RECORD_VERSION ? service->version : 0;
}

const struct sim_tree *client_tree(const struct world *world, uint32_t service)
{
    return &world->client.trees[world->client.services[service].tree];
}

/* One of the person's nodes, other than this one, is a member, or was until it left. */
static bool owner_stands(const struct world *world, uint32_t owner, uint32_t without_node)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct client_member *member = &world->client.members[node];

        if (node != without_node && world->nodes[node].owner == owner &&
            member->membership != MEMBER_OUTSIDE && member->expelled_ms == 0) {
            return true;
        }
    }
    return false;
}

/* Nobody takes the records of a person without a node: such a one's wishes stay what they are. */
static bool may_wish(const struct world *world, const struct client_service *wanted)
{
    return !wanted->wish.removed && owner_stands(world, wanted->owner, world->node_count);
}

bool client_may_expel(const struct world *world, uint32_t node)
{
    uint32_t owner = world->nodes[node].owner;

    if (owner_stands(world, owner, node)) {
        return true;
    }
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];

        if (service->owner == owner && !client_is_served(service)) {
            return false; /* who would know what of it stands? */
        }
    }
    return true;
}

void client_wish(struct world *world, uint32_t service, bool active, uint32_t replicas)
{
    struct client_service *wanted = &world->client.services[service];

    if (!may_wish(world, wanted)) {
        return;
    }
    wanted->wish.active = active;
    if (replicas != 0) {
        wanted->wish.replicas = replicas;
    }
    checker_changed(world);
}

void client_remove(struct world *world, uint32_t service)
{
    struct client_service *wanted = &world->client.services[service];

    if (may_wish(world, wanted)) {
        wanted->wish.active = false;
        wanted->wish.removed = true;
        checker_changed(world);
    }
}

void client_update(struct world *world, uint32_t service)
{
    struct client_service *wanted = &world->client.services[service];

    if (may_wish(world, wanted) && wanted->wish.version < VERSIONS_MAX) {
        wanted->wish.version++;
        checker_changed(world);
    }
}

bool client_same_wish(const struct client_wish *a, const struct client_wish *b)
{
    return (a->removed && b->removed) || (a->active == b->active && a->removed == b->removed &&
                                          a->replicas == b->replicas && a->version == b->version);
}

bool client_is_served(const struct client_service *service)
{
    return service->step == STEPS_DONE && client_same_wish(&service->known, &service->wish);
}

static void begin_push(struct world *world, uint32_t number)
{
    struct client *client = &world->client;
    struct client_service *service = &client->services[number];
    uint64_t drawn_by = number + (service->version - 1) * SIM_SERVICES_MAX;

    CHECK(client->tree_count < TREES_MAX);
    service->tree = client->tree_count++;
    tree_make(world, (uint32_t)drawn_by, &client->trees[service->tree]);
    service->version_sequence = 0;
    service->chunk = 0;
    service->step = PUT_CHUNKS;
}

void client_plan(struct world *world, uint32_t number)
{
    struct client_service *service = &world->client.services[number];
    bool other_version = !service->wish.removed && service->known.version < service->wish.version;

    CHECK(service->step == STEPS_DONE && service->known.version == service->version);
    if (other_version && !service->known.active) {
        service->version++;
        begin_push(world, number);
        return;
    }
    service->step = PUT_SERVICE;
    service->sending = service->wish;
    service->sending.version = service->version;
    if (other_version) { /* that of one that runs is not changed: it is stopped first */
        service->sending.active = false;
    }
}
