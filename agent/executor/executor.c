// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/executor/executor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

struct executor *executor_new(const struct core_config *config)
{
    struct executor *executor = calloc(1, sizeof(*executor));

    CHECK(config->port_first > 0 && config->port_first <= config->port_last);
    if (executor == NULL) {
        return NULL;
    }
    executor->config = *config;
    random_init(&executor->random, config->overlay.seed, "executor");
    (void)text_copy(executor->sandbox_reason, sizeof(executor->sandbox_reason),
                    "the sandbox helper has not answered yet");
    owner_init(executor);
    return executor;
}

void executor_free(struct executor *executor)
{
    free(executor);
}

void executor_start(struct executor *executor, struct turn *turn)
{
    executor->started_ms = turn->now_ms;
    executor->last_event_ms = turn->now_ms;
    executor->sandbox_down_ms = turn->now_ms;
    executor->free_changed = true;
    executor->owner.guests_changed = true; /* of what was loaded */
    owner_review(executor, turn);
}

static struct replica *free_place(struct executor *executor)
{
    for (uint32_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (!executor->replicas[i].used) {
            return &executor->replicas[i];
        }
    }
    return NULL;
}

static int kept_open(const minga_KeptReplica *kept, struct replica *replica_out)
{
    struct bytes encoded = {kept->version_record.bytes, kept->version_record.size};
    minga_Record record;
    minga_Version version;

    memcpy(replica_out->key.service.id.bytes, kept->service, ID_BYTES);
    if (owner_record_open(encoded, &replica_out->key.service, &record) < 0 ||
        version_open(&record, &version, &replica_out->manifest) < 0) {
        return -EBADMSG;
    }
    replica_out->key.slot = kept->slot;
    replica_out->key.incarnation = kept->incarnation;
    replica_out->epoch = epoch_of(kept->has_epoch, &kept->epoch);
    replica_out->restart_count = kept->restart_count;
    replica_out->version = record.number;
    memcpy(replica_out->owner_key.bytes, record.owner_key, PUBLIC_KEY_BYTES);
    memcpy(replica_out->tree.id.bytes, version.tree, ID_BYTES);
    replica_out->limits = manifest_limits(&replica_out->manifest);
    for (pb_size_t i = 0; i < kept->host_ports_count; i++) {
        replica_out->host_ports[i] = (uint16_t)kept->host_ports[i];
    }
    replica_out->version_record_bytes = encoded.length_bytes;
    memcpy(replica_out->version_record, encoded.data, encoded.length_bytes);
    return 0;
}

int executor_load(struct executor *executor, const struct overlay_blob *blob)
{
    struct replica *place = free_place(executor);
    minga_KeptReplica kept;
    struct sandbox_limits promised = executor_promised(executor);
    enum refusal lacking;

    if (id_is_zero(&blob->key)) {
        return blob->number == ORDER_NUMBER ? owner_load(executor, blob->bytes)
                                            : ended_load(executor, blob->number, blob->bytes);
    }
    if (place == NULL || signed_decode_body(minga_KeptReplica_fields, blob->bytes, &kept) < 0 ||
        kept_open(&kept, place) < 0) {
        return -EBADMSG;
    }
    limits_add(&promised, &place->limits);
    if (!limits_fit(&promised, &executor->config.contribution, &lacking) ||
        replica_of_service(executor, &place->key.service) != NULL) {
        memset(place, 0, sizeof(*place)); /* the contribution has shrunk: LISTED ends it */
        return -EBADMSG;
    }
    replica_use(executor, place);
    place->phase = PHASE_KEPT;
    floor_raise(executor, &place->key);
    return 0;
}

/* ------------------------------------------------------------------ the sandbox */

static void replica_measured(struct replica *replica, const struct turn *turn,
                             const struct sandbox_event *event)
{
    if (replica->measured_ms != 0 && turn->now_ms > replica->measured_ms) {
        replica->cpu_ms += event->used.cpu_permille * (turn->now_ms - replica->measured_ms) / 1000;
    }
    replica->measured_ms = turn->now_ms;
    replica->used_limits = event->used;
    replica->activity = event->activity;
}

