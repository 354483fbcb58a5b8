// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/connect/clients.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

enum { DATAGRAMS_PER_TURN = 64 }; /* of one socket, before others have their turn */

int clients_init(struct clients *clients, uint64_t seed)
{
    flows_init(&clients->flows, CLIENTS_MAX, seed);
    return udp_begin(clients->fd);
}

/* ------------------------------------------------------------------ flows */

static struct client_try *try_of(struct clients *clients, const struct flow *flow)
{
    return &clients->tries[flows_index(&clients->flows, flow)];
}

/* A child that was forked a moment ago may have our end, too: closing it would not say enough. */
static void hang_up(struct flow *flow)
{
    if (flow->fd >= 0) {
        (void)shutdown(flow->fd, SHUT_RDWR);
        close(flow->fd);
        flow->fd = -1;
    }
}

static void end_flow(struct clients *clients, struct flow *flow)
{
    hang_up(flow);
    flows_remove(&clients->flows, flow);
}

/* Its other end has hung up. Where flows cannot live each datagram would begin one. */
static void on_ended(struct clients *clients, struct flow *flow, uint64_t now_ms)
{
    struct client_try *one = try_of(clients, flow);

    if (now_ms - one->begun_ms >= CLIENT_FAILED_MS) {
        end_flow(clients, flow);
        return;
    }
    hang_up(flow);
    one->pause_ms = one->pause_ms == 0 ? CLIENT_PAUSE_MS_MIN : 2 * one->pause_ms;
    if (one->pause_ms > CLIENT_PAUSE_MS_MAX) {
        one->pause_ms = CLIENT_PAUSE_MS_MAX;
    }
    one->again_ms = now_ms + one->pause_ms;
}

static bool make_room(struct clients *clients, uint64_t now_ms)
{
    struct flow *oldest = flows_oldest(&clients->flows);

    if (clients->flows.count < CLIENTS_MAX) {
        return true;
    }
    if (oldest->used_ms + FLOW_YIELDS_MS > now_ms) {
        return false;
    }
    end_flow(clients, oldest);
    return true;
}

/* Returns the client's flow, a new one or (`failed`) once more. NULL: there is none now. */
static struct flow *begin_flow(struct clients *clients, const struct flow_key *key,
                               struct flow *failed, uint64_t now_ms)
{
    struct flow *flow = failed;
    int fd;

    if (failed != NULL ? now_ms < try_of(clients, failed)->again_ms : !make_room(clients, now_ms)) {
        return NULL;
    }
    fd = clients->begin(clients->context);
    if (fd < 0) {
        return NULL;
    }
    if (flow == NULL) {
        flow = flows_add(&clients->flows, key, now_ms);
        *try_of(clients, flow) = (struct client_try){0};
    }
    flow->fd = fd;
    try_of(clients, flow)->begun_ms = now_ms;
    flows_touch(&clients->flows, flow, false, now_ms);
    return flow;
}

/* ------------------------------------------------------------------ datagrams */

