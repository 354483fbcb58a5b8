// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/tree.h"
#include "tests/sim/world.h"

enum { TO_TARGET = 0, TO_DIALLER = 1 };

void network_init(struct network *network, uint32_t node_count)
{
    size_t pair_count = (size_t)node_count * node_count;

    *network = (struct network){.node_count = node_count};
    network->links = calloc(pair_count, sizeof(*network->links));
    network->blocked_counts = calloc(pair_count, 1);
    CHECK(network->links != NULL && network->blocked_counts != NULL);
}

static void list_add(struct packet_list *list, struct packet *packet)
{
    packet->next = NULL;
    if (list->last != NULL) {
        list->last->next = packet;
    } else {
        list->first = packet;
    }
    list->last = packet;
    list->count++;
}

static struct packet *list_take(struct packet_list *list)
{
    struct packet *packet = list->first;

    if (packet != NULL) {
        list->first = packet->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        list->count--;
    }
    return packet;
}

static void list_drop(struct packet_list *list)
{
    struct packet *packet;

    while ((packet = list_take(list)) != NULL) {
        free(packet);
    }
}

static void link_drop(struct link *link)
{
    list_drop(&link->waiting);
    list_drop(&link->caught[TO_TARGET]);
    list_drop(&link->caught[TO_DIALLER]);
}

void network_done(struct network *network)
{
    for (size_t i = 0; i < (size_t)network->node_count * network->node_count; i++) {
        link_drop(&network->links[i]);
    }
    free(network->links);
    free(network->blocked_counts);
}

static struct link *link_of(struct world *world, uint32_t dialler, uint32_t target)
{
    return &world->network.links[(size_t)dialler * world->network.node_count + target];
}

/* The edge's number of an inbound link: says which pair and which connection of it. */
static uint64_t link_number(uint32_t dialler, uint32_t target, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)dialler << 16 | target;
}

bool network_open(const struct world *world, uint32_t from, uint32_t to)
{
    const struct network *network = &world->network;

    return !world->nodes[from].cut && !world->nodes[to].cut && world->nodes[from].powered &&
           world->nodes[to].powered &&
           network->blocked_counts[(size_t)from * network->node_count + to] == 0;
}

static uint64_t pair_number(uint32_t from, uint32_t to)
{
    return (uint64_t)from << 16 | to;
}

/* Half of the wire's length both ways, some jitter, and now and then a long one. */
static uint64_t draw_delay_ms(struct world *world, uint32_t from, uint32_t to, uint64_t number)
{
    uint64_t near = from < to ? pair_number(from, to) : pair_number(to, from);
    uint64_t base_ms = world_draw(world, "latency", near, 0) % (world->network.latency_ms_max + 1U);
    uint64_t drawn = world_draw(world, "delay", pair_number(from, to), number);
    uint64_t jitter_ms = drawn % (base_ms / 4 + 2);

    if (drawn >> 32 < UINT32_MAX / 200) {
        jitter_ms += 20 + (drawn >> 8) % 150;
    }
    return 1 + base_ms + jitter_ms;
}

/* ------------------------------------------------------------------ losing a link */

static void run_link_lost(struct world *world, struct event *event)
{
    struct overlay_event lost = {.kind = OVERLAY_LINK_LOST};

    lost.node = world->nodes[event->number].id;
    world_step_overlay(world, event->node, &lost);
}

static void run_dialled(struct world *world, struct event *event);

/* The socket dials again by itself, less and less often. */
static void dial_again(struct world *world, struct link *link, uint32_t dialler, uint32_t target)
{
    struct event event = {.run = run_dialled, .node = dialler};

    link->state = LINK_DIALLING;
    link->generation++;
    event.number = (uint64_t)link->generation << 32 | target;
    world_after_process(world, link->again_ms, event);
    link->again_ms =
        2 * link->again_ms < LINK_AGAIN_MS_MAX ? 2 * link->again_ms : (uint64_t)LINK_AGAIN_MS_MAX;
}

static void link_break(struct world *world, uint32_t dialler, uint32_t target, uint64_t delay_ms)
{
    struct link *link = link_of(world, dialler, target);

    if (link->state == LINK_NONE || world->nodes[dialler].core == NULL ||
        world->nodes[dialler].life != link->dialler_life) {
        return;
    }
    list_drop(&link->caught[TO_TARGET]);
    list_drop(&link->caught[TO_DIALLER]);
    world_after_process(world, delay_ms,
                        (struct event){.run = run_link_lost, .node = dialler, .number = target});
    dial_again(world, link, dialler, target);
}

