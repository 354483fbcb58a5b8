// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/internal.h"
#include "base/check.h"

struct core *core_new(const struct core_config *config)
{
    struct core *core = calloc(1, sizeof(*core));

    if (core == NULL) {
        return NULL;
    }
    core->config = *config;
    core->overlay = overlay_new(&config->overlay);
    core->manager = manager_new(config, &placement_scored);
    core->executor = executor_new(config);
    if (core->overlay == NULL || core->manager == NULL || core->executor == NULL) {
        core_free(core);
        return NULL;
    }
    core->around = surroundings_of_overlay(core->overlay);
    core->overlay_wake_ms = UINT64_MAX;
    core->next_token = 1;
    core->allowed.upload_bytes_per_s = OWNER_NO_LIMIT;
    core->allowed.download_bytes_per_s = OWNER_NO_LIMIT;
    execs_init(&core->execs, config->overlay.seed);
    return core;
}

void core_free(struct core *core)
{
    if (core == NULL) {
        return;
    }
    overlay_free(core->overlay);
    manager_free(core->manager);
    executor_free(core->executor);
    free(core);
}

int core_load(struct core *core, const struct overlay_blob *blob)
{
    if (blob->kind == BLOB_AGENT) {
        return executor_load(core->executor, blob);
    }
    if (blob->kind == BLOB_MANAGER) {
        return manager_load(core->manager, blob);
    }
    return overlay_load(core->overlay, blob);
}

int core_load_chunk(struct core *core, const struct chunk_id *chunk, uint64_t bytes)
{
    return overlay_load_chunk(core->overlay, chunk, bytes);
}

struct core_effect *core_emit(struct core *core, enum core_effect_kind kind)
{
    struct core_effect *effect;

