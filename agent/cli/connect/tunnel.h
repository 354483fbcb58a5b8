// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One connection of `minga connect`: bytes from here to a replica's port and back; of a port for
 * members the way there is sealed (agent/mingad/doors/doors.h has the other end).
 *
 * Of a UDP port it is a flow: what is read and written here are packets of one datagram each
 * (sandbox/init/udp.h), and so are frames; it is over when either side is.
 *
 * Blocks, in a process of its own. Constant memory: what one side does not take is not read from
 * the other.
 */
#include "agent/mingad/relays/relay_seal.h"

enum { TUNNEL_IN_BYTES = 4 * RELAY_FRAME_BYTES_MAX };

struct tunnel {
    int from_fd; /* here: read from it ... */
    int to_fd;   /* ... and written to; may be the same */
    bool to_is_socket;
    bool has_packets; /* here */
    uint64_t unanswered_since_ms;
    int remote_fd;
    bool is_sealed;
    struct relay_seal seal;
    bool from_ended;
    bool to_ended;          /* the other side has said all; once written, so are we told */
    int failed_code;        /* errno; 0: it has not */
    size_t in_at, in_bytes; /* come, and not opened yet */
    uint8_t in[TUNNEL_IN_BYTES];
    size_t to_at, to_bytes; /* opened, and not written yet */
    uint8_t to[RELAY_FRAME_BYTES_MAX];
    size_t out_at, out_bytes; /* sealed, and not sent yet */
    uint8_t out[RELAY_FRAME_BYTES_MAX];
};

struct tunnel_pass {
    struct node_id member;
    uint8_t secret[RELAY_SECRET_BYTES];
    uint64_t until;
};

/* Nothing is connected yet. */
void tunnel_init(struct tunnel *tunnel, int from_fd, int to_fd);
/* The same for a flow: a socket of packets, of a port for members. */
void tunnel_init_packets(struct tunnel *tunnel, int fd);
/* Connects. Returns 0 or -errno. */
int tunnel_dial(struct tunnel *tunnel, const char *host, uint16_t port);
/* After that, at a port for members: until the replica has the connection. Returns 0 or -errno. */
int tunnel_greet(struct tunnel *tunnel, const struct tunnel_pass *pass);
/* Of a flow, before it is connected: waits so long. Returns false, at once, when whoever it is for
 * has given it up. Of anything else it is not asked. */
bool tunnel_is_wanted(const struct tunnel *tunnel, int wait_ms);
/* Hangs up, so that another one can be dialled. */
void tunnel_hang_up(struct tunnel *tunnel);
/* Until both sides have said all; of two descriptors here, until the other side has. Returns 0, or
 * -errno: it was cut. */
int tunnel_run(struct tunnel *tunnel);