void network_process_ended(struct world *world, uint32_t node, bool powered)
{
    for (uint32_t other = 0; other < world->node_count; other++) {
        struct link *out = link_of(world, node, other);

        out->state = LINK_NONE; /* its own sockets are gone with it */
        link_drop(out);
        if (powered && network_open(world, node, other) &&
            link_of(world, other, node)->state == LINK_UP) {
            link_break(world, other, node, draw_delay_ms(world, node, other, 0));
        }
    }
}

/* ------------------------------------------------------------------ messages under way */

static void deliver_to_core(struct world *world, const struct packet *packet)
{
    uint32_t from = packet->to_dialler ? packet->target : packet->dialler;
    uint32_t to = packet->to_dialler ? packet->dialler : packet->target;
    struct overlay_event event = {.kind = OVERLAY_RECEIVED};

    event.message = (struct bytes){packet->message, packet->length_bytes};
    if (packet->has_chunk) {
        event.data = tree_chunk_data(world, &packet->chunk);
    }
    event.source.inbound = !packet->to_dialler;
    if (packet->to_dialler) {
        event.source.node = world->nodes[from].id;
    } else {
        event.source.link = link_number(packet->dialler, packet->target, packet->generation);
        memcpy(event.source.curve_key, world->nodes[from].curve_key, 32);
    }
    world_step_overlay(world, to, &event);
}

static void run_packet(struct world *world, struct event *event);

static void schedule_packet(struct world *world, struct packet *packet, uint64_t delay_ms)
{
    struct link *link = link_of(world, packet->dialler, packet->target);
    int direction = packet->to_dialler ? TO_DIALLER : TO_TARGET;
    uint64_t at_ms = world->now_ms + delay_ms;
    struct event event = {.run = run_packet, .payload = packet};

    if (at_ms < link->order_ms[direction]) {
        at_ms = link->order_ms[direction];
    }
    link->order_ms[direction] = at_ms;
    event.node = packet->to_dialler ? packet->dialler : packet->target;
    world_after(world, at_ms - world->now_ms, event);
}

/* A stalled process finds its messages in the socket later; the order is kept by the queue. */
static void requeue_until_awake(struct world *world, struct event *event)
{
    struct event again = *event;

    again.at_ms = world->nodes[event->node].stalled_until_ms;
    event->payload = NULL;
    queue_push(&world->queue, &again);
}

/* Still unacknowledged? */
static void run_silence(struct world *world, struct event *event)
{
    uint32_t dialler = (uint32_t)(event->number >> 16 & UINT16_MAX);
    uint32_t target = (uint32_t)(event->number & UINT16_MAX);
    struct link *link = link_of(world, dialler, target);

    for (int direction = TO_TARGET; direction <= TO_DIALLER; direction++) {
        if (link->state == LINK_UP && link->generation == event->number >> 32 &&
            link->caught[direction].first != NULL &&
            world->now_ms - link->caught_since_ms[direction] >= LINK_SILENCE_MS_MAX) {
            link_break(world, dialler, target, 0);
        }
    }
}

static void catch_packet(struct world *world, struct packet *packet, struct event *event)
{
    struct link *link = link_of(world, packet->dialler, packet->target);
    int direction = packet->to_dialler ? TO_DIALLER : TO_TARGET;

    if (link->caught[direction].count >= LINK_QUEUE_COUNT_MAX) {
        return; /* high water: silently lost */
    }
    if (link->caught[direction].count == 0) {
        link->caught_since_ms[direction] = world->now_ms;
        world_after(world, LINK_SILENCE_MS_MAX,
                    (struct event){
                        .run = run_silence,
                        .number = link_number(packet->dialler, packet->target, link->generation)});
    }
    list_add(&link->caught[direction], packet);
    event->payload = NULL;
}

