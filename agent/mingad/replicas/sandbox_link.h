// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The connection to minga-sandboxd or minga-environment, on the loop: connects, connects again, keeps account of what
 * may live there so that it can be renewed, and asks for logs.
 *
 * After (re)connecting, the helper is asked what lives: `up`, then LISTED events, then `listed`.
 */
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sandbox/environment.h"

struct sandbox_link;

struct sandbox_link_events { /* called on the loop; arguments are borrowed */
    void *context;
    void (*up)(void *context);
    void (*listed)(void *context);
    void (*down)(void *context, const char *reason);
    void (*absent)(void *context); /* at each try, while nobody listens. May be NULL. */
    void (*event)(void *context, const struct sandbox_event *event);
    /* Answer to sandbox_link_logs. `ended`: no more will come from this replica. */
    void (*logs)(void *context, uint64_t token, struct bytes bytes, uint64_t offset_bytes,
                 bool ended);
    /* Answer to sandbox_link_exec: a socket, the callee's, or -1 and why not. May be NULL. */
    void (*exec)(void *context, uint64_t number, int fd, const char *reason);
    /* Answer to sandbox_link_programs. May be NULL. */
    void (*programs)(void *context, const struct sandbox_programs *running);
};

struct sandbox_link_config {
    uv_loop_t *loop;
    const char *socket_path;
    const char
        *down_reason; /* said while the helper is not there or silent; must outlive the link */
    struct sandbox_link_events events;
};

/* Not connected yet. NULL without memory. */
struct sandbox_link *sandbox_link_new(const struct sandbox_link_config *config);
/* Tries at once; returns 0 or -errno with err set. Before the loop runs (while still root). */
int sandbox_link_connect(struct sandbox_link *link, struct err *err);
/* Begins: tells of the first connection, or `down`, and tries again every second. */
void sandbox_link_start(struct sandbox_link *link);
bool sandbox_link_is_started(const struct sandbox_link *link);
/* Ends the connection; the loop must run on until handles are closed, then free. */
void sandbox_link_close(struct sandbox_link *link);
void sandbox_link_free(struct sandbox_link *link);

/*
 * `listen_fds`: spec->port_count sockets, borrowed. A request that cannot be made (no helper, an
 * impossible spec) ends as an ENDED event, which is reported before the call returns.
 */
void sandbox_link_start_replica(struct sandbox_link *link, const struct sandbox_spec *spec,
                                const int *listen_fds);
enum sandbox_link_request {
    SANDBOX_LINK_STOP,
    SANDBOX_LINK_FREEZE,
    SANDBOX_LINK_THAW,
    SANDBOX_LINK_STATS
};
void sandbox_link_ask(struct sandbox_link *link, enum sandbox_link_request request,
                      const struct replica_key *key);
/* Has it been asked to freeze something that may run on? Also while nobody is there to be asked. */
bool sandbox_link_is_freezing(const struct sandbox_link *link);
/* At most so much for all together, from now on. */
void sandbox_link_allow(struct sandbox_link *link, const struct sandbox_allowance *allowance);
/* Keeps everything that lives for another while. */
void sandbox_link_renew(struct sandbox_link *link);
/* At most bytes_max bytes from offset_bytes on; UINT64_MAX: the last ones. */
void sandbox_link_logs(struct sandbox_link *link, uint64_t token, const struct replica_key *key,
                       uint64_t offset_bytes, uint32_t bytes_max);
/* A way into the replica's sandbox. */
void sandbox_link_exec(struct sandbox_link *link, uint64_t number, const struct replica_key *key);
/* Which of the programs that the owner's rules name run here? Not answered without a helper. */
void sandbox_link_programs(struct sandbox_link *link);
