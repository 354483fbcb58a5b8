// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The running daemon: the core, and all that performs its effects, on one libuv loop.
 *
 *     transport, sandbox_link, api, jobs of the pool, timers, signals
 *         -> edge_event -> core_step -> perform (perform.c) -> back to them
 *
 * Events that come up while effects are being performed wait in a queue (events.c): the effects
 * borrow from the core until its next step.
 */
#include <uv.h>

#include "agent/api/api.h"
#include "agent/core/core.h"
#include "agent/mingad/config/config.h"
#include "agent/mingad/doors/doors.h"
#include "agent/mingad/pool.h"
#include "agent/mingad/relays/relays.h"
#include "agent/mingad/replicas/sandbox_link.h"
#include "agent/mingad/store/carry.h"
#include "agent/mingad/store/chunk_store.h"
#include "agent/mingad/store/store_writer.h"
#include "agent/mingad/transport/address_watch.h"
#include "agent/mingad/transport/addresses.h"
#include "agent/mingad/transport/portmap.h"
#include "agent/mingad/transport/transport.h"
#include "base/err.h"
#include "base/keys.h"

struct queued_event; /* events.c */
struct chunk_job;    /* chunk_jobs.c */
struct upload;       /* upload.c */
struct scrub;        /* chunk_scrub.c */
struct keeper;       /* keeper.h */
struct trees;        /* trees.c */
struct recorder;     /* recorder.h */
struct execs;        /* execs.c */
struct senses;       /* senses.h */
struct inhibitor;    /* inhibitor.h */

enum edge_phase {
    EDGE_RUNNING,
    EDGE_STOPPING, /* the core hands over, or says "back soon" */
    EDGE_CLOSING,  /* handles are closing; the loop is about to end */
};

struct chunk_gate {       /* writes and drops of chunks, of which one kind runs at a time */
    uint32_t write_count; /* running now */
    uint32_t drop_count;
    struct chunk_job *first; /* of those that wait */
    struct chunk_job *last;
};

enum { CHUNKS_WRITTEN_KEPT = 1024 }; /* while one tree is read through */

struct chunk_read { /* of a chunk_store_get or its like */
    int result;
    uint64_t written_count; /* edge's, when it began */
};

struct own_disk {        /* own_disk.c */
    struct pool_job job; /* first */
    uv_timer_t timer;    /* runs while it refuses */
    struct edge *edge;
    const struct chunk_store *chunks;
    bool is_trying;
    uint64_t try_ms; /* the next time */
    uint64_t try_pause_ms;
    int tried_result;
    int result; /* of the last one that was written: 0 or -errno */
    char told[REASON_CHARS_MAX + 1];
};

enum edge_waker { EDGE_WAKER_OVERLAY, EDGE_WAKER_CORE, EDGE_WAKER_STORE, EDGE_WAKERS };

/* Tokens of our own requests; the API's have API_TOKEN_BIT. */
enum {
    TOKEN_SHUT_DOWN = 1,
    TOKEN_BACK_SOON = 2,
    TOKEN_DESCRIBE = 3,
    TOKEN_STEP_ASIDE = 4,
    TOKEN_COME_BACK = 5
};

struct edge {
    uv_loop_t loop;
    const char *config_path; /* NULL: the default file */
    struct config config;
    struct machine machine;
    struct contribution contribution;
    struct core_config terms;    /* of the last reload: the core's event borrows it */
    struct core_allowed allowed; /* as the core has last said; all zero: not yet */
    struct addresses addresses;
    struct secret_key node_key;
    struct public_key node_public;
    enum edge_phase phase;
    bool is_cut_off; /* as the log has it, as are these */
    bool belongs;
    char rule[NODE_RULE_BYTES_MAX];
    enum owner_mode rule_mode;
    bool is_restart;      /* replicas stay for the next mingad */
    bool is_told_to_end;  /* by a signal: no other life begins in this process */
    bool has_left;        /* the community: what is stored goes, then all begins anew */
    uint64_t leave_token; /* of the API's request to leave; 0: none */

    struct core *core;
    struct core_effects *effects;
    struct recorder *recorder; /* NULL: none; main's */
    bool is_stepping;
    struct queued_event *queue;
    struct queued_event **queue_end;
    uint32_t queue_count;
    uint64_t queue_dropped;

