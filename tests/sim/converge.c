// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/converge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "tests/sim/check_durable.h"
#include "tests/sim/check_replicas.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/world.h"

enum { KEYS_PROBED = 16 };

bool converge_problem(struct world *world, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(world->checker.problem, sizeof(world->checker.problem), format, arguments);
    va_end(arguments);
    return false;
}

bool converge_takes_part(const struct world *world, uint32_t node)
{
    return world->nodes[node].core != NULL && client_is_member(world, node) &&
           !world->nodes[node].is_clone;
}

bool converge_stands(const struct world *world, uint32_t node)
{
    return converge_takes_part(world, node) && !world->nodes[node].is_leaf;
}

/* ------------------------------------------------------------------ membership */

/* How many that take part stand before `other`, seen clockwise from `node`? */
static uint32_t rank_of(const struct world *world, uint32_t node, uint32_t other)
{
    const struct id *from = &world->nodes[node].position.id;
    const struct id *to = &world->nodes[other].position.id;
    uint32_t rank = 0;

    for (uint32_t i = 0; i < world->node_count && rank < SUCCESSORS_MAX; i++) {
        rank += i != node && i != other && converge_stands(world, i) &&
                        id_in_arc(&world->nodes[i].position.id, from, to)
                    ? 1
                    : 0;
    }
    return rank;
}

bool converge_must_see(const struct world *world, uint32_t node, uint32_t other)
{
    return overlay_knows_all(core_overlay(world->nodes[node].core)) || node == other ||
           rank_of(world, node, other) < SUCCESSORS_MAX;
}

static bool sees(struct world *world, uint32_t node, uint32_t other)
{
    const struct sim_node *seen = &world->nodes[other];
    const struct overlay_member *member =
        overlay_member_by_id(core_overlay(world->nodes[node].core), &seen->id);
    bool ought = converge_takes_part(world, other);
    /* A passing suspicion is no mistake: it is looked into and dropped. */
    bool is_up = member != NULL && (member->state == MEMBER_UP || member->state == MEMBER_SUSPECT);

    if (is_up != ought && !converge_must_see(world, node, other)) {
        return true;
    }
    if (ought && !is_up) {
        return converge_problem(world, "%s does not see %s up (%d)", world->nodes[node].name,
                                seen->name, member == NULL ? -1 : (int)member->state);
    }
    if (!ought && is_up) {
        return converge_problem(world, "%s sees %s up, which is not", world->nodes[node].name,
                                seen->name);
    }
    return true;
}

static bool is_ready(struct world *world, uint32_t node)
{
    struct node_status status;

    core_node_status(world->nodes[node].core, &status);
    return strcmp(status.state, "ready") == 0 ||
           converge_problem(world, "%s is %s", world->nodes[node].name, status.state);
}

static bool membership_is_equal(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (!converge_takes_part(world, node)) {
            continue;
        }
        if (!is_ready(world, node)) {
            return false;
        }
        if (!overlay_belongs(core_overlay(world->nodes[node].core))) {
            return converge_problem(world, "%s has forgotten its community",
                                    world->nodes[node].name);
        }
        for (uint32_t other = 0; other < world->node_count; other++) {
            if (!sees(world, node, other)) {
                return false;
            }
        }
    }
    return true;
}

/* ------------------------------------------------------------------ the ring */

static void probe_key(const struct world *world, uint32_t index, struct ring_key *key_out)
{
    if (index < world->client.service_count) {
        key_out->id = world->client.services[index].id.id;
        return;
    }
    for (uint32_t i = 0; i < ID_BYTES; i++) {
        key_out->id.bytes[i] = (uint8_t)world_draw(world, "key", index, i);
    }
}

/* By the definition of the ring: the owner of the first position at or after the key. */
uint32_t converge_ideal_node(const struct world *world, const struct ring_key *key)
{
    uint32_t best = world->node_count;
    struct id best_distance;

    for (uint32_t node = 0; node < world->node_count; node++) {
        struct id distance = id_distance(&key->id, &world->nodes[node].position.id);

        if (converge_stands(world, node) &&
            (best == world->node_count || id_compare(&distance, &best_distance) < 0)) {
            best = node;
            best_distance = distance;
        }
    }
    return best;
}

/* A message for the key, handed on from node to node, ends where it belongs. */
static bool way_is_right(struct world *world, uint32_t node, const struct ring_key *key,
                         uint32_t ideal)
{
    uint32_t at = node;

    for (uint32_t hops = 0; hops <= ROUTE_HOPS_MAX && at < world->node_count; hops++) {
        struct node_id next;

        if (!converge_takes_part(world, at) ||
            !overlay_next_hop(core_overlay(world->nodes[at].core), key, &next)) {
            break;
        }
        at = world_find(world, &next);
    }
    return at == ideal || converge_problem(world, "from %s the way to %s ends elsewhere",
                                           world->nodes[node].name, world->nodes[ideal].name);
}

