// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * When is another digest of a member a reason to compare? For overlay/ only; comes with state.h.
 *
 * While news is under way digests differ, and soon agree again: comparing then costs more messages
 * than the news itself (thirty that join at once). So a difference is looked into when no news has
 * come for NEWS_MS, and else once in DIFFER_MS_MAX; the last one that was not, as soon as it is quiet.
 */
#include "overlay/state.h"

/* The member shows another digest than ours. */
void digests_differ(struct overlay *overlay, int index);
/* At the end of each step: has it brought news? */
void digests_note(struct overlay *overlay);
void digests_tick(struct overlay *overlay);
uint64_t digests_wake(const struct overlay *overlay);
