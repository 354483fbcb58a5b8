// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What connections of a replica hold of the kernel's memory. A connection that nobody has accepted
 * yet was made by no process: it and the bytes that wait in it are counted by no group's limit,
 * and a listener may have thousands. All that TCP may have together (net.ipv4.tcp_mem) is the
 * whole host's, whose own connections would suffer. So the helper looks at that sum several times
 * a second, which costs one small file, and when it is large at each replica's connections; the
 * replica that holds more than it may is ended.
 */
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/helper/helper.h"

enum {
    STREAMS_EVERY_MS = 250,
    STREAMS_FEW = 6,               /* of one kind of IP: not looked at; each can hold some MiB */
    STREAMS_CALM_BYTES = 64 << 20, /* of the host: less is nobody's harm */
    STREAMS_OWN_BYTES = 128 << 20, /* of a replica, beside what is said below */
    STREAMS_CONNECTION_BYTES = 256 << 10, /* of each that may come to its published ports */
    STREAMS_HOST_SHARE = 24, /* of the host's memory: the kernel's own bounds begin above */
    STREAMS_SUSPECT_BYTES =
        4 << 20, /* of a replica, not accepted, where the host's share is used up */
    STREAMS_ENDING_MS =
        2000, /* until what one has held that was ended for the host's share is gone */
};

struct streams { /* what connections hold */
    uint64_t bytes;
    uint64_t unaccepted_bytes; /* of these: in connections that nobody has accepted */
};

struct streams_verdict {
    struct replica *replica; /* it is to end; NULL: nobody is */
    struct streams held;     /* by its connections, counted until it was too much */
    bool is_hosts; /* the limit is the whole host's, and the replica's unaccepted bytes the most */
    uint64_t limit_bytes;
};

/* Those of the network of `pid`; counted only until it is above `enough`. */
struct streams streams_held(const char *proc_path, pid_t pid, uint64_t enough_bytes);
/* What a replica's may hold: a quarter of its memory, and what strangers could fill. */
uint64_t streams_allowed(const struct helper *helper, const struct replica *replica);
/*
 * The first replica that holds more, or none: also while the host's TCP holds little. What is told
 * of a connection is the length of what waits in it, and small pieces take many times that. So when
 * the host has come to its share, who holds most that nobody has accepted is to blame: all else is
 * in the limit of some group, also what waits for a published port.
 */
struct streams_verdict streams_find(struct helper *helper, const char *proc_path);
/* For the people whose replica it is. */
void streams_reason(const struct streams_verdict *verdict, char reason_out[REASON_CHARS_MAX + 1]);
/* Ends that one. After an end nobody is blamed for the host's share until what that one held is gone. */
void streams_look(struct helper *helper, const char *proc_path, uint64_t at_ms);
/* The same in /proc, so often as it is worth. */
void streams_tick(struct helper *helper, uint64_t at_ms);
