// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/carried.h"
#include "tests/sim/check_news.h"
#include "tests/sim/check_replicas.h"
#include "tests/sim/check_ring.h"
#include "tests/sim/check_spread.h"
#include "tests/sim/liar.h"
#include "tests/sim/network_internal.h"

void network_init(struct network *network, uint32_t node_count)
{
    size_t pair_count = (size_t)node_count * node_count;

    *network = (struct network){.node_count = node_count};
    network_high_water(network, 0);
    network->links = calloc(pair_count, sizeof(*network->links));
    network->blocked_counts = calloc(pair_count, 1);
    network->clogged_until_ms = calloc(pair_count, sizeof(*network->clogged_until_ms));
    CHECK(network->links != NULL && network->blocked_counts != NULL &&
          network->clogged_until_ms != NULL);
}

static void link_drop(struct link *link)
{
    packets_drop(&link->waiting);
    packets_drop(&link->caught[TO_TARGET]);
    packets_drop(&link->caught[TO_DIALLER]);
}

void network_done(struct network *network)
{
    for (size_t i = 0; i < (size_t)network->node_count * network->node_count; i++) {
        link_drop(&network->links[i]);
    }
    free(network->links);
    free(network->blocked_counts);
    free(network->clogged_until_ms);
}

bool network_open(const struct world *world, uint32_t from, uint32_t to)
{
    const struct network *network = &world->network;

    return world->nodes[from].cut_count == 0 && world->nodes[to].cut_count == 0 &&
           world->nodes[from].powered && world->nodes[to].powered &&
           network->blocked_counts[(size_t)from * network->node_count + to] == 0;
}

bool network_flows(const struct world *world, uint32_t from, uint32_t to)
{
    return network_open(world, from, to) &&
           world->now_ms >= packets_clogged_until_ms(world, from, to);
}

void network_high_water(struct network *network, uint32_t count)
{
    network->queued_max = count != 0 ? count : LINK_QUEUE_COUNT_MAX;
    network->under_way_max = count != 0 ? count : LINK_UNDER_WAY_MAX;
}

void network_clog(struct world *world, uint32_t from, uint32_t to, uint64_t until_ms)
{
    uint64_t *clogged_until_ms =
        &world->network.clogged_until_ms[(size_t)from * world->network.node_count + to];

    if (*clogged_until_ms < until_ms) {
        *clogged_until_ms = until_ms;
    }
}

/* ------------------------------------------------------------------ losing a link */

/* News of a link: which one, of which socket, and was it refused? */
static uint64_t news_number(const struct link *link, uint32_t target, bool refused)
{
    return (uint64_t)refused << 63 | (uint64_t)(link->socket & 0x7fffffff) << 32 | target;
}

/* What was still to be heard of a socket that was closed meanwhile is gone with its monitor. */
static bool is_of_closed_socket(struct world *world, const struct event *event)
{
    const struct link *link = link_of(world, event->node, (uint32_t)event->number);

    return (event->number >> 32 & 0x7fffffff) != (link->socket & 0x7fffffff);
}

static void run_link_lost(struct world *world, struct event *event)
{
    struct overlay_event lost = {.kind = OVERLAY_LINK_LOST};

    if (is_of_closed_socket(world, event)) {
        return;
    }
    lost.node = world->nodes[(uint32_t)event->number].id;
    lost.refused = event->number >> 63 != 0;
    world_step_overlay(world, event->node, &lost);
}

static void run_dialled(struct world *world, struct event *event);

/* What the dialler's process hears of its links comes in order, and may come late. */
static void tell_dialler(struct world *world, struct link *link, uint64_t delay_ms,
                         struct event event)
{
    uint64_t at_ms = world->now_ms + delay_ms;

    if (world->network.late_news_ms != 0) {
        at_ms += world_draw(world, "late news", pair_number(event.node, (uint32_t)event.number),
                            link->generation) %
                 world->network.late_news_ms;
    }
    link->news_ms = at_ms < link->news_ms ? link->news_ms : at_ms;
    world_after_process(world, link->news_ms - world->now_ms, event);
}

static void run_caller_lost(struct world *world, struct event *event)
{
    uint32_t dialler = (uint32_t)(event->number >> 16 & UINT16_MAX);
    struct overlay_event lost = {.kind = OVERLAY_CALLER_LOST, .source.inbound = true};

    if (network_open(world, dialler, event->node)) {
        lost.source.link = event->number;
        world_step_overlay(world, event->node, &lost);
    }
}

