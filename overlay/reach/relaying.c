// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A relay's side: which leaf has which of our ports, and for how long. The bytes are the edge's
 * business. A leaf that does not ask again loses its ports; so does one that is expelled.
 */
#include <stdio.h>
#include <string.h>

#include "overlay/state.h"

/* ------------------------------------------------------------------ ports */

static bool is_taken(const struct relaying *relaying, uint16_t port)
{
    if (port == relaying->door) {
        return true;
    }
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        const struct relayed *relayed = &relaying->list[i];

        for (uint32_t k = 0; relayed->used && k < relayed->grant.port_count; k++) {
            if (relayed->grant.ports[k].at_relay == port) {
                return true;
            }
        }
    }
    return false;
}

/* From the end of the range: replicas here take theirs from its beginning. */
static uint16_t choose_port(const struct overlay *overlay)
{
    const struct relaying *relaying = &overlay->relaying;

    for (uint16_t i = relaying->port_count; i > 0; i--) {
        uint64_t refused_ms = relaying->refused_ms[i - 1];
        uint16_t port = (uint16_t)(relaying->port_first + i - 1);

        if ((refused_ms == 0 || overlay->now_ms - refused_ms >= RELAY_PORT_REFUSED_MS) &&
            !is_taken(relaying, port)) {
            return port;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ grants */

static void tell_edge(struct overlay *overlay, const struct relayed *relayed, bool ends)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_RELAY);

    if (effect != NULL) {
        effect->peer.node = relayed->node;
        if (!ends) {
            effect->relay = relayed->grant;
            effect->relay.door = overlay->relaying.door;
        }
    }
}

static struct relayed *find(struct overlay *overlay, const struct node_id *node)
{
    struct relayed *unused = NULL;

    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        struct relayed *relayed = &overlay->relaying.list[i];

        if (relayed->used && id_equal(&relayed->node.id, &node->id)) {
            return relayed;
        }
        if (!relayed->used && unused == NULL) {
            unused = relayed;
        }
    }
    return unused;
}

static void end(struct overlay *overlay, struct relayed *relayed)
{
    tell_edge(overlay, relayed, true);
    *relayed = (struct relayed){0};
}

static bool has_port_for(const struct overlay_relay *grant, uint32_t at_leaf, bool is_udp,
                         uint16_t *port_out)
{
    for (uint32_t i = 1; i < grant->port_count; i++) {
        if (grant->ports[i].at_leaf == at_leaf && grant->ports[i].is_udp == is_udp) {
            *port_out = grant->ports[i].at_relay;
            return true;
        }
    }
    return false;
}

struct wanted_ports {
    const uint32_t *list;
    pb_size_t count;
    bool is_udp;
};

/* Ports that are wanted still stay the same ones. Returns how many. */
static uint32_t keep_ports(struct overlay_relay *grant, const struct overlay_relay *before,
                           struct wanted_ports wanted)
{
    uint32_t kept_count = 0;
    uint16_t port = 0;

    for (pb_size_t i = 0; i < wanted.count; i++) {
        if (has_port_for(before, wanted.list[i], wanted.is_udp, &port) &&
            !has_port_for(grant, wanted.list[i], wanted.is_udp, &port)) {
            grant->ports[grant->port_count++] =
                (struct overlay_relay_port){port, (uint16_t)wanted.list[i], wanted.is_udp};
            kept_count++;
        }
    }
    return kept_count;
}

static void add_ports(struct overlay *overlay, struct overlay_relay *grant,
                      struct wanted_ports wanted)
{
    uint16_t port = 0;

    for (pb_size_t i = 0; i < wanted.count; i++) {
        if (wanted.list[i] == 0 || wanted.list[i] > UINT16_MAX ||
            has_port_for(grant, wanted.list[i], wanted.is_udp, &port)) {
            continue;
        }
        port = choose_port(overlay);
        if (port != 0) {
            grant->ports[grant->port_count++] =
                (struct overlay_relay_port){port, (uint16_t)wanted.list[i], wanted.is_udp};
        }
    }
}

/* Returns whether something has changed. */
static bool fit_ports(struct overlay *overlay, struct relayed *relayed, const minga_Relay *wanted)
{
    const struct wanted_ports tcp = {wanted->ports, wanted->ports_count, false};
    const struct wanted_ports udp = {wanted->udp_ports, wanted->udp_ports_count, true};
    struct overlay_relay before = relayed->grant;
    struct overlay_relay *grant = &relayed->grant;
    uint32_t kept_count = 0;

    grant->port_count = 1;
    kept_count += keep_ports(grant, &before, tcp);
    kept_count += keep_ports(grant, &before, udp);
    add_ports(overlay, grant, tcp);
    add_ports(overlay, grant, udp);
    return grant->port_count != before.port_count || kept_count + 1 != grant->port_count;
}

/* NULL, or why it cannot be. */
static const char *grant(struct overlay *overlay, const struct arrival *arrival,
                         struct relayed **relayed_out)
{
    const minga_Relay *wanted = &arrival->message->kind.relay;
    const struct node_id *node = &overlay->membership.list[arrival->member].view.node;
    struct relayed *relayed = find(overlay, node);
    bool is_new;
    bool has_other_secret;

