// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How long does this member usually stay away?
 *
 * A laptop that sleeps every night has its copies still, and moving them would cost its neighbours
 * their upload for nothing. A disk that is gone must be made up for. From outside both look alike at
 * first; what tells them apart is what the member has done before. So the last absences are
 * remembered, and a member counts as gone when it has been away for clearly longer than it usually
 * is: than the second longest of the last sixteen, which covers nights and, among them, weekends,
 * while one holiday is not taken for a habit.
 *
 * Who has not been known for long enough, or is away often, gets more time: the first weekend must
 * not look like a death. A week without a long absence says as much as a week with seven.
 *
 * Who was there for nine tenths of the time is steady; the time before the last week or so counts less
 * and less.
 *
 * Pure. Times are seconds of a clock that goes on over restarts (the caller's business); a clock
 * that was set back counts as no time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    HABIT_ABSENCES_MAX = 16,
    HABIT_BYTES = 1 + 3 * 8 + 2 * 4 + 2 + 2 * HABIT_ABSENCES_MAX, /* encoded */
    HABIT_SHORT_S = 5 * 60,        /* not remembered: a restart, an update */
    HABIT_KNOWN_S = 7 * 24 * 3600, /* until then a member is new ... */
    HABIT_STEADY_PERMILLE = 900,
    HABIT_JUDGED_S = 12 * 3600,       /* nobody is called unsteady before */
    HABIT_NEW_PATIENCE_S = 72 * 3600, /* ... and, like who is not steady, waited for */
    HABIT_PATIENCE_S_MIN = 2 * 3600,
    HABIT_PATIENCE_S_MAX = 14 * 24 * 3600,
};

struct habit {
    uint64_t known_s; /* since; 0: nothing is known */
    uint64_t away_s;  /* since; 0: it is here */
    uint64_t seen_s;  /* the shares are up to date */
    uint32_t here_share_s;
    uint32_t away_share_s;
    uint8_t count;
    uint8_t next;
    uint16_t absences_min[HABIT_ABSENCES_MAX]; /* a ring */
};

/* A member is seen; the first time begins its history. Returns whether an absence ended that is
 * remembered from now on. */
bool habit_here(struct habit *habit, uint64_t now_s);
/* It has just gone, or is still away. Returns whether that is news. */
bool habit_away(struct habit *habit, uint64_t now_s);
/* What happened since then was not seen. */
void habit_skip(struct habit *habit, uint64_t now_s);
/* Is it nearly always there? */
bool habit_is_steady(const struct habit *habit, uint64_t now_s);
/* How long it is waited for. */
uint64_t habit_patience_s(const struct habit *habit, uint64_t now_s);
/* Has it been away for longer? */
bool habit_is_gone(const struct habit *habit, uint64_t now_s);
/* For how long it has been away. */
uint64_t habit_away_for_s(const struct habit *habit, uint64_t now_s);

void habit_encode(const struct habit *habit, uint8_t bytes_out[HABIT_BYTES]);
/* Returns 0 or -EBADMSG. */
int habit_decode(struct bytes bytes, struct habit *habit_out);