/* Whoever was dialled learns it after all that was sent before; not where nothing gets through. */
static void tell_target(struct world *world, const struct link *link, uint32_t dialler,
                        uint32_t target)
{
    uint64_t at_ms = world->now_ms + packets_delay_ms(world, dialler, target, link->generation);

    if (link->state != LINK_UP || world->nodes[target].core == NULL ||
        link->target_life != world->nodes[target].life || !network_flows(world, dialler, target)) {
        return;
    }
    at_ms = at_ms < link->order_ms[TO_TARGET] ? link->order_ms[TO_TARGET] : at_ms;
    world_after_process(world, at_ms - world->now_ms,
                        (struct event){.run = run_caller_lost,
                                       .node = target,
                                       .number = link_number(dialler, target, link->generation)});
}

/* The first of its addresses that leads there, as the transport tries one after the other. */
static uint32_t choose_way(const struct world *world, uint32_t target,
                           const struct overlay_peer *peer)
{
    uint32_t first = world->node_count;
    uint32_t via;

    for (size_t i = 0; i < peer->address_count; i++) {
        if (relays_find(world, peer->addresses[i], &via) != target) {
            continue;
        }
        if (relays_lead(world, target, via)) {
            return via;
        }
        first = first == world->node_count ? via : first;
    }
    return first;
}

/* The socket dials again by itself, less and less often. */
static void dial_again(struct world *world, struct link *link, uint32_t dialler, uint32_t target)
{
    struct event event = {.run = run_dialled, .node = dialler};

    link->state = LINK_DIALLING;
    link->is_dialled_late = false;
    link->via = choose_way(world, target, &link->peer); /* the next of its addresses, maybe */
    link->generation++;
    event.number = (uint64_t)link->generation << 32 | target;
    world_after_process(world, link->again_ms, event);
    link->again_ms =
        2 * link->again_ms < LINK_AGAIN_MS_MAX ? 2 * link->again_ms : (uint64_t)LINK_AGAIN_MS_MAX;
}

static void lose(struct world *world, uint32_t dialler, uint32_t target, uint64_t delay_ms,
                 bool refused)
{
    struct link *link = link_of(world, dialler, target);

    if (link->state == LINK_NONE || world->nodes[dialler].core == NULL ||
        world->nodes[dialler].life != link->dialler_life) {
        return;
    }
    packets_drop(&link->caught[TO_TARGET]);
    packets_drop(&link->caught[TO_DIALLER]);
    tell_target(world, link, dialler, target);
    tell_dialler(world, link, delay_ms,
                 (struct event){.run = run_link_lost,
                                .node = dialler,
                                .number = news_number(link, target, refused)});
    dial_again(world, link, dialler, target);
}

void link_break(struct world *world, uint32_t dialler, uint32_t target, uint64_t delay_ms)
{
    lose(world, dialler, target, delay_ms, false);
}

void network_process_ended(struct world *world, uint32_t node, bool powered)
{
    relays_process_ended(world, node, powered);
    for (uint32_t other = 0; other < world->node_count; other++) {
        struct link *out = link_of(world, node, other);

        if (powered) {
            tell_target(world, out, node, other);
        }
        out->state = LINK_NONE; /* its own sockets are gone with it */
        link_drop(out);
        if (powered && network_open(world, node, other) &&
            link_of(world, other, node)->state == LINK_UP) {
            link_break(world, other, node, packets_delay_ms(world, node, other, 0));
        }
    }
}

void network_forget(struct world *world, uint32_t node)
{
    for (uint32_t other = 0; other < world->node_count; other++) {
        struct link *in = link_of(world, other, node);

        in->state = LINK_NONE;
        link_drop(in);
    }
}

void network_changed(struct world *world)
{
    size_t pair_count = (size_t)world->network.node_count * world->network.node_count;

    for (size_t i = 0; i < pair_count; i++) {
        struct link *link = &world->network.links[i];
        uint32_t dialler = (uint32_t)(i / world->network.node_count);
        uint32_t target = (uint32_t)(i % world->network.node_count);

        if (link->caught[TO_TARGET].first != NULL && network_open(world, dialler, target)) {
            packets_release(world, link, TO_TARGET);
        }
        if (link->caught[TO_DIALLER].first != NULL && network_open(world, target, dialler)) {
            packets_release(world, link, TO_DIALLER);
        }
    }
}

void network_block(struct world *world, uint32_t from, uint32_t to, bool blocked)
{
    uint8_t *count = &world->network.blocked_counts[(size_t)from * world->network.node_count + to];

    CHECK(blocked ? *count < UINT8_MAX : *count > 0);
    *count = (uint8_t)(blocked ? *count + 1 : *count - 1);
}

/* ------------------------------------------------------------------ messages */

static struct packet *packet_new(struct bytes message)
{
    struct packet *packet = malloc(sizeof(*packet) + message.length_bytes);