    if (!overlay->record.relays || overlay->relaying.port_count < 2 ||
        overlay->record.reachable != minga_Reachable_REACHABLE_DIRECT) {
        return "this node passes nothing on";
    }
    if (relayed == NULL) {
        return "this node passes on for too many already";
    }
    if (overlay->relaying.door == 0) {
        overlay->relaying.door = choose_port(overlay);
    }
    is_new = !relayed->used;
    if (is_new) {
        uint16_t port = choose_port(overlay);

        if (port == 0) {
            return "this node has no port left";
        }
        *relayed = (struct relayed){.used = true, .node = *node};
        relayed->grant.port_count = 1;
        relayed->grant.ports[0] = (struct overlay_relay_port){.at_relay = port};
    }
    has_other_secret = memcmp(relayed->grant.secret, wanted->secret, RELAY_SECRET_BYTES) != 0;
    memcpy(relayed->grant.secret, wanted->secret, RELAY_SECRET_BYTES);
    relayed->until_ms = overlay->now_ms + RELAY_LEASE_MS;
    if (fit_ports(overlay, relayed, wanted) || is_new || has_other_secret) {
        tell_edge(overlay, relayed, false);
    }
    *relayed_out = relayed;
    return NULL;
}

static void fill(const struct overlay *overlay, const struct relayed *relayed,
                 const minga_Relay *wanted, minga_RelayReply *reply)
{
    reply->door = overlay->relaying.door;
    reply->port = relayed->grant.ports[0].at_relay;
    reply->ports_count = wanted->ports_count;
    for (pb_size_t i = 0; i < wanted->ports_count; i++) {
        uint16_t port = 0;

        (void)has_port_for(&relayed->grant, wanted->ports[i], false, &port);
        reply->ports[i] = port;
    }
    reply->udp_ports_count = wanted->udp_ports_count;
    for (pb_size_t i = 0; i < wanted->udp_ports_count; i++) {
        uint16_t port = 0;

        (void)has_port_for(&relayed->grant, wanted->udp_ports[i], true, &port);
        reply->udp_ports[i] = port;
    }
}

void relaying_on_relay(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Relay *wanted = &arrival->message->kind.relay;
    struct relayed *relayed = NULL;
    minga_Message message;
    const char *fault;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    message_init(&message, minga_Message_relay_reply_tag);
    if (wanted->ends) {
        relayed = find(overlay, &overlay->membership.list[arrival->member].view.node);
        if (relayed != NULL && relayed->used) {
            end(overlay, relayed);
        }
        fault = "it has ended";
    } else {
        fault = grant(overlay, arrival, &relayed);
    }
    if (fault != NULL) {
        (void)snprintf(message.kind.relay_reply.reason, sizeof(message.kind.relay_reply.reason),
                       "%s", fault);
    } else {
        fill(overlay, relayed, wanted, &message.kind.relay_reply);
    }
    peer_reply(overlay, &arrival->asker, &message, NULL);
}

void relaying_tick(struct overlay *overlay)
{
    bool relays =
        overlay->record.relays && overlay->record.reachable == minga_Reachable_REACHABLE_DIRECT;

    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        struct relayed *relayed = &overlay->relaying.list[i];

        if (relayed->used &&
            (!relays || overlay->now_ms >= relayed->until_ms ||
             membership_banned(&overlay->membership.expulsions, &relayed->node.id) != NULL)) {
            end(overlay, relayed);
        }
    }
}

uint64_t relaying_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = 0;

    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        const struct relayed *relayed = &overlay->relaying.list[i];

        if (relayed->used && (wake_ms == 0 || relayed->until_ms < wake_ms)) {
            wake_ms = relayed->until_ms;
        }
    }
    return wake_ms;
}

static bool has_port_outside(const struct overlay_relay *grant, const struct relaying *range)
{
    for (uint32_t i = 0; i < grant->port_count; i++) {
        uint16_t port = grant->ports[i].at_relay;

        if (port < range->port_first || port - range->port_first >= range->port_count) {
            return true;
        }
    }
    return false;
}

void overlay_set_relay_ports(struct overlay *overlay, const struct overlay_event *now,
                             uint16_t port_first, uint16_t port_count,
                             struct overlay_effects *effects)
{
    struct relaying *relaying = &overlay->relaying;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    port_count = port_count < RELAY_PORTS_MAX ? port_count : (uint16_t)RELAY_PORTS_MAX;
    if (port_first != relaying->port_first || port_count != relaying->port_count) {
        relaying->port_first = port_first;
        relaying->port_count = port_count;
        memset(relaying->refused_ms, 0, sizeof(relaying->refused_ms));
        bool has_door = relaying->door >= port_first && relaying->door - port_first < port_count;

        relaying->door = has_door ? relaying->door : 0;
        for (uint32_t i = 0; i < RELAYED_MAX; i++) {
            struct relayed *relayed = &relaying->list[i];

            if (relayed->used && (!has_door || has_port_outside(&relayed->grant, relaying))) {
                end(overlay, relayed);
            }
        }
    }
    state_leave(overlay);
}

/* Something else has the port: another one is given when the leaf asks again. */
void relaying_port_refused(struct overlay *overlay, uint16_t port)
{
    struct relaying *relaying = &overlay->relaying;

    if (port < relaying->port_first || port - relaying->port_first >= relaying->port_count) {
        return;
    }
    relaying->refused_ms[port - relaying->port_first] = overlay->now_ms;
    if (port == relaying->door) {
        relaying->door = 0;
    }
    for (uint32_t i = 0; i < RELAYED_MAX; i++) {
        struct relayed *relayed = &relaying->list[i];

        for (uint32_t k = 0; relayed->used && k < relayed->grant.port_count; k++) {
            if (relayed->grant.ports[k].at_relay == port) {
                end(overlay, relayed);
                break;
            }
        }
    }
}
