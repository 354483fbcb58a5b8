// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Nodes that nobody can dial, and those who pass on to them, for transport.h. */
#include "transport_base.h"

/* Does the address lead there: its own, unless nobody can dial it, or its relay's? */
HELPER bool leads_to(const char *address, uint32_t to)
{
    const struct node *node = &net.nodes[to];
    char relayed[ADDRESS_CHARS_MAX + 1];
    char host[HOST_CHARS_MAX + 1];

    if (node->router_port != 0) {
        snprintf(relayed, sizeof(relayed), "%s:%u", node->router, node->router_port);
        if (strcmp(relayed, address) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (net.nodes[i].running && net.nodes[i].passing.port_count > 0 &&
            id_equal(&net.nodes[i].passing_for.id, &node->id.id)) {
            host_of(i, host);
            snprintf(relayed, sizeof(relayed), "%s:%u", host,
                     net.nodes[i].passing.ports[0].at_relay);
            if (strcmp(relayed, address) == 0) {
                return true;
            }
        }
    }
    return !node->is_closed && strcmp(node->config.description.addresses[0], address) == 0;
}

HELPER bool can_dial(const struct overlay_peer *peer, uint32_t to)
{
    for (size_t i = 0; i < peer->address_count; i++) {
        if (leads_to(peer->addresses[i], to)) {
            return true;
        }
    }
    return !net.nodes[to].is_closed; /* tests change what is said of addresses */
}

HELPER void do_dial_back(uint32_t from, const struct overlay_effect *effect)
{
    int to = find_node(&effect->peer.node);
    struct network_event *event;

    net.nodes[from].dial_back_count++;
    net.nodes[from].dialled = effect->peer;
    if (to < 0 || !net.nodes[to].running || are_apart(from, (uint32_t)to) ||
        !leads_to(effect->peer.addresses[0], (uint32_t)to)) {
        return;
    }
    event = new_event((uint32_t)to, OVERLAY_RECEIVED, 2);
    event->from = from;
    event->carried = true;
    event->event.message = copy_bytes(effect->message);
    event->event.source.inbound = true;
    event->event.source.link = ++net.link_number;
    memcpy(event->event.source.curve_key, net.nodes[from].curve.public_bytes, 32);
    push_event(event);
}

HELPER void do_relay(uint32_t who, const struct overlay_effect *effect)
{
    net.nodes[who].passing = effect->relay;
    net.nodes[who].passing_for = effect->peer.node;
}

HELPER void do_relayed(uint32_t who, const struct overlay_effect *effect)
{
    int relay = find_node(&effect->peer.node);

    if (relay >= 0 && effect->relay.port_count > 0) {
        report_link(who, (uint32_t)relay, OVERLAY_RELAY_UP);
    }
}
