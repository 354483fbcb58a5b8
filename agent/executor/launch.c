// SPDX-License-Identifier: GPL-3.0-or-later
/* Start, end, and start again. */
#include <stdio.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "agent/executor/spec.h"
#include "base/check.h"
#include "base/units.h"

static bool port_is_bad(const struct executor *executor, uint16_t port)
{
    for (uint32_t i = 0; i < BAD_PORTS_MAX; i++) {
        if (executor->bad_ports[i] == port) {
            return true;
        }
    }
    return false;
}

static bool port_is_taken(const struct executor *executor, uint16_t port)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        for (uint32_t j = 0; replica_counts(replica) && j < replica->manifest.port_count; j++) {
            if (replica->host_ports[j] == port) {
                return true;
            }
        }
    }
    return port_is_bad(executor, port);
}

static uint32_t port_range(const struct executor *executor)
{
    CHECK(executor->config.port_first <= executor->config.port_last);
    return (uint32_t)executor->config.port_last - executor->config.port_first + 1;
}

uint32_t ports_free_count(const struct executor *executor)
{
    uint32_t taken = BAD_PORTS_MAX;
    uint32_t range = port_range(executor);

    /* A bound that needs no walk of the range: bad ports are counted as taken. */
    for (uint32_t i = 0; i < executor->top; i++) {
        if (replica_counts(&executor->replicas[i])) {
            taken += executor->replicas[i].manifest.port_count;
        }
    }
    if (range > taken + PORTS_PER_SERVICE_MAX) {
        return range - taken;
    }
    taken = 0;
    for (uint32_t i = 0; i < range; i++) {
        taken += port_is_taken(executor, (uint16_t)(executor->config.port_first + i)) ? 1 : 0;
    }
    return range - taken;
}

/* A free port from a random place on: several agents on one host seldom meet. 0: none. */
static uint16_t port_choose(struct executor *executor)
{
    uint32_t range = port_range(executor);
    uint32_t start = (uint32_t)random_below(&executor->random, range);

    for (uint32_t i = 0; i < range; i++) {
        uint16_t port = (uint16_t)(executor->config.port_first + (start + i) % range);

        if (!port_is_taken(executor, port)) {
            return port;
        }
    }
    return 0;
}

static bool port_is_given(const struct executor *executor, uint16_t port)
{
    return port >= executor->config.port_first && port <= executor->config.port_last;
}

/* Nothing listens for what does not run: it gets others when it is started. */
bool ports_are_given(const struct executor *executor, const struct replica *replica)
{
    bool is_open = replica->phase == PHASE_KEPT || replica->phase == PHASE_STARTING ||
                   replica->phase == PHASE_RUNNING;

    for (uint32_t i = 0; is_open && i < replica->manifest.port_count; i++) {
        if (replica->host_ports[i] != 0 && !port_is_given(executor, replica->host_ports[i])) {
            return false;
        }
    }
    return true;
}

static bool ports_choose(struct executor *executor, struct replica *replica)
{
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        if (!port_is_given(executor, replica->host_ports[i]) ||
            port_is_bad(executor, replica->host_ports[i])) {
            replica->host_ports[i] = 0;
        }
        if (replica->host_ports[i] == 0) {
            replica->host_ports[i] = port_choose(executor);
        }
        if (replica->host_ports[i] == 0) {
            return false;
        }
    }
    return true;
}

static void spec_fill(struct replica *replica, uint32_t connections_max)
{
    struct sandbox_spec *spec = &replica->spec;

    spec_of_manifest(&replica->manifest, replica->key.slot, spec);
    spec->key = replica->key;
    spec->tree = replica->tree;
    spec->limits = replica->limits;
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        spec->ports[i].host_port = replica->host_ports[i];
    }
    spec->connections_max = connections_max;
}

void replica_launch(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct outgoing start = {.kind = OUT_START, .replica = replica->key, .spec = &replica->spec};

    if (!executor->sandbox_up || executor->paused) {
        replica_enter(executor, turn, replica, PHASE_READY);
        return;
    }
    if (!ports_choose(executor, replica)) {
        replica_say(replica, "ports used up: none of %u-%u is free", executor->config.port_first,
                    executor->config.port_last);
        replica_over(executor, turn, replica, true);
        return;
    }
    spec_fill(replica, executor->config.connections_max);
    replica->frozen = false;
    replica_health_unknown(replica);
    replica_keep(turn, replica);
    outbox_local(turn, &start);
    replica_enter(executor, turn, replica, PHASE_STARTING);
}

