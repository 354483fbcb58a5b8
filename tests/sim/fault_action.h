// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What each kind of fault does when it begins and ends; one sparse table for each file of them. */
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/schedule.h"

struct world;

typedef void fault_function(struct world *world, const struct fault *fault, uint32_t node);

struct fault_action {
    fault_function *begin; /* NULL: not in this table */
    fault_function *end;   /* NULL: it ends by itself, or never */
    bool without_node;
    bool changes_nothing; /* in the world */
    bool splits;          /* keeps managers from hearing of each other */
    bool deceives;        /* honest nodes may tell untruths meanwhile ... */
    bool misleads;        /* ... and grant and hand over what is not theirs */
};

extern const struct fault_action fault_host_actions[FAULT_KIND_COUNT];
extern const struct fault_action fault_disk_actions[FAULT_KIND_COUNT];
extern const struct fault_action fault_network_actions[FAULT_KIND_COUNT];
extern const struct fault_action fault_liar_actions[FAULT_KIND_COUNT];
extern const struct fault_action fault_people_actions[FAULT_KIND_COUNT];

/* These end by themselves. */
void fault_end_nothing(struct world *world, const struct fault *fault, uint32_t node);

/* Of what one disk alone has its owner was told so: he takes care of it until others have it. */
bool fault_disk_is_kept(const struct world *world, uint32_t node);
/* A leaf that has lost all addresses can neither dial nor be dialled, until it joins anew. */
bool fault_is_cut_off(const struct world *world, uint32_t node);
