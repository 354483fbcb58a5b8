// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * mingad's side of the connection to minga-sandboxd.
 *
 * Never blocks, starts no thread, reads no clock. The caller polls sandbox_client_fd() for reading,
 * and for writing while sandbox_client_wants_write(). When a call returns anything negative but
 * -ENOBUFS, the connection is over: done(), and connect() again when the caller sees fit; then
 * list() tells what lives. The replicas do not notice.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sandbox/environment.h"
#include "sandbox/request.h"

enum { SANDBOX_CLIENT_QUEUE_MAX = 256 }; /* requests waiting to be sent */

struct sandbox_client_entry { /* a request that the socket had no room for yet */
    uint8_t *bytes;           /* owned */
    size_t length_bytes;
    int fds[PORTS_PER_SERVICE_MAX]; /* owned */
    uint32_t fd_count;
};

struct sandbox_client {
    int fd; /* -1: not connected */
    uint32_t first;
    uint32_t count;
    struct sandbox_client_entry queue[SANDBOX_CLIENT_QUEUE_MAX]; /* a ring */
};

/* Outcomes of sandbox_client_receive() above 0. */
enum { SANDBOX_CLIENT_MESSAGE = 1 };

/* Not connected; no memory but the struct's. */
void sandbox_client_init(struct sandbox_client *client);
/* Connects to the helper's socket and says HELLO. Returns 0 or -errno (-ECONNREFUSED, ...). */
int sandbox_client_connect(struct sandbox_client *client, const char *path, struct err *err);
/* Closes and forgets what was not sent. Harmless when not connected. */
void sandbox_client_done(struct sandbox_client *client);

/* -1 when not connected. */
int sandbox_client_fd(const struct sandbox_client *client);
bool sandbox_client_wants_write(const struct sandbox_client *client);
/* Sends what is queued, as far as it goes. */
int sandbox_client_flush(struct sandbox_client *client);

/*
 * Each queues and sends one request. Returns 0, -ENOBUFS when the queue is full (try again after
 * it was flushed), -ENOTCONN, -EINVAL for an impossible spec, or what broke the connection.
 *
 * start: `listen_fds` are spec->port_count listening sockets in the order of the ports; they stay
 * the caller's, who closes them whenever it likes after the call.
 */
int sandbox_client_start(struct sandbox_client *client, const struct sandbox_spec *spec,
                         const int *listen_fds);
int sandbox_client_renew(struct sandbox_client *client, const struct replica_key *key);
int sandbox_client_stop(struct sandbox_client *client, const struct replica_key *key);
int sandbox_client_freeze(struct sandbox_client *client, const struct replica_key *key);
int sandbox_client_thaw(struct sandbox_client *client, const struct replica_key *key);
int sandbox_client_stats(struct sandbox_client *client, const struct replica_key *key);
/* At most so much for all replicas together, from now on; never more than was contributed. */
int sandbox_client_allow(struct sandbox_client *client, const struct sandbox_allowance *allowance);
/*
 * Answered by a LISTED event for each replica that lives (and its HEALTH, where known), an
 * ENDED event for each that ended while nobody was connected, then ANSWER_LIST_END.
 */
int sandbox_client_list(struct sandbox_client *client);
/* Answered by one ANSWER_LOGS, with no bytes when there is nothing at or behind the offset.
 * Offset UINT64_MAX means the last bytes_max ones. */
int sandbox_client_logs(struct sandbox_client *client, const struct replica_key *key,
                        uint64_t offset, uint32_t bytes_max);
/* A socket into the sandbox, where minga-init listens (exec_protocol.h): answered by one
 * ANSWER_EXEC, in the order of the requests. */
int sandbox_client_exec(struct sandbox_client *client, const struct replica_key *key);

/* Which of the programs that root wrote down run outside: answered by one ANSWER_PROGRAMS. */
int sandbox_client_programs(struct sandbox_client *client);

/*
 * Takes one answer. Returns SANDBOX_CLIENT_MESSAGE, 0 when there is none now, or -errno when the
 * connection is over (-EPIPE closed, -EBADMSG nonsense, -EPROTO another version).
 */
int sandbox_client_receive(struct sandbox_client *client, struct helper_answer *answer_out);
/* The same; *fd_out is the descriptor of an ANSWER_EXEC, the caller's, or -1. */
int sandbox_client_receive_fd(struct sandbox_client *client, struct helper_answer *answer_out,
                              int *fd_out);
