// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A leaf's side of relaying: it asks members that can be dialled to pass connections on to it, two
 * at a time, and says in its record under which of their addresses. The edge opens the connections
 * to them, and tells while one stands: only then the address is told to others.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "overlay/state.h"

#define PURPOSE_RELAY "minga relay"

static bool is_wanted(const struct overlay *overlay)
{
    return overlay->reach.is_used && reach_is_leaf(overlay) && overlay->reach.doubt_count > 0 &&
           overlay->phase == PHASE_MEMBER && !overlay->record.leaving;
}

/* ------------------------------------------------------------------ the edge */

static bool find_member(const struct overlay *overlay, const struct node_id *node,
                        const struct member **member_out)
{
    int index = membership_find(&overlay->membership, node);

    *member_out = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];
    return index != MEMBER_NONE;
}

/* Without a grant: the edge closes what it has. */
static void tell_edge(struct overlay *overlay, struct relay *relay, bool ends)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_RELAYED);
    const struct member *member;

    if (effect == NULL) {
        return;
    }
    effect->peer.node = relay->node;
    if (!ends && find_member(overlay, &relay->node, &member)) {
        relay->told_sequence = member->view.record.sequence;
        effect->relay = relay->grant;
        effect->peer.address_count = member->view.record.addresses_count;
        for (size_t i = 0; i < effect->peer.address_count; i++) {
            memcpy(effect->peer.addresses[i], member->view.record.addresses[i],
                   sizeof(effect->peer.addresses[i]));
        }
    }
}

static struct relay *find_relay(struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        struct relay *relay = &overlay->leaf.relays[i];

        if (relay->used && id_equal(&relay->node.id, &node->id)) {
            return relay;
        }
    }
    return NULL;
}

bool leaf_is_relay(const struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        const struct relay *relay = &overlay->leaf.relays[i];

        if (relay->used && id_equal(&relay->node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

void leaf_on_edge(struct overlay *overlay, const struct node_id *node, bool is_up)
{
    struct relay *relay = find_relay(overlay, node);

    if (relay != NULL && relay->is_granted && relay->is_up != is_up) {
        relay->is_up = is_up;
        relay->first_ms = overlay->now_ms;
        reach_publish(overlay, overlay->record.reachable);
    }
}

/* ------------------------------------------------------------------ addresses */

/* The relay's hosts, with the port there that leads here. */
static void add_relayed(minga_NodeRecord *record, const struct member *relay, uint16_t port,
                        pb_size_t count_max)
{
    const minga_NodeRecord *its = &relay->view.record;

    for (pb_size_t i = 0; i < its->addresses_count && i < count_max; i++) {
        const char *colon = strrchr(its->addresses[i], ':');
        char *out = record->addresses[record->addresses_count];
        int length;

        if (colon == NULL || record->addresses_count == ADDRESSES_MAX) {
            continue;
        }
        length = snprintf(out, sizeof(record->addresses[0]), "%.*s:%u",
                          (int)(colon - its->addresses[i]), its->addresses[i], port);
        if (length > 0 && (size_t)length < sizeof(record->addresses[0])) {
            record->addresses_count++;
        }
    }
}

void leaf_fill(const struct overlay *overlay, minga_NodeRecord *record)
{
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        const struct relay *relay = &overlay->leaf.relays[i];
        const struct member *member;

        if (relay->used && relay->is_up && find_member(overlay, &relay->node, &member)) {
            add_relayed(record, member, relay->grant.ports[0].at_relay,
                        ADDRESSES_MAX / RELAYS_WANTED);
        }
    }
}

/* Whose addresses come first in the record: its ports are those that others are told. */
static const struct relay *first_relay(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        if (overlay->leaf.relays[i].used && overlay->leaf.relays[i].is_up) {
            return &overlay->leaf.relays[i];
        }
    }
    return NULL;
}

uint16_t overlay_port_outside(const struct overlay *overlay, uint16_t port, bool is_udp)
{
    const struct relay *relay = first_relay(overlay);

    if (!overlay->reach.is_used || !reach_is_leaf(overlay)) {
        return mapped_outside(overlay, port, is_udp);
    }
    if (relay == NULL) { /* neighbours may see it all the same */
        return port;
    }
    for (uint32_t i = 1; i < relay->grant.port_count; i++) {
        if (relay->grant.ports[i].at_leaf == port && relay->grant.ports[i].is_udp == is_udp) {
            return relay->grant.ports[i].at_relay;
        }
    }
    return 0;
}

/* Those for which there is room. Returns whether they are other ones than before. */
static bool take_ports(struct leaf *leaf, const struct overlay_port *ports, uint32_t count)
{
    uint32_t counts[2] = {0};
    uint32_t taken_count = 0;
    bool is_new = false;

    for (uint32_t i = 0; i < count; i++) {
        struct overlay_port *place = &leaf->ports[taken_count];

        if (counts[ports[i].is_udp] == RELAYED_PORTS_MAX) {
            continue;
        }
        counts[ports[i].is_udp]++;
        is_new = is_new || taken_count >= leaf->port_count || place->number != ports[i].number ||
                 place->is_udp != ports[i].is_udp;
        *place = ports[i];
        taken_count++;
    }
    is_new = is_new || taken_count != leaf->port_count;
    leaf->port_count = taken_count;
    return is_new;
}

void overlay_publish(struct overlay *overlay, const struct overlay_event *now,
                     const struct overlay_port *ports, uint32_t count,
                     struct overlay_effects *effects)
{
    struct leaf *leaf = &overlay->leaf;

    if (!take_ports(leaf, ports, count)) {
        return;
    }
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        leaf->relays[i].asked_ms = 0;
    }
    leaf->next_ms = overlay->now_ms;
    leaf_tick(overlay);
    state_leave(overlay);
}

