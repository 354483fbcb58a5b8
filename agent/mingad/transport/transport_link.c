// SPDX-License-Identifier: GPL-3.0-or-later
/* Outbound links: one DEALER for each peer that we dial. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/transport/transport_gate.h"
#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"

static struct link **bucket_of(struct transport *transport, const struct node_id *node)
{
    return &transport->links[node->id.bytes[0] & (LINK_BUCKETS - 1)];
}

struct link *link_find(struct transport *transport, const struct node_id *node)
{
    struct link *link = *bucket_of(transport, node);

    while (link != NULL && !id_equal(&link->peer.node.id, &node->id)) {
        link = link->next;
    }
    return link;
}

/* ------------------------------------------------------------------ receiving */

static void on_message(struct transport *transport, struct link *link, struct frames *frames)
{
    struct overlay_event event = {.kind = OVERLAY_RECEIVED, .source.node = link->peer.node};

    link->was_heard = true;
    gate_give_back(link->fd, frames->wire_bytes);
    event.message = frame_bytes(frames, 0);
    frame_host(frames, 0, event.source.host);
    event.data = frame_bytes(frames, 1);
    if (frames->is_overlong || frames->count > 2 || event.message.length_bytes == 0 ||
        event.message.length_bytes > MESSAGE_BYTES_MAX ||
        event.data.length_bytes > CHUNK_BYTES_MAX) {
        transport->counters.dropped_inbound++;
    } else {
        transport->counters.received_messages++;
        transport->event(transport->context, &event); /* may close the link: last */
    }
}

static void settle_dealer(struct watch *watch)
{
    struct frames frames;

    for (int i = 0; i < BATCH_MESSAGES_MAX; i++) {
        if (watch->is_closed || frames_receive(watch->socket, &frames) < 0) {
            return;
        }
        on_message(watch->transport, watch->link, &frames);
        frames_done(&frames);
    }
    watch_mark(watch);
}

/* ------------------------------------------------------------------ dialling */

static int set_options(struct transport *transport, void *dealer, const struct overlay_peer *peer)
{
    uint8_t server_key[CURVE_KEY_BYTES];
    int r = keys_curve_public(&peer->key, server_key);

    if (r == 0) {
        r = socket_set_common(dealer);
    }
    if (r == 0 && (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server_key, CURVE_KEY_BYTES) < 0 ||
                   zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, transport->curve.public_bytes,
                                  CURVE_KEY_BYTES) < 0 ||
                   zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, transport->curve.secret_bytes,
                                  CURVE_KEY_BYTES) < 0)) {
        r = -errno;
    }
    return r;
}

static int endpoint_of(struct link *link, size_t way, char endpoint_out[ENDPOINT_BYTES_MAX])
{
    const char *address = link->peer.addresses[way / TRANSPORT_HOSTS_MAX];

    return names_endpoint(link->dealer.transport, address, way % TRANSPORT_HOSTS_MAX, endpoint_out);
}

/* Dials from way number `first` on, the first that ZeroMQ accepts. While none can be dialled but a
 * name is looked up, the link waits. */
static int dial(struct link *link, size_t first)
{
    size_t way_count = link->peer.address_count * TRANSPORT_HOSTS_MAX;
    char endpoint[ENDPOINT_BYTES_MAX];

    link->awaits_name = false;
    link->endpoint[0] = '\0';
    link->way_count = 0;
    for (size_t i = 0; i < way_count; i++) {
        size_t way = (first + i) % way_count;
        int r = endpoint_of(link, way, endpoint);

        link->way_count += r == 0;
        link->awaits_name = link->awaits_name || r == -EAGAIN;
        if (r == 0 && link->endpoint[0] == '\0' &&
            zmq_connect(link->dealer.socket, endpoint) == 0) {
            memcpy(link->endpoint, endpoint, sizeof(endpoint));
            link->way = way;
        }
    }
    if (link->endpoint[0] != '\0') {
        link->awaits_name = false;
        return 0;
    }
    return link->awaits_name ? 0 : -EHOSTUNREACH;
}

/* ------------------------------------------------------------------ what waits for a name */

/* A socket that has dialled nobody yet takes no message. */
static int hold(struct link *link, struct bytes message)
{
    struct held *held = NULL;

    if (link->held_count < HELD_MAX) {
        held = malloc(sizeof(*held) + message.length_bytes);
    }
    if (held == NULL) {
        return -EAGAIN;
    }
    held->length_bytes = message.length_bytes;
    memcpy(held->bytes, message.data, message.length_bytes);
    held->next = link->held;
    link->held = held;
    link->held_count++;
    return 0;
}

