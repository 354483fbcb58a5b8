// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/random.h"

#include <string.h>

#include "base/check.h"

/* splitmix64, as its authors advise for filling the state from a short seed. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void random_init(struct random *random, uint64_t seed, const char *purpose)
{
    uint64_t state = seed;

    for (; *purpose != '\0'; purpose++) {
        state = splitmix(&state) ^ (unsigned char)*purpose;
    }
    for (int i = 0; i < 4; i++) {
        random->state[i] = splitmix(&state);
    }
}

static uint64_t rotate_left(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    uint64_t unfair;
    uint64_t drawn;

    CHECK(limit > 0);
    unfair = (0 - limit) % limit; /* 2^64 mod limit: reject that many, the rest is uniform */
    do {
        drawn = random_u64(random);
    } while (drawn < unfair);
    return drawn % limit;
}

double random_unit(struct random *random)
{
    return (double)(random_u64(random) >> 11) * 0x1.0p-53;
}