/* Nobody reaches it any more. What runs once and for all goes on, for it may do so without. */
static void port_lost(struct executor *executor, struct turn *turn, struct replica *replica,
                      uint16_t host_port)
{
    struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};

    if (replica->manifest.restart == MANIFEST_RESTART_NEVER) {
        return;
    }
    if (!port_is_bad(executor, host_port)) {
        executor->bad_ports[executor->bad_port_cursor++ % BAD_PORTS_MAX] = host_port;
    }
    replica->lost_port = true;
    outbox_local(turn, &stop);
}

void executor_ports_refused(struct executor *executor, struct turn *turn,
                            const struct replica_key *key, uint16_t host_port)
{
    struct replica *replica = replica_by_key(executor, key);

    if (replica != NULL && replica->phase == PHASE_RUNNING) {
        port_lost(executor, turn, replica, host_port);
        return;
    }
    if (replica == NULL || (replica->phase != PHASE_STARTING && replica->phase != PHASE_STOPPING)) {
        return;
    }
    if (replica->phase == PHASE_STOPPING) { /* nothing was started: nothing is to end */
        replica_over(executor, turn, replica, !replica->manager_ended);
        return;
    }
    executor->bad_ports[executor->bad_port_cursor++ % BAD_PORTS_MAX] = host_port;
    for (uint32_t i = 0; i < replica->manifest.port_count; i++) {
        if (replica->host_ports[i] == host_port) {
            replica->host_ports[i] = 0;
        }
    }
    if (++replica->port_try_count >= PORT_TRIES_MAX) {
        replica_say(replica, "ports used up: %u of %u-%u are in use by others", PORT_TRIES_MAX,
                    executor->config.port_first, executor->config.port_last);
        replica_over(executor, turn, replica, true);
        return;
    }
    replica_launch(executor, turn, replica);
}

/* 0, 1, 2, 4 ... 60 s. */
static uint64_t restart_delay_ms(uint32_t quick_restart_count)
{
    uint64_t delay_ms = 1000;

    if (quick_restart_count == 0) {
        return 0;
    }
    for (uint32_t i = 1; i < quick_restart_count && delay_ms < RESTART_MS_MAX; i++) {
        delay_ms *= 2;
    }
    return delay_ms < RESTART_MS_MAX ? delay_ms : RESTART_MS_MAX;
}

uint8_t replica_next_try_s(const struct replica *replica, uint64_t now_ms)
{
    static_assert(RESTART_MS_MAX / 1000 <= UINT8_MAX, "it travels as a byte");
    uint64_t left_ms;

    if (replica->phase != PHASE_WAITING || replica->restart_at_ms <= now_ms) {
        return 0;
    }
    /* Whoever looks may have read the clock a moment before the step that set it. */
    left_ms = replica->restart_at_ms - now_ms;
    left_ms = left_ms < RESTART_MS_MAX ? left_ms : RESTART_MS_MAX;
    return (uint8_t)((left_ms + 999) / 1000);
}

static void say_end(struct replica *replica, const struct sandbox_event *event)
{
    char limit[UNITS_TEXT_BYTES_MAX];

    switch (event->end) {
    case SANDBOX_END_OUT_OF_MEMORY: /* or of what else takes the host's memory */
        units_print_bytes(replica->limits.memory_bytes, limit);
        if (event->reason[0] != '\0') {
            replica_say(replica, "%.90s", event->reason);
        } else {
            replica_say(replica, "out of memory: limit %s", limit);
        }
        return;
    case SANDBOX_END_EXITED:
        /* The helper adds the last line that the service has printed: it says why. */
        if (event->reason[0] != '\0') {
            replica_say(replica, "%.90s", event->reason);
        } else {
            replica_say(replica, "exit status %d", event->status);
        }
        return;
    case SANDBOX_END_SIGNALLED:
        replica_say(replica, "ended by signal %d", event->status);
        return;
    case SANDBOX_END_REFUSED:
        replica_say(replica, "cannot be started: %.100s", event->reason);
        return;
    case SANDBOX_END_STOPPED:
        replica_say(replica, "stopped");
        return;
    case SANDBOX_END_LOST:
        replica_say(replica, "lost: %.100s", event->reason);
        return;
    }
}

