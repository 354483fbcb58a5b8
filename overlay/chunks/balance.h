// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which of its positions should a member use, so that all store what they should?
 *
 * A member is at home for the keys behind each of its positions, back to where CHUNK_COPIES others come
 * first. So everybody's share follows from the positions in use, and chunks are spread evenly, for
 * their names are hashes. Each member looks at what it could change itself: give up a position, take
 * one more, or exchange one for another of its candidates, which is what lets small members fit. It
 * knows what that does to those before and behind it, and picks what helps most those who store too
 * much for what they give; what moves for it counts against it. Where nobody stores clearly too
 * much nothing is changed.
 *
 * One that gives much less than before must not push its excess on to neighbours who then store too
 * much themselves and hand it on again. So an excess that is only passed on gains nothing, however
 * large it was; only what comes to those with room does. One that is left with far too much all the
 * same counts every excess squared, and so does everybody when nothing has changed for long.
 *
 * While nothing is stored a change costs nothing: then every excess counts squared, and from much less
 * on, so that what is pushed next finds all members where they should be.
 *
 * Shares are parts of the ring; BALANCE_ONE is all of it: one copy of every chunk. Loads are shares
 * too: what a member really stores, of all that is stored once. They differ by chance, and by what
 * was full or asleep.
 *
 * Pure.
 */
#include "overlay/chunks/positions.h"

#define BALANCE_ONE ((uint64_t)1 << 32)

enum {
    BALANCE_HIGH_PERMILLE = 1100,  /* of the fair share; above, each permille counts, squared ... */
    BALANCE_KNEE_PERMILLE = 50,    /* ... and beyond so many more as much as the last of these */
    BALANCE_MUCH_PERMILLE = 1200,  /* nobody is to store so much: counts besides, */
    BALANCE_MUCH_WEIGHT = 20000,   /* by this */
    BALANCE_LOW_PERMILLE = 500,    /* below, permille count squared, too, though less */
    BALANCE_GAIN = 2500,           /* less is not worth a change: 50 permille of one, squared */
    BALANCE_MOVED_WEIGHT = 80,     /* for each permille of a fair share that moves ... */
    BALANCE_STUCK_PERMILLE = 1250, /* somebody still stores so much when nothing changes any more */
    BALANCE_EAGER_WEIGHT = 20,     /* ... where one that stores far too much finds nothing better */
    BALANCE_FREE_PERMILLE = 1050,  /* as BALANCE_HIGH_PERMILLE, and ... */
    BALANCE_FREE_GAIN = 400,       /* ... as BALANCE_GAIN, while nothing is stored */
    BALANCE_USUAL = 4,             /* positions of a member that gives what the others give */
};

enum balance_mood {
    BALANCE_GENTLE,
    BALANCE_CALM, /* nobody has changed any position for long */
    BALANCE_FREE, /* nothing is stored */
};

struct balance_member {
    bool counts;       /* is a home, or would be */
    uint64_t capacity; /* in any unit, one for all */
    uint64_t load;
    uint64_t fair;
};

/* All members by their index in the membership; the caller's to keep. */
struct balance {
    const struct positions *positions;
    struct balance_member members[MEMBERS_MAX];
};

struct balance_change {
    uint16_t used;
    uint64_t moved; /* share of chunks that get another home */
    uint64_t gain;
};

/* The shares that the positions give to those who count. */
void balance_shares(const struct balance *balance, uint64_t shares_out[MEMBERS_MAX]);
/* Fills `fair` of those who count: after what they give, and at most everything once. */
void balance_be_fair(struct balance *balance);
/* The best change of one member's positions. False: none is worth it. */
bool balance_decide(const struct balance *balance, uint32_t member, const struct public_key *key,
                    enum balance_mood mood, struct balance_change *change_out);
/* The next step back to the first position alone, that which moves least. False: it is there. */
bool balance_withdraw(const struct balance *balance, uint32_t member, const struct public_key *key,
                      struct balance_change *change_out);
/* How many positions a member begins with. */
uint32_t balance_count(const struct balance *balance, uint32_t member);
