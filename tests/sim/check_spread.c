// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/check_spread.h"

#include <stdlib.h>

#include "base/check.h"
#include "overlay/message.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/world.h"

enum {
    SPREADS_MAX = 64, /* under way at once; more are not looked at */
    OVER_MS = 3000,
    AROUND_MS = 2000,
    AGAIN_PART = 2,  /* links that were idle have just been closed; leaves have no relays yet */
    DEPTH_SPARE = 2, /* through a newcomer's sponsor; and parts are rounded */
};

struct spread {
    uint64_t begun_ms; /* 0: free */
    struct id origin;
    uint64_t number;
    uint32_t hops_max;
    uint32_t told_count;
    uint32_t again_count;       /* by who had told it before: it did not acknowledge in time */
    uint32_t by[SIM_NODES_MAX]; /* who told it first, and 1; 0: nobody */
    bool was_told_twice[SIM_NODES_MAX]; /* by another one, too */
};

struct spreads {
    struct spread list[SPREADS_MAX];
};

void spreads_init(struct world *world)
{
    world->spreads = calloc(1, sizeof(*world->spreads));
    CHECK(world->spreads != NULL);
}

void spreads_done(struct world *world)
{
    free(world->spreads);
}

/* The one that is under way, or a free place for it, or NULL. */
static struct spread *find(struct spreads *spreads, const minga_Broadcast *broadcast)
{
    struct id origin = message_id(broadcast->origin);
    struct spread *unused = NULL;

    for (uint32_t i = 0; i < SPREADS_MAX; i++) {
        struct spread *spread = &spreads->list[i];

        if (spread->begun_ms == 0) {
            unused = spread;
        } else if (spread->number == broadcast->number && id_equal(&spread->origin, &origin)) {
            return spread;
        }
    }
    return unused;
}

void spreads_message(struct world *world, uint32_t node, uint32_t to, struct bytes message)
{
    static minga_Message decoded;
    const minga_Broadcast *broadcast = &decoded.kind.broadcast;
    struct spread *spread;

    /* An expelled one is not listened to, and says it again. Who joins may speak before it is
     * answered. */
    if (world->client.members[node].membership == MEMBER_GONE ||
        message_decode(message, &decoded) != 0 ||
        decoded.which_kind != minga_Message_broadcast_tag ||
        broadcast->item.kind == minga_ItemKind_ITEM_DEATH) {
        return;
    }
    spread = find(world->spreads, broadcast);
    if (spread == NULL) {
        return;
    }
    if (spread->begun_ms == 0) {
        *spread = (struct spread){.begun_ms = world->now_ms,
                                  .origin = message_id(broadcast->origin),
                                  .number = broadcast->number};
    }
    spread->told_count++;
    if (spread->by[to] == node + 1) {
        spread->again_count++;
    } else if (spread->by[to] != 0) {
        spread->was_told_twice[to] = true;
    } else {
        spread->by[to] = node + 1;
    }
    if (broadcast->hops > spread->hops_max) {
        spread->hops_max = broadcast->hops;
    }
}

/* Everything arrives, and in time: nobody is given another one's part. */
static bool is_quiet(const struct world *world)
{
    const struct network *network = &world->network;

    return network->loss_permille == 0 && network->duplicate_permille == 0 &&
           network->reorder_permille == 0 && network->corrupt_permille == 0;
}

/* What an expelled one was given to tell others, they are told by another one, perhaps again. */
static bool has_expelled_a_teller(const struct world *world, const struct spread *spread)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        uint32_t by = spread->by[node];
        uint64_t expelled_ms = by == 0 ? 0 : world->client.members[by - 1].expelled_ms;

        if (expelled_ms != 0 && expelled_ms + AROUND_MS > spread->begun_ms) {
            return true;
        }
    }
    return false;
}

static bool was_quiet(struct world *world, uint64_t since_ms, const struct id *origin)
{
    if (!is_quiet(world) || check_ring_is_disturbed(world) || world_is_misled(world)) {
        return false;
    }
    for (uint32_t node = 0; node < world->node_count; node++) {
        const struct sim_node *looked_at = &world->nodes[node];

        /* Where not all know all, some may be told that ended long ago. */
        if ((looked_at->core != NULL && !overlay_knows_all(core_overlay(looked_at->core))) ||
            (looked_at->begun_ms + AROUND_MS > since_ms && !id_equal(&looked_at->id.id, origin)) ||
            looked_at->ended_ms + AROUND_MS > since_ms ||
            looked_at->stalled_until_ms + AROUND_MS > since_ms) {
            return false;
        }
    }
    return since_ms > AROUND_MS;
}

static uint32_t depth_of(uint32_t node_count)
{
    uint32_t depth = DEPTH_SPARE;

    while (node_count > 1) {
        node_count = (node_count + 1) / 2;
        depth++;
    }
    return depth;
}

static void judge(struct world *world, const struct spread *spread)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        /* Of one that did not acknowledge in time the part is given to others as well. */
        if (spread->was_told_twice[node] && spread->again_count == 0) {
            world_fail(world, "two told %s the same in one broadcast", world->nodes[node].name);
            return;
        }
    }
    if (spread->again_count > 1 + world->node_count / AGAIN_PART) {
        world_fail(world, "of %u messages of a broadcast %u were said again", spread->told_count,
                   spread->again_count);
        return;
    }
    if (spread->hops_max > depth_of(world->node_count)) {
        world_fail(world, "a broadcast went over %u others", spread->hops_max);
    }
}

void spreads_check(struct world *world)
{
    for (uint32_t i = 0; i < SPREADS_MAX; i++) {
        struct spread *spread = &world->spreads->list[i];

        if (spread->begun_ms == 0 || world->now_ms < spread->begun_ms + OVER_MS) {
            continue;
        }
        if (was_quiet(world, spread->begun_ms, &spread->origin) &&
            !has_expelled_a_teller(world, spread)) {
            judge(world, spread);
        }
        spread->begun_ms = 0;
    }
}
