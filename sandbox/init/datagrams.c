// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/datagrams.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/init/udp.h"

/*
 * An event's tag: our kind in the highest byte, then 8 bits of which one is "is a port" and one says
 * that it is a flow's connection outside, 16 bits index, 32 bits version of the flow.
 */
enum { ACCEPTS_PER_TURN = 16 };
static const uint64_t tag_port = (uint64_t)1 << 48;
static const uint64_t tag_outside = (uint64_t)1 << 49;

static_assert((int)DATAGRAM_BYTES_MAX >= UDP_PACKET_MARK_BYTES + (int)UDP_DATAGRAM_BYTES_MAX,
              "the longest has room behind the mark");

static int begin_members_port(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int watch_port(const struct datagrams *datagrams, uint32_t index)
{
    struct epoll_event event = {
        .events = EPOLLIN, .data.u64 = datagrams->epoll_tag | tag_port | (uint64_t)index << 32};

    return epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_ADD, datagrams->fds[index], &event) < 0 ? -errno
                                                                                            : 0;
}

static int begin_port(struct datagrams *datagrams, uint32_t index, int fd)
{
    int r = datagrams->for_members[index] ? begin_members_port(fd) : udp_begin(fd);

    if (r == 0) {
        datagrams->fds[index] = fd;
        r = watch_port(datagrams, index);
    }
    return r;
}

static bool has_datagrams(const struct sandbox_spec *spec)
{
    for (uint32_t i = 0; i < spec->port_count; i++) {
        if (sandbox_is_udp(spec->ports[i].protocol)) {
            return true;
        }
    }
    return false;
}

int datagrams_init(struct datagrams *datagrams, int epoll_fd, uint64_t epoll_tag,
                   const struct sandbox_spec *spec, const int *port_fds)
{
    uint64_t seed;
    int r = 0;

    CHECK(spec->port_count <= PORTS_PER_SERVICE_MAX && datagrams->port_count == 0);
    CHECK(datagrams->line != NULL);
    if (!has_datagrams(spec)) {
        return 0; /* and none of our memory is touched */
    }
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        return -EIO;
    }
    datagrams->epoll_fd = epoll_fd;
    datagrams->epoll_tag = epoll_tag;
    datagrams->port_count = spec->port_count;
    flows_init(&datagrams->flows,
               spec->connections_max > 0 ? spec->connections_max : CONNECTIONS_PER_PORT_DEFAULT,
               seed);
    for (uint32_t i = 0; i < spec->port_count && r == 0; i++) {
        datagrams->fds[i] = -1;
        datagrams->container_ports[i] = spec->ports[i].container_port;
        datagrams->for_members[i] = sandbox_is_for_members(spec->ports[i].protocol);
        if (sandbox_is_udp(spec->ports[i].protocol)) {
            r = begin_port(datagrams, i, port_fds[i]);
        }
    }
    return r;
}

/* --- flows --- */

static void flow_end(struct datagrams *datagrams, struct flow *flow)
{
    if (flow->fd >= 0) {
        close(flow->fd);
    }
    if (flow->outside_fd >= 0) {
        close(flow->outside_fd);
    }
    flows_remove(&datagrams->flows, flow);
}

static uint64_t tag_of(const struct datagrams *datagrams, const struct flow *flow)
{
    return datagrams->epoll_tag | (uint64_t)flows_index(&datagrams->flows, flow) << 32 |
           flow->version;
}

/* A new socket of the flow, connected to the service on one of the two loopback addresses. */
static int flow_connect(struct datagrams *datagrams, struct flow *flow)
{
    const uint16_t port = htons(datagrams->container_ports[flow->key.service_port]);
    const struct sockaddr_in ipv4 = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 ipv6 = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *address =
        flow->other_family ? (const struct sockaddr *)&ipv6 : (const struct sockaddr *)&ipv4;
    const socklen_t address_bytes = flow->other_family ? sizeof(ipv6) : sizeof(ipv4);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag_of(datagrams, flow)};
    CLEANUP(cleanup_close)
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, address, address_bytes) < 0 ||
        epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        return -errno;
    }
    if (flow->fd >= 0) {
        close(flow->fd);
    }
    flow->fd = take_fd(&fd);
    return 0;
}