static void run_packet(struct world *world, struct event *event)
{
    struct packet *packet = event->payload;
    struct link *link = link_of(world, packet->dialler, packet->target);
    uint32_t from = packet->to_dialler ? packet->target : packet->dialler;
    struct sim_node *to = &world->nodes[event->node];
    bool link_is_up = link->state == LINK_UP && link->generation == packet->generation;
    int direction = packet->to_dialler ? TO_DIALLER : TO_TARGET;

    if (!link_is_up && packet->to_dialler) {
        return; /* the dialler's socket is gone */
    }
    if (link_is_up && (!network_open(world, from, event->node) || link->caught[direction].first)) {
        catch_packet(world, packet, event);
        return;
    }
    if (!network_open(world, from, event->node) || to->core == NULL) {
        if (link_is_up && to->powered && to->core == NULL) {
            link_break(world, packet->dialler, packet->target, 1);
        }
        return;
    }
    if (!packet->to_dialler && link->target_life != to->life) {
        if (link_is_up) { /* the new process knows no link; it is lost once, not per message */
            link_break(world, packet->dialler, packet->target, 1);
        }
        return;
    }
    if (world->now_ms < to->stalled_until_ms) {
        requeue_until_awake(world, event);
        return;
    }
    deliver_to_core(world, packet);
}

static void release_caught(struct world *world, struct link *link, int direction)
{
    struct packet *packet;
    uint64_t silent_ms = world->now_ms - link->caught_since_ms[direction];
    uint64_t resend_ms = world_draw_between(
        world_draw(world, "resend", link->caught_since_ms[direction], link->sent_count[direction]),
        1, 200 + silent_ms / 2);

    while ((packet = list_take(&link->caught[direction])) != NULL) {
        schedule_packet(world, packet, resend_ms);
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
            release_caught(world, link, TO_TARGET);
        }
        if (link->caught[TO_DIALLER].first != NULL && network_open(world, target, dialler)) {
            release_caught(world, link, TO_DIALLER);
        }
    }
}

void network_block(struct world *world, uint32_t from, uint32_t to, bool blocked)
{
    uint8_t *count = &world->network.blocked_counts[(size_t)from * world->network.node_count + to];

    CHECK(blocked ? *count < UINT8_MAX : *count > 0);
    *count = (uint8_t)(blocked ? *count + 1 : *count - 1);
}

/* ------------------------------------------------------------------ dialling */

static bool is_lost(struct world *world, uint32_t from, uint32_t to, uint64_t number)
{
    uint64_t drawn = world_draw(world, "loss", pair_number(from, to), number);

    return drawn % 1000 < world->network.loss_permille;
}

/* A member that lies: some bytes of what it sends are others. */
static void garble(struct world *world, struct packet *packet, uint32_t from, uint64_t number)
{
    uint64_t drawn = world_draw(world, "garble", from, number);
    uint32_t byte_count = 1 + (uint32_t)(drawn >> 60);

    if (drawn % 1000 >= world->nodes[from].garble_permille) {
        return;
    }
    for (uint32_t i = 0; i < byte_count; i++) {
        uint64_t where = world_draw(world, "garbled byte", number, i);

        packet->message[where % packet->length_bytes] = (uint8_t)(where >> 32);
    }
}

static void put_on_wire(struct world *world, struct link *link, struct packet *packet)
{
    int direction = packet->to_dialler ? TO_DIALLER : TO_TARGET;
    uint32_t from = packet->to_dialler ? packet->target : packet->dialler;
    uint32_t to = packet->to_dialler ? packet->dialler : packet->target;
    uint64_t number = ++link->sent_count[direction];

    if (is_lost(world, from, to, number)) {
        free(packet);
        return;
    }
    if (world->nodes[from].garble_permille != 0) {
        garble(world, packet, from, number);
    }
    schedule_packet(world, packet, draw_delay_ms(world, from, to, number));
}