void executor_freeze_or_thaw(const struct executor *executor, struct turn *turn,
                             const struct replica *replica)
{
    bool is_frozen = executor->paused || replica->frozen;
    struct outgoing say = {.kind = is_frozen ? OUT_FREEZE : OUT_THAW, .replica = replica->key};

    /* What an earlier mingad has frozen by a rule stays so until that can be judged. */
    if (replica->phase == PHASE_RUNNING && (is_frozen || !executor->owner.is_blind)) {
        outbox_local(turn, &say);
    }
}

static void adopt(struct executor *executor, struct turn *turn, struct replica *replica,
                  const struct sandbox_event *event)
{
    executor->listed[replica - executor->replicas] = true;
    if (replica->phase == PHASE_KEPT || replica->phase == PHASE_STARTING) {
        for (uint32_t i = 0; i < event->port_count && i < replica->manifest.port_count; i++) {
            replica->host_ports[i] = event->ports[i].host_port;
        }
        replica_enter(executor, turn, replica, PHASE_RUNNING);
        replica->since_ms = turn->now_ms > event->age_ms ? turn->now_ms - event->age_ms : 1;
        if (replica->began_unix_s == 0) {
            replica->began_unix_s = turn->wall_unix_s - event->age_ms / 1000;
        }
        replica_measured(replica, turn, event);
        replica->stats_at_ms = turn->now_ms;
    }
    /* What an earlier helper was asked may have been asked in vain. */
    executor_freeze_or_thaw(executor, turn, replica);
}

static void on_started(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct outgoing freeze = {.kind = OUT_FREEZE, .replica = replica->key};

    if (replica->phase != PHASE_STARTING) {
        return;
    }
    replica->refused_count = 0;
    replica->port_try_count = 0;
    replica->stats_at_ms = turn->now_ms + STATS_MS;
    if (replica->manifest.has_health == false) {
        replica->health = HEALTH_OK;
    }
    if (replica->began_unix_s == 0) {
        replica->began_unix_s = turn->wall_unix_s;
    }
    replica->measured_ms = turn->now_ms;
    replica_enter(executor, turn, replica, PHASE_RUNNING);
    replica_keep(turn, replica);
    if (executor->paused) {
        outbox_local(turn, &freeze);
    }
}

void executor_sandbox(struct executor *executor, struct turn *turn,
                      const struct sandbox_event *event)
{
    struct replica *replica = replica_by_key(executor, &event->key);
    struct outgoing stop = {.kind = OUT_STOP, .replica = event->key};

    if (replica == NULL || replica->phase == PHASE_OVER) {
        if (event->kind == SANDBOX_LISTED || event->kind == SANDBOX_STARTED) {
            outbox_local(turn, &stop); /* nobody here knows it */
        }
        return;
    }
    switch (event->kind) {
    case SANDBOX_STARTED:
        on_started(executor, turn, replica);
        break;
    case SANDBOX_ENDED:
        replica_ended(executor, turn, replica, event);
        break;
    case SANDBOX_HEALTH:
        replica_health(executor, turn, replica, event->healthy != 0);
        break;
    case SANDBOX_STATS:
        replica_measured(replica, turn, event);
        break;
    case SANDBOX_LISTED:
        adopt(executor, turn, replica, event);
        break;
    }
    executor_check(executor);
}

void executor_sandbox_up(struct executor *executor, struct turn *turn)
{
    memset(executor->listed, 0, sizeof(executor->listed));
    executor->renew_at_ms = turn->now_ms;
}

/* What was thought to live, and was not listed, has ended while nobody looked. */
static void missed(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct sandbox_event lost = {
        .kind = SANDBOX_ENDED, .key = replica->key, .end = SANDBOX_END_LOST};
    struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};

    (void)text_copy(lost.reason, sizeof(lost.reason), "the execution environment was restarted");
    switch (replica->phase) {
    case PHASE_KEPT: /* its manager places it again, perhaps elsewhere */
        replica->drop_when_ended = true;
        replica_over(executor, turn, replica, false);
        break;
    case PHASE_STARTING:
        replica_launch(executor, turn, replica);
        break;
    case PHASE_RUNNING:
    case PHASE_STOPPING:
        replica_ended(executor, turn, replica, &lost);
        break;
    case PHASE_SCANNING:
    case PHASE_FETCHING:
    case PHASE_BUILDING:
    case PHASE_READY:
    case PHASE_WAITING:
    case PHASE_OVER:
    case PHASE_COUNT:
        outbox_local(turn, &stop);
        break;
    }
}

