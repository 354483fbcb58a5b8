// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Nodes that nobody can dial, as those behind home routers: what they say they dialled themselves, or
 * it comes through a relay that they have opened a connection to.
 */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/overlay.h"

struct world;

enum { SIM_RELAYED_MAX = 64, SIM_TUNNELS_MAX = 4, SIM_RELAYS_WANTED = 2 };

struct sim_relayed { /* at the relay: a leaf's ports here */
    bool used;
    uint32_t leaf;
    uint16_t port;
};

struct sim_tunnel { /* at the leaf: a connection to a relay's door */
    bool used;
    bool is_up;
    uint32_t relay;
    uint32_t number; /* the last one counts */
};

struct sim_relays {
    struct sim_relayed relayed[SIM_RELAYED_MAX];
    struct sim_tunnel tunnels[SIM_TUNNELS_MAX];
};

/* Perform OVERLAY_DIAL_BACK, OVERLAY_RELAY, OVERLAY_RELAYED. */
void relays_dial_back(struct world *world, uint32_t node, const struct overlay_effect *effect);
void relays_relay(struct world *world, uint32_t node, const struct overlay_effect *effect);
void relays_relayed(struct world *world, uint32_t node, const struct overlay_effect *effect);
void relays_process_ended(struct world *world, uint32_t node, bool powered);

/* Is each leaf reached through two, where so many want to? And is what relays keep for leaves used? */
bool relays_are_enough(struct world *world);
bool relays_are_used(struct world *world);
/* Has the leaf a port there? */
bool relays_pass_on(const struct world *world, uint32_t relay, uint32_t leaf);

/* Whom does the address lead to? node_count: nobody. `via_out`: through this relay, or node_count. */
uint32_t relays_find(const struct world *world, const char *address, uint32_t *via_out);
/* Can the dialler open a connection to the target that way? (Whether bytes flow is another thing.) */
bool relays_lead(const struct world *world, uint32_t target, uint32_t via);
