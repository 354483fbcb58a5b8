// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Seeded randomness for protocol decisions (never for keys: see keys.h).
 *
 * A stream is keyed by a seed and a purpose: streams of different purposes are independent, so
 * that drawing more from one does not change the others. xoshiro256** (Blackman, Vigna).
 */
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_init(struct random *random, uint64_t seed, const char *purpose);
uint64_t random_u64(struct random *random);
/* Uniform in [0, limit); limit > 0. */
uint64_t random_below(struct random *random, uint64_t limit);
/* Uniform in [0, 1). */
double random_unit(struct random *random);
