// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * States that a search has come to, as hashes of 64 bits, each with the steps that were left there, and
 * its sleep set (Godefroid, "Partial-Order Methods", 1996): ways that need not be taken from it, since
 * where they lead has been, or will be, come to by another order of the same steps. States come to
 * again are left out unless more steps are left, or other ways sleep.
 */
#include <stddef.h>
#include <stdint.h>

enum { SEEN_WAYS_MAX = 58, SEEN_LEFT_MAX = 63 };

struct seen {
    uint64_t count;
    uint64_t slot_count; /* a power of two */
    uint64_t slot_count_max;
    struct seen_slot *slots;
};

/* Grows up to so many bytes; what comes then is not remembered. */
void seen_init(struct seen *seen, size_t bytes_max);
void seen_done(struct seen *seen);
void seen_empty(struct seen *seen);

/* Which ways are to be taken, those in `sleep` not: narrowed down to what sleeps at each visit. */
uint64_t seen_visit(struct seen *seen, uint64_t hash, uint32_t left, uint64_t *sleep);
/* Depends on the set of states alone. */
uint64_t seen_digest(const struct seen *seen);