void executor_sandbox_listed(struct executor *executor, struct turn *turn)
{
    executor->sandbox_up = true;
    executor->owner.told = false; /* whoever answers now is told what is allowed */
    executor->sandbox_reason[0] = '\0';
    executor->free_changed = true;
    executor->report_now = true;
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (!replica->used) {
            continue;
        }
        if (executor->listed[i] && replica->phase == PHASE_STOPPING) {
            struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};

            outbox_local(turn, &stop);
        } else if (replica->phase == PHASE_READY) {
            replica_launch(executor, turn, replica);
        } else if (!executor->listed[i] &&
                   (replica->phase == PHASE_KEPT || replica->phase == PHASE_STARTING ||
                    replica->phase == PHASE_RUNNING || replica->phase == PHASE_STOPPING)) {
            missed(executor, turn, replica);
        }
    }
    owner_review(executor, turn);
    executor_check(executor);
}

void executor_sandbox_down(struct executor *executor, struct turn *turn, const char *reason)
{
    if (executor->sandbox_up) {
        executor->sandbox_down_ms = turn->now_ms;
    }
    executor->sandbox_up = false;
    (void)snprintf(executor->sandbox_reason, sizeof(executor->sandbox_reason), "%s", reason);
    executor->free_changed = true;
    executor->report_now = true;
    for (uint32_t i = 0; i < executor->top; i++) {
        replica_health_unknown(&executor->replicas[i]);
    }
}

/* ------------------------------------------------------------------ the owner */

void executor_freeze_all(struct executor *executor, struct turn *turn, bool until_confirmed)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];
        struct outgoing freeze = {.kind = OUT_FREEZE, .replica = replica->key};

        if (replica->used && replica->phase == PHASE_RUNNING) {
            replica->frozen = until_confirmed;
            replica->since_ms = turn->now_ms;
            outbox_local(turn, &freeze);
        }
    }
    executor->report_now = true;
}

void executor_back_soon(struct executor *executor, struct turn *turn)
{
    (void)turn;
    executor->back_soon = true;
    executor->report_now = true;
}

static void stop_all(struct executor *executor, struct turn *turn, const char *reason)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        if (replica_counts(&executor->replicas[i])) {
            executor->replicas[i].leaving = true; /* however this node is by the next report */
            replica_stop(executor, turn, &executor->replicas[i], reason);
        }
    }
}

void executor_set_isolated(struct executor *executor, struct turn *turn, bool isolated)
{
    if (isolated == executor->isolated) {
        return;
    }
    executor->isolated = isolated;
    executor->free_changed = true;
    if (isolated) {
        stop_all(executor, turn, "no other member was heard");
    }
}

void executor_set_disk(struct executor *executor, const char *refuses)
{
    executor->free_changed = executor->free_changed || strcmp(executor->disk_refuses, refuses) != 0;
    (void)text_copy(executor->disk_refuses, sizeof(executor->disk_refuses), refuses);
}

void executor_look_around(struct executor *executor, struct turn *turn)
{
    struct node_id other;

    executor->report_now = true;
    if (!executor->owner.guests_known && turn->around->others(turn->around->self, 1, &other) > 0) {
        /* What is given may have changed while this process did not run; now others could take over. */
        executor->owner.guests_known = true;
        executor->owner.guests_changed = true;
        owner_review(executor, turn);
    }
}

/* ------------------------------------------------------------------ time */

