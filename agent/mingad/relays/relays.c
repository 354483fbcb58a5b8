// SPDX-License-Identifier: GPL-3.0-or-later
/* What both sides of relaying have in common: the pipes, the clock, the rate. */
#include "agent/mingad/relays/relays.h"

#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/relays/relays_internal.h"
#include "base/check.h"

static void on_timer(uv_timer_t *timer);
static void relays_own_pipes(struct relays *relays);

struct relays *relays_new(const struct relays_config *config)
{
    struct relays *relays = calloc(1, sizeof(*relays));

    if (relays == NULL || uv_timer_init(config->loop, &relays->timer) < 0) {
        free(relays);
        return NULL;
    }
    relays->config = *config;
    relays_own_pipes(relays);
    relays->timer.data = relays;
    relays->credited_ms = clock_now_ms();
    return relays;
}

void relays_configure(struct relays *relays, uint64_t bytes_per_s)
{
    relays->config.bytes_per_s = bytes_per_s;
}

/* ------------------------------------------------------------------ pipes */

struct pipe *relays_add_pipe(struct relays *relays, bool is_leaf, const struct node_id *other)
{
    struct pipe *pipe = relays->pipe_count < PIPES_MAX && !relays->is_closing
                            ? pipe_new(&relays->owner, is_leaf)
                            : NULL;

    if (pipe == NULL || uv_tcp_init(relays->config.loop, &pipe->sealed) < 0) {
        free(pipe);
        relays->counters.refused_count++;
        return NULL;
    }
    pipe->sealed.data = pipe;
    if (other != NULL) {
        pipe->other = *other;
    }
    pipe->next = relays->pipes;
    relays->pipes = pipe;
    relays->pipe_count++;
    return pipe;
}

static void on_pipe_gone(void *self, struct pipe *pipe)
{
    struct relays *relays = self;
    struct pipe **place = &relays->pipes;

    while (*place != pipe) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = pipe->next;
    relays->pipe_count--;
}

uint32_t relays_count_pipes(const struct relays *relays, const struct pipe *like,
                            enum pipe_phase phase)
{
    uint32_t count = 0;

    for (const struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        count += pipe->is_leaf == like->is_leaf && pipe->phase == phase &&
                 id_equal(&pipe->other.id, &like->other.id);
    }
    return count;
}

void relays_close_pipes(struct relays *relays, bool is_leaf, const struct node_id *other)
{
    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->is_leaf == is_leaf && (other == NULL || id_equal(&pipe->other.id, &other->id))) {
            pipe_close(pipe); /* leaves the list later */
        }
    }
}

static bool find_secret(void *self, const struct pipe *pipe, const struct relay_hello *hello,
                        uint8_t secret_out[RELAY_SECRET_BYTES])
{
    struct relays *relays = self;
    const struct host_leaf *leaf = pipe->is_leaf ? NULL : host_find(relays, &pipe->other);
    const struct leaf_relay *relay = pipe->is_leaf ? leaf_relay_find(relays, &pipe->other) : NULL;

    (void)hello;
    if (leaf != NULL) {
        memcpy(secret_out, leaf->secret, RELAY_SECRET_BYTES);
    } else if (relay != NULL) {
        memcpy(secret_out, relay->grant.secret, RELAY_SECRET_BYTES);
    }
    return leaf != NULL || relay != NULL;
}

static void fill_hello(void *self, struct relay_hello *hello_out)
{
    const struct relays *relays = self;

    hello_out->leaf = relays->config.node;
}

static void on_pipe_changed(void *self, struct pipe *pipe)
{
    struct relays *relays = self;

    if (relays->is_closing) {
        return;
    }
    if (pipe->is_leaf) {
        leaf_on_pipe(relays, pipe);
    } else if (pipe->phase == PIPE_IDLE) {
        host_on_idle(relays, pipe);
    }
    relays_wake(relays);
}

/* ------------------------------------------------------------------ rate */

static uint64_t rate_of(const struct relays *relays)
{
    return relays->limit_bytes_per_s != 0 && relays->limit_bytes_per_s < relays->config.bytes_per_s
               ? relays->limit_bytes_per_s
               : relays->config.bytes_per_s;
}

static void credit(struct relays *relays, uint64_t now_ms)
{
    int64_t most_bytes = (int64_t)rate_of(relays);
    uint64_t passed_ms = now_ms - relays->credited_ms;

    passed_ms = passed_ms < 1000 ? passed_ms : 1000;
    relays->credited_ms = now_ms;
    relays->credit_bytes += (int64_t)(rate_of(relays) * passed_ms / 1000);
    relays->credit_bytes = relays->credit_bytes < most_bytes ? relays->credit_bytes : most_bytes;
}