    CHECK(packet != NULL && message.length_bytes > 0);
    *packet = (struct packet){.length_bytes = (uint32_t)message.length_bytes};
    memcpy(packet->message, message.data, message.length_bytes);
    return packet;
}

/* A liar's mouth may say something else than its core. */
static void put(struct world *world, struct link *link, struct packet *packet)
{
    const struct sim_node *from = &world->nodes[packet_from(packet)];

    if (from->liar != NULL) {
        packet = liar_sends(world, packet_from(packet), packet);
    }
    if (packet != NULL) {
        packets_send(world, link, packet);
    }
}

/* ------------------------------------------------------------------ dialling */

static void run_link_up(struct world *world, struct event *event)
{
    struct overlay_event up = {.kind = OVERLAY_LINK_UP};

    if (is_of_closed_socket(world, event)) {
        return;
    }
    up.node = world->nodes[(uint32_t)event->number].id;
    world_step_overlay(world, event->node, &up);
}

static void link_established(struct world *world, struct link *link, uint32_t dialler,
                             uint32_t target)
{
    struct packet *packet;

    link->state = LINK_UP;
    link->again_ms = LINK_AGAIN_MS;
    link->target_life = world->nodes[target].life;
    link->order_ms[TO_TARGET] = world->now_ms;
    link->order_ms[TO_DIALLER] = world->now_ms;
    tell_dialler(world, link, 0,
                 (struct event){.run = run_link_up,
                                .node = dialler,
                                .number = news_number(link, target, false)});
    while ((packet = packets_take(&link->waiting)) != NULL) {
        packet->generation = link->generation;
        put(world, link, packet);
    }
}

static void run_gave_up(struct world *world, struct event *event)
{
    uint32_t target = (uint32_t)(event->number & UINT32_MAX);
    struct link *link = link_of(world, event->node, target);

    if (link->state == LINK_DIALLING && link->generation == event->number >> 32) {
        link_break(world, event->node, target, 0);
    }
}

static void run_dialled(struct world *world, struct event *event)
{
    uint32_t target = (uint32_t)(event->number & UINT32_MAX);
    struct link *link = link_of(world, event->node, target);
    const struct sim_node *peer = &world->nodes[target];
    struct event gave_up = {.run = run_gave_up, .node = event->node, .number = event->number};
    bool is_open =
        network_open(world, event->node, target) && network_open(world, target, event->node);
    bool flows =
        network_flows(world, event->node, target) && network_flows(world, target, event->node);

    if (link->state != LINK_DIALLING || link->generation != event->number >> 32) {
        return;
    }
    if (is_open && !flows && !link->is_dialled_late) {
        link->is_dialled_late = true;
        world_after_process(world, LINK_CONNECT_MS_MAX / 2, *event); /* clogged: once more */
    } else if (!flows || (peer->is_leaf && link->via >= world->node_count)) {
        world_after_process(world, LINK_CONNECT_MS_MAX, gave_up);
    } else if (peer->is_leaf && !relays_lead(world, target, link->via)) {
        lose(world, event->node, target, 0, true); /* it does not listen for the leaf any more */
    } else if (peer->core == NULL || !keys_equal(&peer->key, &link->target_key)) {
        lose(world, event->node, target, 0, peer->core == NULL);
    } else {
        link_established(world, link, event->node, target);
    }
}

static void dial(struct world *world, uint32_t dialler, uint32_t target,
                 const struct overlay_peer *peer)
{
    struct link *link = link_of(world, dialler, target);
    struct event event = {.run = run_dialled, .node = dialler};

    link->state = LINK_DIALLING;
    link->is_dialled_late = false;
    link->generation++;
    if (link->dialler_life != world->nodes[dialler].life) {
        link->dialler_life = world->nodes[dialler].life;
        link->news_ms = 0;
    }
    link->target_key = peer->key;
    link->via = choose_way(world, target, peer);
    link->again_ms = LINK_AGAIN_MS;
    event.number = (uint64_t)link->generation << 32 | target;
    world_after_process(world, 3 * packets_delay_ms(world, dialler, target, link->generation),
                        event);
}

/* ------------------------------------------------------------------ effects */

/* Whom does the peer's first known address reach? node_count when nobody lives there. */
static uint32_t find_address(const struct world *world, const struct overlay_peer *peer)
{
    for (size_t i = 0; i < peer->address_count; i++) {
        uint32_t via;
        uint32_t node = relays_find(world, peer->addresses[i], &via);

        if (node < world->node_count) {
            return node;
        }
    }
    return world->node_count;
}

