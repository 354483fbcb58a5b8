// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The nodes that one look-up (seek.h) has heard of: what is known of each, and the nearest of a kind. */
#include "overlay/routing/seek.h"

enum {
    SEEK_NONE = -1,
    SEEK_PLAUSIBLE_GAPS = 24, /* an arc is longer once in e^24 */
};

/* Is a distance no longer than so many mean distances of two neighbours? */
bool seek_within(const struct seek *seek, uint64_t distance, uint64_t gaps);

/* Its place in seek->nodes, or SEEK_NONE. */
int seek_find(const struct seek *seek, const struct ring_node *node);
/* Notes a contact that the node at `parent` (SEEK_NONE: the own tables) has named. Returns its place; SEEK_NONE
 * for self, and where all others are nearer or were asked. */
int seek_add(struct seek *seek, const struct ring_node *contact, int parent);

/* The nearest to the key, before or behind it, of those that `suits` says yes to; or SEEK_NONE. */
enum seek_side { SEEK_BEFORE, SEEK_BEHIND };
int seek_nearest(const struct seek *seek, enum seek_side side,
                 bool (*suits)(const struct seek *seek, const struct seek_node *node));

bool seek_claims(const struct seek *seek, const struct seek_node *node);
bool seek_is_fresh(const struct seek *seek, const struct seek_node *node);
bool seek_is_fresh_and_presumed(const struct seek *seek, const struct seek_node *node);
bool seek_is_fresh_close_behind(const struct seek *seek, const struct seek_node *node);
bool seek_is_fresh_of_start(const struct seek *seek, const struct seek_node *node);
/* So near that its list of successors holds the owner. */
bool seek_is_close_before(const struct seek *seek, const struct seek_node *node);
bool seek_is_fresh_close_before(const struct seek *seek, const struct seek_node *node);
bool seek_is_gone_close_behind(const struct seek *seek, const struct seek_node *node);
bool seek_has_answered(const struct seek *seek, const struct seek_node *node);
bool seek_is_waiting(const struct seek *seek, const struct seek_node *node);

/* Those close before the key that have answered; `with_asked`: or may still. */
uint32_t seek_witnesses(const struct seek *seek, bool with_asked);
/* Whose answers are not late yet. */
uint32_t seek_awaited(const struct seek *seek);
