// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How much of mingad's one loop the flows of members' UDP ports may take, both ways and all together:
 * of these nothing fills up, what finds no room is lost, so that nothing else would slow down who
 * sends. A frame counts PIPE_PACKET_COST_BYTES at least (relays/relay_pipe.h). When it is not enough for
 * all, each member has the same part, and its flows take turns.
 *
 * On the edge's loop; no memory of its own.
 */
#include <uv.h>

#include "agent/mingad/relays/relay_pipe.h"

enum {
    PACE_BYTES_PER_S = 16 << 20, /* 65536 of the smallest: some tenth of a core */
    PACE_BURST_MS = 250,
};

struct pace {
    uv_timer_t timer;
    struct pipe *const *pipes; /* borrowed: the list of which those that wait are resumed */
    int64_t bytes_per_s, burst_bytes;
    int64_t credit_bytes;
    uint64_t credited_ms;
};

void pace_init(struct pace *pace, uv_loop_t *loop, struct pipe *const *pipes, uint32_t bytes_per_s);
/* False: that is enough for now; the pipe waits, and is resumed soon. */
bool pace_count(struct pace *pace, struct pipe *pipe, size_t count_bytes);
/* The loop runs on until its handle is closed. */
void pace_close(struct pace *pace);
