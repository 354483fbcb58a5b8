// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * minga-init at work: one epoll loop over the control and listening sockets, the children, the
 * output, the probe and the forwarded ports. See sandbox/init_protocol.h for what it says when.
 */
#include "sandbox/health.h"
#include "sandbox/init/datagrams.h"
#include "sandbox/init/exec.h"
#include "sandbox/init/forward.h"
#include "sandbox/init/probe.h"
#include "sandbox/init/start.h"
#include "sandbox/logs.h"

enum init_phase {
    INIT_PHASE_STARTING, /* forked, not yet executed */
    INIT_PHASE_RUNNING,
    INIT_PHASE_ENDED, /* all killed; lingers until the end has been told */
    INIT_PHASE_TOLD,  /* nothing left to do */
};

struct counts { /* of the published ports */
    uint64_t connection_count;
    uint64_t refused_count;
};

struct init { /* zeroed memory before loop_init */
    enum init_phase phase;
    int epoll_fd;
    int signal_fd;
    int control_fd; /* -1: no minga-sandboxd at the moment */
    bool stop_asked;
    bool health_unsent;
    uint64_t kill_ms;   /* SIGKILL is due; UINT64_MAX: never */
    uint64_t linger_ms; /* alone, ended or not, it leaves then; UINT64_MAX: neither */
    uint64_t started_ms;
    struct init_message end;
    struct sandbox_spec spec;
    struct start start;
    struct logs_writer logs;
    struct health health;
    struct probe probe;
    pid_t probe_pid; /* of the health command; 0: none */
    uint64_t probe_kill_ms;
    struct execs execs;
    struct forward forward;
    struct datagrams datagrams;
    uint64_t datagrams_due_ms; /* UINT64_MAX: never */
    struct line line;
    uint64_t line_due_ms; /* streams wait for the line; UINT64_MAX: none */
    struct counts told;   /* to minga-sandboxd */
    uint64_t told_ms;
};

/* Sets the loop up (spec and start are filled in, the signals blocked). Returns 0 or -errno. */
int loop_init(struct init *init, struct err *err);
/* Runs until everything is over and told. */
void loop_run(struct init *init);
/* Tells minga-sandboxd that the service could not be started. */
void loop_refuse(struct init *init, const struct err *err);
