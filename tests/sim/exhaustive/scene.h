// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A few nodes, and every message under way between them, as one value of some hundred bytes: nodes and
 * queues are numbers (nodes.h, names.h). One step at a time makes another one of it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/exhaustive/nodes.h"

enum {
    LINE_ITEMS_MAX = 24, /* on one connection one way; more are lost, as at high water */
    ABSENT_MAX = 2,
};

struct scene { /* compared as bytes: all are zero where there is nothing */
    uint64_t now_ms;
    uint64_t wake_ms[NODES_COUNT_MAX];                          /* 0: none */
    uint32_t locals[NODES_COUNT_MAX];                           /* 0 where it has ended */
    uint32_t lines[NODES_COUNT_MAX][NODES_COUNT_MAX][CHANNELS]; /* what flows, in order */
    uint64_t deliverable; /* which of them hold anything, a bit each: line_at */
    uint64_t background;  /* the same: first what is none of the ring's own */
    uint8_t links[NODES_COUNT_MAX][NODES_COUNT_MAX]; /* dialled; 0: none */
    uint8_t dial_counts[NODES_COUNT_MAX][NODES_COUNT_MAX];
    uint8_t running; /* a bit each */
    uint8_t absent;  /* may start at any moment */
    uint8_t count;
    uint8_t asker;
    bool asked;    /* a lookup was begun by the asker, who lives ... */
    bool answered; /* ... and has ended */
};

struct line { /* what flows from one to another on a connection that one of them has dialled */
    uint32_t from;
    uint32_t to;
    enum node_channel channel;
};
struct line line_at(uint32_t number);

/* A community whose last `absent_count` nodes are members that do not run. */
void scene_make(struct scene *scene, uint32_t count, uint32_t absent_count, bool looks_up);
void scene_done(void);
uint64_t scene_hash(const struct scene *scene);

/*
 * One step each. What else it depends on, and changes, is added to the footprint; two steps that are
 * independent by their footprints come to the same scene in either order, and neither hinders the other.
 * Time, and who comes or goes, is everybody's: these are independent of nothing.
 */
void scene_deliver(struct scene *scene, struct line line, struct footprint *footprint);
void scene_tick(struct scene *scene, uint32_t node, struct footprint *footprint);
void scene_start(struct scene *scene, uint32_t node, struct footprint *footprint);
void scene_crash(struct scene *scene, uint32_t node, struct footprint *footprint);
bool footprints_independent(const struct footprint *a, const struct footprint *b);

/* Who is to be woken next, at wake_ms; count: nobody. */
uint32_t scene_next_wake(const struct scene *scene);

/* What comes between these two is not kept. */
void scene_mark(void);
void scene_forget(void);

/* NULL, or what is wrong: owners, the ring's shape, tables. `is_calm`: also what holds at the end. */
const char *scene_problem(const struct scene *scene, bool is_calm);