int link_send(struct link *link, struct bytes message, struct transport_data data)
{
    if (!link->awaits_name) {
        return frames_send(&link->dealer, message, data);
    }
    if (data.data != NULL) {
        frames_discard(data);
        return -EAGAIN;
    }
    return hold(link, message);
}

static void send_held(struct link *link, struct held *held)
{
    struct held *first = NULL;

    for (struct held *next; held != NULL; held = next) { /* the first becomes the first again */
        next = held->next;
        held->next = first;
        first = held;
    }
    for (struct held *next; first != NULL; first = next) {
        next = first->next;
        if (link != NULL) {
            (void)frames_send(&link->dealer, (struct bytes){first->bytes, first->length_bytes},
                              (struct transport_data){0});
        }
        free(first);
    }
}

static struct held *take_held(struct link *link)
{
    struct held *held = link->held;

    link->held = NULL;
    link->held_count = 0;
    return held;
}

static int redial(struct link *link, size_t first)
{
    int r = dial(link, first);

    if (r == 0 && !link->awaits_name && link->held != NULL) {
        send_held(link, take_held(link));
        watch_mark(&link->dealer);
    }
    return r;
}

void link_try_next_address(struct link *link)
{
    if (link->way_count < 2 && link->peer.address_count < 2) {
        return; /* ZeroMQ itself dials the only one again */
    }
    if (link->endpoint[0] != '\0') {
        zmq_disconnect(link->dealer.socket, link->endpoint);
    }
    (void)redial(link, link->way + 1); /* none: the link stays, the next failure retries */
}

/* Nothing is known of it while it waits: what it was dialled for may close it. */
static struct link *find_awaiting(struct transport *transport, uint64_t tried_ms)
{
    for (size_t i = 0; i < LINK_BUCKETS; i++) {
        for (struct link *link = transport->links[i]; link != NULL; link = link->next) {
            if (link->awaits_name && link->dialled_ms != tried_ms) {
                return link;
            }
        }
    }
    return NULL;
}

void links_named(struct transport *transport)
{
    uint64_t now_ms = clock_now_ms();
    struct link *link = find_awaiting(transport, now_ms);

    while (link != NULL) {
        struct overlay_event lost = {.kind = OVERLAY_LINK_LOST, .node = link->peer.node};

        link->dialled_ms = now_ms;
        if (redial(link, 0) < 0) {
            link_close(transport, link);
            transport->event(transport->context, &lost);
        }
        link = find_awaiting(transport, now_ms);
    }
}

void link_update(struct link *link, const struct overlay_peer *peer)
{
    bool is_same = link->peer.address_count == peer->address_count;

    for (size_t i = 0; is_same && i < peer->address_count; i++) {
        is_same = strcmp(link->peer.addresses[i], peer->addresses[i]) == 0;
    }
    if (is_same) {
        return;
    }
    link->peer = *peer;
    if (!link->is_up) {
        if (link->endpoint[0] != '\0') {
            zmq_disconnect(link->dealer.socket, link->endpoint);
        }
        (void)redial(link, 0);
    }
}

static int open_sockets(struct transport *transport, struct link *link)
{
    void *dealer = zmq_socket(transport->zmq, ZMQ_DEALER);
    int r = dealer == NULL ? -errno : set_options(transport, dealer, &link->peer);

    if (r == 0) {
        r = watch_open(transport, &link->dealer, dealer, settle_dealer);
    }
    if (r < 0) {
        if (dealer != NULL) {
            zmq_close(dealer);
        }
        return r;
    }
    link->handle_count++;
    /* Watched before it is dialled: no event of the first handshake is lost. */
    r = monitor_open(transport, link);
    return r < 0 ? r : dial(link, 0);
}

void transport_say_once(struct transport *transport, const struct overlay_peer *peer,
                        struct bytes message)
{
    char endpoint[ENDPOINT_BYTES_MAX];
    void *dealer = NULL;

    if (peer->address_count == 0 ||
        names_endpoint(transport, peer->addresses[0], 0, endpoint) < 0) {
        return;
    }
    dealer = zmq_socket(transport->zmq, ZMQ_DEALER);
    if (dealer == NULL) {
        return;
    }
    /* ZeroMQ's thread goes on with it for so long after it has been closed. */
    if (set_options(transport, dealer, peer) == 0 &&
        socket_set_int(dealer, ZMQ_LINGER, SAY_ONCE_MS) == 0 &&
        zmq_connect(dealer, endpoint) == 0) {
        (void)zmq_send(dealer, message.data, message.length_bytes, ZMQ_DONTWAIT);
    }
    zmq_close(dealer);
}

