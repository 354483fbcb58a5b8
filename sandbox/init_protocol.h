// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Between minga-sandboxd and minga-init, the first process of every sandbox.
 *
 * minga-sandboxd clones a child into all new namespaces, which first of all enters the
 * replica's `init` group, then makes the mounts, pivots, sets the host name, brings the
 * loopback up, arranges the descriptors below and executes minga-init from a sealed memory file
 * (execveat, AT_EMPTY_PATH; argv {"minga-init"}, empty environment). At that moment it is
 *   - pid 1 of its pid namespace, uid and gid 0 of a user namespace that maps 0..65535, with all
 *     capabilities inside; /dev/null exists; the service's files belong to spec.user;
 *   - the child of minga-sandboxd's main thread (which must not be one that ends: the death
 *     signal belongs to the thread), and of nobody else in the namespace.
 *
 * It forks the service's future process, which enters the replica's `service` group through
 * INIT_FD_ENTRIES and waits. Then, on the control socket (SOCK_SEQPACKET, one message a packet):
 *
 *     init                          minga-sandboxd
 *                                   ATTACHED: once it has noted what a later one has to know, the
 *                                   service may begin. Init finds it in the socket as a rule
 *     STARTED or REFUSED(reason)    once, after execve worked or something failed. After REFUSED
 *                                   init exits
 *     HEALTH(healthy)               whenever it changes; before the first it is unknown
 *     COUNTS(...)                   when they have changed, at most once a second
 *                                   STOP, any time: stop_signal, stop_grace_ms, then SIGKILL
                                   EXEC, with one end of a socket, while the service runs: see
                                   sandbox/exec_protocol.h. Too many at once: it is closed
 *     ENDED(...)                    the service's main process is over, everything else in the
 *                                   namespace has been killed; init exits at once after it
 *
 * Until STARTED the death signal of init is SIGKILL; from then on minga-sandboxd may go away. A
 * restarted one connects to the listening socket (INIT_FD_LISTEN); the newest connection counts,
 * init closes the older one and repeats its state: STARTED, then HEALTH if known. A service that
 * ends while nobody is connected is reported to whoever connects within INIT_LINGER_MS; then init
 * exits anyway. When nobody connects for INIT_ALONE_MS while the service runs, init exits and the
 * kernel ends the rest: without agent and helper no replica is left behind. If init dies without a last message, it was killed (out of memory, kill-to-empty).
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/limits.h"

/* What minga-init inherits; 0, 1, 2 are /dev/null (2 may be a log). Nothing else is open. */
enum {
    INIT_FD_CONTROL = 3,   /* SOCK_SEQPACKET, its peer is minga-sandboxd */
    INIT_FD_LISTEN = 4,    /* listening SOCK_SEQPACKET unix socket, out of the sandbox's reach */
    INIT_FD_SPEC = 5,      /* sealed memory file: spec_encode; read with pread from 0 */
    INIT_FD_FILTER = 6,    /* sealed memory file: struct sock_filter[], at most BPF_MAXINSNS */
    INIT_FD_LOG = 7,       /* two empty files, open for reading and writing, not O_APPEND: */
    INIT_FD_LOG_OTHER = 8, /* see sandbox/logs.h; each at most half of spec.logs_bytes */
    INIT_FD_UIDS = 9,      /* only to be kept: it holds the lock of the sandbox's uid range */
    INIT_FD_ENTRIES = 10,  /* five: the service's first process enters its cgroup by them */
    INIT_FD_LINE = 15,     /* the replica's part of the line: sandbox/line.h; mapped */
    INIT_FD_PORTS = 16,    /* and up: sockets of the host, in spec.ports' order */
    INIT_FD_LAST = INIT_FD_PORTS + PORTS_PER_SERVICE_MAX - 1,
};

enum {
    INIT_UID = 65535,       /* uid and gid of init itself; no manifest can ask for it */
    INIT_LINGER_MS = 30000, /* how long an unreported end waits for a minga-sandboxd */
    INIT_ALONE_MS = 60000,  /* how long a service runs without any minga-sandboxd */
    INIT_ENTRIES = 5,
    /*
     * The limit of cores. With 0, a host whose core_pattern names a program (systemd-coredump,
     * apport) would still run that as root, outside of all limits, on what a stranger's program has
     * left; with 1 the kernel runs none, and one byte is too small for a file (core(5)).
     */
    CORE_BYTES_MAX = 1,
    INIT_MESSAGE_BYTES_MAX = 512,
};
static_assert((int)INIT_ALONE_MS > (int)HELPER_ALONE_MS, "a helper may restart with its agent");
static_assert((int)INIT_LINGER_MS >= (int)HELPER_ALONE_MS, "init waits for whoever would adopt it");

enum init_message_kind {
    INIT_ATTACHED = 2, /* what replicas say that run through an upgrade keeps its numbers */
    INIT_STARTED,
    INIT_REFUSED,
    INIT_HEALTH,
    INIT_STOP,
    INIT_ENDED,
    INIT_COUNTS,
    INIT_EXEC,
    INIT_KIND_COUNT,
};

struct init_message {
    enum init_message_kind kind;
    bool healthy;                      /* HEALTH */
    bool signalled;                    /* ENDED: status is a signal, else an exit status 0..255 */
    bool stopped;                      /* ENDED: after STOP */
    int32_t status;                    /* ENDED */
    uint64_t started_ms;               /* STARTED: CLOCK_BOOTTIME at execve */
    uint64_t connection_count;         /* COUNTS: forwarded at the moment, all ports */
    uint64_t refused_count;            /* COUNTS: beyond the limit of a port, since the start */
    uint64_t lost_bytes;               /* ENDED: of output that the logs could not keep up with */
    char reason[REASON_CHARS_MAX + 1]; /* REFUSED: "command: No such file or directory" */
};

/* Pure. Returns the length in bytes; data_out has room for INIT_MESSAGE_BYTES_MAX. */
size_t init_message_encode(const struct init_message *message, uint8_t *data_out);
/* Pure. Returns 0 or -EBADMSG (message_out untouched). */
int init_message_decode(struct bytes bytes, struct init_message *message_out);

/* Sends one packet without waiting. Returns 0 or -errno (-EAGAIN, -EPIPE ...). No SIGPIPE. */
int init_message_send(int fd, const struct init_message *message);
/* The same, with a descriptor, which stays the caller's. */
int init_message_send_fd(int fd, const struct init_message *message, int passed_fd);
/*
 * Receives one packet without waiting. Returns 0, -EAGAIN, -EPIPE (the other side is gone),
 * -EBADMSG or another -errno. Descriptors that come along are closed.
 */
int init_message_receive(int fd, struct init_message *message_out);
/* The same; of the descriptors that came the first is the caller's, -1 when there was none. */
int init_message_receive_fd(int fd, struct init_message *message_out, int *fd_out);
