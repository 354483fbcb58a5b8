// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the agent asks of an execution environment, and what it hears back.
 *
 * Plain data only. The real environment is minga-sandboxd (client.h); the simulator has its own.
 * Every replica is known by its key; a request about an unknown key is answered with ENDED.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/limits.h"

struct replica_key {
    struct service_id service;
    uint32_t slot;        /* 1 and up: the number in "wiki/1" */
    uint64_t incarnation; /* greater each time the slot is filled anew */
};

struct sandbox_limits { /* hard, per replica */
    uint64_t cpu_permille;
    uint64_t memory_bytes; /* swap included */
    uint64_t disk_bytes;
    uint64_t pid_count;
};

/* The values travel. SANDBOX_MEMBERS: TCP inside; the agent lets in whom it knows, and passes them on
 * through a listening unix socket. SANDBOX_MEMBERS_UDP: the same for UDP inside; the unix socket is
 * one of packets. At the host both are TCP: so members reach the agent. */
enum sandbox_protocol { SANDBOX_TCP, SANDBOX_UDP, SANDBOX_MEMBERS, SANDBOX_MEMBERS_UDP };

static inline bool sandbox_is_for_members(enum sandbox_protocol protocol)
{
    return protocol == SANDBOX_MEMBERS || protocol == SANDBOX_MEMBERS_UDP;
}
/* Does the service take datagrams there? */
static inline bool sandbox_is_udp(enum sandbox_protocol protocol)
{
    return protocol == SANDBOX_UDP || protocol == SANDBOX_MEMBERS_UDP;
}

struct sandbox_port {
    uint16_t container_port; /* where the service listens on its loopback */
    uint16_t host_port;      /* where the replica is reached */
    enum sandbox_protocol protocol;
};

struct sandbox_health {
    uint32_t argument_count; /* of a command that must exit with 0; 0: the port is asked */
    char arguments[HEALTH_COMMAND_BYTES_MAX]; /* words, each with its NUL */
    uint16_t container_port; /* 0, and no command: no probe, health is ok while it runs */
    char http_path[128];     /* "": a TCP connection is enough */
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint32_t failures_max; /* in a row, until "failing" */
    uint64_t grace_ms;     /* after the start, failures do not count */
};

struct sandbox_spec {
    struct replica_key key;
    struct tree_id tree; /* a complete, verified tree in the agent's folder */
    uint32_t argument_count;
    char arguments[COMMAND_BYTES_MAX]; /* words, each with its NUL */
    uint32_t environment_count;
    char environment[ENVIRONMENT_BYTES_MAX]; /* NAME=value, each with its NUL */
    char workdir[PATH_BYTES_MAX];
    uint32_t user; /* uid and gid inside */
    struct sandbox_limits limits;
    uint32_t port_count;
    struct sandbox_port ports[PORTS_PER_SERVICE_MAX];
    uint32_t connections_max; /* of each port at once, clients of UDP alike; 0: the default */
    bool egress;              /* outgoing connections to the Internet, see docs/security.md */
    struct sandbox_health health;
    int stop_signal;
    uint64_t stop_grace_ms;
    uint64_t logs_bytes; /* kept of stdout and stderr together */
    char hostname[64];   /* inside: "wiki-1" */
};

struct sandbox_allowance { /* at most so much for all replicas together, now */
    uint64_t cpu_permille;
    uint64_t memory_bytes;
    uint64_t upload_bytes_per_s; /* 0: as much as was contributed */
    uint64_t download_bytes_per_s;
};

enum { SANDBOX_PROGRAMS_MAX = 64, SANDBOX_PROGRAM_CHARS_MAX = 32 };

/* Names of programs outside, for the owner's rules. */
struct sandbox_programs {
    uint32_t count;
    char names[SANDBOX_PROGRAMS_MAX][SANDBOX_PROGRAM_CHARS_MAX + 1];
};

/* Outgoing connections of a replica. The values travel. */
enum sandbox_egress { SANDBOX_EGRESS_NONE, SANDBOX_EGRESS_UP, SANDBOX_EGRESS_LOST };

struct sandbox_activity {      /* as last measured, beside what counts against its limits */
    uint64_t connection_count; /* forwarded to its published ports at the moment */
    uint64_t refused_count;    /* connections beyond connections_max, since it started */
    uint64_t io_read_bytes;    /* of its own disk, since it started */
    uint64_t io_written_bytes;
    uint64_t sent_bytes; /* by its ports and its way out, since it started; on its own node only */
    uint64_t received_bytes;
    bool send_waits; /* something was held back by the line's limits lately */
    bool receive_waits;
    enum sandbox_egress egress; /* LOST: it was given, but its network stack has died */
};

enum sandbox_event_kind {
    SANDBOX_STARTED, /* the service's first process has been executed */
    SANDBOX_ENDED,   /* no process, cgroup, mount or image of it is left */
    SANDBOX_HEALTH,  /* healthy has changed */
    SANDBOX_STATS,   /* answer to a stats request */
    SANDBOX_LISTED,  /* found alive after (re)connecting; then STARTED is not repeated */
};

enum sandbox_end {
    SANDBOX_END_EXITED,        /* status: exit status of the service */
    SANDBOX_END_SIGNALLED,     /* status: signal */
    SANDBOX_END_OUT_OF_MEMORY, /* at its own limit */
    SANDBOX_END_STOPPED,       /* was asked to */
    SANDBOX_END_REFUSED,       /* could not be started: see reason */
    SANDBOX_END_LOST,          /* lease over, or the environment itself failed */
};

struct sandbox_event {
    enum sandbox_event_kind kind;
    struct replica_key key;
    enum sandbox_end end;
    int status;
    int healthy;                       /* HEALTH: 0 or 1 */
    char reason[REASON_CHARS_MAX + 1]; /* ENDED: one line for people; may be "" */
    struct sandbox_limits used;        /* STATS, LISTED: cpu as permille since the last STATS */
    struct sandbox_activity activity;  /* STATS, LISTED */
    struct sandbox_limits limits;      /* LISTED: as started */
    struct tree_id tree;               /* LISTED */
    uint32_t port_count;               /* LISTED */
    struct sandbox_port ports[PORTS_PER_SERVICE_MAX]; /* LISTED */
    uint64_t age_ms;                                  /* LISTED: since it started */
};
