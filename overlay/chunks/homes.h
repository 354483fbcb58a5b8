// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Where does a chunk live? The one rule of repair:
 *
 *   of the members that store and are not gone for longer than their habit, in ring order from the
 *   chunk's hash: the shortest run that has CHUNK_COPIES of them, HOMES_UP of which are up, and
 *   HOMES_UP of which are steady (or HOMES_UNSTEADY_MAX in all, where so few are).
 *
 * These are the chunk's homes; whoever of them is up and lacks it is given a copy. So a member that
 * sleeps stays counted, and nothing moves: two that hardly ever sleep have it, too. When only one is
 * left awake all the same, the next ones join in; when one is gone beyond its habit, the next one takes
 * its place; and when it comes back after all, it is a home again and still has its copies.
 *
 * Who went some minutes ago, alone of them all, counts as up: an update is no loss. When two have gone
 * within minutes there is no time to wait.
 *
 * Pure. minga-months drives exactly this for months of virtual time.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    HOMES_UP = 2,
    HOMES_UNSTEADY_MAX = 6,
    HOMES_MAX = 24,               /* a run is not longer, whoever sleeps */
    HOMES_RESTART_MS = 30000,     /* who went so lately counts as up ... */
    HOMES_LATELY_MS = 12 * 60000, /* ... and so lately, if it is the only one */
};

/* Why somebody is to get a copy. */
enum home_why {
    HOME_LACKS,  /* it has always been one, and has no copy: it was away, or lost it */
    HOME_FEW_UP, /* of those before it too few are up, or steady */
    HOME_GONE,   /* somebody before it is gone for longer than its habit */
};

enum home_life { HOME_UP, HOME_WENT, HOME_AWAY, HOME_IS_GONE };

struct homes_walk {
    uint32_t counted; /* homes so far */
    uint32_t up;
    uint32_t went;
    uint32_t steady;
    uint32_t gone; /* passed over */
};

/* The life of one that is away for so long; `is_gone`: longer than its habit. */
enum home_life homes_life(uint64_t away_ms, bool is_gone);
/* Takes the next storing member in ring order. Is it a home? */
bool homes_take(struct homes_walk *walk, enum home_life life, bool is_steady);
/* Are there enough, so that nobody behind is one? */
bool homes_done(const struct homes_walk *walk);
/* Why the one taken last is a home. */
enum home_why homes_why(const struct homes_walk *walk);
