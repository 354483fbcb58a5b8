// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What exists only while a replica is being launched; everything owned.
 *
 * A launch has three steps, and the helper does other things between them: a maker prepares the
 * root, while the first process is born; that furnishes its namespaces with the root; minga-init
 * takes over.
 */
#include "base/limits.h"
#include "sandbox/cgroup.h"
#include "sandbox/helper/maker.h"

struct launch {
    struct maker maker;
    int root_fd;
    int devices_fd;
    int listen_fd;
    int tun_fd; /* of a replica with egress: for minga-egress */
    int spec_fd;
    int log_fds[2];
    int group_fd; /* the folder of its `init` group, where a child can be born in it (v2) */
    int init_entries[CGROUP_ENTRIES]; /* else it enters it by these */
    int service_entries[CGROUP_ENTRIES];
    int setup_fds[2];   /* ours, the child's; ours is readable when the child is set up, or not */
    int control_fds[2]; /* ours, the child's */
    int port_fds[PORTS_PER_SERVICE_MAX];
};

void launch_init(struct launch *launch);
/* Closes everything and ends the maker. Returns whether that is over; may be called again. */
bool launch_over(struct launch *launch);
