// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * One connection that is passed on: on one side plain bytes (at the relay: whoever has connected; at
 * the leaf: the overlay's port or a replica's), on the other sealed frames between relay and leaf.
 * Used by relays*.c only.
 *
 * Bounded: what one side cannot take stops the reading of the other; nothing is kept beyond
 * QUEUE_BYTES_MAX a side. On the edge's loop; each pipe is freed when its handles are closed.
 */
#include <uv.h>

#include "agent/mingad/relays/relay_seal.h"

struct relays;

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
    uv_tcp_t *plain; /* NULL: none yet */
    uv_connect_t connect;
    struct relays *relays;
    struct pipe *next;
    bool is_leaf; /* on this side */
    enum pipe_phase phase;
    struct node_id other; /* at the relay the leaf, at the leaf the relay; unknown at first */
    uint64_t since_ms;    /* of the phase */
    size_t way;           /* to the relay that the leaf has dialled */
    uint8_t nonce[RELAY_NONCE_BYTES];
    struct relay_seal seal;
    bool plain_connected;
    bool plain_ended;  /* it will say no more */
    bool sealed_ended; /* the other side will say no more */
    bool is_shut;      /* and the plain one has been told */
    bool is_waiting;   /* for the rate limit */
    size_t in_bytes;
    uint8_t in[RELAY_FRAME_BYTES_MAX];
};

/* A new one, with its sealed side not connected yet. NULL without memory. */
struct pipe *pipe_new(struct relays *relays, bool is_leaf);
/* The sealed side is connected (leaf: sends its greeting). */
void pipe_begin(struct pipe *pipe);
/* At the relay: passes this connection on, to the leaf's port. The pipe is idle; takes `plain`. */
void pipe_pass(struct pipe *pipe, uv_tcp_t *plain, uint16_t port_at_leaf);
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
void plain_close(uv_tcp_t *plain);
/* Keeps a connection from hanging for long when the other end is gone. */
void pipe_tune(uv_tcp_t *tcp);

/* ---- what relays*.c does for pipes */
/* At the relay: who is that, and what is the secret? False: unknown. */
bool relays_secret(struct relays *relays, const struct pipe *pipe,
                   uint8_t secret_out[RELAY_SECRET_BYTES]);
/* At the leaf: who it is. */
void relays_fill_hello(const struct relays *relays, struct relay_hello *hello_out);
/* The phase has changed. */
void relays_pipe_changed(struct relays *relays, struct pipe *pipe);
/* At the leaf: someone wants our port. */
void relays_pipe_wanted(struct relays *relays, struct pipe *pipe, uint16_t port_at_leaf);
/* A datagram of the other side's has come; its body as the seal has it. */
void relays_datagram(struct relays *relays, struct pipe *pipe, struct bytes body);
/* So many bytes have passed; false: that is enough for now. */
bool relays_count(struct relays *relays, const struct pipe *pipe, size_t count_bytes);
/* Its handles are closed: out of the list; the pipe is freed next. */
void relays_pipe_gone(struct relays *relays, struct pipe *pipe);