static bool key_is_ideal(struct world *world, const struct ring_key *key)
{
    uint32_t ideal = converge_ideal_node(world, key);

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct overlay *overlay;
        struct node_id found;

        if (!converge_takes_part(world, node)) {
            continue;
        }
        overlay = core_overlay(world->nodes[node].core);
        if (overlay_responsible(overlay, key, world_node_ms(world, node)) != (node == ideal)) {
            return converge_problem(world, "%s %s for a key of %s", world->nodes[node].name,
                                    node == ideal ? "does not answer" : "answers",
                                    world->nodes[ideal].name);
        }
        if (!overlay_knows_all(overlay)) {
            if (!way_is_right(world, node, key, ideal)) {
                return false;
            }
            continue;
        }
        if (!overlay_local_lookup(overlay, key, &found) || world_find(world, &found) != ideal) {
            return converge_problem(world, "%s looks up another node than %s",
                                    world->nodes[node].name, world->nodes[ideal].name);
        }
    }
    return true;
}

/* Following each node's first successor once visits every node that takes part. */
static bool ring_is_one(struct world *world)
{
    uint32_t count = 0;
    uint32_t first = 0;
    uint32_t at;

    while (first < world->node_count && !converge_stands(world, first)) {
        first++;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        count += converge_stands(world, node) ? 1 : 0;
    }
    at = first;
    for (uint32_t step = 1; step <= count && count > 1; step++) {
        struct overlay_ring_view view;

        overlay_ring(core_overlay(world->nodes[at].core), &view);
        if (view.successor_count == 0 || view.predecessor_count == 0) {
            return converge_problem(world, "%s has no successor", world->nodes[at].name);
        }
        at = world_find(world, &view.successors[0]);
        if (at >= world->node_count || !converge_stands(world, at) ||
            (at == first) != (step == count)) {
            return converge_problem(world, "the ring does not close over all of %u nodes", count);
        }
    }
    return true;
}

static bool ring_is_ideal(struct world *world)
{
    if (!ring_is_one(world) || !check_ring_ideal(world)) {
        return false;
    }
    for (uint32_t i = 0; i < KEYS_PROBED; i++) {
        struct ring_key key;

        probe_key(world, i, &key);
        if (!key_is_ideal(world, &key)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ services */

uint32_t converge_running(const struct world *world, const struct client_service *service)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        count += sandbox_running_count(&world->nodes[node].sandbox, &service->id);
    }
    return count;
}

/* How many replicas it can have on the nodes that there are, or only on those with plenty of room
 * for all services together. */
static uint32_t possible_count(const struct world *world, const struct client_service *service,
                               bool only_plenty)
{
    uint32_t node_count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct core_config *config = &world->nodes[node].config;
        bool plenty = config->contribution.memory_bytes >= SIM_PLENTY_BYTES;

        node_count +=
            converge_takes_part(world, node) && config->runs && (plenty || !only_plenty) ? 1 : 0;
    }
    if (!service->known.active) {
        return 0;
    }
    return service->known.replicas < node_count ? service->known.replicas : node_count;
}

/* Of another version than the latest, which is the one that is wanted. */
static uint32_t old_count(const struct world *world, const struct client_service *service)
{
    uint32_t number = (uint32_t)(service - world->client.services);
    const struct tree_id *tree = &client_tree(world, number)->id;
    uint32_t count = 0;

    CHECK(service->version == service->known.version);
    for (uint32_t node = 0; node < world->node_count; node++) {
        count += sandbox_count(&world->nodes[node].sandbox, &service->id) -
                 sandbox_tree_count(&world->nodes[node].sandbox, &service->id, tree);
    }
    return count;
}

static bool replicas_are_right(struct world *world, const struct client_service *service)
{
    uint32_t wanted_max = possible_count(world, service, false);
    uint32_t wanted_min = possible_count(world, service, true);
    uint32_t running = converge_running(world, service);
    uint32_t all = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        all += sandbox_count(&world->nodes[node].sandbox, &service->id);
    }
    if (old_count(world, service) > 0) {
        return converge_problem(world, "%s: %u replicas are not of version %" PRIu64, service->name,
                                old_count(world, service), service->known.version);
    }
    /* Between the two one may be tried late, where it was refused before. */
    if (running < wanted_min || all > wanted_max) {
        return converge_problem(world, "%s: %u replicas run, %u of all kinds, wanted %u to %u",
                                service->name, running, all, wanted_min, wanted_max);
    }
    return true;
}

