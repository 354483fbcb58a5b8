// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Looks at this machine for the owner's rules, every few seconds, and only for what they ask:
 * without rules nothing is looked at. What is new goes to the core as CORE_SENSED.
 */
#include "agent/mingad/edge.h"

struct senses;

/* `root`: where /proc, /sys and /dev are (tests bring their own); NULL: the machine's. */
struct senses *senses_new(struct edge *edge, const char *root);
/* The rules may be other ones now: looks at once. */
void senses_rules(struct senses *senses);
/* The helper, which sees all, has answered. */
void senses_programs(struct senses *senses, const struct sandbox_programs *running);
/* The loop runs on until job and handle are done, then free. */
void senses_close(struct senses *senses);
void senses_free(struct senses *senses);
