// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Uses of an invitation with a limit: who came too late is void. A function of the members and the
 * expulsions that are known alone, whatever came first. Pure.
 */
#include "overlay/members/membership.h"

struct use { /* of an invitation */
    struct public_key invitation;
    uint64_t since_unix_s;
    struct node_id node;
};

/* Were the invitation's uses taken by others before this one? Never with `uses_max` 0. */
bool uses_are_up(const struct membership *membership, const struct use *use, uint32_t uses_max);
/* Weighs all whom the invitation has let in. */
void uses_recount(struct membership *membership, const struct public_key *invitation,
                  uint32_t uses_max);