    struct store *store;
    struct store_writer *writer;
    struct chunk_store chunks;
    uint32_t chunk_jobs_count; /* in memory now */
    uint32_t
        chunk_pushes_count; /* of these, what users push: the overlay does not know of it yet */
    uint64_t chunk_pushes_cost_bytes; /* of the share */
    struct chunk_gate chunk_gate;
    uint64_t chunks_written_count;
    struct chunk_id chunks_written[CHUNKS_WRITTEN_KEPT]; /* the last of these, in a ring */
    struct own_disk own_disk;
    struct carry carry;
    struct keeper *keeper;
    struct upload *upload;
    struct scrub *scrub;
    struct trees *trees;
    struct execs *execs;
    struct senses *senses;
    struct inhibitor *inhibitor;
    struct transport *transport;
    struct relays *relays;
    struct doors *doors;
    struct portmap *portmap;
    struct portmap *portmap_ipv6;
    struct address_watch *address_watch; /* NULL: none */
    struct sandbox_link *sandbox;
    struct api *api;
    gid_t api_group;
    const char *senses_root; /* NULL: this machine */

    int wake_fd;                   /* timerfd on CLOCK_BOOTTIME */
    uint64_t wake_ms[EDGE_WAKERS]; /* 0: none asked for */
    uint64_t armed_ms;             /* what wake_fd is set to */
    uv_poll_t wake_poll;
    uv_poll_t api_poll;
    uv_timer_t api_timer;
    uv_timer_t tidy_timer;
    uv_timer_t stop_timer;
    uv_timer_t watchdog_timer;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_signal_t signals[5];
    pid_t helper_pid; /* the sandbox helper that this process started; 0: none */
};

/* ------------------------------------------------------------------ edge.c, loop.c, stop.c */

struct edge_start { /* what was made while still root; all of it is taken over */
    const char *config_path;
    const struct config *config;
    const struct machine *machine;
    const struct contribution *contribution;
    int control_fd; /* listening control socket */
    int kept_fd;    /* a copy of it, for when all begins anew after leaving; -1 at first */
    gid_t api_group;
    pid_t helper_pid;
    struct recorder *recorder; /* borrowed; NULL: none */
    const char *senses_root;   /* NULL: this machine */
};

/* An empty edge with its loop. */
int edge_open(struct edge *edge, struct err *err);
/* Loads the state and starts everything; edge->sandbox is made (perhaps connected) by then. On
 * failure edge_done cleans up. */
int edge_init(struct edge *edge, const struct edge_start *start, struct err *err);
/* Runs until told to stop. */
void edge_run(struct edge *edge);
/* What of the configuration may change while running, as the core takes it. */
void edge_terms(struct edge *edge, struct core_config *core_out);
/* The sandbox is used from now on, and logind is asked to wait for its replicas. */
void edge_begin_running(struct edge *edge);
/* Tells the community when this node's addresses, or (forced) its name, labels or zone, are other
 * ones than before. */
void edge_describe(struct edge *edge, bool forced);
void edge_done(struct edge *edge);

/* Opens what runs on the loop: timers, prepare, signals, the API's descriptor. */
int loop_open(struct edge *edge, struct err *err);
void loop_close(struct edge *edge);
/* Asks for a TICK at wake_ms. The last word of each waker counts. */
void loop_wake(struct edge *edge, enum edge_waker waker, uint64_t wake_ms);

/* What came after the last life's signals_close is heard now. */
int signals_open(struct edge *edge, struct err *err);
/* Where the community was left, signals are kept until the next life, or this process, is over. */
void signals_close(struct edge *edge);
/* The core has answered a request of our own. */
void stop_answered(struct edge *edge, const struct core_answer *answer);
/* The same for the API's request to leave the community. */
void stop_left(struct edge *edge, const struct core_answer *answer);

/* ------------------------------------------------------------------ gone.c */

/* Begins to remove what was kept of communities that were left. Goes on until the loop ends. */
void gone_remove(struct edge *edge);

/* ------------------------------------------------------------------ reload.c */

void reload_on_signal(uv_signal_t *signal, int number);

/* ------------------------------------------------------------------ aside.c */

/* From now on logind asks before the machine sleeps or is switched off. */
void aside_open(struct edge *edge);
void aside_close(struct edge *edge);
/* Tells the log what has changed of the owner's word, and that there is a community. */
void say_changes(struct edge *edge);
/* The core has answered TOKEN_STEP_ASIDE. */
void aside_answered(struct edge *edge, const struct core_answer *answer);

/* ------------------------------------------------------------------ events.c */

/* Steps the core now, or after what is being performed. Fills in the times. */
void edge_event(struct edge *edge, const struct core_event *event);
void edge_overlay_event(struct edge *edge, const struct overlay_event *event);
void edge_request(struct edge *edge, const struct core_request *request);
/* Performs what core_start asked for. */
void edge_start_core(struct edge *edge);
void events_clear(struct edge *edge);

