// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A member that lies. Its core is the shipped one and honest; its mouth and ears are not: what it
 * sends and what reaches it is changed, kept back, made up. It has its own key and no other's, so
 * that what others have signed it can withhold or say again, but not forge.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct packet;
struct world;

enum { LIAR_KEPT_MAX = 32 };

struct liar_memory { /* a message that it has sent or received */
    uint32_t length_bytes;
    uint8_t *bytes;
};

struct liar {
    uint32_t lie_permille;
    uint32_t ring_permille;
    uint32_t withhold_permille;
    uint32_t alter_permille;
    uint32_t replay_permille;
    bool claims_all; /* answers for every key */
    uint64_t number; /* of what it has sent: for random draws */
    uint32_t kept_count;
    struct liar_memory kept[LIAR_KEPT_MAX];
};

/* NULL is fine. */
void liar_free(struct liar *liar);
/* The node's liar, made when there is none. */
struct liar *liar_of(struct world *world, uint32_t node);
/* What goes on the wire instead: the packet, changed or not, or NULL. Takes the packet. */
struct packet *liar_sends(struct world *world, uint32_t node, struct packet *packet);
/* True: dealt with, its core does not see it. */
bool liar_receives(struct world *world, uint32_t node, const struct packet *packet);
/* Tells everyone that it has a link with that `victim` has died. */
void liar_tells_death(struct world *world, uint32_t node, uint32_t victim);
/* The same of an expulsion, which it has signed itself. */
void liar_expels(struct world *world, uint32_t node, uint32_t victim);
