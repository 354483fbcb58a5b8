// SPDX-License-Identifier: GPL-3.0-or-later

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "overlay/records/records.h"
#include "tests/sim/check_alarm.h"
#include "tests/sim/check_limits.h"
#include "tests/sim/check_news.h"
#include "tests/sim/check_replicas.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect.h"
#include "tests/sim/notice.h"
#include "tests/sim/world.h"

/* What one node may send per second when nothing happens: where everyone knows everyone twice of what
 * was seen in any run; in a large community, to each other node. */
enum {
    QUIET_MESSAGES_PER_S_MAX = 24,
    QUIET_PAIR_MESSAGES_PER_S_MAX = 14,
    RELAPSE_MS_MAX = STABILISE_MS + 100,
};

void checker_init(struct world *world)
{
    for (uint32_t i = 0; i < SIM_PICKS_MAX; i++) {
        world->checker.picks[i] = world->node_count;
    }
}

void checker_changed(struct world *world)
{
    world->checker.changed_ms = world->now_ms;
}

void checker_split(struct world *world, bool begins)
{
    struct checker *checker = &world->checker;

    checker->split_ms = world->now_ms;
    checker->split_count = begins ? checker->split_count + 1 : checker->split_count - 1;
}

/* ------------------------------------------------------------------ promises and limits */

static bool fits(const struct sandbox_limits *sum, const struct sandbox_limits *limits)
{
    return sum->cpu_permille <= limits->cpu_permille && sum->memory_bytes <= limits->memory_bytes &&
           sum->disk_bytes <= limits->disk_bytes && sum->pid_count <= limits->pid_count;
}

static void add_limits(struct sandbox_limits *sum, const struct sandbox_limits *more)
{
    sum->cpu_permille += more->cpu_permille;
    sum->memory_bytes += more->memory_bytes;
    sum->disk_bytes += more->disk_bytes;
    sum->pid_count += more->pid_count;
}

void checker_after_step(struct world *world, uint32_t node)
{
    const struct sim_node *stepped = &world->nodes[node];
    struct node_status status;

    core_node_status(stepped->core, &status);
    if (!fits(&status.promised, &stepped->config.contribution)) {
        world_fail(world, "%s promises more than it gives", stepped->name);
    }
    if (core_replica_count(stepped->core) > REPLICAS_PER_NODE_MAX) {
        world_fail(world, "%s has more replicas than its table", stepped->name);
    }
    check_lookup_step(world, node);
    epochs_check(world, node);
#ifdef MINGA_TINY_LIMITS
    world->checker.full_bits |= inspect_full(core_overlay(stepped->core));
#endif
}

void checker_stored(struct world *world, uint32_t node, const struct overlay_blob *blob)
{
    struct record record;

    if (blob->kind == BLOB_MANAGER) {
        epochs_stored(world, node, blob);
    }
    if (blob->kind == BLOB_ADMISSION && blob->bytes.length_bytes > 0) {
        invited_stored(world, node, blob);
    }
    if (blob->kind == BLOB_RECORD && blob->bytes.length_bytes > 0 &&
        record_open(blob->bytes, &record) < 0) {
        world_fail(world, "%s keeps a record that its owner has not signed",
                   world->nodes[node].name);
    }
}

/* ------------------------------------------------------------------ replicas */

static struct incarnation_seen *find_seen(struct world *world, uint32_t node,
                                          const struct replica_key *key)
{
    struct checker *checker = &world->checker;
    struct incarnation_seen *seen;

    for (uint32_t i = 0; i < checker->seen_count; i++) {
        seen = &checker->seen[i];
        if (seen->node == node && seen->slot == key->slot &&
            id_equal(&seen->service.id, &key->service.id)) {
            return seen;
        }
    }
    CHECK(checker->seen_count < INCARNATIONS_MAX);
    seen = &checker->seen[checker->seen_count++];
    *seen = (struct incarnation_seen){.node = node, .service = key->service, .slot = key->slot};
    return seen;
}

