// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the first process of a sandbox does between clone3 and minga-init: it furnishes its new
 * namespaces, then executes minga-init with the descriptors of init_protocol.h.
 */
#include "base/err.h"
#include "sandbox/cgroup.h"
#include "sandbox/helper/furniture.h"
#include "sandbox/init_protocol.h"

/* What comes last, in this order. */
enum { CHILD_LISTEN, CHILD_SPEC, CHILD_LOG, CHILD_LOG_OTHER, CHILD_LINE, CHILD_BELONGINGS };

struct child_plan {    /* everything borrowed; the clone has its own copy of all descriptors */
    const char *place; /* an empty folder of the host: where the root is attached first */
    const char *stage; /* another: where it is furnished before that */
    const char *hostname;
    struct furniture_plan furniture;
    bool egress;  /* a tun device is made and handed out through setup_fd */
    int setup_fd; /* seqpacket: a byte comes when the maps are written; one with the detached root
                     and /dev;
                     one with the belongings. Errors go back */
    int init_fd;  /* minga-init's program, a sealed memory file */
    int control_fd;
    int filter_fd;
    int lock_fd;                         /* of the uid range */
    bool enters;                         /* its group, by the following; else it was born there */
    int init_entries[CGROUP_ENTRIES];    /* the child enters its group by these, first of all */
    int service_entries[CGROUP_ENTRIES]; /* for minga-init */
    int belongings[CHILD_BELONGINGS];    /* its own to fill in */
    const int *port_fds;
    uint32_t port_count;
};

/* Sent through setup_fd when something failed; nothing is sent on success. */
struct child_failure {
    int code;
    char text[ERR_TEXT_BYTES_MAX];
};

/* In the clone. Does not return. */
_Noreturn void child_run(struct child_plan *plan);
