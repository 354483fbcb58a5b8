// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * When a TCP connection counts as dead (tcp(7)).
 *
 * An idle one is asked. Of one with bytes under way the kernel knows only TCP_USER_TIMEOUT, which
 * also ends a peer that has no room at the moment and answers every question: a download that
 * somebody has paused. So who wants to know sooner than the kernel (15 minutes) asks from time to
 * time how long nothing was answered.
 */
#include <stdint.h>

struct keep_alive {
    int silence_s; /* then the kernel asks ... */
    int every_s;   /* ... so often ... */
    int count;     /* ... and so many times without an answer */
};

/* Also has each write sent at once. What the kernel refuses is left as it is. */
void keep_alive_set(int fd, const struct keep_alive *wanted);

struct keep_alive_state {
    uint32_t unanswered_count; /* segments on their way, not acknowledged */
    uint32_t heard_ago_ms;     /* the last acknowledgement, of anything */
};

/*
 * For how long has the peer answered nothing of what it should? Asked from time to time: counts from
 * the first time that something was under way. `since_ms`: between the calls, 0 at first.
 */
uint64_t keep_alive_unanswered_ms(const struct keep_alive_state *state, uint64_t now_ms,
                                  uint64_t *since_ms);
/* The same, of a socket. */
uint64_t keep_alive_look_ms(int fd, uint64_t now_ms, uint64_t *since_ms);