static const char *service_name(const struct world *world, const struct service_id *service)
{
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        if (id_equal(&world->client.services[i].id.id, &service->id)) {
            return world->client.services[i].name;
        }
    }
    return "?";
}

static void check_contribution(struct world *world, uint32_t node,
                               const struct sandbox_limits *asked)
{
    const struct sandbox_host *host = &world->nodes[node].sandbox;
    struct sandbox_limits sum = *asked;

    for (uint32_t i = 0; i < host->count; i++) {
        add_limits(&sum, &host->list[i].limits);
    }
    if (!fits(&sum, &world->nodes[node].config.contribution)) {
        world_fail(world, "%s runs more than it gives", world->nodes[node].name);
    }
}

static void count_start(struct checker *checker, const struct world *world,
                        const struct service_id *service)
{
    for (uint32_t i = 0; i < world->client.service_count; i++) {
        if (id_equal(&world->client.services[i].id.id, &service->id)) {
            checker->service_start_count[i]++;
        }
    }
}

void checker_starting(struct world *world, uint32_t node, const struct sandbox_spec *spec)
{
    const char *name = world->nodes[node].name;
    const char *service = service_name(world, &spec->key.service);
    struct incarnation_seen *seen = find_seen(world, node, &spec->key);
    const struct sandbox_host *host = &world->nodes[node].sandbox;

    world->checker.start_count++;
    count_start(&world->checker, world, &spec->key.service);
    world_trace(world, "%s starts %s/%u.%" PRIu64, name, service, spec->key.slot,
                spec->key.incarnation);
    check_contribution(world, node, &spec->limits);
    for (uint32_t i = 0; i < host->count; i++) {
        if (host->list[i].state != SIM_STOPPING &&
            id_equal(&host->list[i].key.service.id, &spec->key.service.id)) {
            world_fail(world, "%s starts a second replica of %s: %u beside %u", name, service,
                       spec->key.slot, host->list[i].key.slot);
        }
    }
    /* A manager that is cut off from all who know may begin again at 1; the epochs of both sides
     * decide when they meet. */
    if (spec->key.incarnation < seen->incarnation && world->checker.split_count == 0 &&
        world->now_ms > world->checker.split_ms + SETTLED_MS) {
        world_fail(world, "%s starts %s/%u.%" PRIu64 " after incarnation %" PRIu64, name, service,
                   spec->key.slot, spec->key.incarnation, seen->incarnation);
    }
    seen->incarnation = spec->key.incarnation;
}

void checker_stopping(struct world *world, uint32_t node, const struct replica_key *key)
{
    world_trace(world, "%s stops %s/%u.%" PRIu64, world->nodes[node].name,
                service_name(world, &key->service), key->slot, key->incarnation);
    check_replicas_stopping(world, node, key);
}

void checker_ended(struct world *world, uint32_t node, const struct replica_key *key, int end)
{
    world_trace(world, "%s ended %s/%u.%" PRIu64 " (%d)", world->nodes[node].name,
                service_name(world, &key->service), key->slot, key->incarnation, end);
}

/* Replicas that the rest of the world could reach. */
static uint32_t reachable_running(const struct world *world, uint32_t service)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *holder = &world->nodes[node];

        if (holder->powered && holder->cut_count == 0) {
            count += sandbox_running_count(&holder->sandbox, &world->client.services[service].id);
        }
    }
    return count;
}

static void check_excess(struct world *world)
{
    struct checker *checker = &world->checker;

    for (uint32_t i = 0; i < world->client.service_count; i++) {
        const struct client_service *service = &world->client.services[i];
        uint32_t wanted = service->known.active ? service->known.replicas : 0;
        bool settled = world->now_ms > checker->changed_ms + SETTLED_MS &&
                       world->now_ms > world->schedule.calm_ms + SETTLED_MS &&
                       service->step == STEPS_DONE;

        if (!settled || reachable_running(world, i) <= wanted) {
            checker->excess_since_ms[i] = 0;
        } else if (checker->excess_since_ms[i] == 0) {
            checker->excess_since_ms[i] = world->now_ms;
        } else if (world->now_ms - checker->excess_since_ms[i] > EXCESS_MS_MAX) {
            world_fail(world, "%s has %u replicas, wanted %u, for too long", service->name,
                       reachable_running(world, i), wanted);
        }
    }
}