static void replica_tick(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct outgoing stats = {.kind = OUT_STATS, .replica = replica->key};
    struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};
    uint64_t now_ms = turn->now_ms;

    replica_spare_frozen(executor, turn, replica);
    if (replica->phase == PHASE_WAITING && now_ms >= replica->restart_at_ms) {
        replica_launch(executor, turn, replica);
    } else if (replica->phase == PHASE_FETCHING && replica->asked_count == 0 &&
               now_ms >= replica->fetch_retry_ms) {
        replica_scan(executor, turn, replica);
    } else if (now_ms >= replica_unhealthy_at_ms(executor, replica)) {
        replica_end_unhealthy(turn, replica);
    } else if (replica->phase == PHASE_RUNNING && now_ms >= replica->stats_at_ms &&
               executor->sandbox_up) {
        replica->stats_at_ms = now_ms + STATS_MS;
        outbox_local(turn, &stats);
    } else if (replica->phase == PHASE_STOPPING &&
               now_ms >= replica->since_ms + replica->manifest.stop_grace_ms + STOP_RETRY_MS) {
        replica->since_ms = now_ms;
        outbox_local(turn, &stop);
    } else if (replica->phase == PHASE_STARTING && now_ms >= replica->since_ms + STARTING_MS_MAX &&
               executor->sandbox_up) {
        struct sandbox_event late = {.key = replica->key, .end = SANDBOX_END_REFUSED};

        (void)text_copy(late.reason, sizeof(late.reason), "it did not start in time");
        outbox_local(turn, &stop);
        /* Not at once: while this try is cleared away, minga-sandboxd takes no other. */
        replica->quick_restart_count += replica->quick_restart_count == 0 ? 1 : 0;
        replica_ended(executor, turn, replica, &late);
    } else if (replica->phase == PHASE_OVER && now_ms >= replica->since_ms + OVER_KEPT_MS) {
        replica_forget(executor, turn, replica);
    }
}

/* minga-sandboxd ends what nobody renews: by now nothing of ours is left. */
static void sandbox_gone(struct executor *executor, struct turn *turn)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica->used && (replica->phase == PHASE_KEPT || replica->phase == PHASE_READY ||
                              replica->phase == PHASE_STARTING || replica->phase == PHASE_RUNNING ||
                              replica->phase == PHASE_STOPPING)) {
            replica_say(replica, "the execution environment is gone");
            replica_over(executor, turn, replica, replica->phase != PHASE_STOPPING);
        }
    }
}

void executor_tick(struct executor *executor, struct turn *turn)
{
    struct outgoing renew = {.kind = OUT_RENEW};
    uint64_t now_ms = turn->now_ms;

    /* This machine slept: what runs may be surplus by now, so it waits for its manager's word. */
    if (now_ms > executor->last_event_ms + SLEEP_MS && executor_count(executor) > 0) {
        executor_freeze_all(executor, turn, true);
    }
    executor->last_event_ms = now_ms;
    owner_review(executor, turn);
    if (!executor->sandbox_up && now_ms >= executor->sandbox_down_ms + HELPER_ALONE_MS) {
        sandbox_gone(executor, turn);
    }
    if (executor->draining && now_ms >= executor->drain_until_ms) {
        stop_all(executor, turn, "drained");
    }
    for (uint32_t i = 0; i < executor->top; i++) {
        if (executor->replicas[i].used) {
            replica_tick(executor, turn, &executor->replicas[i]);
        }
    }
    if (executor->sandbox_up && now_ms >= executor->renew_at_ms) {
        executor->renew_at_ms = now_ms + RENEW_MS / 2;
        outbox_local(turn, &renew);
    }
    trees_tick(executor, turn);
    executor_check(executor);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t executor_wake_ms(const struct executor *executor)
{
    uint64_t wake_ms = executor->sandbox_up ? executor->renew_at_ms : UINT64_MAX;

    wake_ms = earlier(wake_ms, owner_wake_ms(executor));
    if (executor->newcomer_count > 0) {
        wake_ms = earlier(wake_ms, executor->newcomer_at_ms);
    }
    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        if (!replica->used) {
            continue;
        }
        wake_ms = earlier(wake_ms, executor->report_at_ms);
        if (executor->draining && replica->phase != PHASE_STOPPING &&
            replica->phase != PHASE_OVER) {
            wake_ms = earlier(wake_ms, executor->drain_until_ms);
        }
        wake_ms = earlier(wake_ms, replica_unhealthy_at_ms(executor, replica));
        if (replica->phase == PHASE_WAITING) {
            wake_ms = earlier(wake_ms, replica->restart_at_ms);
        }
    }
    return wake_ms;
}
