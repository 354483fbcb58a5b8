// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Execs: commands and copies that run beside the service, each for a client at the other end of a
 * socket (sandbox/exec_protocol.h). Nothing here waits: pipes and sockets do not block, and what
 * one side does not take, the other one is not asked for.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/environment.h"
#include "sandbox/exec_protocol.h"

enum { EXEC_INPUT_BYTES = 4096 };

struct exec {
    bool used;
    bool begun;        /* BEGIN is complete, the process was started */
    bool gone;         /* the client: it reads nothing any more */
    bool stores;       /* files; it takes away what is not complete when its input ends */
    bool over;         /* the process has been reaped */
    bool end_said;     /* END stands in `out`, or was sent */
    int socket_fd;     /* owned, like the others; -1: closed */
    int input_fd;      /* writing end of its stdin */
    int output_fds[2]; /* reading ends of stdout and stderr */
    int turn;          /* which of them is read next */
    pid_t pid;         /* 0: none */
    uint64_t kill_ms;  /* when its time is over */
    struct exec_end end;
    uint32_t in_bytes; /* received of BEGIN, or of input that its stdin has no room for yet */
    uint32_t in_sent_bytes;
    uint32_t out_bytes; /* of a frame that the client has not taken yet */
    uint32_t out_sent_bytes;
    uint8_t in[EXEC_INPUT_BYTES];
    uint8_t out[EXEC_FRAME_HEADER_BYTES + EXEC_FRAME_BYTES_MAX];
};

struct execs { /* zeroed memory before execs_init */
    int epoll_fd;
    uint64_t epoll_tag; /* kind of our events, in the highest byte */
    struct sandbox_spec *spec;
    bool busy; /* one of them has used up its turn */
    struct exec list[EXECS_PER_REPLICA_MAX];
};

void execs_init(struct execs *execs, int epoll_fd, uint64_t epoll_tag, struct sandbox_spec *spec);
/* Takes the socket; closes it when there are too many already. */
void execs_begin(struct execs *execs, int socket_fd, uint64_t now_ms);
/* An event with our tag. */
void execs_event(struct execs *execs, uint64_t tag, uint32_t events, uint64_t now_ms);
/* Those that used up their turn go on. Returns whether any has more to do: do not wait then. */
bool execs_turn(struct execs *execs, uint64_t now_ms);
/* A child was reaped. Returns whether it was one of ours. */
bool execs_reaped(struct execs *execs, pid_t pid, int wait_status, uint64_t now_ms);
/* Ends what has taken its time. */
void execs_tick(struct execs *execs, uint64_t now_ms);
/* When the next tick is due; UINT64_MAX: none. */
uint64_t execs_wake_ms(const struct execs *execs);
/* The service is over: all clients are told, as far as they listen. Everything has been killed. */
void execs_done(struct execs *execs);