uint32_t converge_missing(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];
        uint32_t possible = possible_count(world, service, false);
        uint32_t running = converge_running(world, service);

        count += possible > running ? possible - running : 0;
    }
    return count;
}

static bool one_leads(struct world *world, const struct client_service *service)
{
    uint32_t leading_count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct core *core = world->nodes[node].core;

        for (uint32_t i = 0; core != NULL && i < core_manager_count(core); i++) {
            struct core_manager_view view;

            core_manager(core, i, &view);
            if (!view.leading || !id_equal(&view.service.id, &service->id.id)) {
                continue;
            }
            leading_count++;
            if (view.running_count != converge_running(world, service)) {
                return converge_problem(world, "%s: its manager %s counts %u running",
                                        service->name, world->nodes[node].name, view.running_count);
            }
        }
    }
    if (leading_count > 1 || (leading_count == 0 && service->known.active)) {
        return converge_problem(world, "%s has %u leading managers", service->name, leading_count);
    }
    return true;
}

uint64_t converge_sequence(const struct overlay *overlay, const struct client_service *service,
                           minga_RecordKind kind)
{
    minga_Signed sealed = minga_Signed_init_zero;
    minga_Record record = minga_Record_init_zero;
    struct bytes kept =
        overlay_record(overlay, &service->id, kind, client_record_number(service, kind));

    if (kept.length_bytes == 0 || signed_decode(kept, &sealed) != 0 ||
        signed_open(&sealed, PURPOSE_RECORD, minga_Record_fields, &record) != 0) {
        return 0;
    }
    return record.sequence;
}

/* By the node, and by its disk. */
static bool is_held(struct world *world, const struct client_service *service,
                    minga_RecordKind kind, uint32_t node)
{
    const struct sim_node *holder = &world->nodes[node];
    bool is_version = kind == minga_RecordKind_RECORD_VERSION;
    const char *what = is_version ? "version" : "record";
    uint64_t wanted = service->acknowledged_sequence > service->known_sequence
                          ? service->acknowledged_sequence
                          : service->known_sequence;
    uint64_t sequence = converge_sequence(core_overlay(holder->core), service, kind);

    wanted = is_version ? service->version_sequence : wanted;
    if (sequence < wanted) {
        return converge_problem(world, "%s: %s holds %s %" PRIu64 ", acknowledged was %" PRIu64,
                                service->name, holder->name, what, sequence, wanted);
    }
    sequence = check_durable_sequence(&holder->disk, service, kind);
    return sequence >= wanted ||
           converge_problem(world, "%s: the disk of %s has %s %" PRIu64 ", wanted %" PRIu64,
                            service->name, holder->name, what, sequence, wanted);
}

/* All who ought to hold the record, the first RECORD_COPIES from its key on, have the newest. */
static bool records_are_kept(struct world *world, const struct client_service *service)
{
    struct ring_key key = {service->id.id};
    uint32_t ideal = converge_ideal_node(world, &key);
    struct node_id holders[RECORD_COPIES];
    uint32_t count;

    if (ideal == world->node_count || service->known_sequence == 0) {
        return true;
    }
    count =
        overlay_replica_set(core_overlay(world->nodes[ideal].core), &key, RECORD_COPIES, holders);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = world_find(world, &holders[i]);

        if (node >= world->node_count || world->nodes[node].core == NULL) {
            return converge_problem(world, "%s: a holder of its record is down", service->name);
        }
        if (!is_held(world, service, minga_RecordKind_RECORD_SERVICE, node) ||
            (!service->known.removed &&
             !is_held(world, service, minga_RecordKind_RECORD_VERSION, node))) {
            return false;
        }
    }
    return true;
}

/* A node that was told to go, and has not gone yet. */
static bool someone_is_going(const struct client *client)
{
    for (uint32_t i = 0; i < CLIENT_PENDING_MAX; i++) {
        const struct pending *pending = &client->pending[i];

        if (pending->token != 0 &&
            (pending->kind == CORE_SHUT_DOWN || pending->kind == CORE_LEAVE)) {
            return true;
        }
    }
    return false;
}

bool converged(struct world *world)
{
    if (someone_is_going(&world->client)) {
        return converge_problem(world, "a node that was told to go is still there");
    }
    if (!client_is_content(world)) {
        return converge_problem(world, "a volunteer is not in, or an owner's record is not taken");
    }
    if (!membership_is_equal(world) || !ring_is_ideal(world)) {
        return false;
    }
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];

        if (!records_are_kept(world, service) || !replicas_are_right(world, service) ||
            !one_leads(world, service)) {
            return false;
        }
    }
    return check_durable_bans(world) && invited_is_heeded(world) && relays_are_enough(world) &&
           relays_are_used(world) && check_replicas_chunks(world);
}