static bool wants_restart(const struct replica *replica, const struct sandbox_event *event)
{
    bool failed = event->end != SANDBOX_END_EXITED || event->status != 0;

    switch (replica->manifest.restart) {
    case MANIFEST_RESTART_NEVER:
        return event->end == SANDBOX_END_REFUSED || event->end == SANDBOX_END_LOST;
    case MANIFEST_RESTART_ON_FAILURE:
        return failed;
    case MANIFEST_RESTART_ALWAYS:
        return true;
    }
    return true;
}

static void replica_restart(struct executor *executor, struct turn *turn, struct replica *replica)
{
    uint64_t delay_ms = restart_delay_ms(replica->quick_restart_count);
    size_t used = strlen(replica->reason);

    replica->restart_count++;
    replica->quick_restart_count++;
    if (replica->restart_count == 1) {
        (void)snprintf(replica->reason + used, sizeof(replica->reason) - used, "; restarted once");
    } else {
        (void)snprintf(replica->reason + used, sizeof(replica->reason) - used,
                       "; restarted %u times", replica->restart_count);
    }
    if (delay_ms == 0) {
        replica_launch(executor, turn, replica);
        return;
    }
    replica->restart_at_ms = turn->now_ms + delay_ms;
    replica_enter(executor, turn, replica, PHASE_WAITING);
}

/* The answer to what was asked of the process before, which had ended; or to the STOP of a try that was
 * late, for what is starting is not told to stop and goes on starting. */
static bool is_stale(const struct replica *replica, const struct sandbox_event *event,
                     uint64_t now_ms)
{
    return replica->phase == PHASE_STARTING &&
           (event->end == SANDBOX_END_STOPPED ||
            (event->end == SANDBOX_END_LOST && now_ms < replica->since_ms + LOST_STALE_MS));
}

/* While no mingad was there, and for good. What is to run again is missed instead: by now its manager
 * may have placed it elsewhere. */
static bool ended_unheard(const struct replica *replica, const struct sandbox_event *event)
{
    return replica->phase == PHASE_KEPT && event->end != SANDBOX_END_STOPPED &&
           !wants_restart(replica, event);
}

void replica_ended(struct executor *executor, struct turn *turn, struct replica *replica,
                   const struct sandbox_event *event)
{
    bool was_running = replica->phase == PHASE_RUNNING || ended_unheard(replica, event);

    if (is_stale(replica, event, turn->now_ms)) {
        return;
    }
    replica->used_limits = (struct sandbox_limits){0};
    replica->activity = (struct sandbox_activity){0};
    bool was_unhealthy = replica->unhealthy;
    bool had_lost_port = replica->lost_port;

    replica->lost_port = false;
    replica_health_unknown(replica);
    if (replica->phase == PHASE_STOPPING) {
        replica_over(executor, turn, replica, !replica->manager_ended);
        return;
    }
    if (!was_running && replica->phase != PHASE_STARTING) {
        return; /* nothing of it was thought to run */
    }
    if (was_running && !was_unhealthy && turn->now_ms >= replica->since_ms + RESTART_RESET_MS) {
        replica->quick_restart_count = 0;
    }
    if (was_unhealthy) {
        replica_say(replica, "its health probe failed");
    } else if (had_lost_port) {
        replica_say(replica, "its port was taken by something else");
    } else {
        say_end(replica, event);
    }
    if (event->end == SANDBOX_END_REFUSED) {
        replica->refused_count++;
    } else if (was_running) {
        replica->refused_count = 0;
    }
    if (replica->refused_count >= REFUSED_MAX) {
        replica_over(executor, turn, replica, true);
    } else if (!wants_restart(replica, event)) {
        replica_over(executor, turn, replica, false);
    } else {
        replica_restart(executor, turn, replica);
    }
}
