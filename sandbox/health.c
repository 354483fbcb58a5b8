// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/health.h"

#include "base/check.h"

static const uint64_t first_quick_for_ms = 10000;

static bool has_question(const struct sandbox_health *settings)
{
    return settings->container_port != 0 || settings->argument_count != 0;
}

void health_init(struct health *health, const struct sandbox_spec *spec, uint64_t now_ms)
{
    *health = (struct health){
        .settings = spec->health,
        .state = HEALTH_UNKNOWN,
        .started_ms = now_ms,
        .wakeup_ms = now_ms,
    };
    if (has_question(&spec->health)) {
        return;
    }
    if (spec->port_count == 0) {
        health->state = HEALTH_OK;
        health->wakeup_ms = UINT64_MAX;
        return;
    }
    health->only_until_well = true;
    health->settings = (struct sandbox_health){
        .container_port = spec->ports[0].container_port,
        .interval_ms = HEALTH_FIRST_MS_SLOW,
        .timeout_ms = HEALTH_FIRST_TIMEOUT_MS,
        .failures_max = UINT32_MAX,
    };
}

bool health_due(struct health *health, uint64_t now_ms)
{
    if (health->asking || now_ms < health->wakeup_ms) {
        return false;
    }
    CHECK(has_question(&health->settings));
    health->asking = true;
    health->wakeup_ms = UINT64_MAX;
    return true;
}

/* From the end of a probe to the next: probes never overlap, and a slow service is not pressed. */
static uint64_t pause_ms(const struct health *health, uint64_t now_ms)
{
    bool quick = health->state == HEALTH_UNKNOWN &&
                 now_ms - health->started_ms < first_quick_for_ms &&
                 health->settings.interval_ms > HEALTH_FIRST_MS;

    return quick ? HEALTH_FIRST_MS : health->settings.interval_ms;
}

bool health_result(struct health *health, bool succeeded, uint64_t now_ms)
{
    enum health_state before = health->state;

    CHECK(health->asking);
    CHECK(now_ms >= health->started_ms);
    health->asking = false;
    if (succeeded) {
        health->failures = 0;
        health->state = HEALTH_OK;
    } else if (now_ms - health->started_ms >= health->settings.grace_ms &&
               health->failures < UINT32_MAX) {
        health->failures++;
    }
    if (!health->only_until_well && health->failures >= health->settings.failures_max) {
        health->state = HEALTH_FAILING;
    }
    health->wakeup_ms =
        health->only_until_well && succeeded ? UINT64_MAX : now_ms + pause_ms(health, now_ms);
    return health->state != before;
}
