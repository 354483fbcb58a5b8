// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Somebody who has no right to asks to be let in; nobody must. */
#include <stdint.h>

struct world;
struct pending;
struct core_answer;

enum { INTRUDER_SERVICE = 400 /* of a pending request: it is an intruder's */ };

/* A node outside tries with papers that have a flaw (numbered as in docs/simulator.md), one that was expelled with good ones: its disk
 * is empty. Others do nothing. */
void intruder_tries(struct world *world, uint32_t node, uint64_t number);
void intruder_answered(struct world *world, const struct pending *pending,
                       const struct core_answer *answer);
