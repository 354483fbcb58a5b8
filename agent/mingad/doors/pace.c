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
    pace->credit_bytes += (int64_t)(PACE_BYTES_PER_S * passed_ms / 1000);
    if (pace->credit_bytes > PACE_BURST_BYTES) {
        pace->credit_bytes = PACE_BURST_BYTES;
    }
}

/* Each that waits has its turn before the rest of the debt is asked for. */
static void on_timer(uv_timer_t *timer)
{
    struct pace *pace = timer->data;

    credit(pace);
    if (pace->credit_bytes <= 0) {
        return;
    }
    uv_timer_stop(timer);
    for (struct pipe *pipe = *pace->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->is_waiting && pipe->phase != PIPE_CLOSING) {
            pipe_resume(pipe);
        }
    }
}

void pace_init(struct pace *pace, uv_loop_t *loop, struct pipe *const *pipes)
{
    uv_timer_init(loop, &pace->timer); /* never fails */
    pace->timer.data = pace;
    pace->pipes = pipes;
    pace->credit_bytes = PACE_BURST_BYTES;
    pace->credited_ms = clock_now_ms();
}

bool pace_count(struct pace *pace, size_t count_bytes)
{
    credit(pace); /* first: what is beyond the burst is lost */
    pace->credit_bytes -= (int64_t)count_bytes;
    if (pace->credit_bytes > 0) {
        return true;
    }
    if (!uv_is_active((uv_handle_t *)&pace->timer)) {
        uv_timer_start(&pace->timer, on_timer, TICK_MS, TICK_MS);
    }
    return false;
}

void pace_close(struct pace *pace)
{
    uv_close((uv_handle_t *)&pace->timer, NULL);
}
