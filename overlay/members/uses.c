// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/members/uses.h"

/* Members admitted by one invitation count in order of admission, then of node id, so that all
 * sides of a healed partition agree on who came too late. */
static bool admitted_before(const struct member *member, const struct use *use)
{
    if (member->view.since_unix_s != use->since_unix_s) {
        return member->view.since_unix_s < use->since_unix_s;
    }
    return id_compare(&member->view.node.id, &use->node.id) < 0;
}

/* The expelled take no use up: whom a member has invented keeps nobody out when it is found out. */
static bool takes_use_before(const struct member *member, const struct use *use)
{
    return !member->is_expelled && keys_equal(&member->invitation, &use->invitation) &&
           admitted_before(member, use);
}

bool uses_are_up(const struct membership *membership, const struct use *use, uint32_t uses_max)
{
    uint32_t before_count = 0;

    for (uint32_t i = 0; i < membership->count && uses_max > 0; i++) {
        before_count += takes_use_before(&membership->list[i], use);
    }
    return uses_max > 0 && before_count >= uses_max;
}

static struct use use_of(const struct member *member)
{
    return (struct use){member->invitation, member->view.since_unix_s, member->view.node};
}

void uses_recount(struct membership *membership, const struct public_key *invitation,
                  uint32_t uses_max)
{
    for (uint32_t i = 0; i < membership->count && uses_max > 0; i++) {
        struct member *member = &membership->list[i];
        struct use use = use_of(member);

        if (keys_equal(&member->invitation, invitation)) {
            member->is_void = uses_are_up(membership, &use, uses_max);
        }
    }
}

uint32_t membership_uses(const struct membership *membership, const struct public_key *invitation)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < membership->count; i++) {
        count += keys_equal(&membership->list[i].invitation, invitation);
    }
    return count;
}

uint32_t membership_let_in_before(const struct membership *membership, int index, uint32_t max,
                                  uint16_t *indexes_out)
{
    struct use use = use_of(&membership->list[index]);
    uint32_t count = 0;

    for (uint32_t i = 0; i < membership->count && count < max; i++) {
        if (takes_use_before(&membership->list[i], &use)) {
            indexes_out[count++] = (uint16_t)i;
        }
    }
    return count;
}

bool membership_has_let_in(const struct membership *membership, int index)
{
    const struct public_key *key = &membership->list[index].view.key;

    for (uint32_t i = 0; i < membership->count; i++) {
        if (keys_equal(&membership->list[i].countersigner, key)) {
            return true;
        }
    }
    return false;
}
