// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"

enum {
    STEP_MS = 1000,
    STALE_MS = 8000, /* a replica of which nothing was heard for so long uses nothing */
};

struct heard { /* of a replica, last */
    struct replica_key key;
    uint64_t at_ms;
    uint64_t passed_bytes[OWNER_WAYS];
    struct share uses[OWNER_WAYS];
};

struct keeper {
    struct edge *edge;
    uv_timer_t timer;
    bool is_closed;
    struct owner_line line;
    struct share uses[OWNER_WAYS][OWNER_USERS];
    uint64_t stepped_ms;
    uint64_t chunk_bytes[OWNER_WAYS]; /* since the last step */
    bool chunk_waits[OWNER_WAYS];
    uint64_t relayed_bytes; /* up to the last step */
    struct overlay_rates told;
    uint32_t heard_count;
    struct heard heard[REPLICAS_PER_NODE_MAX];
};

static uint64_t per_second(uint64_t bytes, uint64_t elapsed_ms)
{
    return elapsed_ms == 0 || bytes > UINT64_MAX / 1000 ? 0 : bytes * 1000 / elapsed_ms;
}

/* ------------------------------------------------------------------ what is used */

void keeper_note_chunk(struct keeper *keeper, enum owner_way way, uint64_t count_bytes)
{
    keeper->chunk_bytes[way] += count_bytes;
}

void keeper_note_wait(struct keeper *keeper, enum owner_way way)
{
    keeper->chunk_waits[way] = true;
}

static struct heard *find(struct keeper *keeper, const struct replica_key *key)
{
    for (uint32_t i = 0; i < keeper->heard_count; i++) {
        struct heard *heard = &keeper->heard[i];

        if (heard->key.slot == key->slot && heard->key.incarnation == key->incarnation &&
            id_equal(&heard->key.service.id, &key->service.id)) {
            return heard;
        }
    }
    return NULL;
}

static void listen_to(struct heard *heard, const struct sandbox_activity *activity)
{
    const uint64_t passed[OWNER_WAYS] = {activity->sent_bytes, activity->received_bytes};
    const bool waits[OWNER_WAYS] = {activity->send_waits, activity->receive_waits};
    uint64_t now_ms = clock_now_ms();

    for (int way = 0; way < OWNER_WAYS; way++) {
        uint64_t bytes =
            passed[way] > heard->passed_bytes[way] ? passed[way] - heard->passed_bytes[way] : 0;

        heard->uses[way] = (struct share){
            .used_bytes_per_s = per_second(bytes, now_ms - heard->at_ms), .wants_more = waits[way]};
        heard->passed_bytes[way] = passed[way];
    }
    heard->at_ms = now_ms;
}

void keeper_note_replica(struct keeper *keeper, const struct sandbox_event *event)
{
    struct heard *heard = find(keeper, &event->key);

    if (event->kind == SANDBOX_ENDED && heard != NULL) {
        *heard = keeper->heard[--keeper->heard_count];
    }
    if (event->kind != SANDBOX_STATS && event->kind != SANDBOX_LISTED) {
        return;
    }
    if (heard == NULL && keeper->heard_count < REPLICAS_PER_NODE_MAX) {
        heard = &keeper->heard[keeper->heard_count++];
        *heard = (struct heard){
            .key = event->key,
            .at_ms = clock_now_ms(), /* what was before is not known: no rate */
            .passed_bytes = {event->activity.sent_bytes, event->activity.received_bytes}};
    }
    if (heard != NULL) {
        listen_to(heard, &event->activity);
    }
}

static void sum_replicas(struct keeper *keeper, uint64_t now_ms)
{
    for (int way = 0; way < OWNER_WAYS; way++) {
        struct share *sum = &keeper->uses[way][OWNER_REPLICAS];

        *sum = (struct share){0};
        for (uint32_t i = 0; i < keeper->heard_count; i++) {
            const struct heard *heard = &keeper->heard[i];

            if (now_ms - heard->at_ms < STALE_MS) {
                sum->used_bytes_per_s += heard->uses[way].used_bytes_per_s;
                sum->wants_more = sum->wants_more || heard->uses[way].wants_more;
            }
        }
    }
}

