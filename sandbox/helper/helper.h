// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What minga-sandboxd knows: its limits, its one mingad, its replicas. One instance, made by
 * main; everything runs on one thread, and nothing waits for a disk or for another process.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/err.h"
#include "sandbox/cgroup.h"
#include "sandbox/environment.h"
#include "sandbox/helper/disks.h"
#include "sandbox/helper/launch.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/supervisor.h"
#include "sandbox/helper/uid_range.h"
#include "sandbox/limits_file.h"
#include "sandbox/line.h"
#include "sandbox/request.h"

enum {
    MAKE_MS_MAX = 60000,      /* for its disk to be made: a slow host, a large file */
    START_MS_MAX = 10000,     /* from the clone to the service's execve */
    STOP_MARGIN_MS = 1000,    /* beyond the grace, until we kill instead of init */
    ENDING_SOON_MS = 100,     /* of ending: so long it may be over at any moment */
    ENDING_POLL_SOON_MS = 1,  /* between two looks at what is being ended */
    ENDING_POLL_MS = 10,      /* later */
    ENDING_WARN_MS = 10000,   /* of ending: say that something hangs */
    OOM_LOOK_MS = 1000,       /* after an out-of-memory, for who was killed */
    SHM_BYTES_MAX = 64 << 20, /* /dev/shm; or a quarter of the replica's memory */
    ADOPT_ROUNDS = 200,       /* at start, for what is left over to die */
    IDMAPS_MAX = 16,          /* kept for roots of the same ids */
    KEPT_LOGS_MAX = 16,       /* of replicas that have ended */
    FOLDER_BYTES_MAX = 256,   /* of the path of one of our own folders */
    FORBIDDEN_MS = 120000,    /* what it has is not given any more: mingad should have moved it */
    PROGRAMS_MS = 1000,       /* between two looks at what runs outside */
    SWEEP_SOON_MS = 30000,    /* after our start: what a killed helper had forked may still die */
    SWEEP_SOON_EVERY_MS = 1000,
    SWEEP_EVERY_MS = 60000,
};
#define UID_FOLDER_DEFAULT "/run/minga-uids"

struct line_look { /* at one direction of one part, last: lines.c */
    uint64_t passed_bytes;
    uint64_t held_count;
    uint64_t used_bytes_per_s;
    bool wants_more;
    uint64_t given_bytes_per_s; /* as its file says; 0: no limit */
};

enum replica_state {
    REPLICA_FREE,     /* the slot of the table is not in use */
    REPLICA_STARTING, /* being launched; the service is not yet executed */
    REPLICA_RUNNING,
    REPLICA_STOPPING, /* the service was told; killed at deadline_ms */
    REPLICA_ENDING,   /* being killed and cleared away; ENDED follows */
};

struct replica {
    enum replica_state state;
    struct cgroup_name name; /* of its group and of its files */
    struct uid_range uids;
    pid_t init_pid; /* 0: none */
    uint64_t init_start_ticks;
    int pidfd;               /* -1: none, or known to be over */
    int control_fd;          /* to its minga-init */
    int line_fd;             /* sandbox/line.h's file; -1: its minga-init is of an older version */
    int oom_fd;              /* readable after an out-of-memory (cgroup v1) */
    uint64_t oom_until_ms;   /* the counts of its group are looked at again until then */
    struct disk disk;        /* no mount_fd when it is adopted; loop_number -1: none yet */
    uint64_t io_read_before; /* of the disk's device, by those who had it earlier */
    uint64_t io_written_before;
    struct launch launch; /* STARTING: until the first process is set up */
    uint64_t started_ms;  /* by boot_ms(); 0: not yet */
    uint64_t lease_until_ms;
    uint64_t deadline_ms;  /* STARTING, STOPPING: then it is killed; ENDING: when it began */
    uint64_t forbidden_ms; /* then it is ended, for what it has is not given any more; 0: it is */
    bool warned;           /* ENDING: that it hangs */
    bool health_known;
    bool healthy;
    bool init_leaves; /* ENDING: its minga-init has said the end, and goes by itself */
    bool end_known;   /* the three below are final */
    enum sandbox_end end;
    int end_status;
    char reason[REASON_CHARS_MAX + 1];
    uint64_t stats_ms; /* of the last STATS */
    uint64_t stats_cpu_us;
    uint64_t connection_count; /* of its published ports, as its init counted last */
    uint64_t refused_count;
    struct {
        struct line_look parts[LINE_PARTS][LINE_DIRECTIONS];
    } line;
    struct sandbox_spec spec; /* last: of a slot that was never used it stays untouched memory */
};

struct idmap {
    uid_t service_id; /* 0: none */
    int fd;           /* owned: rootfs_idmap's */
};