/* Room for one more, of whom another one may have to go. */
static bool make_room(struct datagrams *datagrams, uint16_t port, uint64_t now_ms)
{
    struct flow *yields;

    if (flows_have_room(&datagrams->flows, port, now_ms, &yields)) {
        return true;
    }
    if (yields == NULL) {
        datagrams->refused_count++;
        return false;
    }
    flow_end(datagrams, yields);
    return true;
}

/* The flow of a client; made when it is new. NULL: it is not heard. */
static struct flow *flow_of(struct datagrams *datagrams, const struct flow_key *key,
                            uint64_t now_ms)
{
    struct flow *flow = flows_find(&datagrams->flows, key);

    if (flow != NULL) {
        return flow;
    }
    if (!make_room(datagrams, key->service_port, now_ms)) {
        return NULL;
    }
    flow = flows_add(&datagrams->flows, key, now_ms);
    if (flow_connect(datagrams, flow) < 0) {
        datagrams->refused_count++;
        flow_end(datagrams, flow);
        return NULL;
    }
    return flow;
}

/* Did the last datagram find nobody? On the loopback that is known when send returns. */
static bool was_refused(int fd)
{
    int error = 0;
    socklen_t error_bytes = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) == 0 && error == ECONNREFUSED;
}

/* The service may listen on the other loopback address only. */
static void pass_in(struct datagrams *datagrams, struct flow *flow, struct bytes datagram)
{
    for (unsigned tries = 0; tries < 2; tries++) {
        /* Lost, if it does not fit: so it is with datagrams. An error is that of the one before. */
        if (send(flow->fd, datagram.data, datagram.length_bytes, MSG_NOSIGNAL) < 0 &&
            errno == ECONNREFUSED) {
            (void)send(flow->fd, datagram.data, datagram.length_bytes, MSG_NOSIGNAL);
        }
        if (flow->answered || !was_refused(flow->fd)) {
            return;
        }
        flow->other_family = !flow->other_family;
        if (flow_connect(datagrams, flow) < 0) {
            return;
        }
    }
}

/* Returns whether there may be more. */
static bool take_one(struct datagrams *datagrams, uint16_t port, uint64_t now_ms)
{
    size_t length_bytes = 0;
    struct flow_key key;
    enum udp_received received =
        udp_receive(datagrams->fds[port], datagrams->block, port, &key, &length_bytes);
    struct flow *flow = NULL;

    if (received == UDP_TAKEN &&
        line_passes_datagram(&datagrams->line->gates[LINE_DOWN], length_bytes)) {
        flow = flow_of(datagrams, &key, now_ms);
    }
    if (flow != NULL) {
        flows_touch(&datagrams->flows, flow, false, now_ms);
        pass_in(datagrams, flow, (struct bytes){datagrams->block, length_bytes});
    }
    return received != UDP_EMPTY;
}

/* Ready, and nothing there: who else has the socket has shut it down, and it would be so for ever. */
static void leave_if_shut(const struct datagrams *datagrams, uint32_t port)
{
    struct pollfd shut = {.fd = datagrams->fds[port], .events = POLLRDHUP};

    if (poll(&shut, 1, 0) == 1) {
        (void)epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_DEL, datagrams->fds[port], NULL);
    }
}