/* Returns false when the flow has ended meanwhile. */
static bool pass_on(struct clients *clients, const struct flow *flow, size_t length_bytes)
{
    clients->block[0] = 0;
    if (send(flow->fd, clients->block, UDP_PACKET_MARK_BYTES + length_bytes,
             MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        return true;
    }
    if (errno != EAGAIN) {
        return false;
    }
    clients->lost_count++;
    return true;
}

static void take(struct clients *clients, const struct flow_key *key, size_t length_bytes,
                 uint64_t now_ms)
{
    struct flow *flow = flows_find(&clients->flows, key);

    if (length_bytes > UDP_MEMBERS_BYTES_MAX) {
        clients->lost_count++;
        return;
    }
    if (flow != NULL && flow->fd >= 0) {
        if (pass_on(clients, flow, length_bytes)) {
            flows_touch(&clients->flows, flow, false, now_ms);
            return;
        }
        on_ended(clients, flow, now_ms);
        flow = flows_find(&clients->flows, key);
    }
    flow = begin_flow(clients, key, flow, now_ms);
    if (flow == NULL || !pass_on(clients, flow, length_bytes)) {
        clients->lost_count++;
    }
}

static void take_some(struct clients *clients, uint64_t now_ms)
{
    for (unsigned i = 0; i < DATAGRAMS_PER_TURN; i++) {
        struct flow_key key;
        size_t length_bytes = 0;
        enum udp_received received = udp_receive(
            clients->fd, clients->block + UDP_PACKET_MARK_BYTES, 0, &key, &length_bytes);

        if (received == UDP_EMPTY) {
            return;
        }
        if (received == UDP_TAKEN) {
            take(clients, &key, length_bytes, now_ms);
        }
    }
}

static void answer_some(struct clients *clients, struct flow *flow, uint64_t now_ms)
{
    for (unsigned i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t packet_bytes = recv(flow->fd, clients->block, sizeof(clients->block), MSG_DONTWAIT);

        if (packet_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (packet_bytes < UDP_PACKET_MARK_BYTES) {
            on_ended(clients, flow, now_ms);
            return;
        }
        flows_touch(&clients->flows, flow, true, now_ms);
        udp_answer(clients->fd, &flow->key,
                   (struct bytes){clients->block + UDP_PACKET_MARK_BYTES,
                                  (size_t)packet_bytes - UDP_PACKET_MARK_BYTES});
    }
}

/* ------------------------------------------------------------------ the loop's parts */

/* The clients' socket first, then the flows, each at its place in the table. */
uint32_t clients_pollers(const struct clients *clients,
                         struct pollfd pollers_out[CLIENTS_POLLERS_MAX])
{
    CHECK(clients->flows.fresh_count <= CLIENTS_MAX);
    pollers_out[0] = (struct pollfd){clients->fd, POLLIN, 0};
    for (uint16_t i = 0; i < clients->flows.fresh_count; i++) {
        pollers_out[1 + i] = (struct pollfd){clients->flows.entries[i].fd, POLLIN, 0};
    }
    return 1U + clients->flows.fresh_count;
}

void clients_turn(struct clients *clients, const struct pollfd pollers[CLIENTS_POLLERS_MAX],
                  uint64_t now_ms)
{
    for (uint16_t i = 0; i < clients->flows.fresh_count; i++) { /* before there may be new ones */
        struct flow *flow = &clients->flows.entries[i];

        if (pollers[1 + i].revents != 0 && flow->fd >= 0) {
            CHECK(pollers[1 + i].fd == flow->fd);
            answer_some(clients, flow, now_ms);
        }
    }
    if (pollers[0].revents != 0) {
        take_some(clients, now_ms);
    }
}

/* Of more than there are at ease: when the one silent longest has to go. UINT64_MAX: they may stay. */
static uint64_t crowded_until_ms(struct clients *clients)
{
    return clients->flows.count > CLIENTS_AT_EASE
               ? flows_oldest(&clients->flows)->used_ms + CLIENTS_SILENT_MS_MAX
               : UINT64_MAX;
}

uint64_t clients_tick(struct clients *clients, uint64_t now_ms)
{
    uint64_t wakeup_ms, crowded_ms;
    struct flow *flow;

    while ((flow = flows_expired(&clients->flows, now_ms)) != NULL) {
        end_flow(clients, flow);
    }
    while (crowded_until_ms(clients) <= now_ms) {
        end_flow(clients, flows_oldest(&clients->flows));
    }
    wakeup_ms = flows_wakeup_ms(&clients->flows);
    crowded_ms = crowded_until_ms(clients);
    return crowded_ms < wakeup_ms ? crowded_ms : wakeup_ms;
}

void clients_leave(struct clients *clients)
{
    for (uint16_t i = 0; i < clients->flows.fresh_count; i++) {
        if (clients->flows.entries[i].fd >= 0) {
            close(clients->flows.entries[i].fd);
        }
    }
    close(clients->fd);
}

void clients_done(struct clients *clients)
{
    (void)clients_tick(clients, UINT64_MAX - 1);
    CHECK(clients->flows.count == 0);
}
