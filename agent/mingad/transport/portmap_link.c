// SPDX-License-Identifier: GPL-3.0-or-later
/* Port mapping on our loop: what is to be open, and who hears of it. */
#include <errno.h>
#include <string.h>

#include "agent/mingad/edge.h"
#include "base/attributes.h"
#include "base/hash.h"
#include "base/keys.h"
#include "overlay/signed.h"

#define PURPOSE_PORTMAP "minga port mapping"

enum { LOST_MS = 60000 }; /* so long a node that cannot be dialled waits to ask the router again */

/* The overlay's port first; none before there is a community. */
static uint32_t wanted(void *context, struct portmap_port ports_out[PORTMAP_PORTS_MAX])
{
    struct edge *edge = context;
    struct overlay_port published[PORTMAP_PORTS_MAX - 1];
    uint16_t own = transport_port(edge->transport);
    uint32_t count;

    if (!overlay_belongs(core_overlay(edge->core))) {
        return 0;
    }
    ports_out[0] = (struct portmap_port){.inside = own, .outside = own};
    count = core_published(edge->core, PORTMAP_PORTS_MAX - 1, published);
    for (uint32_t i = 0; i < count; i++) {
        ports_out[i + 1] =
            (struct portmap_port){published[i].is_udp, published[i].number, published[i].number};
    }
    return count + 1;
}

static void changed(void *context, const struct portmap_port *port)
{
    struct edge *edge = context;
    bool is_own = !port->is_udp && port->inside == transport_port(edge->transport);
    struct overlay_event event = {.kind = OVERLAY_PORT_MAPPED,
                                  .port = is_own ? 0 : port->inside,
                                  .outside_port = port->outside,
                                  .is_udp = port->is_udp};

    edge_overlay_event(edge, &event);
}

/* Others dial the own address and port as before, and get through now, or no longer do. */
static void changed_ipv6(void *context, const struct portmap_port *port)
{
    struct edge *edge = context;

    struct overlay_event event = {
        .kind = OVERLAY_PORT_MAPPED, .outside_port = port->outside, .is_ipv6 = true};

    if (!port->is_udp && port->inside == transport_port(edge->transport)) {
        edge_overlay_event(edge, &event);
    }
}

/* Nobody else may know it: who does could close what we have opened (RFC 6887, section 11.2). */
static void make_nonce(const struct edge *edge, uint8_t nonce_out[PORTMAP_NONCE_BYTES])
{
    struct signature signature =
        keys_sign(&edge->node_key, PURPOSE_PORTMAP,
                  (struct bytes){edge->node_public.bytes, sizeof(edge->node_public.bytes)});
    struct id id =
        hash_of(PURPOSE_PORTMAP, (struct bytes){signature.bytes, sizeof(signature.bytes)});

    memcpy(nonce_out, id.bytes, PORTMAP_NONCE_BYTES);
}

int portmap_link_open(struct edge *edge, struct err *err)
{
    struct portmap_config config = {
        .loop = &edge->loop, .wanted = wanted, .changed = changed, .context = edge};

    make_nonce(edge, config.nonce);
    edge->portmap = portmap_new(&config);
    config.is_ipv6 = true;
    config.changed = changed_ipv6;
    edge->portmap_ipv6 = portmap_new(&config);
    return edge->portmap == NULL || edge->portmap_ipv6 == NULL
               ? err_set(err, -ENOMEM, "out of memory")
               : 0;
}

/* Who says where this node is to be dialled needs no router's word. */
void portmap_link_configure(struct edge *edge)
{
    bool is_allowed = edge->config.port_mapping != 0 && strcmp(edge->config.advertise, "auto") == 0;

    portmap_allow(edge->portmap, is_allowed);
    portmap_allow(edge->portmap_ipv6, is_allowed);
}

static bool is_open_since(const struct plan *plan, uint64_t before_ms)
{
    return plan_state_of(plan) == PLAN_OPEN && plan->began_ms <= before_ms;
}

/* A router that was switched off and on has forgotten all: others no longer get through. */
void portmap_link_tidy(struct edge *edge, uint64_t now_ms)
{
    struct portmap *portmaps[] = {edge->portmap, edge->portmap_ipv6};
    const struct overlay *overlay = core_overlay(edge->core);
    struct node_id self = overlay_self(overlay);
    const struct overlay_member *member = overlay_member_by_id(overlay, &self);

    if (member == NULL || member->record.reachable == minga_Reachable_REACHABLE_DIRECT ||
        now_ms < LOST_MS) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(portmaps); i++) {
        if (is_open_since(portmap_plan(portmaps[i]), now_ms - LOST_MS)) {
            portmap_look_again(portmaps[i]);
        }
    }
}

void portmap_link_look_again(struct edge *edge)
{
    portmap_look_again(edge->portmap);
    portmap_look_again(edge->portmap_ipv6);
}
