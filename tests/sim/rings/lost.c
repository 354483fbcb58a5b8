// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whom a host has lost: it rings them up for ever, in case it was the network, as often as the shipped
 * overlay does (scale_redial_ms). Once one is there again, both tell each other who is near them,
 * as nodes that were parted compare whom they know.
 */
#include <string.h>

#include "overlay/large/large.h"
#include "overlay/ring/ring_internal.h"
#include "tests/sim/rings/rings.h"

enum { COUNT_DECAY = 8 };

static struct lost *find(struct host *host, const struct ring_node *node)
{
    for (uint32_t i = 0; i < LOST_MAX; i++) {
        if (host->lost[i].is_used && ring_same(&host->lost[i].node, node)) {
            return &host->lost[i];
        }
    }
    return NULL;
}

bool lost_has(struct host *host, const struct ring_node *node)
{
    return find(host, node) != NULL;
}

void lost_note(struct host *host, const struct ring_node *node)
{
    if (!lost_has(host, node)) {
        host->lost[host->lost_next] = (struct lost){.is_used = true, .node = *node};
        host->lost_next = (host->lost_next + 1) % LOST_MAX;
    }
}

static void send_near(struct world *world, struct host *host, const struct ring_node *to)
{
    struct ring_payload near = {.has_list = true, .list_count = host->ring.successor_count};

    memcpy(near.list, host->ring.successors, sizeof(near.list));
    world_send(world, host, to, &(struct message){.kind = CONTACTS, .ring = &near});
}

static bool is_new(const struct host *host, const struct ring_node *node)
{
    struct ring_node known;

    return !ring_same(node, &host->node) && !neighbours_find(host, &node->node, &known);
}

/* News for this host is news for those beside it, as gossip about members is. */
void lost_on_near(struct world *world, struct host *host, const struct message *message)
{
    const struct ring *ring = &host->ring;
    bool is_news = false;

    for (uint32_t i = 0; i < message->ring->list_count; i++) {
        struct ring_event event = {.kind = RING_KNOWN, .node = message->ring->list[i]};

        if (is_new(host, &event.node)) {
            neighbours_step(world, host, &event, NULL);
            is_news = is_news || !is_new(host, &event.node);
        }
    }
    if (is_news && ring->predecessor_count > 0) {
        send_near(world, host, &ring->predecessors[0]);
    }
    if (is_news && ring->successor_count > 0) {
        send_near(world, host, &ring->successors[0]);
    }
}

static void ring_up_next(struct world *world, struct host *host)
{
    for (uint32_t i = 0; i < LOST_MAX; i++) {
        const struct lost *lost = &host->lost[(host->redial_next + i) % LOST_MAX];

        if (lost->is_used) {
            host->redial_next = (host->redial_next + i + 1) % LOST_MAX;
            neighbours_ping(world, host, &lost->node);
            return;
        }
    }
}

/* One of those that were lost is there: then the next one may be, too. */
void lost_hear(struct world *world, struct host *host, const struct ring_node *node)
{
    struct ring_event event = {.kind = RING_KNOWN, .node = *node};
    struct lost *lost = find(host, node);

    if (lost == NULL) {
        return;
    }
    lost->is_used = false;
    send_near(world, host, node);
    ring_up_next(world, host);
    neighbours_step(world, host, &event, NULL);
}

/* A list that has just lost one says little; the shipped overlay counts whom it knows as well. */
static uint32_t ring_count(struct host *host)
{
    uint32_t seen = scale_of_ring(&host->ring);

    host->ring_count = seen >= host->ring_count
                           ? seen
                           : host->ring_count - (host->ring_count - seen) / COUNT_DECAY;
    return host->ring_count;
}

void lost_redial(struct world *world, struct host *host)
{
    uint64_t wait_ms = scale_redial_ms(ring_count(host));
    bool is_due = world->now_ms >= host->redial_ms;

    if (!is_due && host->redial_ms <= world->now_ms + wait_ms / 2 + wait_ms) {
        return;
    }
    host->redial_ms = world->now_ms + wait_ms / 2 + random_below(&world->random_life, wait_ms);
    if (is_due) { /* else many were lost at once: it waits as one of fewer */
        ring_up_next(world, host);
    }
}