/* ------------------------------------------------------------------ picks and expectations */

static bool manages(const struct world *world, uint32_t node, const struct service_id *service)
{
    const struct core *core = world->nodes[node].core;

    for (uint32_t i = 0; core != NULL && i < core_manager_count(core); i++) {
        struct core_manager_view view;

        core_manager(core, i, &view);
        if (view.leading && id_equal(&view.service.id, &service->id)) {
            return true;
        }
    }
    return false;
}

static bool is_picked(const struct checker *checker, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_PICKS_MAX; i++) {
        if (checker->picks[i] == node) {
            return true;
        }
    }
    return false;
}

static bool suits(const struct world *world, const struct fault *fault, uint32_t node)
{
    const struct service_id *service = &world->client.services[fault->service].id;
    bool is_manager = manages(world, node, service);
    bool holds = sandbox_running_count(&world->nodes[node].sandbox, service) > 0;

    if (fault->kind == FAULT_PICK_MANAGER) {
        return is_manager;
    }
    return !is_manager && !is_picked(&world->checker, node) &&
           holds == (fault->kind == FAULT_PICK_HOLDER);
}

void checker_pick(struct world *world, const struct fault *fault)
{
    if (fault->service >= world->client.service_count || fault->value >= SIM_PICKS_MAX) {
        world_fail(world, "a pick of an unknown service, or into an unknown place");
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (suits(world, fault, node)) {
            world->checker.picks[fault->value] = node;
            world_trace(world, "==== $%" PRIu64 " is %s", fault->value, world->nodes[node].name);
            return;
        }
    }
    world_fail(world, "no node suits the pick of $%" PRIu64, fault->value);
}

static bool is_about_node(const struct fault *fault)
{
    return fault->kind == FAULT_EXPECT_ON || fault->kind == FAULT_EXPECT_DOWN ||
           fault->kind == FAULT_NEVER_DOWN;
}

void checker_expect(struct world *world, const struct fault *fault, uint32_t node)
{
    struct checker *checker = &world->checker;

    if (fault->service >= world->client.service_count) {
        world_fail(world, "an expectation of an unknown service");
        return;
    }
    CHECK(checker->expectation_count < EXPECTATIONS_MAX);
    checker->expectations[checker->expectation_count++] = (struct expectation){
        .fault = fault,
        .node = is_about_node(fault) ? node : world->node_count,
        .until_ms = world->now_ms + fault->for_ms,
        .start_count = checker->service_start_count[fault->service],
    };
}

static uint32_t expected_count(const struct world *world, const struct expectation *expectation)
{
    uint32_t service = expectation->fault->service;

    if (expectation->node < world->node_count) {
        return sandbox_count(&world->nodes[expectation->node].sandbox,
                             &world->client.services[service].id);
    }
    return reachable_running(world, service);
}

enum verdict { VERDICT_OPEN, VERDICT_MET, VERDICT_BROKEN };

static enum verdict judge_notice(const struct world *world, const struct expectation *expectation)
{
    bool is_over = world->now_ms > expectation->until_ms;
    uint32_t watchers;
    uint32_t count = notice_count(world, expectation->node, &watchers);

    if (expectation->fault->kind == FAULT_NEVER_DOWN) {
        return is_over ? VERDICT_MET : count > 0 ? VERDICT_BROKEN : VERDICT_OPEN;
    }
    return count == watchers ? VERDICT_MET : is_over ? VERDICT_BROKEN : VERDICT_OPEN;
}

