// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Commands in replicas, several at once: for each one a session with its node, signed by the
 * owner, and two streams of bytes (agent/core/exec.h, sandbox/exec_protocol.h). One loop, which
 * waits for nobody alone: a terminal that does not take what is printed keeps only its replica
 * waiting.
 */
#include "agent/cli/screen/sink.h"
#include "agent/cli/session.h"
#include "base/ids.h"
#include "base/keys.h"
#include "sandbox/environment.h"
#include "sandbox/exec_protocol.h"

enum {
    REMOTE_NAME_BYTES = 64,
    REMOTE_WHY_BYTES = 256,
    REMOTE_BODY_BYTES_MAX = 16 * 3072, /* of one request to the agent */
};

struct remote_call { /* one request to the agent, or none */
    void *easy;      /* CURL *, kept for the next one */
    void *headers;   /* struct curl_slist * */
    bool busy;
    char what[8];
    char url[320];
    struct buffer reply;
    struct reply_window window;
    size_t body_bytes;
    uint8_t body[REMOTE_BODY_BYTES_MAX];
};

enum remote_state {
    REMOTE_WAITING, /* for its turn */
    REMOTE_GREETING,
    REMOTE_OPENING,
    REMOTE_RUNNING,
    REMOTE_CLOSING,
    REMOTE_OVER,
};

struct remote_job {
    /* given */
    char name[REMOTE_NAME_BYTES]; /* "wiki/1" */
    char node[ID_HEX_CHARS + 1];
    char node_name[REMOTE_NAME_BYTES];
    struct replica_key replica;
    struct exec_begin begin;
    int input_fd;        /* its input, or -1; non-blocking or a file; borrowed */
    struct sink *output; /* where its output and errors go; borrowed */
    struct sink *errors;
    /* how it went */
    enum remote_state state;
    bool has_end;
    struct exec_end end;
    char why[REMOTE_WHY_BYTES]; /* "" unless it failed before, or without, an end */
    bool is_late;               /* it failed as nobody answered in time */
    uint64_t output_bytes;
    /* within */
    struct remote_call reading; /* and all that is no WRITE */
    struct remote_call writing;
    char session[64];       /* in hexadecimal; "": none yet */
    uint64_t heard_ms;      /* of its node */
    uint64_t late_ms;       /* by then it should have ended; RUNNING */
    uint64_t asked_ms;      /* it was asked last */
    uint64_t read_bytes;    /* taken of its stream */
    uint64_t written_bytes; /* taken of its input */
    bool input_over;
    bool input_closed; /* and its node knows */
    bool stream_over;
    uint64_t write_again_ms;
    struct buffer stream; /* frames that are not complete, or wait for the sinks */
};

struct remote {
    struct session *session;
    const struct secret_key *owner;
    uint32_t count;
    struct remote_job *jobs;
    uint32_t parallel; /* so many at once */
    uint64_t delay_ms; /* between two beginnings */
    void *multi;       /* CURLM * */
    int signal_fd;
    int signal_number; /* what has ended it all; 0: nothing */
    uint64_t next_ms;  /* the next may begin */
    /* Called now and then; may be NULL. */
    void (*progress)(void *context);
    void *context;
};

/*
 * Runs all jobs to their end. Returns EXIT_DONE, or another status with the problem when nothing
 * could be done at all; how each job went stands in it. After SIGINT and its like, everything that
 * ran has been ended, and signal_number says which it was.
 */
int remote_run(struct remote *remote);
/* Frees what the jobs hold within; not what was given. */
void remote_done(struct remote *remote);
/* After a signal: dies of it, as a program without handlers would. Else returns. */
void remote_die(const struct remote *remote);

/* --- remote_call.c: inside only */

/* Begins a request; the call must not be busy. False: no memory. */
bool call_begin(struct remote *remote, struct remote_job *job, struct remote_call *call,
                const char *what);
/* Takes one that has ended off the list: its job and call, and its result. False: none. */
struct call_result {
    struct remote_job *job;
    struct remote_call *call;
    unsigned status; /* of HTTP; 0: no agent */
    char why[REMOTE_WHY_BYTES];
};
bool call_next(struct remote *remote, struct call_result *result_out);
void call_done(struct remote *remote, struct remote_call *call);