/* ------------------------------------------------------------------ perform.c */

void perform(struct edge *edge, const struct core_effect *effect);

/* ------------------------------------------------------------------ chunk_jobs.c, own_disk.c, chunk_scrub.c, upload.c */

/* OVERLAY_STORE_CHUNK: ends in a CHUNK_STORED event. */
void chunk_jobs_store(struct edge *edge, const struct overlay_effect *effect);
/* A chunk that a user pushes is stored, or carried where the disk does not take it, and spread: the
 * core answers the request. */
void chunk_jobs_push(struct edge *edge, const struct core_request *request, struct bytes data);
/* The core has answered; says what was wrong here, too. */
void chunk_jobs_answered(struct edge *edge, struct core_answer *said);
void chunk_jobs_drop(struct edge *edge, const struct chunk_id *chunk);
/* A chunk that should be here is not to be had: a result of the store (chunk_store_lacks). Nothing is
 * told when it was written since. */
void chunk_jobs_tell_lacking(struct edge *edge, const struct chunk_id *chunk,
                             struct chunk_read read);
/* One that was not to be had can be read again. */
void chunk_jobs_tell_good(struct edge *edge, const struct chunk_id *chunk, uint64_t length_bytes);

void own_disk_open(struct edge *edge);
void own_disk_close(struct edge *edge);
/* What there is for one more chunk, and why none is taken. */
struct chunk_room own_disk_room(const struct edge *edge);
/* A chunk was written: 0 or -errno. */
void own_disk_note(struct edge *edge, int result);
/* The core hears what is new. */
void own_disk_look(struct edge *edge);

/* Reads a few chunks a minute to find rot, and to see whether what could not be read can be again. As
 * upload: close, run the loop on, free. */
struct scrub *scrub_new(struct edge *edge);
void scrub_close(struct edge *edge);
void scrub_free(struct scrub *scrub);

/* Sends and replies with a chunk's data, within contribute.upload. */
struct upload *upload_new(struct edge *edge);
/* A user of this machine has pushed this chunk: spreading it is not limited. */
void upload_note_push(struct edge *edge, const struct chunk_id *chunk);
void upload_send(struct edge *edge, const struct overlay_effect *effect);
/* The limit is another one now. */
void upload_again(struct edge *edge);
/* Drops what waits. The loop runs on until jobs and handles are done, then free. */
void upload_close(struct edge *edge);
void upload_free(struct upload *upload);

/* ------------------------------------------------------------------ trees.c */

struct trees *trees_new(struct edge *edge, const char *folder, struct err *err);
void trees_scan(struct edge *edge, const struct tree_id *tree);
void trees_build(struct edge *edge, const struct tree_id *tree);
void trees_drop(struct edge *edge, const struct tree_id *tree);
/* Those that lie there from before are events. */
void trees_tell_found(struct edge *edge);
/* Ends running workers. The loop runs on until jobs and handles are done, then free. */
void trees_close(struct edge *edge);
void trees_free(struct trees *trees);

/* ------------------------------------------------------------------ execs.c */

/* Commands in replicas on this node: the bytes between the core and minga-init. */
struct execs *execs_new(struct edge *edge);
/* CORE_EXEC: ends in a CORE_EXEC_DONE event, unless its token is 0. */
void execs_ask(struct edge *edge, const struct core_effect *effect);
/* The sandbox link's answer; `fd` is taken. */
void execs_opened(struct edge *edge, uint64_t number, int fd, const char *reason);
/* Ends them all. The loop runs on until handles are closed, then free. */
void execs_close(struct edge *edge);
void execs_free(struct execs *execs);

/* ------------------------------------------------------------------ portmap_link.c */

int portmap_link_open(struct edge *edge, struct err *err);
/* The configuration is new: begins, goes on or ends. */
void portmap_link_configure(struct edge *edge);
void portmap_link_tidy(struct edge *edge, uint64_t now_ms);
/* This machine has moved. */
void portmap_link_look_again(struct edge *edge);

/* ------------------------------------------------------------------ api_link.c */

int api_link_open(struct edge *edge, int control_fd, struct err *err);
/* Sends the replies that are there by now, rather than in the next turn. Were there any? */
bool api_link_reply(struct edge *edge);
/* The API's own timers: once per turn. */
void api_link_settle(struct edge *edge);
void api_link_close(struct edge *edge);
