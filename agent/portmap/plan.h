// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * When to ask the router for which ports: at first, when other ports are wanted or addresses have
 * changed, before leases end, and to close what is no longer needed. Pure: mingad starts the worker
 * as plan_next says, and tells by plan_done what it has answered.
 *
 * One job at a time. Times are CLOCK_BOOTTIME.
 */
#include "agent/portmap/epoch.h"
#include "agent/portmap/line.h"

enum {
    PLAN_LEASE_S = 3600,
    PLAN_AGAIN_MS_MIN = 20000, /* between two renewals, however short the lease */
    PLAN_PAUSE_MS = 2000,      /* between two jobs */
    PLAN_LOST_MS = 60000,      /* a router's clock that runs wild is heeded so often at most */
    PLAN_SILENT_MS = 60000,    /* after an answer that leaves ports out */
    PLAN_FAILED_MS = 60000,    /* doubled each time, up to: */
    PLAN_FAILED_MS_MAX = 960000,
};

enum plan_kind { PLAN_MAP, PLAN_UNMAP, PLAN_LOOK /* `minga check` only: is there a router? */ };

struct plan_job {
    enum plan_kind kind;
    bool is_ipv6;
    enum portmap_method by; /* NONE: any */
    char place[PORTMAP_PLACE_CHARS_MAX + 1];
    uint32_t port_count;
    struct portmap_port ports[PORTMAP_PORTS_MAX];
};

enum plan_state {
    PLAN_OFF,    /* not allowed */
    PLAN_IDLE,   /* nothing is wanted */
    PLAN_ASKING, /* no answer yet */
    PLAN_NONE,   /* no router does it; see why */
    PLAN_OPEN,
};

struct plan {
    bool is_ipv6; /* holes in a firewall; else ports of a router that translates */
    bool is_allowed;
    bool is_running;
    struct plan_job job;       /* while it runs */
    uint32_t failed_count;     /* jobs in a row without success */
    uint64_t began_ms;         /* the last job */
    uint64_t next_ms;          /* to ask again */
    struct router_epoch epoch; /* of the last answer */
    uint64_t lost_ms;          /* when the router last seemed to have lost what it knew; 0: never */
    uint64_t until_ms;         /* the leases end; UINT64_MAX: never */
    enum portmap_method method; /* that opened what is open */
    bool asks_any;              /* it may be another router: every method is tried */
    char host[PORTMAP_HOST_CHARS_MAX + 1];
    char place[PORTMAP_PLACE_CHARS_MAX + 1];
    char why[PORTMAP_WHY_CHARS_MAX + 1];
    uint32_t wanted_count;
    struct portmap_port wanted[PORTMAP_PORTS_MAX]; /* outside: not used */
    uint32_t open_count;
    struct portmap_port open[PORTMAP_PORTS_MAX];
    uint32_t told_count;
    struct portmap_port told[PORTMAP_PORTS_MAX]; /* by plan_news */
};

void plan_init(struct plan *plan, bool is_ipv6);
void plan_allow(struct plan *plan, bool is_allowed, uint64_t now_ms);
/* All ports that are to be open from now on; the most important first. */
void plan_want(struct plan *plan, const struct portmap_port *ports, uint32_t count,
               uint64_t now_ms);
/* It may be another router by now, or one that has forgotten. */
void plan_look_again(struct plan *plan, uint64_t now_ms);
/* A router, or who poses as one, says to all since when it knows its mappings. */
void plan_announced(struct plan *plan, uint32_t router_s, uint64_t now_ms);
/* True: this job is to be run, and plan_done called at its end. */
bool plan_next(struct plan *plan, uint64_t now_ms, struct plan_job *job_out);
/* What the worker has answered, as portmap_line_parse has read it; method NONE when it failed. */
void plan_done(struct plan *plan, const struct portmap_answer *answer, uint64_t now_ms);
/* The next port that is open now, or another one outside, or (outside 0) open no more. */
bool plan_news(struct plan *plan, uint64_t now_ms, struct portmap_port *port_out);
/* To close all that is (or may be) open, when this process ends; false: nothing is. */
bool plan_farewell(const struct plan *plan, struct plan_job *job_out);
enum plan_state plan_state_of(const struct plan *plan);
