// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Published TCP ports: what connects to a listening socket of the host is connected to the service's
 * port on the sandbox's loopback, and the bytes are spliced both ways.
 *
 * Backpressure: a direction is read only when what it read before has been written. A half-closed
 * direction is passed on as such. A pipe is held only by a direction with bytes under way, so an
 * idle connection costs two descriptors. Connections beyond spec.connections_max of a port are
 * reset and counted; when we run out of descriptors they stay in the backlog.
 *
 * Where the line is limited (sandbox/line.h), streams are read piece by piece and in turns.
 */
#include <stdbool.h>
#include <stdint.h>

#include "sandbox/environment.h"
#include "sandbox/init_protocol.h"
#include "sandbox/line.h"

enum {
    FORWARD_CONNECTIONS_MAX = PORTS_PER_SERVICE_MAX * CONNECTIONS_PER_PORT_MAX,
    FORWARD_PIPES_KEPT = 16,          /* for the next direction that needs one */
    FORWARD_PIPE_BYTES = 1 << 20,     /* of a busy direction; the kernel may give less */
    FORWARD_BULK_BYTES = 1 << 18,     /* moved in one turn: the direction is busy */
    FORWARD_TURN_BYTES_MAX = 2 << 20, /* of one direction, before others have their turn */
    FORWARD_AGAIN_MS = 100,           /* until ports are asked again, without descriptors */
};

enum forward_end { FORWARD_OUTSIDE, FORWARD_INSIDE };

struct forward_stream { /* from fds[i] to fds[1 - i] */
    int pipe[2];        /* -1: none held */
    uint32_t pipe_bytes;
    bool at_end;   /* the sender has closed its direction */
    bool closed;   /* and we have passed that on */
    bool large;    /* the pipe was asked to be */
    bool held;     /* waits for the line, see held.h */
    bool turn;     /* may pass one piece though others wait */
    bool narrowed; /* its sender was told of a small window */
    uint16_t held_next, held_previous;
};

struct connection {
    int fds[2];       /* by enum forward_end; fds[0] < 0: free */
    bool connected;   /* inside */
    bool queued;      /* has more to do, see forward.ready */
    uint8_t family;   /* enum loopback_family of the attempt */
    uint8_t port;     /* index */
    uint16_t next;    /* in the free or ready list */
    uint32_t version; /* tells its epoll events from those of its predecessor */
    struct forward_stream streams[2];
};

struct forward_port {
    int listen_fd;
    uint16_t container_port;
    bool paused; /* not asked for new connections at the moment */
    uint32_t connection_count;
};

struct forward_held { /* by index of the connection */
    uint16_t head, tail;
};

struct forward_pipe {
    int ends[2];
    bool large;
};

struct forward {
    struct line *line; /* borrowed; set before forward_init */
    int epoll_fd;
    uint64_t epoll_tag; /* kind of our events, in the highest byte */
    uint32_t port_count;
    struct forward_port ports[PORTS_PER_SERVICE_MAX];
    uint16_t free_head;
    uint16_t fresh_count; /* connections never used so far: untouched memory */
    uint16_t ready_head;
    uint16_t ready_tail;
    struct forward_held held[2]; /* by enum forward_end: where the streams come from */
    unsigned kept_count;
    struct forward_pipe kept_pipes[FORWARD_PIPES_KEPT];
    uint32_t connections_max; /* of each port */
    uint32_t connection_count;
    uint64_t refused_count;
    uint64_t again_ms; /* by line_now_ms: paused ports are asked again; 0: none waits for that */
    struct connection connections[FORWARD_CONNECTIONS_MAX];
};

/*
 * Begins to accept on listen_fds (borrowed), which become non-blocking: those of TCP among
 * spec->ports, whose order is theirs.
 * `forward` is zeroed memory but for `line`. Returns 0 or -errno.
 */
int forward_init(struct forward *forward, int epoll_fd, uint64_t epoll_tag,
                 const struct sandbox_spec *spec, const int *listen_fds);
/* An event with our tag. */
void forward_event(struct forward *forward, uint64_t tag, uint32_t events);
/* Connections that used up their turn go on. Returns whether any is left: do not wait then. */
bool forward_turn(struct forward *forward);
/*
 * Those that waited for the line go on, in turns, and ports for which there was no descriptor. Returns
 * after how many ms to be called again; UINT64_MAX: none waits.
 */
uint64_t forward_release(struct forward *forward);
/* Accepts no more and closes all connections. */
void forward_done(struct forward *forward);
