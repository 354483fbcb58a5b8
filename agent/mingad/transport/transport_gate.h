// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * How much ZeroMQ's own thread may take in before the loop has looked at it.
 *
 * ZeroMQ accepts whoever dials and reads whatever comes, without a limit and whether or not the loop
 * follows: while that is late (a busy machine, a slow disk), what a stranger can make this process
 * keep would grow with time. It has no option for this, so the gate stands below it: this file
 * defines accept4, recv and close, which the dynamic linker puts in place of the C library's for
 * the whole process. Descriptors that the gate does not know pass through unchanged.
 *
 * - A listener accepts as many connections as it was allowed; further ones wait in the kernel.
 *   What would take one of the last descriptors is closed at once.
 * - A stranger's connection may send so much in all; then it ends. One that was never heard may be a
 *   member's whose first message is a chunk: it may borrow the rest from a pool that is all
 *   strangers' together.
 * - A trusted connection may send so much beyond what has come out of ZeroMQ as whole messages;
 *   then the rest waits in the kernel.
 *
 * Threads: any. One table for the process, since descriptors are the process's.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    GATE_FDS_MAX = 8192, /* a connection's descriptor is below */
    GATE_ACCEPT_COUNT = 64,
    GATE_STRANGER_BYTES = 32 << 10,                   /* a stranger's, in all */
    GATE_BORROWED_BYTES_MAX = FRAME_BYTES_MAX + 4096, /* one's, until it is heard */
    GATE_POOL_BYTES = 4 << 20,                        /* that all of them borrow from */
    GATE_TRUSTED_BYTES = 4 << 20,                     /* a trusted one's, beyond its messages */
};

/* Descriptors of inbound connections are below `limit`. */
void gate_limit_descriptors(uint32_t limit);

/* Between the two a listening socket is being made, by this thread: what dials it already waits. */
void gate_begin_listening(void);
void gate_end_listening(int fd); /* -1: it has failed */
/* The connections accepted so far are known; so many more may be. */
void gate_allow_accepts(int fd);

/* An accepted connection is a stranger's until it is trusted; one that was heard borrows no more.
 * On others these do nothing: the number may be another descriptor's by now. */
void gate_note_heard(int fd);
void gate_trust(int fd);
void gate_distrust(int fd);
/* A connection that was dialled is trusted, too, until it is told to be over. */
void gate_watch_dialled(int fd);
void gate_forget_dialled(int fd);
/* A trusted one's message has come out: as much may come in. Never more than at first. */
void gate_give_back(int fd, uint64_t bytes);
/* What a trusted one has sent and not been given back. */
uint32_t gate_taken_bytes(int fd);

/* So far: connections closed for want of descriptors, and strangers cut off. */
uint64_t gate_refused_count(void);
uint64_t gate_cut_count(void);
