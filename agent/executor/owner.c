// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The owner's word: orders (pause, drain), rules, and what is contributed.
 *
 * Whatever is stricter counts. What forbids acts in the very step in which it is known; replicas
 * are handed over first wherever the word leaves the time for it.
 */
#include <errno.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

static struct owner_clock clock_of(const struct turn *turn)
{
    return (struct owner_clock){turn->now_ms, turn->wall_unix_s};
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void owner_init(struct executor *executor)
{
    owner_policy_init(&executor->owner.policy);
    owner_policy_rules(&executor->owner.policy, &executor->config.rules);
    executor->owner.target = executor->config.contribution;
    executor->owner.ceiling = executor->config.contribution;
    executor->drain_until_ms = UINT64_MAX;
}

/* ------------------------------------------------------------------ orders, kept on disk */

static bool order_keep(const struct owner *owner, struct turn *turn, uint64_t token)
{
    minga_KeptOrder kept = {(uint32_t)owner->order, owner->until_unix_s, owner->hard_unix_s,
                            owner->within_ms};
    struct overlay_blob blob = {.kind = BLOB_AGENT, .number = ORDER_NUMBER};
    uint8_t encoded[minga_KeptOrder_size];
    int length = signed_encode_body(minga_KeptOrder_fields, &kept, encoded, sizeof(encoded));

    CHECK(length >= 0);
    if (owner->order != ORDER_NONE) { /* else it is deleted */
        blob.bytes = (struct bytes){encoded, (size_t)length};
    }
    return outbox_store_awaited(turn, &blob, token);
}

bool executor_order_keep(const struct executor *executor, struct turn *turn, uint64_t token)
{
    return order_keep(&executor->owner, turn, token);
}

int owner_load(struct executor *executor, struct bytes bytes)
{
    minga_KeptOrder kept;

    if (signed_decode_body(minga_KeptOrder_fields, bytes, &kept) < 0 || kept.order >= ORDER_COUNT) {
        return -EBADMSG;
    }
    executor->owner.order = (enum order)kept.order;
    executor->owner.until_unix_s = kept.until_unix_s;
    executor->owner.hard_unix_s = kept.hard_unix_s;
    executor->owner.within_ms = kept.within_ms;
    executor->owner.is_restored = true;
    return 0;
}

static uint64_t left_ms(uint64_t until_unix_s, const struct turn *turn)
{
    return until_unix_s > turn->wall_unix_s ? (until_unix_s - turn->wall_unix_s) * 1000 : 0;
}

/* This machine may have been off meanwhile, and its clock may be put right only now. */
static void follow_wall(struct owner *owner, const struct turn *turn)
{
    owner->until_ms = turn->now_ms + left_ms(owner->until_unix_s, turn);
}

static void order_expire(struct owner *owner, struct turn *turn)
{
    if (owner->is_restored) {
        owner->is_restored = false;
        owner->by_wall = true;
        owner->hard_ms =
            turn->now_ms + earlier(left_ms(owner->hard_unix_s, turn), owner->within_ms);
    }
    if (owner->by_wall) {
        follow_wall(owner, turn);
    }
    if (owner->order != ORDER_NONE && owner->until_unix_s != 0 && turn->now_ms >= owner->until_ms) {
        outbox_trace(turn, "the owner's pause is over");
        owner->order = ORDER_NONE;
        (void)order_keep(owner, turn, 0); /* what is not deleted is over all the same */
    }
}

static void order_give(struct executor *executor, struct turn *turn, enum order order,
                       uint64_t within_ms)
{
    struct owner *owner = &executor->owner;
    struct node_id other;
    bool alone = turn->around->others(turn->around->self, 1, &other) == 0;

    owner->order = order;
    owner->is_restored = false;
    owner->by_wall = false;
    owner->within_ms = alone ? 0 : within_ms;
    owner->hard_ms = turn->now_ms + owner->within_ms;
    owner->hard_unix_s = turn->wall_unix_s + owner->within_ms / 1000;
}

void executor_pause(struct executor *executor, struct turn *turn,
                    const struct core_request *request)
{
    struct owner *owner = &executor->owner;
    uint64_t within_ms = request->within_ms == 0 ? PAUSE_WITHIN_MS : request->within_ms;

    order_give(executor, turn, ORDER_PAUSE, request->at_once ? 0 : within_ms);
    owner->until_ms = turn->now_ms + request->duration_ms;
    owner->until_unix_s =
        request->duration_ms == 0 ? 0 : turn->wall_unix_s + (request->duration_ms + 999) / 1000;
    owner_review(executor, turn);
}

void executor_drain(struct executor *executor, struct turn *turn, uint64_t within_ms)
{
    order_give(executor, turn, ORDER_DRAIN, within_ms == 0 ? DRAIN_MS : within_ms);
    executor->owner.until_unix_s = 0;
    owner_review(executor, turn);
}

void executor_shut_down(struct executor *executor, struct turn *turn, uint64_t within_ms)
{
    struct node_id other;
    bool alone = turn->around->others(turn->around->self, 1, &other) == 0;

    executor->owner.shut_down_ms = alone ? turn->now_ms : turn->now_ms + within_ms;
    owner_review(executor, turn);
}

void executor_stay(struct executor *executor, struct turn *turn)
{
    executor->owner.shut_down_ms = 0;
    owner_review(executor, turn);
}

bool executor_step_aside(struct executor *executor, struct turn *turn, bool is_aside)
{
    struct node_id other;

    executor->owner.is_aside = is_aside;
    owner_review(executor, turn);
    return is_aside && !executor_is_empty(executor) &&
           turn->around->others(turn->around->self, 1, &other) > 0;
}

bool executor_is_aside(const struct executor *executor)
{
    return executor->owner.is_aside && !executor_is_empty(executor);
}

void executor_resume(struct executor *executor, struct turn *turn)
{
    struct owner *owner = &executor->owner;

    owner->order = ORDER_NONE;
    owner->shut_down_ms = 0;
    executor->back_soon = false;
    executor->free_changed = true;
    executor->report_now = true;
    owner_review(executor, turn);
}

/* ------------------------------------------------------------------ what follows */

static void freeze_everything(struct executor *executor, struct turn *turn)
{
    executor_freeze_all(executor, turn, false);
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];
        struct outgoing freeze = {.kind = OUT_FREEZE, .replica = replica->key};

