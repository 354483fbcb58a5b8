// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/relays.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/converge.h"
#include "tests/sim/network_internal.h"

enum {
    LOOK_MS = 250,             /* so often a leaf's process looks after its connections */
    DIAL_BACK_LINK = 1U << 31, /* generations of links that carry one message */
};

/* ------------------------------------------------------------------ addresses */

static uint32_t leaf_at(const struct world *world, uint32_t relay, uint32_t port)
{
    const struct sim_node *node = &world->nodes[relay];

    for (uint32_t i = 0; i < SIM_RELAYED_MAX; i++) {
        if (node->relays.relayed[i].used && node->relays.relayed[i].port == port) {
            return node->relays.relayed[i].leaf;
        }
    }
    return world->node_count;
}

uint32_t relays_find(const struct world *world, const char *address, uint32_t *via_out)
{
    const char *colon = strrchr(address, ':');

    *via_out = world->node_count;
    for (uint32_t node = 0; node < world->node_count && colon != NULL; node++) {
        const char *own = world->nodes[node].address;
        uint32_t leaf;

        if (strcmp(own, address) == 0) {
            return node;
        }
        if (strncmp(own, address, (size_t)(colon - address) + 1) != 0) {
            continue;
        }
        leaf = leaf_at(world, node, (uint32_t)strtoul(colon + 1, NULL, 10));
        if (leaf < world->node_count) {
            *via_out = node;
        }
        return leaf;
    }
    return world->node_count;
}

static const struct sim_tunnel *tunnel_to(const struct world *world, uint32_t leaf, uint32_t relay)
{
    for (uint32_t i = 0; i < SIM_TUNNELS_MAX; i++) {
        const struct sim_tunnel *tunnel = &world->nodes[leaf].relays.tunnels[i];

        if (tunnel->used && tunnel->relay == relay) {
            return tunnel;
        }
    }
    return NULL;
}

bool relays_lead(const struct world *world, uint32_t target, uint32_t via)
{
    const struct sim_tunnel *tunnel;

    if (via >= world->node_count) {
        return !world->nodes[target].is_leaf;
    }
    tunnel = tunnel_to(world, target, via);
    return world->nodes[via].core != NULL && tunnel != NULL && tunnel->is_up;
}

/* ------------------------------------------------------------------ dialling back */

struct dial {
    uint32_t target;
    uint32_t via;
    struct public_key key;
    uint8_t message[64];
    size_t length_bytes;
};

static void run_dial_back(struct world *world, struct event *event)
{
    const struct dial *dial = event->payload;
    const struct sim_node *target = &world->nodes[dial->target];
    struct overlay_event said = {.kind = OVERLAY_RECEIVED, .source.inbound = true};

    if (!relays_lead(world, dial->target, dial->via) || target->core == NULL ||
        !network_flows(world, event->node, dial->target) ||
        !network_flows(world, dial->target, event->node) || !keys_equal(&target->key, &dial->key)) {
        return;
    }
    said.source.link = link_number(event->node, dial->target,
                                   DIAL_BACK_LINK | (uint32_t)(event->number & INT32_MAX));
    memcpy(said.source.curve_key, world->nodes[event->node].curve_key, 32);
    said.message = (struct bytes){dial->message, dial->length_bytes};
    world_step_overlay(world, dial->target, &said);
}

void relays_dial_back(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    struct dial *dial = malloc(sizeof(*dial));
    uint64_t number = ++world->nodes[node].dial_count;

    CHECK(dial != NULL && effect->message.length_bytes <= sizeof(dial->message));
    dial->target = relays_find(world, effect->peer.addresses[0], &dial->via);
    dial->key = effect->peer.key;
    dial->length_bytes = effect->message.length_bytes;
    memcpy(dial->message, effect->message.data, dial->length_bytes);
    if (dial->target >= world->node_count) {
        free(dial);
        return;
    }
    world_after_process(
        world, 4 * packets_delay_ms(world, node, dial->target, number),
        (struct event){.run = run_dial_back, .node = node, .number = number, .payload = dial});
}

/* ------------------------------------------------------------------ the relay */

void relays_relay(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    uint32_t leaf = world_find(world, &effect->peer.node);
    struct sim_relayed *list = world->nodes[node].relays.relayed;

    if (leaf >= world->node_count) {
        return;
    }
    if (effect->relay.port_count > 0 && !world->nodes[node].config.overlay.description.relays) {
        world_fail(world, "%s passes on for %s, and does not want to", world->nodes[node].name,
                   world->nodes[leaf].name);
    }
    for (uint32_t i = 0; i < SIM_RELAYED_MAX; i++) {
        if (list[i].used && list[i].leaf == leaf) {
            list[i].used = false;
        }
        if (list[i].used && effect->relay.port_count > 0 &&
            list[i].port == effect->relay.ports[0].at_relay) {
            world_fail(world, "%s gives a port to two leaves", world->nodes[node].name);
        }
    }
    for (uint32_t i = 0; i < SIM_RELAYED_MAX && effect->relay.port_count > 0; i++) {
        if (!list[i].used) {
            list[i] = (struct sim_relayed){true, leaf, effect->relay.ports[0].at_relay};
            return;
        }
    }
}

/* ------------------------------------------------------------------ the leaf */

