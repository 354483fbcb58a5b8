// SPDX-License-Identifier: GPL-3.0-or-later
/* Messages under way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/liar.h"
#include "tests/sim/network_internal.h"
#include "tests/sim/tree.h"

void packets_add(struct packet_list *list, struct packet *packet)
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

struct packet *packets_take(struct packet_list *list)
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

void packets_drop(struct packet_list *list)
{
    struct packet *packet;

    while ((packet = packets_take(list)) != NULL) {
        free(packet);
    }
}

/* Half of the wire's length both ways, some jitter, and now and then a long one. */
uint64_t packets_delay_ms(struct world *world, uint32_t from, uint32_t to, uint64_t number)
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

uint64_t packets_clogged_until_ms(const struct world *world, uint32_t from, uint32_t to)
{
    return world->network.clogged_until_ms[(size_t)from * world->network.node_count + to];
}

/* ------------------------------------------------------------------ arriving */

/* What comes through a relay comes from this very host, as far as it can see. */
static void fill_host(const struct world *world, uint32_t from, struct overlay_source *source)
{
    const char *address = world->nodes[from].address;

    (void)snprintf(source->host, sizeof(source->host), "%.*s", (int)strcspn(address, ":"), address);
}

static void deliver_to_core(struct world *world, const struct packet *packet)
{
    uint32_t from = packet_from(packet);
    uint32_t to = packet_to(packet);
    struct overlay_event event = {.kind = OVERLAY_RECEIVED};

    if (world->nodes[to].liar != NULL && liar_receives(world, to, packet)) {
        return;
    }
    event.message = (struct bytes){packet->message, packet->length_bytes};
    if (packet->has_chunk) {
        event.data = packet->chunk_is_other ? (struct bytes){packet->message, packet->length_bytes}
                                            : tree_chunk_data(world, &packet->chunk);
    }
    event.source.inbound = !packet->to_dialler;
    if (packet->to_dialler) {
        event.source.node = world->nodes[from].id;
        fill_host(world, from, &event.source);
    } else {
        event.source.link = link_number(packet->dialler, packet->target, packet->generation);
        memcpy(event.source.curve_key, world->nodes[from].curve_key, 32);
        fill_host(world, link_of(world, packet->dialler, to)->via < world->node_count ? to : from,
                  &event.source);
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

    if (link->under_way[direction] >= world->network.under_way_max) {
        free(packet); /* high water on both sides: silently lost */
        return;
    }
    link->under_way[direction]++;
    if (!packet->is_loose) {
        at_ms = at_ms < link->order_ms[direction] ? link->order_ms[direction] : at_ms;
        link->order_ms[direction] = at_ms;
    }
    event.node = packet_to(packet);
    world_after(world, at_ms - world->now_ms, event);
}

/* A stalled process finds its messages in the socket later, and a clogged wire lets them through
 * later; the order is kept by the queue. */
static bool requeued(struct world *world, struct event *event, uint64_t until_ms)
{
    struct event again = *event;

    if (world->now_ms >= until_ms) {
        return false;
    }
    again.at_ms = until_ms;
    event->payload = NULL;
    queue_push(&world->queue, &again);
    return true;
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

    if (link->caught[direction].count >= world->network.queued_max) {
        return; /* high water: silently lost */
    }
    if (link->caught[direction].count == 0) {
        link->caught_since_ms[direction] = world->now_ms;
        world_after(world, LINK_SILENCE_MS_MAX,
                    (struct event){
                        .run = run_silence,
                        .number = link_number(packet->dialler, packet->target, link->generation)});
    }
    packets_add(&link->caught[direction], packet);
    event->payload = NULL;
}

/* It has come through: does the process take it? */
static void packet_arrived(struct world *world, struct link *link, struct packet *packet)
{
    const struct sim_node *to = &world->nodes[packet_to(packet)];
    bool link_is_up = link->state == LINK_UP && link->generation == packet->generation;
    bool is_closed = !packet->to_dialler && packet->generation <= link->closed_generation;

    if (to->core == NULL || packet->receiver_life != to->life) {
        if (link_is_up && to->powered) {
            link_break(world, packet->dialler, packet->target, 1); /* nobody knows this link */
        }
    } else if (packet->is_corrupt) {
        if (link_is_up) { /* CURVE finds it, and closes; what follows is lost */
            link->closed_generation = link->generation;
            link_break(world, packet->dialler, packet->target, 1);
        }
    } else if (!is_closed) {
        deliver_to_core(world, packet);
    }
}

static void run_packet(struct world *world, struct event *event)
{
    struct packet *packet = event->payload;
    struct link *link = link_of(world, packet->dialler, packet->target);
    uint32_t from = packet_from(packet);
    bool link_is_up = link->state == LINK_UP && link->generation == packet->generation;
    int direction = packet->to_dialler ? TO_DIALLER : TO_TARGET;
    bool is_open = network_open(world, from, event->node);

    if (requeued(world, event, packets_clogged_until_ms(world, from, event->node))) {
        return;
    }
    if (is_open && world->nodes[event->node].core != NULL &&
        link->caught[direction].first == NULL &&
        requeued(world, event, world->nodes[event->node].stalled_until_ms)) {
        return;
    }
    link->under_way[direction]--;
    if (!link_is_up && packet->to_dialler && !packet->is_loose) {
        return; /* the dialler's socket is gone */
    }
    if (link_is_up && (!is_open || link->caught[direction].first != NULL)) {
        catch_packet(world, packet, event);
    } else if (is_open) {
        packet_arrived(world, link, packet);
    }
}

void packets_release(struct world *world, struct link *link, int direction)
{
    struct packet *packet;
    uint64_t silent_ms = world->now_ms - link->caught_since_ms[direction];
    uint64_t resend_ms = world_draw_between(
        world_draw(world, "resend", link->caught_since_ms[direction], link->sent_count[direction]),
        1, 200 + silent_ms / 2);

    while ((packet = packets_take(&link->caught[direction])) != NULL) {
        schedule_packet(world, packet, resend_ms);
    }
}

/* ------------------------------------------------------------------ leaving */

/* One direction of one dialler's link: what all draws about its messages are keyed by. */
static uint64_t line_number(const struct packet *packet)
{
    return pair_number(packet->dialler, packet->target) << 1 | (packet->to_dialler ? 1 : 0);
}

static bool happens(const struct world *world, const char *purpose, const struct packet *packet,
                    uint32_t permille)
{
    return permille != 0 &&
           world_draw(world, purpose, line_number(packet), packet->number) % 1000 < permille;
}

/* A member that lies badly: some bytes of what it sends are others. */
static void garble(struct world *world, struct packet *packet)
{
    uint64_t line = line_number(packet);
    uint64_t drawn = world_draw(world, "garbled bytes", line, packet->number);

    for (uint32_t i = 0; i <= drawn >> 60; i++) {
        uint64_t where = world_draw(world, "garbled byte", line << 8 | i, packet->number);

        packet->message[where % packet->length_bytes] = (uint8_t)(where >> 32);
    }
}

/* Harsher than TCP: a second copy, which keeps no order. */
static void put_again(struct world *world, const struct packet *packet, uint64_t delay_ms)
{
    struct packet *again = malloc(sizeof(*again) + packet->length_bytes);

    CHECK(again != NULL);
    memcpy(again, packet, sizeof(*again) + packet->length_bytes);
    again->is_loose = true;
    delay_ms += world_draw(world, "second copy", line_number(packet), packet->number) % 2000;
    schedule_packet(world, again, delay_ms);
}

void packets_send(struct world *world, struct link *link, struct packet *packet)
{
    const struct network *network = &world->network;
    struct sim_node *from = &world->nodes[packet_from(packet)];
    uint64_t delay_ms;

    packet->number = ++link->sent_count[packet->to_dialler ? TO_DIALLER : TO_TARGET];
    packet->receiver_life = packet->to_dialler ? link->dialler_life : link->target_life;
    if (happens(world, "loss", packet, network->loss_permille)) {
        free(packet);
        return;
    }
    if (from->garble_permille != 0 && happens(world, "garble", packet, from->garble_permille)) {
        garble(world, packet);
    }
    delay_ms = packets_delay_ms(world, packet_from(packet), packet_to(packet),
                                packet->number << 1 | (packet->to_dialler ? 1 : 0));
    packet->is_corrupt = happens(world, "corrupt", packet, network->corrupt_permille);
    if (happens(world, "duplicate", packet, network->duplicate_permille)) {
        put_again(world, packet, delay_ms);
    }
    if (happens(world, "reorder", packet, network->reorder_permille)) {
        packet->is_loose = true;
        delay_ms += world_draw(world, "overtaken", line_number(packet), packet->number) % 2000;
    }
    schedule_packet(world, packet, delay_ms);
}
