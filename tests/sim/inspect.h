// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What only the inside of an overlay tells. */
#include <stdbool.h>
#include <stdint.h>

#include "overlay/overlay.h"

/* Has it joined the ring (Zave's "member")? */
bool inspect_in_ring(const struct overlay *overlay);
/* What it may answer for, and for how long; and whose arc comes before its own. In ms from now. */
struct inspect_lease {
    uint64_t lease_ms;     /* 0: none, or that of a node alone */
    struct node_id keeper; /* who has granted it */
    bool has_before;
    struct node_id before;
    uint64_t grant_ms; /* it takes nothing over from that one sooner */
};
void inspect_lease(const struct overlay *overlay, uint64_t now_ms, struct inspect_lease *lease_out);
/* The epoch in which it answers. */
uint64_t inspect_arc_epoch(const struct overlay *overlay);
/* Does it know that the node was expelled? */
bool inspect_bans(const struct overlay *overlay, const struct id *node);
/* Does it know that the invitation of this key was revoked, and how many it has let in? */
bool inspect_revoked(const struct overlay *overlay, const struct public_key *invitation);
uint32_t inspect_uses(const struct overlay *overlay, const struct public_key *invitation);
/* How many of these count as members, up or not? */
uint32_t inspect_let_in(const struct overlay *overlay, const struct public_key *invitation);
/* Does it take itself for one that was let in beyond an invitation's uses? */
bool inspect_is_void(const struct overlay *overlay);
/* May it grant leases, as of its last step? */
bool inspect_grants(const struct overlay *overlay);
enum { INSPECT_TABLES = 7 };
extern const char *const inspect_table_names[INSPECT_TABLES];
/* Which tables are full now: bit i of inspect_table_names[i]. */
uint32_t inspect_full(const struct overlay *overlay);
/*
 * All tables and queues within their limits, and nothing in them that is forgotten? NULL, or what
 * is wrong. `now_ms` in the node's time; 0: it had no time lately, deadlines do not count.
 */
const char *inspect_tables(const struct overlay *overlay, uint64_t now_ms);
