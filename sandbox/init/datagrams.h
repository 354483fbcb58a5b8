// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Published UDP ports: every client that sends to a socket of the host gets a connected socket of
 * its own on the sandbox's loopback, so that the service tells clients apart by their addresses;
 * what comes back on it returns to that client, from the address that it had sent to.
 *
 * Of a port for members only the clients are mingad's connections to a listening socket of packets, a
 * flow each (agent/mingad/doors/doors.h): it ends with its connection, which ends with it.
 *
 * As with any UDP, what cannot be passed on at once is lost, also for the line's sake. Clients beyond spec.connections_max
 * of a port are not heard, and counted, unless another one yields (flows.h).
 */
#include "sandbox/environment.h"
#include "sandbox/init/flows.h"
#include "sandbox/line.h"

enum {
    DATAGRAM_BYTES_MAX = 65536,
    DATAGRAMS_AGAIN_MS = 100, /* until a port is asked again, without descriptors */
    DATAGRAMS_PER_TURN = 64   /* of one socket, before others have their turn */
};

struct datagrams {     /* zeroed memory before datagrams_init but for `line` */
    struct line *line; /* borrowed; set before datagrams_init */
    int epoll_fd;
    uint64_t epoll_tag;             /* kind of our events, in the highest byte */
    uint32_t port_count;            /* of the spec, those of TCP included; 0: not begun, or done */
    int fds[PORTS_PER_SERVICE_MAX]; /* -1: one of TCP */
    bool for_members[PORTS_PER_SERVICE_MAX];
    uint16_t container_ports[PORTS_PER_SERVICE_MAX];
    bool is_paused[PORTS_PER_SERVICE_MAX];
    uint64_t again_ms;       /* paused ports are asked again; 0: there is none */
    uint64_t accepted_count; /* of members' connections */
    uint64_t refused_count;
    struct flows flows;
    uint8_t block[DATAGRAM_BYTES_MAX];
};

/*
 * Begins to read from those of port_fds (borrowed, in the order of spec->ports) that are of UDP;
 * they become non-blocking. Returns 0 or -errno.
 */
int datagrams_init(struct datagrams *datagrams, int epoll_fd, uint64_t epoll_tag,
                   const struct sandbox_spec *spec, const int *port_fds);
/* An event with our tag. */
void datagrams_event(struct datagrams *datagrams, uint64_t tag, uint64_t now_ms);
/* Ends what has been silent for too long. Returns when to be called next; UINT64_MAX: never. */
uint64_t datagrams_tick(struct datagrams *datagrams, uint64_t now_ms);
void datagrams_done(struct datagrams *datagrams);
