// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a failing health probe leads to. The manager hears of it at once and no longer names the
 * replica to users; one that does not recover is started again, with the back-off of any other
 * end, so that a service whose neighbour is down does not hammer.
 */
#include "agent/executor/internal.h"
#include "base/check.h"

void replica_health(struct executor *executor, struct turn *turn, struct replica *replica,
                    bool healthy)
{
    replica->health = healthy ? HEALTH_OK : HEALTH_FAILING;
    if (healthy) {
        replica->failing_ms = 0;
    } else if (replica->failing_ms == 0) {
        replica->failing_ms = turn->now_ms;
    }
    executor->report_now = true;
}

void replica_health_unknown(struct replica *replica)
{
    replica->health = HEALTH_UNKNOWN;
    replica->failing_ms = 0;
    replica->unhealthy = false;
}

void replica_spare_frozen(const struct executor *executor, const struct turn *turn,
                          struct replica *replica)
{
    if (replica->failing_ms != 0 && (replica->frozen || executor->paused)) {
        replica->failing_ms = turn->now_ms;
    }
}

uint64_t replica_unhealthy_at_ms(const struct executor *executor, const struct replica *replica)
{
    if (replica->phase != PHASE_RUNNING || replica->failing_ms == 0 || replica->frozen ||
        executor->paused || !executor->sandbox_up ||
        replica->manifest.restart == MANIFEST_RESTART_NEVER) {
        return UINT64_MAX;
    }
    return replica->failing_ms + UNHEALTHY_MS;
}

void replica_end_unhealthy(struct turn *turn, struct replica *replica)
{
    struct outgoing stop = {.kind = OUT_STOP, .replica = replica->key};

    CHECK(replica->phase == PHASE_RUNNING && replica->health == HEALTH_FAILING);
    replica->unhealthy = true;
    /* Again after as long, should the request get lost. */
    replica->failing_ms = turn->now_ms + replica->manifest.stop_grace_ms;
    outbox_local(turn, &stop);
}
