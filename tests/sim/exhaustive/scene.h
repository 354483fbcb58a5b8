// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A few nodes of the shipped overlay/, and every message under way between them, as one value:
 * it can be kept, hashed, changed by one step, and restored. Built with MINGA_TINY_LIMITS, so that
 * a node is small.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

enum {
    SCENE_NODES_MAX = 5,
    LINE_ITEMS_MAX = 24, /* on one connection one way; more are lost, as at high water */
    SCENE_LOOKUP_TOKEN = 400,
};

struct image;

enum scene_channel { CHANNEL_DIALLED, CHANNEL_REPLIES, CHANNELS };

struct line { /* what flows from one node to another on one connection, in order */
    uint32_t count;
    uint16_t items[LINE_ITEMS_MAX];
};

struct scene {
    uint64_t now_ms;
    uint32_t count;
    uint32_t pool_count; /* of items, and of their bytes: later ones are of later steps */
    uint32_t pool_bytes;
    bool running[SCENE_NODES_MAX];
    uint32_t dial_counts[SCENE_NODES_MAX][SCENE_NODES_MAX];
    uint64_t links[SCENE_NODES_MAX][SCENE_NODES_MAX]; /* dialled; 0: none */
    uint64_t wake_ms[SCENE_NODES_MAX];                /* 0: none */
    uint64_t hashes[SCENE_NODES_MAX];                 /* of what each node knows */
    struct line lines[SCENE_NODES_MAX][SCENE_NODES_MAX][CHANNELS];
    bool is_unhashed; /* nobody will ask for its hash */
    uint32_t asker;
    bool asked;    /* a lookup was begun by the asker, who lives ... */
    bool answered; /* ... and has ended */
};

/* Makes a community of `count` whose last `absent_count` nodes are members that do not run. */
void scene_make(struct scene *scene, uint32_t count, uint32_t absent_count);
void scene_done(struct scene *scene);
/* A node looks a key up, before the search. */
void scene_lookup(struct scene *scene, uint32_t node, const struct ring_key *key);
/* Before the first step that is kept or hashed. When pages_grew() says so, what was kept and hashed
 * since is worth nothing: then scene_rewind makes all as it was at scene_watch. */
void scene_watch(struct scene *scene);
void scene_rewind(struct scene *scene);

/* Whether the next message there is none of the ring's own: a greeting, a ping, a comparison. */
bool scene_is_background(const struct scene *scene, uint32_t from, uint32_t to,
                         enum scene_channel channel);

/* One step each. They change one node only: keep it with scene_keep before. */
void scene_deliver(struct scene *scene, uint32_t from, uint32_t to, enum scene_channel channel);
void scene_tick(struct scene *scene, uint32_t node);
void scene_start(struct scene *scene, uint32_t node);
/* Changes no node: it is only not asked any more. */
void scene_crash(struct scene *scene, uint32_t node);

/* Who is to be woken next, at wake_ms; count: nobody. */
uint32_t scene_next_wake(const struct scene *scene);
uint64_t scene_hash(const struct scene *scene);

void scene_keep(uint32_t node, struct image *kept);
void scene_restore(uint32_t node, const struct image *kept);

/* NULL, or what is wrong: owners, the ring's shape, tables. `is_calm`: also what holds at the end. */
const char *scene_problem(const struct scene *scene, bool is_calm);
struct ring_key scene_position(uint32_t node);