void relays_limit(struct relays *relays, uint64_t bytes_per_s)
{
    uint64_t now_ms = clock_now_ms();

    credit(relays, now_ms);
    relays->limit_bytes_per_s = bytes_per_s;
    credit(relays, now_ms); /* what was saved up beyond the new rate is lost */
}

bool relays_count(void *self, struct pipe *pipe, size_t count_bytes)
{
    struct relays *relays = self;

    relays->counters.passed_bytes += count_bytes;
    if (pipe->is_leaf) {
        return true; /* a replica's: its minga-init holds it to this volunteer's line */
    }
    relays->counters.relayed_bytes += count_bytes;
    if (relays->credit_bytes <= 0) {
        credit(relays, clock_now_ms());
    }
    relays->credit_bytes -= (int64_t)count_bytes;
    if (relays->credit_bytes < 0) {
        uv_timer_start(&relays->timer, on_timer, TICK_SOON_MS, TICK_SOON_MS);
        relays->period_ms = TICK_SOON_MS;
        return false;
    }
    return true;
}

/* What cannot wait is lost while there is none. */
bool relays_has_credit(struct relays *relays)
{
    if (relays->credit_bytes <= 0) {
        credit(relays, clock_now_ms());
    }
    return relays->credit_bytes > 0;
}

static void on_datagram(void *self, struct pipe *pipe, struct bytes body)
{
    struct relays *relays = self;

    if (relays->is_closing) {
        return;
    }
    if (pipe->is_leaf) {
        leaf_on_datagram(relays, pipe, body);
    } else {
        host_on_datagram(relays, pipe, body);
    }
}

static bool resume(struct relays *relays)
{
    bool some_wait = false;

    credit(relays, clock_now_ms());
    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->is_waiting && (pipe->phase == PIPE_OPEN || pipe->phase == PIPE_FLOWS)) {
            some_wait = true;
            if (relays->credit_bytes > 0) {
                pipe_resume(pipe);
            }
        }
    }
    return some_wait;
}

/* ------------------------------------------------------------------ the clock */

/* It stands still while nothing is passed on. */
void relays_wake(struct relays *relays)
{
    if (relays->period_ms == 0 && !relays->is_closing) {
        relays->period_ms = TICK_MS;
        uv_timer_start(&relays->timer, on_timer, TICK_MS, TICK_MS);
    }
}

/* The other end of a pair: what it carries goes another way when it has vanished. */
static void close_unanswered(struct relays *relays, uint64_t now_ms)
{
    if (now_ms - relays->looked_ms < TICK_MS) {
        return;
    }
    relays->looked_ms = now_ms;
    for (struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe_is_unanswered(pipe, now_ms)) {
            pipe_close(pipe);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct relays *relays = timer->data;
    uint64_t now_ms = clock_now_ms();
    bool some_wait = resume(relays);
    uint64_t period_ms = some_wait ? TICK_SOON_MS : TICK_MS;

    close_unanswered(relays, now_ms);
    host_tick(relays, now_ms);
    leaf_tick_edge(relays, now_ms);
    if (!some_wait && !host_is_busy(relays) && !leaf_is_busy(relays) && relays->pipes == NULL) {
        relays->period_ms = 0;
        uv_timer_stop(timer);
    } else if (period_ms != relays->period_ms) {
        relays->period_ms = period_ms;
        uv_timer_start(timer, on_timer, period_ms, period_ms);
    }
}

/* ------------------------------------------------------------------ life */

static void relays_own_pipes(struct relays *relays)
{
    relays->owner = (struct pipe_owner){.self = relays,
                                        .secret = find_secret,
                                        .fill_hello = fill_hello,
                                        .changed = on_pipe_changed,
                                        .wanted = leaf_on_wanted,
                                        .datagram = on_datagram,
                                        .count = relays_count,
                                        .gone = on_pipe_gone};
}

void relays_close(struct relays *relays)
{
    if (relays == NULL || relays->is_closing) {
        return;
    }
    relays->is_closing = true;
    host_close(relays);
    leaf_flows_end(relays, NULL);
    relays_close_pipes(relays, false, NULL);
    relays_close_pipes(relays, true, NULL);
    uv_close((uv_handle_t *)&relays->timer, NULL);
}

void relays_free(struct relays *relays)
{
    free(relays);
}

struct relays_counters relays_counters(const struct relays *relays)
{
    struct relays_counters counters = relays->counters;

    counters.waits = relays->credit_bytes < 0;
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        counters.leaf_count += relays->leaves[i].used;
    }
    for (const struct pipe *pipe = relays->pipes; pipe != NULL; pipe = pipe->next) {
        counters.connection_count += !pipe->is_leaf && pipe->phase == PIPE_OPEN;
    }
    return counters;
}
