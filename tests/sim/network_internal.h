// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What network.c (links) and packets.c (messages under way) call each other for. */
#include "tests/sim/network.h"
#include "tests/sim/world.h"

enum { TO_TARGET = 0, TO_DIALLER = 1 };

static inline struct link *link_of(struct world *world, uint32_t dialler, uint32_t target)
{
    return &world->network.links[(size_t)dialler * world->network.node_count + target];
}

static inline uint64_t pair_number(uint32_t from, uint32_t to)
{
    return (uint64_t)from << 16 | to;
}

/* The edge's number of an inbound link: says which pair and which connection of it. */
static inline uint64_t link_number(uint32_t dialler, uint32_t target, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)dialler << 16 | target;
}

static inline uint32_t packet_from(const struct packet *packet)
{
    return packet->to_dialler ? packet->target : packet->dialler;
}

static inline uint32_t packet_to(const struct packet *packet)
{
    return packet->to_dialler ? packet->dialler : packet->target;
}

/* --- packets.c */
void packets_add(struct packet_list *list, struct packet *packet);
struct packet *packets_take(struct packet_list *list);
void packets_drop(struct packet_list *list);
uint64_t packets_delay_ms(struct world *world, uint32_t from, uint32_t to, uint64_t number);
/* Until when nothing arrives from one at the other; a moment in the past: it flows. */
uint64_t packets_clogged_until_ms(const struct world *world, uint32_t from, uint32_t to);
/* Takes the packet. */
void packets_send(struct world *world, struct link *link, struct packet *packet);
/* Something about the reachability of nodes has changed: move what is caught. */
void packets_release(struct world *world, struct link *link, int direction);

/* --- network.c */
/* The dialler hears of it after so long, and dials again by itself. */
void link_break(struct world *world, uint32_t dialler, uint32_t target, uint64_t delay_ms);
