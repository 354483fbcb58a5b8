// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_news.h"

#include <inttypes.h>

#include "overlay/message.h"
#include "tests/sim/check_alarm.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/converge.h"
#include "tests/sim/inspect.h"
#include "tests/sim/world.h"

enum {
    LOOK_EVERY_MS = 300,
    AROUND_MS = 8000,
    EXPULSION_KNOWN_MS = 700, /* sooner than comparisons would bring it ... */
    EXPULSION_WAYS = 10,      /* ... and on links that are built for it */
    MEMBER_KNOWN_MS = 4000,
};

/* Nobody else began or ended around it: those who passed it on were there. */
static bool was_calm(const struct world *world, uint32_t subject, uint64_t then_ms)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *other = &world->nodes[node];

        if (node != subject &&
            (other->begun_ms + AROUND_MS > then_ms || other->ended_ms + AROUND_MS > then_ms ||
             world->now_ms < other->stalled_until_ms + AROUND_MS)) {
            return false;
        }
    }
    return then_ms > AROUND_MS;
}

static void look_for_expelled(struct world *world, uint32_t gone)
{
    uint64_t expelled_ms = world->client.members[gone].expelled_ms;
    uint64_t known_ms = EXPULSION_KNOWN_MS + EXPULSION_WAYS * world->schedule.latency_ms;

    if (expelled_ms == 0 || world->now_ms <= expelled_ms + known_ms ||
        !was_calm(world, gone, expelled_ms)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (check_alarm_is_settled(world, node) &&
            !inspect_bans(core_overlay(world->nodes[node].core), &world->nodes[gone].own_id.id)) {
            world_fail(world, "%s has not heard for %" PRIu64 " ms that %s was expelled",
                       world->nodes[node].name, known_ms, world->nodes[gone].name);
        }
    }
}

/* Who knows of it passes nothing on any more. */
static void look_for_relays(struct world *world, uint32_t gone)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *relay = &world->nodes[node];

        if (relay->core != NULL && world->client.members[gone].expelled_ms != 0 &&
            relays_pass_on(world, node, gone) &&
            inspect_bans(core_overlay(relay->core), &world->nodes[gone].own_id.id)) {
            world_fail(world, "%s passes on for %s, which it knows to be expelled", relay->name,
                       world->nodes[gone].name);
        }
    }
}

static bool sees_up(const struct world *world, uint32_t node, uint32_t other)
{
    const struct overlay_member *member =
        overlay_member_by_id(core_overlay(world->nodes[node].core), &world->nodes[other].own_id);

    return member != NULL && (member->state == MEMBER_UP || member->state == MEMBER_SUSPECT);
}

/* Leaves first look for relays, and are told over them. */
static void look_for_member(struct world *world, uint32_t subject, uint64_t then_ms, bool is_in)
{
    if (then_ms == 0 || world->now_ms <= then_ms + MEMBER_KNOWN_MS ||
        world->nodes[subject].is_leaf || world->nodes[subject].is_clone ||
        (is_in && (world->nodes[subject].core == NULL ||
                   world->nodes[subject].begun_ms + AROUND_MS > then_ms)) ||
        !was_calm(world, subject, then_ms)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        if (node != subject && check_alarm_is_settled(world, node) && !world->nodes[node].is_leaf &&
            overlay_knows_all(core_overlay(world->nodes[node].core)) &&
            sees_up(world, node, subject) != is_in) {
            world_fail(world, "%s has not heard for %d ms that %s has %s", world->nodes[node].name,
                       MEMBER_KNOWN_MS, world->nodes[subject].name, is_in ? "come" : "left");
        }
    }
}

void check_news(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        look_for_relays(world, node);
    }
    if (world->now_ms % LOOK_EVERY_MS != 0 || check_ring_is_disturbed(world)) {
        return;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct client_member *member = &world->client.members[node];

        look_for_expelled(world, node);
        if (client_is_member(world, node)) {
            look_for_member(world, node, member->joined_ms, true);
        } else {
            look_for_member(world, node, member->left_ms, false);
        }
    }
}

static bool is_refusal(pb_size_t kind)
{
    return kind == minga_Message_refused_tag || kind == minga_Message_item_tag ||
           kind == minga_Message_join_reply_tag || kind == minga_Message_busy_tag ||
           kind == minga_Message_acknowledged_tag; /* that it said so itself */
}

void check_news_message(struct world *world, uint32_t node, uint32_t to, struct bytes message)
{
    static minga_Message decoded;

    if (world->client.members[to].expelled_ms == 0 || world->nodes[to].is_clone ||
        !inspect_bans(core_overlay(world->nodes[node].core), &world->nodes[to].own_id.id) ||
        message_decode(message, &decoded) != 0 || is_refusal(decoded.which_kind)) {
        return;
    }
    world_fail(world, "%s says something (%u) to %s, which it knows to be expelled",
               world->nodes[node].name, (unsigned)decoded.which_kind, world->nodes[to].name);
}
