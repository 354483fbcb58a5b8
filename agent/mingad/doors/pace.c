// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/doors/pace.h"

#include "agent/mingad/clock.h"

enum { TICK_MS = 10 };

static void credit(struct pace *pace)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t passed_ms = now_ms - pace->credited_ms;

    passed_ms = passed_ms < 1000 ? passed_ms : 1000;
    pace->credited_ms = now_ms;
    pace->credit_bytes += pace->bytes_per_s * (int64_t)passed_ms / 1000;
    if (pace->credit_bytes > pace->burst_bytes) {
        pace->credit_bytes = pace->burst_bytes;
    }
}

static bool waits(const struct pipe *pipe)
{
    return pipe->is_waiting && pipe->phase != PIPE_CLOSING;
}

/* Does another one of the same member's wait for longer? Those of one member take turns. */
static bool is_behind(const struct pace *pace, const struct pipe *pipe)
{
    for (const struct pipe *other = *pace->pipes; other != NULL; other = other->next) {
        if (waits(other) && other->waits_since_ns < pipe->waits_since_ns &&
            id_equal(&other->other.id, &pipe->other.id)) {
            return true;
        }
    }
    return false;
}

/* All that wait go on when there is much left: then nobody floods. */
static uint32_t choose(struct pace *pace)
{
    bool has_much = pace->credit_bytes > pace->burst_bytes / 2;
    uint32_t count = 0;

    for (struct pipe *pipe = *pace->pipes; pipe != NULL; pipe = pipe->next) {
        pipe->is_next = waits(pipe) && (has_much || !is_behind(pace, pipe));
        count += pipe->is_next;
    }
    return count;
}

/* Each member that waits has the same part, by however many flows it sends. */
static void on_timer(uv_timer_t *timer)
{
    struct pace *pace = timer->data;
    uint32_t next_count;

    credit(pace);
    if (pace->credit_bytes <= 0) {
        return;
    }
    next_count = choose(pace);
    for (struct pipe *pipe = *pace->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->is_next) {
            pipe->part_bytes = pace->credit_bytes / next_count;
            pipe_resume(pipe);
        }
    }
    if (next_count == 0) {
        uv_timer_stop(timer);
    }
}

void pace_init(struct pace *pace, uv_loop_t *loop, struct pipe *const *pipes, uint32_t bytes_per_s)
{
    uv_timer_init(loop, &pace->timer); /* never fails */
    pace->timer.data = pace;
    pace->pipes = pipes;
    pace->bytes_per_s = bytes_per_s;
    pace->burst_bytes = pace->bytes_per_s * PACE_BURST_MS / 1000;
    pace->credit_bytes = pace->burst_bytes;
    pace->credited_ms = clock_now_ms();
}

bool pace_count(struct pace *pace, struct pipe *pipe, size_t count_bytes)
{
    if (uv_is_active((uv_handle_t *)&pace->timer)) { /* it has given out parts, or will */
        pace->credit_bytes -= (int64_t)count_bytes;
        pipe->part_bytes -= (int64_t)count_bytes;
        return pipe->part_bytes > 0;
    }
    credit(pace); /* first: what is beyond the burst is lost */
    pace->credit_bytes -= (int64_t)count_bytes;
    if (pace->credit_bytes > 0) {
        return true;
    }
    uv_timer_start(&pace->timer, on_timer, TICK_MS, TICK_MS);
    pipe->part_bytes = 0;
    return false;
}

void pace_close(struct pace *pace)
{
    uv_close((uv_handle_t *)&pace->timer, NULL);
}
