// SPDX-License-Identifier: GPL-3.0-or-later
/* Which message goes to whom: one table for messages, one for what answers and time-outs end. */
#include <errno.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "overlay/state.h"

typedef void (*message_handler)(struct overlay *, const struct arrival *);
typedef void (*reply_handler)(struct overlay *, const struct request *, const struct arrival *);
typedef void (*timeout_handler)(struct overlay *, const struct request *);

enum door {
    DOOR_STRANGER, /* read from anyone */
    DOOR_MEMBER,   /* only behind a proven greeting */
};

struct message_row {
    pb_size_t kind;
    enum door door;
    message_handler handle;
};

static const struct message_row message_rows[] = {
    {minga_Message_hello_tag, DOOR_STRANGER, peer_on_hello},
    {minga_Message_join_tag, DOOR_STRANGER, joining_on_join},
    {minga_Message_vouchers_tag, DOOR_STRANGER, chain_on_vouchers},
    {minga_Message_dialled_tag, DOOR_STRANGER, reach_on_dialled},
    {minga_Message_dial_back_tag, DOOR_MEMBER, reach_on_dial_back},
    {minga_Message_relay_tag, DOOR_MEMBER, relaying_on_relay},
    {minga_Message_vouchers_ask_tag, DOOR_MEMBER, chain_on_ask},
    {minga_Message_who_tag, DOOR_MEMBER, contacts_on_who},
    {minga_Message_welcome_tag, DOOR_MEMBER, peer_on_welcome},
    {minga_Message_refused_tag, DOOR_MEMBER, peer_on_refused},
    {minga_Message_item_tag, DOOR_MEMBER, gossip_on_item},
    {minga_Message_broadcast_tag, DOOR_MEMBER, tell_on_broadcast},
    {minga_Message_ping_tag, DOOR_MEMBER, watch_on_ping},
    {minga_Message_probe_via_tag, DOOR_MEMBER, watch_on_probe_via},
    {minga_Message_goodbye_tag, DOOR_MEMBER, goodbye_on_message},
    {minga_Message_summary_tag, DOOR_MEMBER, sync_on_summary},
    {minga_Message_stabilise_tag, DOOR_MEMBER, place_on_stabilise},
    {minga_Message_ask_tag, DOOR_MEMBER, asks_on_ask},
    {minga_Message_route_tag, DOOR_MEMBER, asks_on_route},
    {minga_Message_lookup_tag, DOOR_MEMBER, asks_on_lookup},
    {minga_Message_seek_next_tag, DOOR_MEMBER, seeks_on_next},
    {minga_Message_record_put_tag, DOOR_MEMBER, record_put_on_message},
    {minga_Message_record_copy_tag, DOOR_MEMBER, record_copy_on_message},
    {minga_Message_record_get_tag, DOOR_MEMBER, record_get_on_message},
    {minga_Message_record_lost_tag, DOOR_MEMBER, record_lost_on_message},
    {minga_Message_chunk_offers_tag, DOOR_MEMBER, chunk_offers_on_message},
    {minga_Message_chunk_data_tag, DOOR_MEMBER, chunk_receive_on_data},
    {minga_Message_chunk_get_tag, DOOR_MEMBER, serve_on_message},
    {minga_Message_chunk_ranges_tag, DOOR_MEMBER, compare_on_ranges},
};

struct request_row {
    reply_handler on_reply;
    timeout_handler on_timeout; /* NULL: nobody misses it */
};

static void ignore_reply(struct overlay *overlay, const struct request *request,
                         const struct arrival *arrival)
{
    (void)overlay;
    (void)request;
    (void)arrival;
}

