// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Where on the ring chunks are kept: every storing member's positions, in ring order.
 *
 * A member has POSITIONS_MAX candidates (position i is the hash of its key and i); which of them are
 * in use it says itself, as a bit mask in its signed record. The ring's own arcs, leases and look-ups
 * know the first position only.
 *
 * Pure table, kept sorted. Equal positions do not happen: they are hashes.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/keys.h"
#include "base/limits.h"

struct position {
    struct ring_key key;
    uint16_t member; /* index of the membership */
};

struct positions {
    uint32_t count;
    uint16_t masks[MEMBERS_MAX];
    struct position list[MEMBERS_MAX * POSITIONS_MAX];
};

/* What a record's mask means: bits beyond the candidates are ignored, and who names none (an older
 * version) has its first position. */
uint16_t positions_mask(uint32_t told);
/* This member has these positions from now on; 0: none. */
void positions_set(struct positions *positions, uint32_t member, const struct public_key *key,
                   uint16_t mask);
/* Place of the first position at or after the key; count > 0. */
uint32_t positions_place(const struct positions *positions, const struct id *key);

/* The members in ring order from a key on, each one once, where it comes first. */
struct positions_walk {
    const struct positions *positions;
    uint32_t place;
    uint32_t left;
    uint64_t seen[(MEMBERS_MAX + 63) / 64];
};
struct positions_walk positions_walk(const struct positions *positions, const struct id *key);
/* Index of the next member, or -1 (MEMBER_NONE). */
int positions_walk_next(struct positions_walk *walk);