static uint32_t links_max(void)
{
    uint32_t count = (door_descriptors() - DESCRIPTORS_KEPT) / 2 / DESCRIPTORS_PER_LINK;

    if (door_descriptors() <= DESCRIPTORS_KEPT || count < LINKS_MIN) {
        return LINKS_MIN;
    }
    return count < LINKS_MAX ? count : LINKS_MAX;
}

/* Half of the descriptors are for those who dial us. */
void link_make_room(struct transport *transport)
{
    while (transport->counters.link_count >= links_max()) {
        struct link *oldest = NULL;

        for (size_t i = 0; i < LINK_BUCKETS; i++) {
            for (struct link *link = transport->links[i]; link != NULL; link = link->next) {
                oldest = oldest == NULL || link->used_ms < oldest->used_ms ? link : oldest;
            }
        }
        CHECK(oldest != NULL);
        link_close(transport, oldest);
    }
}

struct link *link_open(struct transport *transport, const struct overlay_peer *peer)
{
    uint8_t curve_key[CURVE_KEY_BYTES];

    if (keys_curve_public(&peer->key, curve_key) < 0 || door_is_banned(transport, curve_key)) {
        return NULL;
    }
    link_make_room(transport);
    if (transport->counters.link_count >= LINKS_MAX || peer->address_count == 0 ||
        peer->address_count > ADDRESSES_MAX) {
        return NULL;
    }
    struct link *link = calloc(1, sizeof(*link));

    if (link == NULL) {
        return NULL;
    }
    struct link **bucket = bucket_of(transport, &peer->node);

    link->peer = *peer;
    link->dealer.link = link;
    link->used_ms = clock_now_ms();
    link->fd = -1;
    int r = open_sockets(transport, link);

    if (link->handle_count == 0) {
        free(link);
        return NULL;
    }
    link->next = *bucket;
    *bucket = link;
    transport->counters.link_count++;
    if (r < 0) {
        link_close(transport, link);
        return NULL;
    }
    return link;
}

/* ------------------------------------------------------------------ closing */

static void on_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;

    CHECK(link->handle_count > 0);
    link->handle_count--;
    if (link->handle_count == 0) {
        free(link);
    }
}

static void close_watch(struct link *link, struct watch *watch)
{
    watch->poll.data = link;
    watch_close(watch, on_closed);
}

void link_close(struct transport *transport, struct link *link)
{
    struct link **place = bucket_of(transport, &link->peer.node);

    while (*place != link) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = link->next;
    send_held(NULL, take_held(link));
    CHECK(transport->counters.link_count > 0);
    transport->counters.link_count--;
    /* The monitored socket first: its monitor's end of the pair goes with it. */
    zmq_socket_monitor(link->dealer.socket, NULL, 0);
    close_watch(link, &link->dealer);
    if (link->monitor.socket != NULL) {
        close_watch(link, &link->monitor);
    }
}

/* ------------------------------------------------------------------ messages without an end */

/* As transport_door.c does with members who dial us. */
static bool is_endless(struct link *link)
{
    bool has_much = !link->was_heard && gate_taken_bytes(link->fd) > MEMBER_BYTES_MAX;
    bool is_endless = has_much && link->is_suspect;

    link->was_heard = false;
    link->is_suspect = has_much;
    return is_endless;
}

static void drop(struct transport *transport, struct link *link, uint64_t now_ms)
{
    struct overlay_event lost = {.kind = OVERLAY_LINK_LOST, .node = link->peer.node};
    uint8_t key[CURVE_KEY_BYTES];

    if (keys_curve_public(&link->peer.key, key) == 0) {
        door_ban(transport, key, now_ms);
    }
    link_close(transport, link);
    transport->event(transport->context, &lost);
}

static struct link *find_endless(struct transport *transport, bool *is_calm_out)
{
    struct link *endless = NULL;

    for (size_t i = 0; i < LINK_BUCKETS; i++) {
        for (struct link *link = transport->links[i]; link != NULL; link = link->next) {
            endless = is_endless(link) ? link : endless;
            *is_calm_out = *is_calm_out && !link->is_suspect;
        }
    }
    return endless;
}

bool links_look(struct transport *transport, uint64_t now_ms)
{
    bool is_calm = true;
    struct link *endless =
        find_endless(transport, &is_calm); /* of several, the next look finds more */

    if (endless != NULL) {
        drop(transport, endless, now_ms);
    }
    return is_calm;
}
