// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * minga-environment: stands where minga-sandboxd stands, for machines whose owner has another
 * execution environment (a virtual machine, a batch system). To mingad it speaks the helper's
 * protocol (sandbox/request.h), to the environment's program lines (docs/environment.md).
 *
 * No privileges, one thread. Nothing is adopted: replicas live and die with the program.
 */
#include <limits.h>

#include "sandbox/foreign/program.h"
#include "sandbox/health.h"
#include "sandbox/logs.h"
#include "sandbox/request.h"

enum {
    FOREIGN_START_MS_MAX = 60000,
    FOREIGN_KILL_MS_MAX = 10000,    /* then the program itself is killed */
    FOREIGN_PROBE_MARGIN_MS = 1000, /* beyond its own time-out */
    FOREIGN_READY_MS_MAX = 10000,
    FOREIGN_RESTART_MS_MAX = 60000,
    FOREIGN_RESET_MS = 60000, /* of running: the next restart of the program is soon again */
    FOREIGN_END_MS_MAX = 5000,
    FOREIGN_KEPT_LOGS_MAX = 16,
    FOREIGN_IDLE_MS = 3000, /* without agent and replicas */
};

enum foreign_state {
    FOREIGN_FREE,
    FOREIGN_STARTING,
    FOREIGN_RUNNING,
    FOREIGN_STOPPING, /* has been sent its signal */
    FOREIGN_KILLED,
};

struct foreign_replica {
    enum foreign_state state;
    struct sandbox_spec spec;
    char id[WORDS_ID_BYTES];
    uint64_t started_ms;
    uint64_t deadline_ms; /* STARTING, STOPPING, KILLED */
    uint64_t lease_until_ms;
    bool frozen;
    struct health health; /* RUNNING */
    uint64_t probe_until_ms;
    struct sandbox_limits used; /* as last said */
    int output_fd;              /* a named pipe's; open for writing, too: it never ends */
    int log_fds[2];
    struct logs_writer logs;
};

struct foreign {
    const char *trees;
    char logs_folder[PATH_MAX];
    char *const *arguments; /* of the program */
    struct program program;
    bool ready;
    uint64_t deadline_ms; /* to be ready; or, without a program, when it is started again */
    uint64_t began_ms;
    uint32_t failure_count; /* soon after each other */
    int listen_fd;
    int client_fd; /* -1: none */
    bool greeted;
    bool served; /* there was an agent */
    uint64_t alone_since_ms;
    bool leaving;
    struct foreign_replica replicas[REPLICAS_PER_NODE_MAX];
    char kept[FOREIGN_KEPT_LOGS_MAX][WORDS_ID_BYTES]; /* logs of what has ended; "": free */
    uint32_t kept_next;
};

uint64_t foreign_now_ms(void);

/* --- replicas.c --- */
struct foreign_replica *foreign_find(struct foreign *foreign, const struct replica_key *key);
void foreign_start(struct foreign *foreign, const struct sandbox_spec *spec);
void foreign_stop(struct foreign *foreign, struct foreign_replica *replica);
/* Of one that runs. */
void foreign_freeze(struct foreign *foreign, struct foreign_replica *replica, bool freeze);
void foreign_measure(struct foreign *foreign, const struct foreign_replica *replica);
/* Keeps what it has printed. */
void foreign_hear_output(struct foreign_replica *replica);
/* Tells whether it is well, once that is known. */
void foreign_say_health(struct foreign *foreign, const struct foreign_replica *replica);
/* One line of the program. -errno: it is of no use any more. */
int foreign_hear(void *context, const char *line, size_t length_bytes, struct err *err);
/* All that is thought to live is over. */
void foreign_end_all(struct foreign *foreign, enum sandbox_end end, const char *reason);
void foreign_tick(struct foreign *foreign, uint64_t now_ms);
/* The program is killed, with everything in it, and started again later. */
void foreign_fail(struct foreign *foreign, const struct err *err);

/* --- door.c: mingad --- */
void foreign_on_connection(struct foreign *foreign);
void foreign_on_client(struct foreign *foreign);
void foreign_drop_client(struct foreign *foreign, const char *why);
void foreign_say(struct foreign *foreign, const struct sandbox_event *event);
void foreign_say_ended(struct foreign *foreign, const struct replica_key *key, enum sandbox_end end,
                       const char *reason);