        if (replica->used && phase_makes_tree(replica->phase)) {
            replica->leaving = true; /* also where the pause is over by the next report */
            replica_stop(executor, turn, replica, "paused by its owner");
        } else if (replica->used && replica->phase == PHASE_STOPPING) {
            outbox_local(turn, &freeze); /* it has no more time than its grace anyway */
        }
    }
}

static void thaw_everything(struct executor *executor, struct turn *turn)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica->used && replica->phase == PHASE_RUNNING) {
            replica->since_ms = turn->now_ms; /* the younger one, if it was replaced */
            replica->frozen = false;
            executor_freeze_or_thaw(executor, turn, replica);
        } else if (replica->used && replica->phase == PHASE_READY) {
            replica_launch(executor, turn, replica);
        }
    }
}

/* When what drains is ended by force. */
static uint64_t drain_until(const struct owner *owner)
{
    const struct owner_allowance *allowance = &owner->policy.allowance;
    uint64_t until_ms = UINT64_MAX;

    if (allowance->then.mode == OWNER_DRAIN) {
        until_ms = allowance->since_ms + allowance->then.within_ms;
    }
    if (owner->order == ORDER_DRAIN) {
        until_ms = earlier(until_ms, owner->hard_ms);
    }
    if (owner->shut_down_ms != 0) {
        until_ms = earlier(until_ms, owner->shut_down_ms);
    }
    return until_ms;
}

static void set_mode(struct executor *executor, struct turn *turn)
{
    struct owner *owner = &executor->owner;
    enum owner_mode mode = owner->policy.allowance.then.mode;
    bool is_due = turn->now_ms >= owner->hard_ms || executor_is_empty(executor);
    bool paused = mode == OWNER_FREEZE || (owner->order == ORDER_PAUSE && is_due);
    bool was_paused = executor->paused;
    bool draining;

    owner->pausing = owner->order == ORDER_PAUSE && !is_due;
    draining = mode == OWNER_DRAIN || owner->order == ORDER_DRAIN || owner->pausing ||
               owner->is_aside || owner->shut_down_ms != 0;
    executor->drain_until_ms = drain_until(owner);
    if (paused != was_paused || draining != executor->draining ||
        (mode == OWNER_KEEP) != owner->keeping) {
        executor->free_changed = true;
        executor->report_now = true;
        outbox_trace(turn, "the owner's word: %s%s%s (%s)", paused ? "frozen" : "",
                     draining ? "draining" : "", paused || draining ? "" : "open",
                     owner->policy.allowance.rule);
    }
    executor->paused = paused;
    executor->draining = draining;
    owner->keeping = mode == OWNER_KEEP;
    if (paused && !was_paused) {
        freeze_everything(executor, turn);
    } else if (!paused && was_paused) {
        thaw_everything(executor, turn);
    }
}

/* ------------------------------------------------------------------ how much */

