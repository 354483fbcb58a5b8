// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Ports that the home's router opens for this node, where the volunteer allows it
 * (network.port_mapping). What comes from the router and the rest of the local network is read by
 * minga-portmap, a confined process that lives for one job; when there is a job is plan.h's to say.
 *
 * On the edge's loop. At most one worker at a time, and each has its time.
 */
#include <uv.h>

#include "agent/portmap/plan.h"

struct portmap;

struct portmap_config { /* of one family: each has its own, with a worker of its own */
    uv_loop_t *loop;
    bool is_ipv6;
    uint8_t nonce[PORTMAP_NONCE_BYTES]; /* the same after a restart: it shows who asks again */
    /* Which ports are to be open now; returns how many. */
    uint32_t (*wanted)(void *context, struct portmap_port ports_out[PORTMAP_PORTS_MAX]);
    /* This one is open now, outside 0: no more. */
    void (*changed)(void *context, const struct portmap_port *port);
    void *context;
};

/* NULL without memory. Nothing is asked before portmap_allow. */
struct portmap *portmap_new(const struct portmap_config *config);
/* What is open is closed when it is no longer allowed. */
void portmap_allow(struct portmap *portmap, bool is_allowed);
/* This machine has moved, or nobody comes in any more. */
void portmap_look_again(struct portmap *portmap);
const struct plan *portmap_plan(const struct portmap *portmap);
/* Closes what is open, unless a next mingad goes on with it. The loop runs on until the worker has
 * ended (PORTMAP_FAREWELL_MS at most) and handles are closed, then free. NULL is fine. */
void portmap_close(struct portmap *portmap, bool keeps_open);
void portmap_free(struct portmap *portmap);

enum { PORTMAP_JOB_MS = 20000, PORTMAP_FAREWELL_MS = 4000 };
