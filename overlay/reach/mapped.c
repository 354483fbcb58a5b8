// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Ports that a router has opened for this node, as it says. Nothing is believed of it: that others
 * get through is for them to prove (reach.c), and the host that they are told of is the one that
 * they have dialled, whatever the router calls itself. Only the port is taken from it: others
 * cannot see which one leads here.
 */
#include <string.h>

#include "overlay/state.h"

static void look_at_once(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;

    reach->in_round = false;
    reach->tries_own_port = false;
    reach->next_ms = overlay->now_ms;
}

/* The overlay's own: look at once whether others get through now, or no longer do. */
static void note_own(struct overlay *overlay, uint16_t outside)
{
    struct reach *reach = &overlay->reach;

    if (reach->outside_port == outside) {
        return;
    }
    reach->outside_port = outside;
    look_at_once(overlay);
    effect_trace(overlay, "a router says that its port %u leads here", outside);
}

void mapped_on_edge(struct overlay *overlay, const struct overlay_event *event)
{
    struct reach *reach = &overlay->reach;
    struct mapped *place = NULL;

    if (event->is_ipv6) {
        effect_trace(overlay, "a router says that its IPv6 firewall is %s",
                     event->outside_port == 0 ? "shut" : "open");
        look_at_once(overlay);
        return;
    }
    if (event->port == 0) {
        note_own(overlay, event->outside_port);
        return;
    }
    for (uint32_t i = 0; i < MAPPED_PORTS_MAX; i++) {
        struct mapped *mapped = &reach->mapped[i];

        if (mapped->inside == event->port && mapped->is_udp == event->is_udp) {
            place = mapped;
            break;
        }
        if (mapped->inside == 0 && place == NULL) {
            place = mapped;
        }
    }
    if (place == NULL) {
        return;
    }
    *place = (struct mapped){0};
    if (event->outside_port != 0 && event->outside_port != event->port) {
        *place = (struct mapped){event->port, event->outside_port, event->is_udp};
    }
}

uint16_t mapped_port_to_ask(const struct overlay *overlay, uint16_t own_port)
{
    const struct reach *reach = &overlay->reach;

    return reach->outside_port == 0 || reach->tries_own_port ? own_port : reach->outside_port;
}

uint16_t mapped_outside(const struct overlay *overlay, uint16_t port, bool is_udp)
{
    const struct reach *reach = &overlay->reach;
    bool is_behind = reach->proven[0] != '\0' && overlay->record.addresses_count > 0 &&
                     strcmp(overlay->record.addresses[0], reach->proven) == 0;

    for (uint32_t i = 0; is_behind && i < MAPPED_PORTS_MAX; i++) {
        if (reach->mapped[i].inside == port && reach->mapped[i].is_udp == is_udp) {
            return reach->mapped[i].outside;
        }
    }
    return port;
}