static enum verdict judge(const struct world *world, const struct expectation *expectation)
{
    const struct fault *fault = expectation->fault;
    uint32_t count = expected_count(world, expectation);
    bool is_over = world->now_ms > expectation->until_ms;

    if (fault->kind == FAULT_EXPECT_DOWN || fault->kind == FAULT_NEVER_DOWN) {
        return judge_notice(world, expectation);
    }
    if (fault->kind == FAULT_AT_LEAST && count < fault->value) {
        return VERDICT_BROKEN;
    }
    if (fault->kind == FAULT_NO_START &&
        world->checker.service_start_count[fault->service] != expectation->start_count) {
        return VERDICT_BROKEN;
    }
    if (fault->kind == FAULT_AT_LEAST || fault->kind == FAULT_NO_START) {
        return is_over ? VERDICT_MET : VERDICT_OPEN;
    }
    if (count == fault->value) {
        return VERDICT_MET;
    }
    return is_over ? VERDICT_BROKEN : VERDICT_OPEN;
}

static void check_expectations(struct world *world)
{
    struct checker *checker = &world->checker;

    for (uint32_t i = 0; i < checker->expectation_count;) {
        struct expectation *expectation = &checker->expectations[i];
        const struct fault *fault = expectation->fault;
        enum verdict verdict = judge(world, expectation);
        uint64_t after_ms = world->now_ms - fault->at_ms;

        if (verdict == VERDICT_OPEN) {
            i++;
            continue;
        }
        if (verdict == VERDICT_BROKEN) {
            world_fail(world,
                       "what was expected at %" PRIu64 " is not so after %" PRIu64
                       " ms: s%u is at %u",
                       fault->at_ms, after_ms, fault->service, expected_count(world, expectation));
            return;
        }
        world_trace(world, "==== as expected, %" PRIu64 " ms after %" PRIu64, after_ms,
                    fault->at_ms);
        *expectation = checker->expectations[--checker->expectation_count];
    }
}

/* ------------------------------------------------------------------ the end */

static uint64_t quiet_messages_per_s(const struct world *world)
{
    uint64_t pairs = (uint64_t)world->node_count * (world->node_count - 1);

    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct core *core = world->nodes[node].core;

        if (core != NULL && !overlay_knows_all(core_overlay(core))) {
            return (pairs + world->node_count * 4UL) * QUIET_PAIR_MESSAGES_PER_S_MAX;
        }
    }
    return (uint64_t)world->node_count * QUIET_MESSAGES_PER_S_MAX;
}

static void check_quiet(struct world *world)
{
    uint64_t sent_count = world->network.sent_count - world->checker.sent_when_quiet;
    uint64_t count_max = quiet_messages_per_s(world) * QUIET_MS / 1000;
    uint64_t most_count;
    uint32_t most;

    if (sent_count > count_max) {
        most =
            traffic_most(&world->network.traffic, &world->checker.traffic_when_quiet, &most_count);
        world_fail(world,
                   "not quiet: %" PRIu64 " messages in %d ms, %" PRIu64 " of them of kind %u",
                   sent_count, QUIET_MS, most_count, most);
    }
}

/* Where single messages are lost, TCP or not, three in a row may be: a lease lapses, once, for no longer
 * than until the next question. */
static bool may_relapse(struct world *world)
{
    struct checker *checker = &world->checker;

    if (checker->relapsed_ms == 0) {
        checker->relapsed_ms = world->now_ms;
    }
    return world->schedule.loss_permille > 0 &&
           world->now_ms - checker->relapsed_ms <= RELAPSE_MS_MAX;
}

static void check_held(struct world *world)
{
    struct checker *checker = &world->checker;
    uint64_t held_ms = world->now_ms - checker->converged_ms;

    if (!converged(world)) {
        if (!may_relapse(world)) {
            world_fail(world, "converged, and then not any more: %s", checker->problem);
        }
        return;
    }
    if (checker->start_count > checker->starts_max) {
        world_fail(world, "converged, and then replicas were started");
        return;
    }
    if (held_ms >= HELD_MS - QUIET_MS && checker->sent_when_quiet == 0) {
        checker->sent_when_quiet = world->network.sent_count;
        checker->traffic_when_quiet = world->network.traffic;
    }
    if (held_ms >= HELD_MS) {
        check_quiet(world);
        world->stopped = true;
    }
}