static void set_target(struct executor *executor)
{
    struct owner *owner = &executor->owner;
    const struct owner_then *then = &owner->policy.allowance.then;
    struct sandbox_limits target = executor->config.contribution;

    target.cpu_permille = earlier(target.cpu_permille, then->cpu_permille);
    target.memory_bytes = earlier(target.memory_bytes, then->memory_bytes);
    if (memcmp(&target, &owner->target, sizeof(target)) != 0) {
        owner->target = target;
        executor->free_changed = true;
    }
}

static void tell_allowed(struct executor *executor, struct turn *turn)
{
    struct owner *owner = &executor->owner;
    const struct owner_then *then = &owner->policy.allowance.then;
    struct sandbox_limits promised = executor_promised(executor);
    struct outgoing allow = {.kind = OUT_ALLOW};

    /* Memory cannot be taken from what runs; the processor can. */
    allow.allowed.cpu_permille = owner->target.cpu_permille;
    allow.allowed.memory_bytes = promised.memory_bytes > owner->target.memory_bytes
                                     ? promised.memory_bytes
                                     : owner->target.memory_bytes;
    allow.allowed.upload_bytes_per_s = then->upload_bytes_per_s;
    allow.allowed.download_bytes_per_s = then->download_bytes_per_s;
    if (owner->told && memcmp(&allow.allowed, &owner->allowed, sizeof(allow.allowed)) == 0) {
        return;
    }
    owner->allowed = allow.allowed;
    owner->told = true;
    outbox_local(turn, &allow);
}

/* What was adopted as it was is now as it is to be. */
static void end_blindness(struct executor *executor, struct turn *turn)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        if (executor->replicas[i].used && !executor->paused) { /* else it was told already */
            executor_freeze_or_thaw(executor, turn, &executor->replicas[i]);
        }
    }
}

void owner_review(struct executor *executor, struct turn *turn)
{
    struct owner *owner = &executor->owner;
    bool was_blind = owner->is_blind;

    order_expire(owner, turn);
    owner->is_blind = owner_policy_is_blind(&owner->policy);
    (void)owner_policy_step(&owner->policy, clock_of(turn));
    set_mode(executor, turn);
    if (was_blind && !owner->is_blind) {
        end_blindness(executor, turn);
    }
    set_target(executor);
    owner_fit(executor, turn);
    tell_allowed(executor, turn);
}

uint64_t owner_wake_ms(const struct executor *executor)
{
    const struct owner *owner = &executor->owner;
    uint64_t wake_ms = owner_policy_wake_ms(&owner->policy);

    if (owner->order == ORDER_PAUSE && owner->until_unix_s != 0) {
        wake_ms = earlier(wake_ms, owner->until_ms);
    }
    if (owner->pausing) {
        wake_ms = earlier(wake_ms, owner->hard_ms);
    }
    if (owner->leave_ms != 0) {
        wake_ms = earlier(wake_ms, owner->leave_ms);
    }
    return wake_ms;
}

/* ------------------------------------------------------------------ events */

void executor_sensed(struct executor *executor, struct turn *turn,
                     const struct owner_senses *senses)
{
    owner_policy_sense(&executor->owner.policy, senses);
    owner_review(executor, turn);
}

void core_config_change(struct core_config *config, const struct core_config *fresh)
{
    config->contribution = fresh->contribution;
    config->storage_bytes = fresh->storage_bytes;
    config->port_first = fresh->port_first;
    config->port_last = fresh->port_last;
    config->runs = fresh->runs;
    config->stores = fresh->stores;
    config->manages = fresh->manages;
    config->overlay.storage_bytes_max = fresh->overlay.storage_bytes_max;
    config->overlay.relay_port_first = fresh->overlay.relay_port_first;
    config->overlay.relay_port_count = fresh->overlay.relay_port_count;
    config->overlay.upload_bytes_per_s = fresh->overlay.upload_bytes_per_s;
    config->overlay.download_bytes_per_s = fresh->overlay.download_bytes_per_s;
    config->connections_max = fresh->connections_max;
    config->egress = fresh->egress;
    config->allow_count = fresh->allow_count;
    memcpy(config->allow, fresh->allow, sizeof(config->allow));
    config->deny_count = fresh->deny_count;
    memcpy(config->deny, fresh->deny, sizeof(config->deny));
    config->rules = fresh->rules;
}

void executor_configured(struct executor *executor, struct turn *turn,
                         const struct core_config *config)
{
    core_config_change(&executor->config, config);
    owner_policy_rules(&executor->owner.policy, &config->rules);
    executor->free_changed = true;
    executor->owner.told = false;
    executor->owner.guests_changed = true;
    owner_review(executor, turn);
}