/* Is the chunk that is to be sent really here? Otherwise nothing is sent, as at the real edge. */
static bool has_what_it_sends(struct world *world, uint32_t node,
                              const struct overlay_effect *effect)
{
    return !effect->has_chunk || carried_has(world, node, &effect->chunk) ||
           disk_read_chunk(world, node, &effect->chunk);
}

/* One socket for each member: while it has a connection, another address does not matter. */
static uint32_t find_connected(struct world *world, uint32_t node, uint32_t target)
{
    for (uint32_t other = 0; other < world->node_count && world->clone_count > 0; other++) {
        struct link *link = link_of(world, node, other);

        if (other == target || link->state == LINK_NONE ||
            !id_equal(&world->nodes[other].id.id, &world->nodes[target].id.id)) {
            continue;
        }
        if (link->state == LINK_UP) {
            return other;
        }
        link->state = LINK_NONE;
        link_drop(link);
    }
    return target;
}

/* Returns the message's kind. */
static uint32_t check_content(struct world *world, uint32_t node, struct bytes message)
{
    uint32_t kind = traffic_count(&world->network.traffic, message);

    if (kind == minga_Message_ask_tag) {
        check_replicas_asked(world, node, message);
    } else if (kind == minga_Message_stabilise_reply_tag && world->clone_count == 0) {
        check_ring_message(world, node, message);
    }
    return kind;
}

void network_send(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    uint32_t target = find_address(world, &effect->peer);
    struct link *link;
    struct packet *packet;
    uint32_t kind;

    world->network.sent_count++;
    kind = check_content(world, node, effect->message);
    if (effect->message.length_bytes > MESSAGE_BYTES_MAX) {
        world_fail(world, "%s sends %zu bytes", world->nodes[node].name,
                   effect->message.length_bytes);
        return;
    }
    if (target >= world->node_count || !has_what_it_sends(world, node, effect)) {
        return;
    }
    target = find_connected(world, node, target);
    check_news_message(world, node, target, effect->message);
    if (kind == minga_Message_broadcast_tag) {
        spreads_message(world, node, target, effect->message);
    }
    link = link_of(world, node, target);
    link->peer = effect->peer; /* for the next attempt */
    if (link->state == LINK_NONE) {
        dial(world, node, target, &effect->peer);
    }
    packet = packet_new(effect->message);
    packet->has_chunk = effect->has_chunk;
    packet->chunk = effect->chunk;
    packet->dialler = node;
    packet->target = target;
    packet->generation = link->generation;
    if (link->state == LINK_UP) {
        put(world, link, packet);
    } else if (link->waiting.count < world->network.queued_max) {
        packets_add(&link->waiting, packet);
    } else {
        free(packet);
    }
}

void network_reply(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    uint32_t dialler = (uint32_t)(effect->link >> 16 & UINT16_MAX);
    uint32_t target = (uint32_t)(effect->link & UINT16_MAX);
    struct link *link;
    struct packet *packet;
    uint32_t kind;

    world->network.sent_count++;
    kind = check_content(world, node, effect->message);
    if (dialler >= world->node_count || target != node) {
        world_fail(world, "%s replies on a link that it never had", world->nodes[node].name);
        return;
    }
    check_news_message(world, node, dialler, effect->message);
    if (kind == minga_Message_broadcast_tag) {
        spreads_message(world, node, dialler, effect->message);
    }
    link = link_of(world, dialler, target);
    if (link->state != LINK_UP || link->generation != effect->link >> 32 ||
        link->target_life != world->nodes[node].life || !has_what_it_sends(world, node, effect)) {
        return; /* EHOSTUNREACH */
    }
    packet = packet_new(effect->message);
    packet->has_chunk = effect->has_chunk;
    packet->chunk = effect->chunk;
    packet->dialler = dialler;
    packet->target = target;
    packet->generation = link->generation;
    packet->to_dialler = true;
    put(world, link, packet);
}

void network_inject(struct world *world, uint32_t dialler, uint32_t target, bool to_dialler,
                    struct bytes message)
{
    struct link *link = link_of(world, dialler, target);
    struct packet *packet;

    if (link->state != LINK_UP || message.length_bytes == 0) {
        return;
    }
    packet = packet_new(message);
    packet->dialler = dialler;
    packet->target = target;
    packet->generation = link->generation;
    packet->to_dialler = to_dialler;
    packets_send(world, link, packet);
}

void network_hang_up(struct world *world, uint32_t node, const struct node_id *peer)
{
    for (uint32_t target = 0; target < world->node_count; target++) {
        struct link *link = link_of(world, node, target);

        if (link->state != LINK_NONE && id_equal(&world->nodes[target].id.id, &peer->id)) {
            tell_target(world, link, node, target);
            link->state = LINK_NONE;
            link->socket++;
            link->news_ms = 0;
            link_drop(link);
        }
    }
}
