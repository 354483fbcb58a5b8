// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * When less is given than was promised, or a guest is not welcome any more: which replicas go?
 *
 * Those that stay are chosen as they came: running before others, older before younger, as long
 * as they fit. The others are reported as leaving, so that their managers start them elsewhere;
 * what is still here after a while is ended. The processor is not a reason: it is taken from all
 * alike, at once (CORE_ALLOW), and nobody has to move for it.
 *
 * The same for a replica whose port is not among those given any more, or that reaches the Internet
 * where none may now, or any where this node does not run replicas any more.
 */
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"

/* May it stay, apart from its size? */
static bool is_welcome(const struct executor *executor, const struct replica *replica)
{
    struct policy_facts facts = {.config = &executor->config};
    struct policy_need need = {
        .service = replica->key.service,
        .owner = keys_owner_id(&replica->owner_key),
        .label_count = replica->manifest.label_count,
        .egress = replica->manifest.egress == MANIFEST_EGRESS_INTERNET,
    };

    for (uint32_t i = 0; i < replica->manifest.label_count; i++) {
        need.labels[i] = replica->manifest.labels[i];
    }
    return policy_welcomes(&facts, &need) && ports_are_given(executor, replica);
}

static bool goes_before(const struct replica *a, const struct replica *b)
{
    bool a_runs = a->phase == PHASE_RUNNING || a->phase == PHASE_KEPT;
    bool b_runs = b->phase == PHASE_RUNNING || b->phase == PHASE_KEPT;

    if (a->leaving != b->leaving) {
        return b->leaving; /* who is on the way out does not change places with others */
    }
    return a_runs != b_runs ? a_runs : a->since_ms < b->since_ms;
}

static struct replica *next_of(struct executor *executor, const bool seen[REPLICAS_PER_NODE_MAX])
{
    struct replica *best = NULL;

    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (!seen[i] && replica_counts(replica) && replica->phase != PHASE_STOPPING &&
            (best == NULL || goes_before(replica, best))) {
            best = replica;
        }
    }
    return best;
}

static struct sandbox_limits room_of(const struct executor *executor)
{
    struct sandbox_limits room = executor->owner.target;

    room.cpu_permille = executor->config.contribution.cpu_permille;
    return room;
}

/* Returns how many must leave. What is stopping drives nobody out: it goes anyway, and until then only
 * what is new has to wait for its room. */
static uint32_t choose(struct executor *executor)
{
    bool seen[REPLICAS_PER_NODE_MAX] = {false};
    struct sandbox_limits sum = {0};
    struct sandbox_limits room = room_of(executor);
    struct replica *replica;
    uint32_t leaving_count = 0;

    while ((replica = next_of(executor, seen)) != NULL) {
        struct sandbox_limits with = sum;
        enum refusal lacking;
        bool stays;

        seen[replica - executor->replicas] = true;
        limits_add(&with, &replica->limits);
        stays = is_welcome(executor, replica) && limits_fit(&with, &room, &lacking);
        sum = stays ? with : sum;
        leaving_count += stays ? 0 : 1;
        if (replica->leaving == stays) {
            replica->leaving = !stays;
            executor->report_now = true;
        }
    }
    return leaving_count;
}

static void end_leaving(struct executor *executor, struct turn *turn)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica_counts(replica) && replica->leaving) {
            replica_stop(executor, turn, replica, "its node gives less than before");
        }
    }
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What is promised already stays within it; what is new must fit the target. */
static void set_ceiling(struct executor *executor)
{
    const struct sandbox_limits *target = &executor->owner.target;
    struct sandbox_limits promised = executor_promised(executor);

    executor->owner.ceiling =
        (struct sandbox_limits){larger(target->cpu_permille, promised.cpu_permille),
                                larger(target->memory_bytes, promised.memory_bytes),
                                larger(target->disk_bytes, promised.disk_bytes),
                                larger(target->pid_count, promised.pid_count)};
}

/* Nobody to hand over to: nothing to wait for. At first nobody can have been heard yet. */
static bool is_alone(const struct executor *executor, const struct turn *turn)
{
    const struct owner *owner = &executor->owner;
    bool is_early = turn->now_ms < executor->started_ms + ISOLATED_MS;
    bool is_begun = owner->leave_ms != 0;
    struct node_id other;

    return (owner->guests_known ? !is_begun : !is_early) &&
           turn->around->others(turn->around->self, 1, &other) == 0;
}

/* One that stands is not put off, but a rule that begins later may be in more of a hurry. */
static uint64_t deadline(const struct executor *executor, const struct turn *turn)
{
    const struct owner *owner = &executor->owner;
    const struct owner_allowance *allowance = &owner->policy.allowance;
    bool is_rule = allowance->then.memory_bytes < executor->config.contribution.memory_bytes;
    uint64_t due_ms = turn->now_ms + (is_rule ? allowance->memory_within_ms : FIT_MS);

    if (is_alone(executor, turn)) {
        return turn->now_ms;
    }
    return owner->leave_ms != 0 && owner->leave_ms < due_ms ? owner->leave_ms : due_ms;
}

/* Nearly always: nothing leaves, all fits, and who is welcome has not changed. */
static bool all_stay(const struct executor *executor)
{
    const struct owner *owner = &executor->owner;
    struct sandbox_limits promised = executor_promised(executor);
    struct sandbox_limits room = room_of(executor);
    enum refusal lacking;

    return !owner->guests_changed && owner->leave_ms == 0 && limits_fit(&promised, &room, &lacking);
}

void owner_fit(struct executor *executor, struct turn *turn)
{
    struct owner *owner = &executor->owner;

    if (all_stay(executor)) {
        set_ceiling(executor);
        return;
    }
    owner->guests_changed = false;
    if (choose(executor) == 0) {
        owner->leave_ms = 0;
    } else {
        owner->leave_ms = deadline(executor, turn);
    }
    if (owner->leave_ms != 0 && turn->now_ms >= owner->leave_ms) {
        end_leaving(executor, turn);
        owner->leave_ms = 0;
    }
    set_ceiling(executor);
}