static void check_calm(struct world *world)
{
    struct checker *checker = &world->checker;

    if (world->now_ms < world->schedule.calm_ms) {
        return;
    }
    if (checker->converged_ms != 0) {
        check_held(world);
    } else if (!converged(world)) {
        checker->good_since_ms = 0;
    } else if (checker->good_since_ms == 0) {
        checker->good_since_ms = world->now_ms;
    } else if (world->now_ms - checker->good_since_ms >= STEADY_MS) {
        world_trace(world, "==== converged");
        checker->converged_ms = world->now_ms;
        checker->starts_max = checker->start_count + converge_missing(world);
    }
    if (checker->good_since_ms == 0 &&
        world->now_ms > world->schedule.calm_ms + world->schedule.converge_ms) {
        world_fail(world, "not converged: %s", checker->problem);
    }
}

static void check_leaves(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *leaf = &world->nodes[node];

        if (leaf->is_leaf && leaf->core != NULL && inspect_in_ring(core_overlay(leaf->core)) &&
            !leaf->is_clone) {
            world_fail(world, "%s has an arc, and nobody can dial it", leaf->name);
        }
    }
}

void checker_periodic(struct world *world)
{
    check_leaves(world);
    check_excess(world);
    check_expectations(world);
    check_ring_invariant(world);
    check_alarm(world);
    check_news(world);
    spreads_check(world);
    check_limits(world);
    check_replicas_alone(world);
    check_calm(world);
}

static void dump_replicas(const struct world *world, const struct sim_node *node)
{
    static const char *const states[] = {"starting", "running", "stopping"};

    for (uint32_t i = 0; i < node->sandbox.count; i++) {
        const struct sim_replica *replica = &node->sandbox.list[i];

        printf("    runs %s/%u.%" PRIu64 " %s%s\n", service_name(world, &replica->key.service),
               replica->key.slot, replica->key.incarnation, states[replica->state],
               replica->frozen ? ", frozen" : "");
    }
}

static void dump_core(const struct world *world, const struct sim_node *node)
{
    struct node_status status;

    core_node_status(node->core, &status);
    printf("    core: %s %s %s\n", status.state, status.rule, status.reason);
    for (uint32_t i = 0; i < core_replica_count(node->core); i++) {
        struct core_replica replica;

        core_replica(node->core, i, world_node_ms(world, (uint32_t)(node - world->nodes)),
                     &replica);
        printf("    executor: %s/%u.%" PRIu64 " %s, %s %s\n",
               service_name(world, &replica.key.service), replica.key.slot, replica.key.incarnation,
               replica_state_name(replica.status.state), replica_health_name(replica.status.health),
               replica.status.reason);
    }
    for (uint32_t i = 0; i < core_manager_count(node->core); i++) {
        struct core_manager_view view;

        core_manager(node->core, i, &view);
        printf("    manager: %s%s, epoch %" PRIu64 ", %u of %u\n",
               service_name(world, &view.service), view.leading ? " LEADS" : "",
               view.epoch_generation, view.running_count, view.wanted_count);
    }
}

void checker_dump(const struct world *world)
{
    printf("  last problem: %s\n", world->checker.problem);
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *node = &world->nodes[i];
        char id[ID_SHORT_CHARS + 1];

        id_to_short(&node->id.id, id);
        printf("  %s %s%s%s%s membership %d\n", node->name, id, node->powered ? "" : ", no power",
               node->cut_count > 0 ? ", cut" : "", node->core != NULL ? "" : ", no process",
               (int)world->client.members[i].membership);
        dump_replicas(world, node);
        if (node->core != NULL) {
            dump_core(world, node);
        }
    }
}