struct helper_folders {
    char state[FOLDER_BYTES_MAX];    /* disk images are made here, without names */
    char logs[FOLDER_BYTES_MAX];     /* NAME.0 and NAME.1 */
    char records[FOLDER_BYTES_MAX];  /* NAME: what a restarted helper must know */
    char controls[FOLDER_BYTES_MAX]; /* NAME: the listening socket of its init */
    char lines[FOLDER_BYTES_MAX];    /* NAME: its part of the line */
    char layers[FOLDER_BYTES_MAX];   /* lower, disk, root: where mounts are for a moment */
    char uids[FOLDER_BYTES_MAX];     /* of the whole host */
    char socket[FOLDER_BYTES_MAX];
    char lock[FOLDER_BYTES_MAX]; /* held while we live */
};

struct helper {
    struct supervisor supervisor;
    struct host_limits limits;
    const char *limits_path;
    struct sandbox_limits allowed; /* at most limits.contribution; cpu and memory only */
    uint64_t line_bytes_per_s[LINE_DIRECTIONS]; /* of all replicas now, at most limits.line's; 0: no
                                                   limit */
    uint64_t line_looked_ms;
    bool line_busy; /* something passed between the last two looks */
    struct helper_folders folders;
    char boot_id[BOOT_ID_BYTES_MAX];
    struct cgroups *cgroups;
    int init_program_fd;   /* sealed copy of minga-init */
    int filter_fd;         /* sealed seccomp filter */
    int egress_program_fd; /* sealed copy of minga-egress; -1: it is missing */
    int network_fd;        /* the host's network namespace, for minga-egress; -1: it is missing */
    int lock_fd;
    int listen_fd;
    int client_fd;           /* mingad; -1: none */
    bool greeted;            /* it said HELLO */
    uint64_t alone_since_ms; /* while there is no mingad */
    uint64_t started_ms;
    uint64_t locks_due_ms;        /* when locks on files are next counted */
    uint64_t streams_due_ms;      /* when connections are next looked at */
    uint64_t streams_host_due_ms; /* when one may next be ended for the host's share */
    uint64_t swept_ms;            /* when leftover locks of uid ranges were last looked for */
    bool exit_when_idle;
    bool leaving; /* SIGTERM: everything ends, then we do */
    struct replica replicas[REPLICAS_PER_NODE_MAX];
    struct sandbox_event missed[REPLICAS_PER_NODE_MAX]; /* ENDED while there was no mingad */
    uint32_t missed_count;
    struct cgroup_name kept[KEPT_LOGS_MAX]; /* "": free */
    uint32_t kept_next;                     /* the oldest, or a free one */
    struct disks disks;
    struct idmap idmaps[IDMAPS_MAX];
    uint32_t idmap_next;  /* the oldest, or a free one */
    uint64_t programs_ms; /* when last looked at; 0: not yet, or others are asked for now */
    struct sandbox_programs programs; /* that ran then */
};

/* --- replica.c: the life of one replica --- */

/* Empties a slot. */
void replica_init(struct replica *replica);
struct replica *replica_find(struct helper *helper, const struct replica_key *key);
/* "16 hex digits-slot-incarnation". */
struct cgroup_name replica_name(const struct replica_key *key);
/*
 * Decides how it ended (the first to say so wins) and begins to clear away. `reason` "": it
 * follows from the kind, and from what the group counted, when nothing lives any more.
 */
void replica_end(struct replica *replica, enum sandbox_end end, int status, const char *reason);
/* Takes ids that no replica here has, one whose end we have not heard of yet included. Returns 0 or -errno. */
int replicas_take_uids(struct helper *helper, struct uid_range *range_out, struct err *err);
void replica_stop(struct helper *helper, struct replica *replica);
/* Makes a socket into the sandbox. Returns the other end, the caller's, or a negative code. */
int replica_exec(struct replica *replica, struct err *err);
int replica_freeze(struct helper *helper, struct replica *replica, bool frozen, struct err *err);
/* Freezes it; one that cannot be is ended: who pauses is never told so of what still runs. */
void replica_hold(struct helper *helper, struct replica *replica);
/* Something happened on one of its descriptors, or time has passed. */
void replica_on_control(struct helper *helper, struct replica *replica);
void replica_on_init_over(struct helper *helper, struct replica *replica);
void replica_on_out_of_memory(struct helper *helper, struct replica *replica);
void replica_tick(struct helper *helper, struct replica *replica, uint64_t at_ms);

/* --- clear.c --- */

/* One round of killing and removing. When nothing is left, says ENDED and frees the slot. */
void replica_clear(struct helper *helper, struct replica *replica, uint64_t at_ms);