/* To whom it answers. Returns whether the flow is still there. */
static bool give_out(struct datagrams *datagrams, struct flow *flow, size_t length_bytes)
{
    uint8_t *packet = datagrams->block;

    if (flow->outside_fd < 0) {
        udp_answer(datagrams->fds[flow->key.service_port], &flow->key,
                   (struct bytes){packet + UDP_PACKET_MARK_BYTES, length_bytes});
        return true;
    }
    packet[0] = 0;
    if (length_bytes <= UDP_MEMBERS_BYTES_MAX && /* else it is lost, as when there is no room */
        send(flow->outside_fd, packet, UDP_PACKET_MARK_BYTES + length_bytes,
             MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno != EAGAIN) {
        flow_end(datagrams, flow); /* whose it was has gone */
        return false;
    }
    return true;
}

/* Returns whether there may be more. */
static bool give_one(struct datagrams *datagrams, struct flow *flow, uint64_t now_ms)
{
    ssize_t length_bytes = recv(flow->fd, datagrams->block + UDP_PACKET_MARK_BYTES,
                                sizeof(datagrams->block) - UDP_PACKET_MARK_BYTES, 0);

    if (length_bytes < 0) {
        /* Nobody listens (yet): the socket stays, and knows no more of it. */
        return errno == ECONNREFUSED;
    }
    flows_touch(&datagrams->flows, flow, true, now_ms);
    return !line_passes_datagram(&datagrams->line->gates[LINE_UP], (uint64_t)length_bytes) ||
           give_out(datagrams, flow, (size_t)length_bytes);
}

/* --- members --- */

/*
 * Has whoever sent there gone? Then what waits is not read: we may have been frozen for hours, and it may
 * come from one who was expelled meanwhile.
 */
static bool was_left(int outside_fd)
{
    struct pollfd poller = {.fd = outside_fd};

    return poll(&poller, 1, 0) == 1 && (poller.revents & (POLLHUP | POLLERR)) != 0;
}

/* A connection of mingad's: one flow. */
static void begin_flow(struct datagrams *datagrams, uint16_t port, int outside_fd, uint64_t now_ms)
{
    struct flow_key key = {.service_port = port};
    struct epoll_event event = {.events = EPOLLIN};
    struct flow *flow;

    if (was_left(outside_fd) || !make_room(datagrams, port, now_ms)) {
        close(outside_fd);
        return;
    }
    /* Nobody's address: it is found by its connection alone. */
    memcpy(key.client, &datagrams->accepted_count, sizeof(datagrams->accepted_count));
    datagrams->accepted_count++;
    flow = flows_add(&datagrams->flows, &key, now_ms);
    flow->outside_fd = outside_fd;
    event.data.u64 = tag_of(datagrams, flow) | tag_outside;
    if (flow_connect(datagrams, flow) < 0 ||
        epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_ADD, outside_fd, &event) < 0) {
        datagrams->refused_count++;
        flow_end(datagrams, flow);
    }
}

/* A descriptor for who waits: nobody could come any more, and it would be told for ever. */
static void make_way(struct datagrams *datagrams, uint16_t port, uint64_t now_ms)
{
    struct pollfd waits = {.fd = datagrams->fds[port], .events = POLLIN};
    struct flow *yields = flows_oldest(&datagrams->flows);

    /* Of descriptors accept4() complains before it looks whether anybody is there. */
    if (poll(&waits, 1, 0) != 1) {
        return;
    }
    if (yields != NULL) {
        flow_end(datagrams, yields);
    } else { /* others have all: it waits until they may have ended */
        (void)epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_DEL, datagrams->fds[port], NULL);
        datagrams->is_paused[port] = true;
        datagrams->again_ms = now_ms + DATAGRAMS_AGAIN_MS;
    }
}

static void watch_paused(struct datagrams *datagrams)
{
    datagrams->again_ms = 0;
    for (uint32_t i = 0; i < datagrams->port_count; i++) {
        if (datagrams->is_paused[i]) {
            datagrams->is_paused[i] = false;
            (void)watch_port(datagrams, i);
        }
    }
}

static void accept_some(struct datagrams *datagrams, uint16_t port, uint64_t now_ms)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(datagrams->fds[port], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            begin_flow(datagrams, port, fd, now_ms);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            make_way(datagrams, port, now_ms);
        } else if (i == 0) {
            leave_if_shut(datagrams, port);
        }
        return;
    }
}