static const struct request_row request_rows[] = {
    [REQUEST_PING] = {watch_on_reply, NULL},
    [REQUEST_PROBE_VIA] = {watch_on_reply, NULL},
    [REQUEST_PROBE_FOR] = {watch_on_reply, watch_on_timeout},
    [REQUEST_JOIN] = {joining_on_reply, joining_on_timeout},
    [REQUEST_JOIN_RELAY] = {joining_on_relay_reply, NULL},
    [REQUEST_SYNC] = {sync_on_reply, sync_on_timeout},
    [REQUEST_STABILISE] = {place_on_reply, NULL},
    [REQUEST_ASK] = {asks_on_reply, asks_on_timeout},
    [REQUEST_ROUTE] = {asks_on_reply, asks_on_timeout},
    [REQUEST_ROUTE_RELAY] = {asks_on_reply, asks_on_timeout},
    [REQUEST_LOCAL] = {NULL, asks_on_timeout},
    [REQUEST_LOOKUP] = {asks_on_reply, asks_on_timeout},
    [REQUEST_LOOKUP_RELAY] = {asks_on_reply, asks_on_timeout},
    [REQUEST_GOODBYE] = {goodbye_on_reply, NULL},
    [REQUEST_RECORD_PUT] = {record_put_on_reply, record_put_on_timeout},
    [REQUEST_RECORD_READ] = {record_get_on_reply, record_get_on_timeout},
    [REQUEST_PUT_READ] = {record_put_on_reply, record_put_on_timeout},
    [REQUEST_RECORD_COPY] = {record_put_on_reply, record_put_on_timeout},
    [REQUEST_CHUNK_OFFER] = {chunk_put_on_reply, chunk_put_on_timeout},
    [REQUEST_CHUNK_DATA] = {chunk_put_on_reply, chunk_put_on_timeout},
    [REQUEST_CHUNK_GET] = {chunk_get_on_reply, chunk_get_on_timeout},
    [REQUEST_WHO] = {contacts_on_reply, NULL},
    [REQUEST_CHUNK_OFFERS] = {chunk_offers_on_reply, chunk_offers_on_timeout},
    [REQUEST_SEEK] = {seeks_on_reply, seeks_on_timeout},
    [REQUEST_COMPARE] = {compare_on_reply, compare_on_timeout},
    [REQUEST_BROADCAST] = {ignore_reply, tell_on_timeout},
    [REQUEST_DIAL_BACK] = {reach_on_reply, reach_on_timeout},
    [REQUEST_RELAY] = {leaf_on_reply, leaf_on_timeout},
};

/* What is busy for long is not asked ten times a second. */
static uint64_t busy_ms(struct request *request)
{
    uint32_t doublings = request->busy_count / BUSY_SAME_COUNT;

    if (request->busy_count < BUSY_SAME_COUNT * BUSY_DOUBLINGS_MAX) {
        request->busy_count++;
    }
    return (uint64_t)BUSY_MS << doublings;
}

static void on_reply(struct overlay *overlay, struct request *request,
                     const struct arrival *arrival)
{
    const struct request_row *row = &request_rows[request->kind];
    pb_size_t kind = arrival->message->which_kind;

    if (row->on_reply == NULL || !request_is_to(request, &arrival->asker.node)) {
        overlay->counters.refused_messages++;
        return;
    }
    if (kind == minga_Message_busy_tag && request->repeat_ms != 0) {
        request->repeat_ms = overlay->now_ms + busy_ms(request);
        return;
    }
    if (kind == minga_Message_refused_tag && request->kind != REQUEST_JOIN) {
        peer_on_refused(overlay, arrival);
        if (request->repeat_ms == 0) {
            request->deadline_ms = overlay->now_ms; /* nobody repeats it: ask another one */
        }
        return; /* it is repeated after the greeting, or ends in time */
    }
    if (request->is_measured && arrival->member != MEMBER_NONE) {
        rtt_measured(&overlay->membership.list[arrival->member].rtt,
                     overlay->now_ms - request->sent_ms);
        far_answered(overlay, arrival->member, overlay->now_ms - request->sent_ms);
        detector_pace(&overlay->detector, arrival->member,
                      rtt_timeout_ms(&overlay->membership.list[arrival->member].rtt));
    }
    row->on_reply(overlay, request, arrival);
    requests_end(&overlay->requests, request);
}

static const struct message_row *find_row(pb_size_t kind)
{
    for (size_t i = 0; i < ARRAY_COUNT(message_rows); i++) {
        if (message_rows[i].kind == kind) {
            return &message_rows[i];
        }
    }
    return NULL;
}

static void on_message(struct overlay *overlay, const struct arrival *arrival)
{
    const struct message_row *row = find_row(arrival->message->which_kind);

    if (row == NULL) {
        overlay->counters.refused_messages++;
        return;
    }
    if (row->door == DOOR_MEMBER && arrival->member == MEMBER_NONE && arrival->asker.inbound) {
        overlay->counters.refused_messages++;
        if (links_admit_stranger(&overlay->links, overlay->now_ms)) {
            peer_refuse(overlay, &arrival->asker, minga_RefusedCode_REFUSED_HELLO_FIRST,
                        "a greeting comes first");
        }
        return;
    }
    row->handle(overlay, arrival);
}