static void break_links(struct world *world, uint32_t leaf, uint32_t relay, uint64_t delay_ms)
{
    for (uint32_t dialler = 0; dialler < world->node_count; dialler++) {
        struct link *link = link_of(world, dialler, leaf);

        if (link->state == LINK_UP && link->via == relay) {
            link_break(world, dialler, leaf, delay_ms);
        }
    }
}

bool relays_pass_on(const struct world *world, uint32_t relay, uint32_t leaf)
{
    bool is_relayed = false;

    for (uint32_t i = 0; i < SIM_RELAYED_MAX; i++) {
        const struct sim_relayed *relayed = &world->nodes[relay].relays.relayed[i];

        is_relayed = is_relayed || (relayed->used && relayed->leaf == leaf);
    }
    return is_relayed;
}

static bool stands(const struct world *world, uint32_t leaf, uint32_t relay)
{
    return relays_pass_on(world, relay, leaf) && world->nodes[relay].core != NULL &&
           network_flows(world, leaf, relay) && network_flows(world, relay, leaf);
}

static void run_look(struct world *world, struct event *event)
{
    struct sim_tunnel *tunnel =
        &world->nodes[event->node].relays.tunnels[event->number % SIM_TUNNELS_MAX];
    bool is_up;

    if (!tunnel->used || tunnel->number != event->number / SIM_TUNNELS_MAX) {
        return;
    }
    is_up = stands(world, event->node, tunnel->relay);
    world_after_process(world, LOOK_MS, *event);
    if (is_up != tunnel->is_up) {
        struct overlay_event news = {.kind = is_up ? OVERLAY_RELAY_UP : OVERLAY_RELAY_DOWN,
                                     .node = world->nodes[tunnel->relay].id};

        tunnel->is_up = is_up;
        if (!is_up) {
            break_links(world, event->node, tunnel->relay, 0);
        }
        world_step_overlay(world, event->node, &news);
    }
}

void relays_relayed(struct world *world, uint32_t node, const struct overlay_effect *effect)
{
    uint32_t relay = world_find(world, &effect->peer.node);
    struct sim_tunnel *list = world->nodes[node].relays.tunnels;
    struct sim_tunnel *unused = NULL;
    bool wanted = effect->relay.port_count > 0;

    for (uint32_t i = 0; i < SIM_TUNNELS_MAX; i++) {
        if (list[i].used && list[i].relay == relay) {
            if (!wanted) {
                list[i].used = false;
                break_links(world, node, relay, 0);
            }
            return;
        }
        unused = unused == NULL && !list[i].used ? &list[i] : unused;
    }
    if (!wanted || relay >= world->node_count) {
        return;
    }
    if (unused == NULL) {
        world_fail(world, "%s has too many relays", world->nodes[node].name);
        return;
    }
    unused->number++;
    unused->used = true;
    unused->is_up = false;
    unused->relay = relay;
    world_after_process(world, 4 * packets_delay_ms(world, node, relay, unused->number),
                        (struct event){.run = run_look,
                                       .node = node,
                                       .number = (uint64_t)unused->number * SIM_TUNNELS_MAX +
                                                 (uint64_t)(unused - list)});
}

void relays_process_ended(struct world *world, uint32_t node, bool powered)
{
    struct sim_relays *relays = &world->nodes[node].relays;

    for (uint32_t i = 0; i < SIM_RELAYED_MAX; i++) {
        if (relays->relayed[i].used) {
            break_links(world, relays->relayed[i].leaf, node,
                        powered ? 1 : (uint64_t)LINK_SILENCE_MS_MAX);
        }
        relays->relayed[i].used = false;
    }
    for (uint32_t i = 0; i < SIM_TUNNELS_MAX; i++) {
        relays->tunnels[i].used = false;
        relays->tunnels[i].is_up = false;
    }
}

/* ------------------------------------------------------------------ in the end */

static bool may_relay(const struct world *world, uint32_t node)
{
    return converge_stands(world, node) && world->nodes[node].config.overlay.description.relays;
}

bool relays_are_enough(struct world *world)
{
    uint32_t willing_count = 0;

    for (uint32_t node = 0; node < world->node_count; node++) {
        willing_count += may_relay(world, node) ? 1 : 0;
    }
    for (uint32_t leaf = 0; leaf < world->node_count; leaf++) {
        uint32_t up_count = 0;

        if (!world->nodes[leaf].is_leaf || !converge_takes_part(world, leaf)) {
            continue;
        }
        for (uint32_t i = 0; i < SIM_TUNNELS_MAX; i++) {
            const struct sim_tunnel *tunnel = &world->nodes[leaf].relays.tunnels[i];

            up_count += tunnel->used && tunnel->is_up ? 1 : 0;
        }
        if (up_count < SIM_RELAYS_WANTED && up_count < willing_count) {
            return converge_problem(world, "%s is reached through %u relays",
                                    world->nodes[leaf].name, up_count);
        }
    }
    return true;
}

bool relays_are_used(struct world *world)
{
    for (uint32_t node = 0; node < world->node_count; node++) {
        for (uint32_t i = 0; i < SIM_RELAYED_MAX; i++) {
            const struct sim_relayed *relayed = &world->nodes[node].relays.relayed[i];

            if (relayed->used && tunnel_to(world, relayed->leaf, node) == NULL) {
                return converge_problem(world, "%s keeps a port for %s, which does not use it",
                                        world->nodes[node].name, world->nodes[relayed->leaf].name);
            }
        }
    }
    return true;
}
