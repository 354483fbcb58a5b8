// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* When a TCP connection counts as dead: the kernel asks after a silence (tcp(7)). */

struct keep_alive {
    int silence_s;         /* then the kernel asks ... */
    int every_s;           /* ... so often ... */
    int count;             /* ... and so many times without an answer */
    int unacknowledged_ms; /* what was sent, not taken for so long; 0: as the kernel does */
};

/* Also has each write sent at once. What the kernel refuses is left as it is. */
void keep_alive_set(int fd, const struct keep_alive *wanted);