static void measure(struct keeper *keeper, uint64_t now_ms)
{
    const struct overlay *overlay = core_overlay(keeper->edge->core);
    const struct relays_counters relays = relays_counters(keeper->edge->relays);
    const bool overlay_waits[OWNER_WAYS] = {overlay_upload_wait_ms(overlay) > 0,
                                            overlay_download_wait_ms(overlay) > 0};
    uint64_t elapsed_ms = now_ms - keeper->stepped_ms;

    sum_replicas(keeper, now_ms);
    for (int way = 0; way < OWNER_WAYS; way++) {
        keeper->uses[way][OWNER_CHUNKS] =
            (struct share){.used_bytes_per_s = per_second(keeper->chunk_bytes[way], elapsed_ms),
                           .wants_more = keeper->chunk_waits[way] || overlay_waits[way]};
        keeper->uses[way][OWNER_RELAYED] =
            (struct share){.used_bytes_per_s =
                               per_second(relays.relayed_bytes - keeper->relayed_bytes, elapsed_ms),
                           .wants_more = relays.waits};
        keeper->chunk_bytes[way] = 0;
        keeper->chunk_waits[way] = false;
    }
    keeper->relayed_bytes = relays.relayed_bytes;
    keeper->stepped_ms = now_ms;
}

/* ------------------------------------------------------------------ what is given */

static bool divide(struct keeper *keeper)
{
    const struct config *config = &keeper->edge->config;
    const struct core_allowed *allowed = &keeper->edge->allowed;
    const uint64_t limits[OWNER_WAYS] = {
        owner_line_limit(config->upload_bytes_per_s, allowed->upload_bytes_per_s),
        owner_line_limit(config->download_bytes_per_s, allowed->download_bytes_per_s)};

    return owner_line_divide(&keeper->line, limits, keeper->uses);
}

static uint64_t given(const struct keeper *keeper, enum owner_way way, enum owner_user user)
{
    return keeper->line.given_bytes_per_s[way][user];
}

/* Once the core has said what is allowed. Another environment has no such limits. */
static void tell_sandbox(const struct keeper *keeper)
{
    const struct edge *edge = keeper->edge;
    const struct sandbox_allowance allowance = {
        .cpu_permille = edge->allowed.cpu_permille,
        .memory_bytes = edge->allowed.memory_bytes,
        .upload_bytes_per_s = given(keeper, OWNER_UP, OWNER_REPLICAS),
        .download_bytes_per_s = given(keeper, OWNER_DOWN, OWNER_REPLICAS)};

    if (edge->config.environment[0] == '\0' && edge->allowed.memory_bytes > 0) {
        sandbox_link_allow(edge->sandbox, &allowance);
    }
}

static void tell_core(struct keeper *keeper)
{
    struct core_event event = {
        .kind = CORE_LINE,
        .line = {given(keeper, OWNER_UP, OWNER_CHUNKS), given(keeper, OWNER_DOWN, OWNER_CHUNKS)}};

    if (event.line.upload_bytes_per_s != keeper->told.upload_bytes_per_s ||
        event.line.download_bytes_per_s != keeper->told.download_bytes_per_s) {
        keeper->told = event.line;
        edge_event(keeper->edge, &event);
    }
}

/* What is passed on comes in and goes out. */
static void tell_relays(const struct keeper *keeper)
{
    uint64_t up = given(keeper, OWNER_UP, OWNER_RELAYED);
    uint64_t down = given(keeper, OWNER_DOWN, OWNER_RELAYED);

    relays_limit(keeper->edge->relays, up == 0 || (down != 0 && down < up) ? down : up);
}

static void tell(struct keeper *keeper)
{
    tell_sandbox(keeper);
    tell_relays(keeper);
    tell_core(keeper);
    upload_again(keeper->edge);
}

void keeper_review(struct keeper *keeper)
{
    if (!keeper->is_closed) {
        (void)divide(keeper);
        tell(keeper);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct keeper *keeper = timer->data;

    measure(keeper, clock_now_ms());
    if (divide(keeper)) {
        tell(keeper);
    }
}

uint64_t keeper_chunk_rate(const struct keeper *keeper, enum owner_way way)
{
    return given(keeper, way, OWNER_CHUNKS);
}

void keeper_report(const struct keeper *keeper, struct owner_line_report *report_out)
{
    memcpy(report_out->limit_bytes_per_s, keeper->line.limit_bytes_per_s,
           sizeof(report_out->limit_bytes_per_s));
    memcpy(report_out->shares, keeper->uses, sizeof(report_out->shares));
}

/* ------------------------------------------------------------------ life */

struct keeper *keeper_new(struct edge *edge)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));

    if (keeper == NULL || uv_timer_init(&edge->loop, &keeper->timer) < 0) {
        free(keeper);
        return NULL;
    }
    keeper->edge = edge;
    keeper->timer.data = keeper;
    keeper->stepped_ms = clock_now_ms();
    (void)divide(keeper);
    uv_timer_start(&keeper->timer, on_timer, STEP_MS, STEP_MS);
    return keeper;
}

void keeper_close(struct keeper *keeper)
{
    if (keeper != NULL && !keeper->is_closed) {
        keeper->is_closed = true;
        uv_close((uv_handle_t *)&keeper->timer, NULL);
    }
}

void keeper_free(struct keeper *keeper)
{
    free(keeper);
}
