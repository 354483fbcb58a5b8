// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/invited.h"

#include <inttypes.h>
#include <string.h>

#include "overlay/members/admission.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect.h"
#include "tests/sim/papers.h"
#include "tests/sim/world.h"

void invited_init(struct world *world)
{
    struct invited *invited = &world->client.invited;
    uint64_t known_max = world->schedule.full_members;

    client_make_key(world, "limited invitation key", 0, &invited->key);
    if (known_max == 0 || known_max > FULL_MEMBERS_MAX) {
        known_max = FULL_MEMBERS_MAX;
    }
    invited->uses_max = world->node_count <= known_max ? world->schedule.uses : 0;
}

bool invited_is_guest(const struct world *world, uint32_t node)
{
    return world->client.invited.uses_max != 0 && node >= world->schedule.members;
}

void invited_revoke(struct world *world)
{
    struct core_request request = {.kind = CORE_REVOKE};
    uint32_t member = client_choose(world, 3000, world->now_ms);
    struct papers papers;

    if (world->client.invited.uses_max == 0 || member == world->node_count) {
        return;
    }
    papers_revocation(world, &papers);
    request.signed_bytes = (struct bytes){papers.signed_bytes, papers.signed_length_bytes};
    if (client_request(world, member, &request, SIM_SERVICES_MAX)) {
        world->client.invited.revoked = true;
    }
}

static uint64_t count_admitted(const struct world *world)
{
    uint64_t count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        count += world->client.invited.admitted[node] ? 1 : 0;
    }
    return count;
}

void invited_stored(struct world *world, uint32_t node, const struct overlay_blob *blob)
{
    struct invited *invited = &world->client.invited;
    struct public_key key = keys_public(&invited->key);
    struct public_key community = keys_public(&world->client.community);
    struct sim_node *by = &world->nodes[node];
    struct admission admission;
    uint32_t guest;

    if (invited->uses_max == 0 || admission_open(blob->bytes, &community, &admission) < 0 ||
        !admission.has_invitation || !keys_equal(&admission.invitation_key, &key)) {
        return;
    }
    guest = world_find(world, &admission.node);
    if (guest == world->node_count || invited->admitted[guest]) {
        return;
    }
    invited->admitted[guest] = true;
    world_trace(world, "==== %s lets %s in, use %" PRIu64 " of %" PRIu64, by->name,
                world->nodes[guest].name, count_admitted(world), invited->uses_max);
    if (inspect_revoked(core_overlay(by->core), &key)) {
        world_fail(world, "%s lets %s in by an invitation that it knows to be revoked", by->name,
                   world->nodes[guest].name);
    }
    if (inspect_uses(core_overlay(by->core), &key) > invited->uses_max) {
        world_fail(world, "%s lets %s in by an invitation that it knows to be used up", by->name,
                   world->nodes[guest].name);
    }
}

void invited_refused(struct world *world, uint32_t node, const struct core_answer *answer)
{
    const struct invited *invited = &world->client.invited;
    bool is_used_up = strstr(answer->reason, "used up") != NULL;
    bool is_revoked = strstr(answer->reason, "was revoked") != NULL;

    if (!is_used_up && !is_revoked) {
        return;
    }
    if (!world_is_deceived(world) &&
        (!invited_is_guest(world, node) || (is_revoked && !invited->revoked) ||
         (is_used_up && count_admitted(world) < invited->uses_max))) {
        world_fail(world, "%s is refused, and has a right to be let in: %s",
                   world->nodes[node].name, answer->reason);
        return;
    }
    world->client.members[node].membership = MEMBER_OUTSIDE;
}

bool invited_is_over(const struct world *world, uint32_t member)
{
    const struct invited *invited = &world->client.invited;
    const struct overlay *overlay = core_overlay(world->nodes[member].core);
    struct public_key key = keys_public(&invited->key);

    return invited->uses_max != 0 &&
           (inspect_revoked(overlay, &key) || inspect_uses(overlay, &key) >= invited->uses_max);
}

void invited_tick(struct world *world)
{
    struct invited *invited = &world->client.invited;

    for (uint32_t node = world->schedule.members;
         node < world->node_count && invited->uses_max != 0; node++) {
        struct client_member *member = &world->client.members[node];
        enum client_membership now = invited->is_void[node] ? MEMBER_GONE : MEMBER_JOINED;

        if (member->membership != now || world->nodes[node].core == NULL ||
            inspect_is_void(core_overlay(world->nodes[node].core)) == invited->is_void[node]) {
            continue;
        }
        invited->is_void[node] = !invited->is_void[node];
        member->membership = invited->is_void[node] ? MEMBER_GONE : MEMBER_JOINED;
        world_trace(world, "==== %s is %s beyond the invitation's uses", world->nodes[node].name,
                    invited->is_void[node] ? "void," : "not");
        checker_changed(world);
    }
}

bool invited_is_heeded(struct world *world)
{
    const struct invited *invited = &world->client.invited;
    struct public_key key = keys_public(&invited->key);
    const char *knows = NULL;
    const char *knows_not = NULL;

    for (uint32_t node = 0; node < world->node_count && invited->uses_max != 0; node++) {
        const struct sim_node *looked_at = &world->nodes[node];

        if (!converge_takes_part(world, node)) {
            continue;
        }
        if (inspect_let_in(core_overlay(looked_at->core), &key) > invited->uses_max) {
            return converge_problem(world, "%s has more members by an invitation than its uses",
                                    looked_at->name);
        }
        if (inspect_revoked(core_overlay(looked_at->core), &key)) {
            knows = looked_at->name;
        } else {
            knows_not = looked_at->name;
        }
    }
    return knows == NULL || knows_not == NULL ||
           converge_problem(world, "%s knows that an invitation was revoked, %s does not", knows,
                            knows_not);
}
