// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who sends to a UDP socket of `minga connect`: each client (address and port) has a flow, to which
 * its datagrams go as packets (sandbox/init/udp.h), and whose packets are answers to it.
 *
 * Bounded: the one silent for longest gives way to a new one, unless it was used just now. More than
 * CLIENTS_AT_EASE are not kept for long when they are silent: at the node each has a place that others
 * want, and who asks each question from another port never comes back.
 *
 * A flow that has ended is begun anew by the next datagram; one that ended as soon as it was begun not
 * before a while, which doubles. What finds no room is lost and waits for nobody.
 * What a flow is made of is the caller's affair; time is a parameter.
 */
#include <poll.h>

#include "sandbox/init/flows.h"
#include "sandbox/init/udp.h"

enum {
    CLIENTS_MAX = 32, /* half of what a node's doors have for one member */
    CLIENTS_POLLERS_MAX = CLIENTS_MAX + 1,
    CLIENTS_AT_EASE = 8,
    CLIENTS_SILENT_MS_MAX = 30000, /* of those more; an unanswered one's time anyway */
    CLIENT_FAILED_MS = 1000,       /* a flow that does not live as long has failed */
    CLIENT_PAUSE_MS_MIN = 1000,
    CLIENT_PAUSE_MS_MAX = 10000,
};

struct client_try { /* of the flow at the same place; one that has failed has no descriptor */
    uint64_t begun_ms;
    uint64_t again_ms; /* after it has failed */
    uint64_t pause_ms;
};

struct clients { /* large: on the heap, zeroed before clients_init */
    int fd;      /* theirs, borrowed */
    /* A new flow: returns a socket of packets, ours from then on, or -errno: there is none now. */
    int (*begin)(void *context);
    void *context;
    uint64_t lost_count;
    struct flows flows;
    struct client_try tries[CLIENTS_MAX];
    uint8_t block[UDP_PACKET_MARK_BYTES + UDP_DATAGRAM_BYTES_MAX];
};

/* `fd` is bound, `begin` and `context` are set; `seed` is random. Returns 0 or -errno. */
int clients_init(struct clients *clients, uint64_t seed);
/* What is to be waited for. Returns how many there are. */
uint32_t clients_pollers(const struct clients *clients,
                         struct pollfd pollers_out[CLIENTS_POLLERS_MAX]);
/* After that, when something has come. */
void clients_turn(struct clients *clients, const struct pollfd pollers[CLIENTS_POLLERS_MAX],
                  uint64_t now_ms);
/* Ends the silent ones. Returns when to be called next; UINT64_MAX: when something has come. */
uint64_t clients_tick(struct clients *clients, uint64_t now_ms);
/* In a child that was forked: closes what is the parent's, and tells nobody. */
void clients_leave(struct clients *clients);
/* Ends all. */
void clients_done(struct clients *clients);