/*
 * Did it end because the kernel found no room within its limit? `oom_kill_count` as its group has
 * counted; an end that was asked for is never that, and one with a reason of ours has its own.
 */
bool replica_hit_memory_limit(const struct replica *replica, uint64_t oom_kill_count);

/* --- allow.c: less than was contributed --- */

/* Holds all replicas together to it; looks at the limits' file again first. */
void helper_allow(struct helper *helper, const struct sandbox_allowance *allowance);
/* What a replica may have now, of what it was promised. */
struct sandbox_limits helper_allowed_of(const struct helper *helper,
                                        const struct sandbox_limits *limits);

/* --- kept.c: the output of replicas that have ended --- */

bool kept_has(const struct helper *helper, const struct cgroup_name *name);
/* Its log files stay. The oldest gives way, and its files are removed. */
void kept_add(struct helper *helper, const struct cgroup_name *name);
/*
 * Somebody begins who needs log files, and has none: where all places are taken, the oldest's get
 * that name, with what is in them. To make new ones and to remove the old costs more.
 */
void kept_reuse(struct helper *helper, const struct cgroup_name *name);
/* It is started again: its log files are the replica's. */
void kept_take(struct helper *helper, const struct cgroup_name *name);
void kept_remove_all(struct helper *helper);

/* --- launch.c --- */

/*
 * Begins to start what replica->spec says in an empty slot; `port_fds` are borrowed. On failure
 * the slot holds what was made so far: replica_end() it.
 */
int replica_launch(struct helper *helper, struct replica *replica, const int *port_fds,
                   struct err *err);
/*
 * Its launch goes on: it gets a disk, which is its own then; the root is made; the first process
 * is set up. End it on failure.
 */
void replica_on_disk(struct helper *helper, struct replica *replica, struct disk *disk);
void replica_on_made(struct helper *helper, struct replica *replica);
void replica_on_setup(struct helper *helper, struct replica *replica);
void replica_give_up(struct replica *replica, const struct err *err);

/* --- record.c: what survives a helper --- */

int record_write(const struct helper *helper, const struct replica *replica, struct err *err);
/* Fills an empty slot. -ESTALE when it is of another boot of the machine. */
int record_read(const struct helper *helper, const char *name, struct replica *replica_out,
                struct err *err);
/* The paths of a replica's files; path_out has PATH_MAX bytes. */
void replica_path(const char *folder, const struct replica *replica, const char *suffix,
                  char path_out[PATH_MAX]);

/*
 * Where its minga-init listens. Returns the folder, which the caller closes; the address, through
 * it, as the path may be longer than an address holds, is good until then. -1: errno says why.
 */
int replica_control(const struct helper *helper, const struct replica *replica,
                    struct sockaddr_un *address_out);

/* --- adopt.c --- */

/* At start: takes over what lives, ends what cannot be taken over, removes what is left over. */
void helper_adopt(struct helper *helper);
/*
 * Ends and removes the groups of which no replica is known: all, before helper_adopt. Looks at each
 * that often, 10 ms apart; what is still dying then is left to the next call.
 */
void helper_end_unknown_groups(struct helper *helper, unsigned rounds);

/* --- client_side.c: what mingad is told --- */

/* An end that nobody hears is kept, also where mingad turns out to be gone by saying it. */
void say_event(struct helper *helper, const struct sandbox_event *event);
/* Says what ended while nobody was there to hear it, once; the rest stays if mingad goes meanwhile. */
void say_missed(struct helper *helper);
void say_answer(struct helper *helper, const struct helper_answer *answer);
/* The same with a descriptor, which stays the caller's; -1: none. */
void say_answer_fd(struct helper *helper, const struct helper_answer *answer, int passed_fd);
void say_ended(struct helper *helper, const struct replica_key *key, enum sandbox_end end,
               const char *reason);
void say_health(struct helper *helper, const struct replica *replica);
void say_state(struct helper *helper, const struct replica *replica, enum sandbox_event_kind kind);
/* Measures; kind is STATS or LISTED. */
void say_measured(struct helper *helper, struct replica *replica, enum sandbox_event_kind kind);
void client_drop(struct helper *helper, const char *why);

/* --- requests.c: the door --- */

/* Reads one request of mingad and does it. */
void helper_on_client(struct helper *helper);
/* Somebody connects. */
void helper_on_connection(struct helper *helper);
/* Would the sum of all replicas and this one be within the contribution? */
int helper_has_room(const struct helper *helper, const struct sandbox_limits *wanted,
                    struct err *err);

/* --- loop.c --- */

/* Runs until SIGTERM is done, SIGUSR2, or idleness. Returns the exit status. */
int helper_run(struct helper *helper, int signal_fd);