/* From a member's connection. Returns whether there may be more. */
static bool take_packet(struct datagrams *datagrams, struct flow *flow, uint64_t now_ms)
{
    ssize_t packet_bytes = recv(flow->outside_fd, datagrams->block, sizeof(datagrams->block), 0);
    struct bytes datagram = {datagrams->block + UDP_PACKET_MARK_BYTES, 0};

    if (packet_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (packet_bytes < UDP_PACKET_MARK_BYTES || packet_bytes > UDP_PACKET_BYTES_MAX ||
        datagrams->block[0] != 0) { /* it has hung up, mostly */
        flow_end(datagrams, flow);
        return false;
    }
    datagram.length_bytes = (size_t)packet_bytes - UDP_PACKET_MARK_BYTES;
    flows_touch(&datagrams->flows, flow, false, now_ms);
    if (line_passes_datagram(&datagrams->line->gates[LINE_DOWN], datagram.length_bytes)) {
        pass_in(datagrams, flow, datagram);
    }
    return true;
}

/* --- events --- */

static void port_event(struct datagrams *datagrams, uint16_t port, uint64_t now_ms)
{
    bool more = true;

    CHECK(port < datagrams->port_count && datagrams->fds[port] >= 0);
    if (datagrams->for_members[port]) {
        accept_some(datagrams, port, now_ms);
        return;
    }
    for (unsigned i = 0; i < DATAGRAMS_PER_TURN && more; i++) {
        more = take_one(datagrams, port, now_ms);
        if (!more && i == 0) {
            leave_if_shut(datagrams, port);
        }
    }
}

void datagrams_event(struct datagrams *datagrams, uint64_t tag, uint64_t now_ms)
{
    uint32_t index = (uint32_t)(tag >> 32) & UINT16_MAX;
    bool more = true;

    if (datagrams->port_count == 0) {
        return; /* done since the event was fetched */
    }
    if ((tag & tag_port) != 0) {
        port_event(datagrams, (uint16_t)index, now_ms);
        return;
    }
    struct flow *flow = flows_at(&datagrams->flows, index, (uint32_t)tag);

    if (flow != NULL && (tag & tag_outside) != 0 && was_left(flow->outside_fd)) {
        flow_end(datagrams, flow);
        return;
    }
    for (unsigned i = 0; i < DATAGRAMS_PER_TURN && more && flow != NULL; i++) {
        more = (tag & tag_outside) != 0 ? take_packet(datagrams, flow, now_ms)
                                        : give_one(datagrams, flow, now_ms);
    }
}

uint64_t datagrams_tick(struct datagrams *datagrams, uint64_t now_ms)
{
    uint64_t wakeup_ms;
    struct flow *flow;

    if (datagrams->port_count == 0) {
        return UINT64_MAX;
    }
    if (datagrams->again_ms != 0 && datagrams->again_ms <= now_ms) {
        watch_paused(datagrams);
    }
    while ((flow = flows_expired(&datagrams->flows, now_ms)) != NULL) {
        flow_end(datagrams, flow);
    }
    wakeup_ms = flows_wakeup_ms(&datagrams->flows);
    return datagrams->again_ms != 0 && datagrams->again_ms < wakeup_ms ? datagrams->again_ms
                                                                       : wakeup_ms;
}

void datagrams_done(struct datagrams *datagrams)
{
    for (uint32_t i = 0; i < datagrams->port_count; i++) {
        if (datagrams->fds[i] >= 0) {
            (void)epoll_ctl(datagrams->epoll_fd, EPOLL_CTL_DEL, datagrams->fds[i], NULL);
            datagrams->fds[i] = -1;
        }
    }
    if (datagrams->port_count > 0) {
        (void)datagrams_tick(datagrams, UINT64_MAX - 1);
    }
    datagrams->port_count = 0;
}
