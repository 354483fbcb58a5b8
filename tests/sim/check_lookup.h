// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A lookup is answered rightly: whom it names was responsible for the key at some instant between
 * the question and the answer. Random keys are looked up from random nodes all the time.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "tests/sim/schedule.h"

struct world;
struct pending;
struct core_answer;

enum {
    LOOKUPS_MAX = 64,
    LOOKUP_SERVICE = 1000, /* of a pending request: from here on it is a lookup of this file */
};

struct lookup_check {
    bool used;
    struct ring_key key;
    bool was_responsible[SIM_NODES_MAX];
};

/* Asks now and then; call every 100 ms. */
void check_lookup_tick(struct world *world);
/* After each step: responsibility begins only with a step. */
void check_lookup_step(struct world *world, uint32_t node);
void check_lookup_answered(struct world *world, const struct pending *pending,
                           const struct core_answer *answer);
/* The asked node is gone. */
void check_lookup_dropped(struct world *world, const struct pending *pending);
