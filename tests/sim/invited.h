// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * An invitation for a few uses, which may be revoked: who is outside at the beginning joins by it.
 * Who knows that it is used up, or revoked, must let nobody in by it; whom parts of the community
 * have let in beyond its uses is void everywhere, by the same rule.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/keys.h"
#include "tests/sim/schedule.h"

struct world;
struct core_answer;
struct overlay_blob;

struct invited {
    struct secret_key key;
    uint64_t uses_max; /* 0: no such invitation */
    bool revoked;
    bool admitted[SIM_NODES_MAX]; /* by somebody, by this invitation */
    bool is_void[SIM_NODES_MAX];
};

/* Not where each knows a part only: uses are counted among those that are known. */
void invited_init(struct world *world);
/* Does it join by the invitation for a few? */
bool invited_is_guest(const struct world *world, uint32_t node);
void invited_revoke(struct world *world);
/* A node writes an admission to its disk: of a new guest, whoever has countersigned it. */
void invited_stored(struct world *world, uint32_t node, const struct overlay_blob *blob);
/* A volunteer is refused: for ever, when it is for the invitation. */
void invited_refused(struct world *world, uint32_t node, const struct core_answer *answer);
/* Does this member have to refuse whoever shows the invitation? */
bool invited_is_over(const struct world *world, uint32_t member);
/* Who is void, by its own word, is no member any more. */
void invited_tick(struct world *world);
/* No more than its uses are members anywhere, and a revocation that one knows all know? */
bool invited_is_heeded(struct world *world);