/* ------------------------------------------------------------------ asking */

static void ask(struct overlay *overlay, struct relay *relay, bool ends)
{
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_relay_tag);
    message.kind.relay.ends = ends;
    memcpy(message.kind.relay.secret, relay->grant.secret, RELAY_SECRET_BYTES);
    for (uint32_t i = 0; i < overlay->leaf.port_count; i++) {
        const struct overlay_port *port = &overlay->leaf.ports[i];

        if (port->is_udp) {
            message.kind.relay.udp_ports[message.kind.relay.udp_ports_count++] = port->number;
        } else {
            message.kind.relay.ports[message.kind.relay.ports_count++] = port->number;
        }
    }
    relay->asked_ms = overlay->now_ms;
    request = peer_request(overlay, REQUEST_RELAY, &relay->node, &message, RELAY_ASK_MS);
    if (request != NULL && ends) {
        request->repeat_ms = 0;
    }
}

static void avoid(struct overlay *overlay, const struct node_id *node)
{
    struct leaf *leaf = &overlay->leaf;

    leaf->avoided[leaf->avoided_next++ % RELAY_AVOIDED_MAX] =
        (struct avoided){*node, overlay->now_ms + RELAY_AVOID_MS};
}

static bool is_avoided(const struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < RELAY_AVOIDED_MAX; i++) {
        const struct avoided *avoided = &overlay->leaf.avoided[i];

        if (overlay->now_ms < avoided->until_ms && id_equal(&avoided->node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

static void drop(struct overlay *overlay, struct relay *relay, const char *why)
{
    bool was_up = relay->is_up;

    effect_trace(overlay, "no relay any more: %02x%02x, %s", relay->node.id.bytes[0],
                 relay->node.id.bytes[1], why);
    if (relay->is_granted) {
        tell_edge(overlay, relay, true);
    }
    relay->used = false;
    relay->is_up = false;
    overlay->leaf.next_ms = overlay->now_ms;
    if (was_up) {
        reach_publish(overlay, overlay->record.reachable);
    }
}

/* Each leaf prefers others, so that no relay has to carry all. */
static uint64_t liking(const struct overlay *overlay, const struct node_id *node)
{
    uint8_t bytes[2 * ID_BYTES];
    struct id id;

    memcpy(bytes, overlay->self.id.bytes, ID_BYTES);
    memcpy(bytes + ID_BYTES, node->id.bytes, ID_BYTES);
    id = hash_of(PURPOSE_RELAY, (struct bytes){bytes, sizeof(bytes)});
    return id_top(&id);
}

static bool may_relay(const struct member *member)
{
    return member->view.state == MEMBER_UP && !member->view.is_self && member->view.record.relays &&
           member->view.record.reachable == minga_Reachable_REACHABLE_DIRECT;
}

static const struct member *choose(const struct overlay *overlay)
{
    const struct member *best = NULL;

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        if (may_relay(member) && !leaf_is_relay(overlay, &member->view.node) &&
            !is_avoided(overlay, &member->view.node) &&
            (best == NULL ||
             liking(overlay, &member->view.node) > liking(overlay, &best->view.node))) {
            best = member;
        }
    }
    return best;
}

static void look_after(struct overlay *overlay, struct relay *relay)
{
    const struct member *member;

    if (!find_member(overlay, &relay->node, &member) || !membership_is_up(member) ||
        membership_is_leaf(member)) {
        drop(overlay, relay, "it is gone");
    } else if (relay->is_granted && overlay->now_ms - relay->granted_ms >= RELAY_LEASE_MS) {
        avoid(overlay, &relay->node);
        drop(overlay, relay, "it does not answer");
    } else if (relay->is_granted && !relay->is_up &&
               overlay->now_ms - relay->first_ms >= RELAY_UP_MS) {
        avoid(overlay, &relay->node);
        ask(overlay, relay, true);
        drop(overlay, relay, "its door stays shut");
    } else if (relay->is_granted && relay->told_sequence != member->view.record.sequence) {
        tell_edge(overlay, relay, false); /* it may have moved */
        reach_publish(overlay, overlay->record.reachable);
    } else if (relay->asked_ms == 0 || overlay->now_ms - relay->asked_ms >= RELAY_RENEW_MS) {
        ask(overlay, relay, false);
    }
}

static void take_up(struct overlay *overlay, struct relay *relay)
{
    const struct member *member = choose(overlay);

    if (member != NULL) {
        *relay = (struct relay){.used = true, .node = member->view.node};
        /* Known to this node and the relay only; the same as long as both stay who they are. */
        overlay_secret(overlay, PURPOSE_RELAY,
                       (struct bytes){relay->node.id.bytes, sizeof(relay->node.id.bytes)},
                       relay->grant.secret);
        ask(overlay, relay, false);
    }
}

static void give_up_all(struct overlay *overlay)
{
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        struct relay *relay = &overlay->leaf.relays[i];

        if (relay->used) {
            ask(overlay, relay, true);
            drop(overlay, relay, "none is needed");
        }
    }
}

void leaf_tick(struct overlay *overlay)
{
    struct leaf *leaf = &overlay->leaf;

    if (!overlay->reach.is_used || overlay->now_ms < leaf->next_ms) {
        return;
    }
    leaf->next_ms = overlay->now_ms + RELAY_ASK_MS / 2;
    if (!is_wanted(overlay)) {
        give_up_all(overlay);
        return;
    }
    for (uint32_t i = 0; i < RELAYS_WANTED; i++) {
        if (leaf->relays[i].used) {
            look_after(overlay, &leaf->relays[i]);
        }
        if (!leaf->relays[i].used) {
            take_up(overlay, &leaf->relays[i]);
        }
    }
}

uint64_t leaf_wake(const struct overlay *overlay)
{
    return is_wanted(overlay) ? overlay->leaf.next_ms : 0;
}

/* ------------------------------------------------------------------ what relays answer */

static bool same_grant(const struct overlay_relay *a, const struct overlay_relay *b)
{
    if (a->door != b->door || a->port_count != b->port_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->port_count; i++) {
        if (a->ports[i].at_relay != b->ports[i].at_relay ||
            a->ports[i].at_leaf != b->ports[i].at_leaf ||
            a->ports[i].is_udp != b->ports[i].is_udp) {
            return false;
        }
    }
    return true;
}

static void add_granted(struct overlay_relay *grant, uint32_t at_relay, uint32_t at_leaf,
                        bool is_udp)
{
    if (at_relay != 0 && at_relay <= UINT16_MAX) {
        grant->ports[grant->port_count++] =
            (struct overlay_relay_port){(uint16_t)at_relay, (uint16_t)at_leaf, is_udp};
    }
}

/* The ports that were asked for, in that order, as the question named them. */
static bool read_grant(const minga_Relay *question, const minga_RelayReply *reply,
                       struct overlay_relay *grant)
{
    if (reply->door == 0 || reply->door > UINT16_MAX || reply->port == 0 ||
        reply->port > UINT16_MAX || reply->ports_count != question->ports_count) {
        return false;
    }
    grant->door = (uint16_t)reply->door;
    grant->port_count = 1;
    grant->ports[0] = (struct overlay_relay_port){.at_relay = (uint16_t)reply->port};
    for (pb_size_t i = 0; i < reply->ports_count; i++) {
        add_granted(grant, reply->ports[i], question->ports[i], false);
    }
    for (pb_size_t i = 0; i < reply->udp_ports_count && i < question->udp_ports_count; i++) {
        add_granted(grant, reply->udp_ports[i], question->udp_ports[i], true);
    }
    return true;
}

void leaf_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival)
{
    const minga_RelayReply *reply = &arrival->message->kind.relay_reply;
    struct relay *relay = find_relay(overlay, &request->to);
    struct overlay_relay grant;
    minga_Message question;

    if (relay == NULL || arrival->message->which_kind != minga_Message_relay_reply_tag ||
        message_decode((struct bytes){request->bytes, request->length_bytes}, &question) < 0 ||
        question.kind.relay.ends) {
        return;
    }
    grant = relay->grant;
    if (reply->reason[0] != '\0' || !read_grant(&question.kind.relay, reply, &grant)) {
        avoid(overlay, &relay->node);
        drop(overlay, relay, "it refuses");
        return;
    }
    relay->granted_ms = overlay->now_ms;
    relay->first_ms = relay->is_granted ? relay->first_ms : overlay->now_ms;
    if (!relay->is_granted || !same_grant(&grant, &relay->grant)) {
        relay->is_granted = true;
        relay->grant = grant;
        tell_edge(overlay, relay, false);
        reach_publish(overlay, overlay->record.reachable);
    }
}

void leaf_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct relay *relay = find_relay(overlay, &request->to);

    if (relay != NULL && !relay->is_granted) {
        avoid(overlay, &relay->node);
        drop(overlay, relay, "it does not answer");
    }
}
