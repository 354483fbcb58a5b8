// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The line of the owner's machine, divided among what the community uses it for here: chunks, the
 * replicas, and what is passed on for members whom nobody can dial.
 *
 * Pure. All together never have more than the limit of that way: what is configured, or less where
 * a rule acts (policy/rules.h). Who is held back gets what others leave (base/shares.h); when nobody
 * is, the replicas do.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/shares.h"

enum owner_way { OWNER_UP, OWNER_DOWN, OWNER_WAYS };
enum owner_user { OWNER_CHUNKS, OWNER_REPLICAS, OWNER_RELAYED, OWNER_USERS };

enum { OWNER_LINE_STEP_DIVISOR = 32 }; /* of the limit: smaller changes are not worth telling */

struct owner_line {                                      /* zeroed: no limit */
    uint64_t limit_bytes_per_s[OWNER_WAYS];              /* 0: none, here and below */
    uint64_t given_bytes_per_s[OWNER_WAYS][OWNER_USERS]; /* as told */
};

struct owner_line_report {
    uint64_t limit_bytes_per_s[OWNER_WAYS];
    struct share shares[OWNER_WAYS][OWNER_USERS]; /* what was used lately */
};

/* 0 is no limit in what is configured, OWNER_NO_LIMIT (or 0: not known yet) in what is allowed. */
uint64_t owner_line_limit(uint64_t configured_bytes_per_s, uint64_t allowed_bytes_per_s);
/*
 * Divides anew by what each user used lately (used and wants_more are filled in); true when what is
 * given is to be told: all of it, or together they would have more.
 */
bool owner_line_divide(struct owner_line *line, const uint64_t limit_bytes_per_s[OWNER_WAYS],
                       const struct share uses[OWNER_WAYS][OWNER_USERS]);