/* The member that a message comes from: by its greeting, or because we dialled it. */
static int find_sender(struct overlay *overlay, const struct overlay_source *source)
{
    int index = source->inbound ? links_member(&overlay->links, source->link, overlay->now_ms)
                                : membership_find(&overlay->membership, &source->node);

    const struct member *member = index == MEMBER_NONE ? NULL : &overlay->membership.list[index];

    if (member == NULL || member->view.state == MEMBER_EXPELLED) {
        return MEMBER_NONE;
    }
    /* Numbers of links may come again when the transport has bound anew; keys do not lie. */
    if (source->inbound && member->has_curve_key &&
        memcmp(member->curve_key, source->curve_key, sizeof(member->curve_key)) != 0) {
        return MEMBER_NONE;
    }
    return index;
}

static bool is_contact(const struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay->join.contact_count; i++) {
        if (id_equal(&overlay->join.contacts[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* Who refuses is no member of ours, or not yet again: that it answers is no sign of life of the
 * member. (A node that has left, or was expelled, must not count as up for ever, nor its refusals keep
 * us from finding out that we are alone.) Nor is an expulsion, which may be the sender's own: it
 * would be greeted and asked for a lease before it is known for what it is. */
static bool is_sign_of_life(const minga_Message *message)
{
    return message->which_kind != minga_Message_refused_tag &&
           (message->which_kind != minga_Message_item_tag ||
            message->kind.item.kind != minga_ItemKind_ITEM_EXPULSION);
}

/* While joining, the contact is trusted for what it is asked, and what it sends is checked. */
static void from_contact(struct overlay *overlay, const struct arrival *arrival)
{
    struct request *request = requests_find(&overlay->requests, arrival->message->request);

    if (arrival->message->which_kind == minga_Message_item_tag) {
        gossip_on_item(overlay, arrival);
    } else if (arrival->message->reply && request != NULL) {
        on_reply(overlay, request, arrival);
    }
}

void dispatch_received(struct overlay *overlay, const struct overlay_event *event)
{
    minga_Message message = minga_Message_init_zero;
    struct arrival arrival = {.source = &event->source, .message = &message, .data = event->data};
    struct request *request;
    int r = message_decode(event->message, &message);

    overlay->counters.received_messages++;
    arrival.member = find_sender(overlay, &event->source);
    arrival.asker = (struct asker){event->source.inbound, event->source.link, event->source.node,
                                   message.request};
    if (r < 0) {
        overlay->counters.refused_messages++;
        if (r == -EPROTONOSUPPORT && !message.reply) {
            peer_refuse(overlay, &arrival.asker, minga_RefusedCode_REFUSED_VERSION,
                        "another version of the protocol is spoken here");
        }
        return;
    }
    if (arrival.member == MEMBER_NONE && !event->source.inbound) {
        if (overlay->join.active && is_contact(overlay, &event->source.node)) {
            from_contact(overlay, &arrival);
        } else {
            contacts_received(overlay, &arrival);
        }
        return;
    }
    overlay->speaker = arrival.member;
    if (arrival.member != MEMBER_NONE) {
        arrival.asker.node = overlay->membership.list[arrival.member].view.node;
        if (arrival.asker.inbound) {
            peer_called(overlay, arrival.member, arrival.asker.link);
        }
        if (is_sign_of_life(&message)) {
            gossip_heard(overlay, arrival.member);
        }
    }
    request = message.reply ? requests_find(&overlay->requests, message.request) : NULL;
    if (request != NULL && arrival.member != MEMBER_NONE) {
        on_reply(overlay, request, &arrival);
    } else {
        on_message(overlay, &arrival);
    }
    if (arrival.member != MEMBER_NONE) {
        contacts_ask(overlay, &arrival.asker.node);
    }
}

static void expire_one(struct overlay *overlay, struct request *request)
{
    const struct request_row *row = &request_rows[request->kind];

    peer_unheard(overlay, &request->to);
    if (row->on_timeout != NULL) {
        row->on_timeout(overlay, request);
    }
    requests_end(&overlay->requests, request);
}

void dispatch_missed(struct overlay *overlay, struct request *request)
{
    int index = membership_find(&overlay->membership, &request->to);

    if (request->is_measured && index != MEMBER_NONE) {
        rtt_missed(&overlay->membership.list[index].rtt);
    }
    request->is_measured = false;
}

static void repeat(struct overlay *overlay, struct request *request)
{
    bool has_way = request->has_way;
    minga_Message message;

    dispatch_missed(overlay, request);
    if (request->busy_count == 0) {
        peer_unheard(overlay, &request->to);
    }
    request->repeat_ms = overlay->now_ms + request->repeat_every_ms;
    request->repeat_every_ms *= 2;
    if (request->reroute && !asks_reroute(overlay, request)) {
        requests_end(&overlay->requests, request);
        return;
    }
    if (request->kind == REQUEST_RECORD_READ && !request->is_image) {
        record_get_on_silence(overlay, request);
    } else if (request->kind == REQUEST_RECORD_COPY) {
        record_put_on_silence(overlay, request);
    }
    if (message_decode((struct bytes){request->bytes, request->length_bytes}, &message) == 0) {
        if (request->reroute && !has_way && !request->has_other && asks_other(overlay, request)) {
            peer_send(overlay, &request->other, &message, NULL);
        }
        peer_send(overlay, &request->to, &message, NULL);
    }
}

void dispatch_expire(struct overlay *overlay)
{
    uint32_t ended_count = 0;

    for (uint32_t i = 0; i < overlay->requests.top && ended_count < EXPIRIES_MAX; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_FREE) {
            continue;
        }
        if (overlay->now_ms >= request->deadline_ms) {
            expire_one(overlay, request);
            ended_count++;
        } else if (request->repeat_ms != 0 && overlay->now_ms >= request->repeat_ms) {
            repeat(overlay, request);
            ended_count++;
        }
    }
}

void dispatch_gone(struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_FREE || !id_equal(&request->to.id, &node->id)) {
            continue;
        }
        if (request->reroute) {
            request->repeat_ms = overlay->now_ms;
        } else {
            request->deadline_ms = overlay->now_ms;
        }
    }
}

void dispatch_welcomed(struct overlay *overlay, const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind != REQUEST_FREE && request->repeat_ms != 0 &&
            id_equal(&request->to.id, &node->id)) {
            request->repeat_ms = overlay->now_ms;
        }
    }
}