    CHECK(core->effects->count < CORE_EFFECTS_MAX);
    effect = &core->effects->list[core->effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    return effect;
}

static_assert(CORE_EFFECTS_MAX >=
                  OVERLAY_EFFECTS_MAX + OUTBOX_MAX + CORE_REQUESTS_MAX + EXEC_SESSIONS_MAX + 2,
              "whatever one step does fits");

uint64_t core_pend(struct core *core, const struct ask *ask)
{
    uint64_t token = core->next_token++;
    struct pending *pending = &core->pending[token % PENDING_MAX];

    for (uint32_t i = 0; pending->used && i < 16; i++) { /* a few old ones are in the way */
        token = core->next_token++;
        pending = &core->pending[token % PENDING_MAX];
    }
    if (pending->used) {
        return 0;
    }
    *pending = (struct pending){true, token, *ask};
    return token;
}

/* ------------------------------------------------------------------ one step */

static void step_begin(struct core *core, uint64_t now_ms, uint64_t wall_unix_s,
                       struct core_effects *effects)
{
    CHECK(now_ms > 0);
    effects->count = 0;
    core->effects = effects;
    core->now =
        (struct overlay_event){.kind = OVERLAY_TICK, .now_ms = now_ms, .wall_unix_s = wall_unix_s};
    core->around.node = overlay_self(core->overlay);
    core->turn = (struct turn){now_ms, &core->around, &core->out, wall_unix_s};
    core->io.count = 0;
    core->io.arena_used_bytes = 0;
    core->io_next = 0;
    core->out_next = 0;
    core->status_count = 0;
    core->arena_used_bytes = 0;
    outbox_clear(&core->out);
}

static void take_overlay(struct core *core, const struct overlay_effect *effect)
{
    if (effect->kind == OVERLAY_WAKE) {
        core->overlay_wake_ms = effect->wake_ms;
    } else if (effect->kind < OVERLAY_DELIVER) {
        core_emit(core, CORE_IO)->overlay = effect;
    } else {
        core_upcall(core, effect);
    }
}

/* Both lists only grow during a step, and are bounded: this ends. */
static void drain(struct core *core)
{
    while (core->io_next < core->io.count || core->out_next < core->out.count) {
        if (core->io_next < core->io.count) {
            take_overlay(core, &core->io.list[core->io_next++]);
        } else {
            core_send(core, &core->out.list[core->out_next++]);
        }
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Cut off from all other members, or no member any more. */
static bool is_alone(const struct core *core)
{
    struct node_id self = overlay_self(core->overlay);
    const struct overlay_member *member = overlay_member_by_id(core->overlay, &self);

    return overlay_belongs(core->overlay) && (overlay_isolated(core->overlay, core->turn.now_ms) ||
                                              (member != NULL && member->state == MEMBER_EXPELLED));
}

/* What relays are to pass on, where nobody can dial this node. */
static void publish(struct core *core)
{
    struct overlay_port ports[2 * RELAYED_PORTS_MAX];
    uint32_t count = executor_published(core->executor, 2 * RELAYED_PORTS_MAX, ports);

    overlay_publish(core->overlay, &core->now, ports, count, &core->io);
}

static void step_end(struct core *core)
{
    struct core_effect *wake;
    uint64_t wake_ms;

    drain(core);
    if (core->around.alone != is_alone(core)) {
        core->around.alone = !core->around.alone;
        core->looks_around = true;
        executor_set_isolated(core->executor, &core->turn, core->around.alone);
    }
    if (core->looks_around) {
        core->looks_around = false;
        manager_look_around(core->manager, &core->turn);
        executor_look_around(core->executor, &core->turn);
    }
    drain(core);
    executor_flush(core->executor, &core->turn);
    publish(core);
    drain(core);
    core_requests_tick(core);
    core_exec_tick(core);
    drain(core);
    wake_ms = earlier(core->overlay_wake_ms, executor_wake_ms(core->executor));
    wake_ms = earlier(wake_ms, manager_wake_ms(core->manager));
    wake_ms = earlier(wake_ms, core_requests_wake_ms(core));
    wake_ms = earlier(wake_ms, core_exec_wake_ms(core));
    if (wake_ms != UINT64_MAX) {
        wake = core_emit(core, CORE_WAKE);
        wake->wake_ms = wake_ms > core->turn.now_ms ? wake_ms : core->turn.now_ms + 1;
    }
    core->effects = NULL;
}

void core_start(struct core *core, uint64_t now_ms, uint64_t wall_unix_s,
                struct core_effects *effects)
{
    step_begin(core, now_ms, wall_unix_s, effects);
    executor_start(core->executor, &core->turn);
    overlay_start(core->overlay, now_ms, wall_unix_s, &core->io);
    core->looks_around = true;
    step_end(core);
}

static void tick(struct core *core)
{
    core->overlay_wake_ms = UINT64_MAX;
    overlay_step(core->overlay, &core->now, &core->io);
    core_locate_managers(core);
    drain(core);
    executor_tick(core->executor, &core->turn);
    drain(core);
    manager_tick(core->manager, &core->turn);
}

static void from_overlay_edge(struct core *core, const struct core_event *event)
{
    CHECK(event->overlay != NULL);
    if (event->overlay->kind == OVERLAY_STORED && (event->overlay->token & CORE_TOKEN_BIT) != 0) {
        core_stored(core, event->overlay->token, event->overlay->failed);
        return;
    }
    overlay_step(core->overlay, event->overlay, &core->io);
}

/* What a scan does not find is not here, whatever was stored once: without this, fetching such a
 * chunk would be done at once, and the next scan miss it again. */
static void forget_missing(struct core *core, const struct core_event *event)
{
    struct overlay_event absent = core->now;

    absent.kind = OVERLAY_CHUNK_READ; /* its file, if there is one, stays until a copy comes */
    absent.outcome = OVERLAY_CHUNK_REFUSED;
    for (uint32_t i = 0; i < event->missing_count; i++) {
        if (overlay_has_chunk(core->overlay, &event->missing[i])) {
            absent.chunk = event->missing[i];
            overlay_step(core->overlay, &absent, &core->io);
            drain(core);
        }
    }
}

static void configured(struct core *core, const struct core_config *fresh)
{
    const struct overlay_config *terms = &core->config.overlay;

    core_config_change(&core->config, fresh);
    overlay_set_storage(core->overlay, &core->now, terms->storage_bytes_max, &core->io);
    drain(core);
    overlay_set_relay_ports(core->overlay, &core->now, terms->relay_port_first,
                            terms->relay_port_count, &core->io);
    drain(core);
    executor_configured(core->executor, &core->turn, fresh);
}

static void dispatch(struct core *core, const struct core_event *event)
{
    struct turn *turn = &core->turn;

    switch (event->kind) {
    case CORE_OVERLAY:
        from_overlay_edge(core, event);
        break;
    case CORE_TICK:
        tick(core);
        break;
    case CORE_REQUEST:
        core_request_begin(core, event->request);
        break;
    case CORE_SANDBOX:
        executor_sandbox(core->executor, turn, event->sandbox);
        break;
    case CORE_SANDBOX_UP:
        executor_sandbox_up(core->executor, turn);
        break;
    case CORE_SANDBOX_LISTED:
        executor_sandbox_listed(core->executor, turn);
        break;
    case CORE_SANDBOX_DOWN:
        executor_sandbox_down(core->executor, turn, event->reason);
        break;
    case CORE_TREE_SCANNED:
        forget_missing(core, event);
        executor_scanned(core->executor, turn, event);
        break;
    case CORE_TREE_BUILT:
        executor_built(core->executor, turn, event);
        break;
    case CORE_LOGS_READ:
        core_logs_read(core, event);
        break;
    case CORE_EXEC_DONE:
        core_exec_done(core, event);
        break;
    case CORE_PORTS_REFUSED:
        executor_ports_refused(core->executor, turn, &event->replica, event->host_port);
        break;
    case CORE_SENSED:
        executor_sensed(core->executor, turn, event->senses);
        break;
    case CORE_CONFIGURED:
        configured(core, event->config);
        break;
    case CORE_DISK:
        executor_set_disk(core->executor, event->reason);
        break;
    case CORE_TREE_FOUND:
        executor_tree_found(core->executor, turn, &event->tree);
        break;
    case CORE_LINE:
        core->line = event->line;
        core_set_rates(core);
        break;
    }
}

void core_step(struct core *core, const struct core_event *event, struct core_effects *effects)
{
    step_begin(core, event->now_ms, event->wall_unix_s, effects);
    dispatch(core, event);
    step_end(core);
}
