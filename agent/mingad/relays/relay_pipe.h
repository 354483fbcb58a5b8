// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One connection that is passed on: on one side plain bytes (at the relay: whoever has connected; at
 * the leaf: the overlay's port or a replica's), on the other sealed frames between relay and leaf.
 * Used by relays*.c, and by doors.c, where a member takes the place of the leaf and what is plain
 * leads to a replica.
 *
 * Bounded: what one side cannot take stops the reading of the other; nothing is kept beyond
 * QUEUE_BYTES_MAX a side, what each piece costs beside its bytes included. In one turn of the loop a
 * pipe takes 64 frames at most, however small; then it is the others' turn. On the edge's loop; each
 * pipe is freed when its handles are closed.
 */
#include <uv.h>

#include "agent/mingad/relays/relay_seal.h"

struct pipe;

enum { PIPE_PACKET_COST_BYTES = 256 };

/* Whose pipe it is: what is done for it. All are called with `self`. */
struct pipe_owner {
    void *self;
    /* Not at the leaf: who says hello (pipe->other), and what is the secret? At the leaf `hello` is
     * NULL. False: unknown. */
    bool (*secret)(void *self, const struct pipe *pipe, const struct relay_hello *hello,
                   uint8_t secret_out[RELAY_SECRET_BYTES]);
    /* At the leaf: who it is. */
    void (*fill_hello)(void *self, struct relay_hello *hello_out);
    /* The phase has changed. */
    void (*changed)(void *self, struct pipe *pipe);
    /* At the leaf: someone wants our port. */
    void (*wanted)(void *self, struct pipe *pipe, uint16_t port_at_leaf);
    /* A datagram of the other side's has come; its body as the seal has it. */
    void (*datagram)(void *self, struct pipe *pipe, struct bytes body);
    /* So many bytes have passed, of a packet PIPE_PACKET_COST_BYTES at least; false: that is enough
     * for now, until pipe_resume(). */
    bool (*count)(void *self, struct pipe *pipe, size_t count_bytes);
    /* Its handles are closed: out of the list; the pipe is freed next. */
    void (*gone)(void *self, struct pipe *pipe);
};

enum pipe_phase {
    PIPE_CONNECTING,
    PIPE_GREETING,
    PIPE_IDLE, /* the leaf has shown that it knows the secret; nobody wants to be passed on */
    PIPE_OPEN,
    PIPE_FLOWS, /* datagrams instead of a connection */
    PIPE_CLOSING,
};

struct pipe {
    uv_tcp_t sealed;
    uv_idle_t next_turn; /* once it has begun */
    uint32_t handle_count;
    uv_stream_t *plain; /* heap-allocated; NULL: none yet */
    uv_connect_t connect;
    const struct pipe_owner *owner;
    struct pipe *next;
    bool is_leaf; /* on this side */
    enum pipe_phase phase;
    struct node_id other; /* at the relay the leaf, at the leaf the relay; unknown at first */
    uint64_t since_ms;    /* of the phase */
    uint64_t unanswered_since_ms;
    uint64_t used_ms; /* with packets: the last one, either way, or the beginning */
    uint64_t waits_since_ns;
    void *context; /* the owner's */
    size_t way;    /* to the relay that the leaf has dialled */
    uint8_t nonce[RELAY_NONCE_BYTES];
    struct relay_seal seal;
    bool has_packets; /* the plain side: one of sandbox/init/udp.h is one datagram */
    bool plain_connected;
    bool plain_ended;           /* it will say no more */
    bool sealed_ended;          /* the other side will say no more */
    bool is_shut;               /* and the plain one has been told */
    bool is_waiting;            /* for the rate limit */
    bool is_next;               /* the owner's: of those that wait ... */
    int64_t part_bytes;         /* ... and how much it may pass then */
    bool is_pausing;            /* until the loop's next turn: what `in` has is not all taken */
    uint32_t turn_frame_count;  /* taken since the last pause */
    size_t sealed_queued_bytes; /* to be written, with what each write costs here */
    size_t plain_queued_bytes;
    size_t in_bytes;
    uint8_t in[RELAY_FRAME_BYTES_MAX];
};

/* A new one, with its sealed side not connected yet. NULL without memory. */
struct pipe *pipe_new(const struct pipe_owner *owner, bool is_leaf);
/* The sealed side is connected (leaf: sends its greeting). */
void pipe_begin(struct pipe *pipe);
/* At the relay: passes this connection on, to the leaf's port. The pipe is idle; takes `plain`. */
void pipe_pass(struct pipe *pipe, uv_stream_t *plain, uint16_t port_at_leaf);
/* At a door: the same, with a socket of packets, each of which is one datagram. Nobody waits for
 * room: what finds none is lost. */
void pipe_pass_packets(struct pipe *pipe, uv_stream_t *plain, uint16_t port);
/* At the relay: carries datagrams from now on. The pipe is idle. */
void pipe_carry_flows(struct pipe *pipe);
/* False: lost, since too many are on their way. The pipe carries flows. */
bool pipe_send_datagram(struct pipe *pipe, struct bytes body);
/* At the leaf: the connection to the own port stands, or cannot be had. */
void pipe_plain_connected(struct pipe *pipe, bool ok);
void pipe_close(struct pipe *pipe);
/* There is room under the rate limit again. */
void pipe_resume(struct pipe *pipe);
/* Closes and frees a heap-allocated connection. */
void plain_close(uv_stream_t *plain);
/* Who has not been told an end is to see that there was none, when it is closed. A unix socket's peer
 * sees that it is closed as a whole, see plain_was_cut(). */
void plain_reset(uv_stream_t *plain);
/*
 * It has ended, and has not heard our end: was it cut? A unix socket has no reset. Who has said all
 * there shuts that direction only, and closes when it has heard our end.
 */
bool plain_was_cut(uv_stream_t *plain);
/*
 * Of a list, the newest first, with more than `count_max` whom nobody knows yet: who has to go. That
 * is the oldest who has said nothing; there is none when all have shown a name that is known, and
 * then the oldest. NULL: nobody has to.
 */
struct pipe *pipes_to_turn_away(struct pipe *newest, uint32_t count_max);
/* Accepts and closes: of what stays unaccepted libuv tells once, and then of no other either. */
void plain_refuse(uv_stream_t *listener);
/* Between relay and leaf, asked from time to time: has the other end vanished, with bytes under way?
 * One that has no room for them but says so has not. */
bool pipe_is_unanswered(struct pipe *pipe, uint64_t now_ms);
/* Keeps an idle connection from hanging for long when the other end is gone. */
void pipe_tune(uv_tcp_t *tcp);