void dispatch_link_lost(struct overlay *overlay, const struct node_id *node, bool refused)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        struct request *request = &overlay->requests.list[i];

        /* What is not repeated was lost with the link, and has other ways to go. */
        if ((request->kind == REQUEST_CHUNK_GET || request->kind == REQUEST_CHUNK_DATA ||
             request->kind == REQUEST_BROADCAST ||
             (refused && request->kind == REQUEST_PROBE_FOR)) &&
            id_equal(&request->to.id, &node->id)) {
            request->deadline_ms = overlay->now_ms;
        }
    }
}

/* No sign of silence: nothing is missed, nobody else is asked. The new link has to be built first. */
static void say_again(struct overlay *overlay, struct request *request)
{
    minga_Message message;

    request->is_measured = false;
    if (request->repeat_every_ms < REPLY_MS) {
        request->repeat_every_ms = REPLY_MS;
    }
    request->repeat_ms = overlay->now_ms + request->repeat_every_ms;
    if (message_decode((struct bytes){request->bytes, request->length_bytes}, &message) == 0) {
        peer_send(overlay, &request->to, &message, NULL);
    }
}

void dispatch_caller_lost(struct overlay *overlay, const struct node_id *node)
{
    uint32_t said_count = 0; /* more than so many are repeated in their turn */

    dispatch_link_lost(overlay, node, false);
    for (uint32_t i = 0; i < overlay->requests.top && said_count < EXPIRIES_MAX; i++) {
        struct request *request = &overlay->requests.list[i];

        if (request->kind != REQUEST_FREE && request->repeat_ms != 0 && request->busy_count == 0 &&
            overlay->now_ms < request->deadline_ms && id_equal(&request->to.id, &node->id)) {
            say_again(overlay, request);
            said_count++;
        }
    }
}