static void run_link_up(struct world *world, struct event *event)
{
    struct overlay_event up = {.kind = OVERLAY_LINK_UP};

    up.node = world->nodes[event->number].id;
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
    world_after_process(world, 0,
                        (struct event){.run = run_link_up, .node = dialler, .number = target});
    while ((packet = list_take(&link->waiting)) != NULL) {
        packet->generation = link->generation;
        put_on_wire(world, link, packet);
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

    if (link->state != LINK_DIALLING || link->generation != event->number >> 32) {
        return;
    }
    if (!network_open(world, event->node, target) || !network_open(world, target, event->node)) {
        world_after_process(world, LINK_CONNECT_MS_MAX, gave_up);
    } else if (peer->core == NULL || !keys_equal(&peer->key, &link->target_key)) {
        link_break(world, event->node, target, 0);
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
    link->generation++;
    link->dialler_life = world->nodes[dialler].life;
    link->target_key = peer->key;
    link->again_ms = LINK_AGAIN_MS;
    event.number = (uint64_t)link->generation << 32 | target;
    world_after_process(world, 3 * draw_delay_ms(world, dialler, target, link->generation), event);
}

/* ------------------------------------------------------------------ effects */

/* Whom does the peer's first known address reach? node_count when nobody lives there. */
static uint32_t find_address(const struct world *world, const struct overlay_peer *peer)
{
    for (size_t i = 0; i < peer->address_count; i++) {
        for (uint32_t node = 0; node < world->node_count; node++) {
            if (strcmp(world->nodes[node].address, peer->addresses[i]) == 0) {
                return node;
            }
        }
    }
    return world->node_count;
}

static struct packet *packet_new(const struct overlay_effect *effect)
{
    struct packet *packet = malloc(sizeof(*packet) + effect->message.length_bytes);

    CHECK(packet != NULL && effect->message.length_bytes > 0);
    *packet = (struct packet){.has_chunk = effect->has_chunk, .chunk = effect->chunk};
    packet->length_bytes = (uint32_t)effect->message.length_bytes;
    memcpy(packet->message, effect->message.data, effect->message.length_bytes);
    return packet;
}

static void run_chunk_absent(struct world *world, struct event *event)
{
    struct overlay_event absent = {.kind = OVERLAY_CHUNK_ABSENT};

    memcpy(&absent.chunk, event->payload, sizeof(absent.chunk));
    world_step_overlay(world, event->node, &absent);
}

/* Is the chunk that is to be sent really here? Otherwise nothing is sent, as at the real edge. */
static bool has_what_it_sends(struct world *world, uint32_t node,
                              const struct overlay_effect *effect)
{
    struct chunk_id *chunk;

    if (!effect->has_chunk || disk_has_chunk(&world->nodes[node].disk, &effect->chunk)) {
        return true;
    }
    chunk = malloc(sizeof(*chunk));
    CHECK(chunk != NULL);
    *chunk = effect->chunk;
    world_after_process(world, 0,
                        (struct event){.run = run_chunk_absent, .node = node, .payload = chunk});
    return false;
}

void network_send(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    uint32_t target = find_address(world, &effect->peer);
    struct link *link;
    struct packet *packet;

    world->network.sent_count++;
    if (effect->message.length_bytes > MESSAGE_BYTES_MAX) {
        world_fail(world, "%s sends %zu bytes", world->nodes[node].name,
                   effect->message.length_bytes);
        return;
    }
    if (target >= world->node_count || !has_what_it_sends(world, node, effect)) {
        return;
    }
    link = link_of(world, node, target);
    if (link->state == LINK_NONE) {
        dial(world, node, target, &effect->peer);
    }
    packet = packet_new(effect);
    packet->dialler = node;
    packet->target = target;
    packet->generation = link->generation;
    if (link->state == LINK_UP) {
        put_on_wire(world, link, packet);
    } else if (link->waiting.count < LINK_QUEUE_COUNT_MAX) {
        list_add(&link->waiting, packet);
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

    world->network.sent_count++;
    if (dialler >= world->node_count || target != node) {
        world_fail(world, "%s replies on a link that it never had", world->nodes[node].name);
        return;
    }
    link = link_of(world, dialler, target);
    if (link->state != LINK_UP || link->generation != effect->link >> 32 ||
        link->target_life != world->nodes[node].life || !has_what_it_sends(world, node, effect)) {
        return; /* EHOSTUNREACH */
    }
    packet = packet_new(effect);
    packet->dialler = dialler;
    packet->target = target;
    packet->generation = link->generation;
    packet->to_dialler = true;
    put_on_wire(world, link, packet);
}

void network_hang_up(struct world *world, uint32_t node, const struct node_id *peer)
{
    uint32_t target = world_find(world, peer);

    if (target < world->node_count) {
        struct link *link = link_of(world, node, target);

        link->state = LINK_NONE;
        link_drop(link);
    }
}
